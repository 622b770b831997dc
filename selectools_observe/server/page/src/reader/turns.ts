/** The turns of a conversation in a file: cut and searched as the service does it. */

import type { Part, Turn } from "../types";

export function isError(turn: Turn): boolean {
  return turn.error !== undefined && turn.error !== null;
}

export function turnsThat(turns: Turn[], are: (turn: Turn) => boolean): number[] {
  return turns.flatMap((turn, at) => (are(turn) ? [at] : []));
}

/** Whether lower-case words are said in a turn; pictures and files are not looked through. */
export function says(turn: Turn, words: string): boolean {
  return textsOf(turn).some((text) => text.toLowerCase().includes(words));
}

export function textsOf(turn: Turn): string[] {
  const texts = (turn.parts ?? []).filter(({ type }) => type !== "blob").map(textOf);
  for (const one of [turn.name, turn.arguments, turn.result, turn.error]) {
    if (one !== undefined && one !== null) texts.push(typeof one === "string" ? one : JSON.stringify(one, null, 2));
  }
  return texts;
}

function textOf(part: Part): string {
  return part.content || JSON.stringify(part, null, 2);
}

/** The turn with its long texts cut, and how long the longest was. */
export function shortened(turn: Turn, limit: number): Turn {
  let longest = 0;
  const text = JSON.stringify(turn, (_, value: unknown) => {
    if (typeof value !== "string" || value.length <= limit) return value;
    longest = Math.max(longest, value.length);
    return value.slice(0, limit);
  });
  return longest ? { ...(JSON.parse(text) as Turn), cut: longest } : turn;
}
