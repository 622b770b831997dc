/** Texts made safe to read: JSON in colours, and control characters as names. */

import type { ComponentChildren } from "preact";

// A string may be cut at the end of a text, and a piece of a text may begin in one.
const STRING = /"(?:[^"\\\n]|\\.)*("|\\?$)/g;
const REST_OF_STRING = /^(?:[^"\\\n]|\\.)*"/;
const TOKEN = /("(?:[^"\\\n]|\\.)*(?:"|\\?$))(\s*:)?|\b(?:true|false|null)\b|-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b/g;
const MOST_TOKENS = 1_500;

// What moves the cursor of a terminal, turns the direction of writing, or cannot be seen.
const NEVER_SEEN = "[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff]";
// Joiners belong between letters of scripts that join, and between the parts of an emoji.
const JOINED = "[\\p{Lo}\\p{M}\\p{Extended_Pictographic}\\p{Emoji_Modifier}\\ufe0f]";
const JOINER = "[\\u200c\\u200d]";
const UNSEEN = new RegExp(`${NEVER_SEEN}|(?<!${JOINED})${JOINER}|${JOINER}(?!${JOINED})`, "gu");

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
  // Not `test`: of a global expression it moves the place where `matchAll` begins.
  if (text.search(UNSEEN) < 0) return text;
  const parts: ComponentChildren[] = [];
  let at = 0;
  let marks = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (++marks > MOST_TOKENS) break;
    parts.push(text.slice(at, match.index), <span class="unseen">{nameOf(match[0])}</span>);
    at = match.index + match[0].length;
  }
  parts.push(text.slice(at).replace(UNSEEN, nameOf));
  return parts;
}

/** The same as plain text, for one line. */
export function seen(text: string): string {
  return text.replace(UNSEEN, nameOf);
}

function nameOf(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}
