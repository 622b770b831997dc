/** Texts made safe to read: JSON in colours, and control characters as names. */

import type { ComponentChildren } from "preact";
import { isReadable, piecesOf } from "../unseen";

// A string may be cut at the end of a text, and a piece of a text may begin in one.
const STRING = /"(?:[^"\\\n]|\\.)*("|\\?$)/g;
const REST_OF_STRING = /^(?:[^"\\\n]|\\.)*"/;
const TOKEN = /("(?:[^"\\\n]|\\.)*(?:"|\\?$))(\s*:)?|\b(?:true|false|null)\b|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b/g;
const MOST_TOKENS = 1_500;

/** Whether JSON that is cut after this text is cut within a string. */
export function endsInString(text: string, beginsInString: boolean): boolean {
  const rest = beginsInString ? REST_OF_STRING.exec(text) : null;
  if (beginsInString && !rest) return true;
  const body = rest ? text.slice(rest[0].length) : text;
  return [...body.matchAll(STRING)].at(-1)?.[1] !== "\"" && body.includes("\"");
}

export function highlight(text: string, beginsInString = false): ComponentChildren {
  const parts: ComponentChildren[] = [];
  let at = 0;
  if (beginsInString) {
    at = REST_OF_STRING.exec(text)?.[0].length ?? text.length;
    parts.push(<span class="js">{visible(text.slice(0, at))}</span>);
    if (at === text.length) return parts;
  }
  let tokens = 0;
  const begin = at;
  for (const match of text.slice(begin).matchAll(TOKEN)) {
    if (++tokens > MOST_TOKENS) break;
    const from = begin + match.index;
    if (from > at) parts.push(visible(text.slice(at, from)));
    const [whole, string, colon] = match;
    if (string !== undefined && colon !== undefined) {
      parts.push(<span class="jk">{visible(string)}</span>, colon);
    } else if (string !== undefined) parts.push(<span class="js">{visible(string)}</span>);
    else parts.push(<span class="jn">{whole}</span>);
    at = from + whole.length;
  }
  parts.push(visible(text.slice(at)));
  return parts;
}

/** The text, with characters that cannot be seen written out: a mark that turns text around does not. */
export function visible(text: string): ComponentChildren {
  if (isReadable(text)) return text;
  return [...piecesOf(text, MOST_TOKENS)].flatMap(([part, mark]) =>
    mark ? [part, <span class="unseen">{mark}</span>] : [part],
  );
}
