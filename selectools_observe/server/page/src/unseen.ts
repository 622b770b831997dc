/** Characters that cannot be seen, or that turn text around, written out: the law of `model/text.py`. */

// Tags make the flags of England, Scotland and Wales; by themselves they hide words.
const FLAG = "\\u{1f3f4}[\\u{e0030}-\\u{e0039}\\u{e0061}-\\u{e007a}]{3,6}\\u{e007f}";
const NEVER_SEEN = "[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}]";
// Joiners belong between letters of scripts that join, and between the parts of an emoji.
const JOINER = "[\\u200c\\u200d]";
const JOINS = "(?:(?![\\u115f\\u1160\\u17b4\\u17b5\\u3164\\uffa0\\u034f\\u180b-\\u180f\\ufe00-\\ufe0e\\u{e0100}-\\u{e01ef}])[\\p{Lo}\\p{M}\\p{So}\\p{Sk}\\p{Sm}])";
// One mark of a variant may follow what has variants; a second one hides something.
const VARIANT = "[\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}]";
const HAS_VARIANTS = `(?:[0-9#*]|(?!${NEVER_SEEN})[^\\p{ASCII}])`;
const NEEDED = [
  `(?<=${JOINS})${JOINER}(?=${JOINS})`,
  `(?<=${HAS_VARIANTS})${VARIANT}`,
  "(?<=[\\u1820-\\u18aa])[\\u180b-\\u180d\\u180f]",
  "[\\t\\n]",
];
const FOUND = new RegExp(`${FLAG}|(?!${NEEDED.join("|")})${NEVER_SEEN}`, "gu");

/** The text in pieces: what can be read, and after each piece the mark that cannot, or nothing. */
export function* piecesOf(text: string, most: number): Generator<[string, string]> {
  let at = 0;
  let marks = 0;
  for (const { 0: mark, index } of text.matchAll(FOUND)) {
    if (isFlag(mark)) continue;
    if (++marks > most) break;
    yield [text.slice(at, index), nameOf(mark)];
    at = index + mark.length;
  }
  yield [seen(text.slice(at)), ""];
}

/** Whether all of a text can be read as it is. */
export function isReadable(text: string): boolean {
  return text.search(FOUND) < 0;
}

/** The text with such characters written out. */
export function seen(text: string): string {
  return text.replace(FOUND, (mark) => (isFlag(mark) ? mark : nameOf(mark)));
}

function isFlag(mark: string): boolean {
  return mark.length > 2;
}

function nameOf(mark: string): string {
  const code = mark.codePointAt(0)!;
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}
