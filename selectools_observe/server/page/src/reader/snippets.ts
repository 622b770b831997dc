/** Where in the runs of a file words were said: the answers of the service's search. */

import type { Hit, Trace } from "../types";
import { joined, patternsOf, textsOfTrace, WORD } from "./language";

const LONGEST = 160;
const BEFORE = 50;

type Span = [number, number];

/** The first so many places of a run in which some term occurs; each text once. */
export function hitsIn(trace: Trace, query: string, most: number): Hit[] {
  const patterns = patternsOf(query);
  const hits: Hit[] = [];
  const known = new Set<string>();
  for (const { step, field, text } of textsOfTrace(trace)) {
    if (hits.length === most) break;
    if (known.has(text)) continue;
    const words = joined(text);
    if (!patterns.some((pattern) => words.includes(pattern))) continue;
    known.add(text);
    hits.push({ run_id: String(trace.run_id), step, field, ...snippetOf(text, patterns) });
  }
  return hits;
}

/** A piece of a text around the first term found, on one line, and the words found in it. */
function snippetOf(text: string, patterns: string[]): Pick<Hit, "snippet" | "marks"> {
  const spans = spansIn(text, patterns);
  const first = spans[0]?.[0] ?? 0;
  let start = first - Array.from(text.slice(Math.max(0, first - 2 * BEFORE), first)).slice(-BEFORE).join("").length;
  if (start) {
    const space = text.indexOf(" ", start);
    if (space >= 0 && space < first) start = space + 1;
  }
  const end = start + Array.from(text.slice(start, start + 2 * LONGEST)).slice(0, LONGEST).join("").length;
  const before = start ? "…" : "";
  const snippet = before + text.slice(start, end).replace(/[\s\0-\x1f\x7f]/g, " ") + (end < text.length ? "…" : "");
  // Marks count characters, of which some are two units of a text here.
  const place = (at: number) => before.length + Array.from(text.slice(start, at)).length;
  const inside = spans.filter(([from]) => from >= start && from < end);
  return { snippet, marks: inside.map(([from, to]) => [place(from), place(Math.min(to, end))]) };
}

/** Where the words of all terms stand; those far behind the first one are left out. */
function spansIn(text: string, patterns: string[]): Span[] {
  const terms = patterns.map((pattern) => ({ words: pattern.trim().split(" "), isPrefix: !pattern.endsWith(" ") }));
  const longest = Math.max(...terms.map(({ words }) => words.length));
  const found = new Map<number, Span>();
  let last: [string, Span][] = [];
  for (const { 0: word, index } of text.matchAll(WORD)) {
    const first = found.values().next().value;
    if (first && index > first[0] + 2 * LONGEST) break;
    last = [...last, [joined(word).trim(), [index, index + word.length]] as [string, Span]].slice(-longest);
    for (const { words, isPrefix } of terms) {
      const row = last.slice(-words.length);
      if (row.length === words.length && words.every((one, at) => says(row[at]![0], one, isPrefix && at === words.length - 1))) {
        for (const [, span] of row) found.set(span[0], span);
      }
    }
  }
  return [...found.values()].sort(([one], [other]) => one - other);
}

function says(word: string, wanted: string, isPrefix: boolean): boolean {
  return isPrefix ? word.startsWith(wanted) : word === wanted;
}
