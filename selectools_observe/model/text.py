"""Text of a trace made safe to print.

A trace holds what models and tools said: escape sequences that would recolour the screen or retitle
the window, marks that reverse the order of letters, characters that cannot be seen. All that the
command prints of a trace, a path or an argument goes through here.
"""

from __future__ import annotations

import re
import unicodedata

# Unicode's control, format, surrogate and default-ignorable characters, separators of lines and of
# paragraphs; first the flags that tags make. `unseen.ts` of the page has the same law.
_UNPRINTABLE = re.compile(
    "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f|["
    r"\u0000-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    r"\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "]"
)
_JOINERS = "\u200c\u200d"
_VARIANTS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_MONGOLIAN = re.compile("[\u1820-\u18aa][\u180b-\u180d\u180f]")
_BLANKS = re.compile(r"[ \t\r\n\v\f]+")
_LINE_BREAKS = re.compile(r"\r\n?|\n")


LONGEST_IN_SUMMARY = 200
"""Characters of a run's input and output, and of a note, in a summary."""


def counted(number: int, what: str) -> str:
    """A number of things, such as ``1 step`` and ``2,000 steps``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shortened(text: str | None) -> str | None:
    """A text as a summary has it; None if it is empty."""
    if not text or len(text) <= LONGEST_IN_SUMMARY:
        return text or None
    return f"{text[: LONGEST_IN_SUMMARY - 1]}…"


def truncated(text: str, longest: int) -> str:
    """The beginning of a text, and how much is missing; the text itself if it is short enough."""
    missing = len(text) - longest
    return text if missing <= 0 else f"{text[:longest]}… [{missing:,} characters more]"


_MISSING = re.compile(r"… \[(\d[\d,]{0,20}) characters more\]\Z")


def missing_characters(text: str) -> int:
    """How many characters `truncated` left out of a text."""
    if not text.endswith(" characters more]"):
        return 0
    found = _MISSING.search(text, max(0, len(text) - 50))
    return int(found[1].replace(",", "")) if found else 0


def printable(text: str) -> str:
    """The text with what must not be printed written as an escape, as in a Python string."""
    return _UNPRINTABLE.sub(_as_escape, text)


def one_line(text: object, longest: int = 500) -> str:
    """The beginning of a text on one line, printable."""
    beginning = str(text)[: longest * 4]
    line = printable(_BLANKS.sub(" ", beginning).strip(" "))
    cut = len(line) > longest or len(beginning) < len(str(text))
    return f"{line[:longest]}…" if cut else line


def printable_lines(text: str) -> list[str]:
    """The text's lines, each printable; tabs become spaces."""
    return [printable(line.expandtabs(4)) for line in _LINE_BREAKS.split(text)]


def printable_json(text: str) -> str:
    """JSON text that means the same, with what must not be printed escaped as JSON does.

    Line breaks stay: outside of its strings JSON may hold them, and within it cannot.
    """
    return _UNPRINTABLE.sub(_as_json_escape, text)


def _is_needed(found: re.Match[str]) -> bool:
    """Whether a script or an emoji is written with what was found, and so shows it."""
    mark, text, at = found[0], found.string, found.start()
    if len(mark) > 1:
        return True
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if mark in _JOINERS:
        return _joins(before) and _joins(after)
    if _VARIANTS.match(mark):
        return before in "0123456789#*" if before.isascii() else not _UNPRINTABLE.match(before)
    return _MONGOLIAN.match(before + mark) is not None


def _joins(letter: str) -> bool:
    return letter != "" and (
        unicodedata.category(letter) in {"Lo", "Mn", "Mc", "Me", "So", "Sk", "Sm"}
        and not (_UNPRINTABLE.match(letter) and letter != "\ufe0f")
    )


def _as_escape(found: re.Match[str]) -> str:
    if _is_needed(found):
        return found[0]
    code = ord(found[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _as_json_escape(found: re.Match[str]) -> str:
    if found[0] == "\n" or _is_needed(found):
        return found[0]
    code = ord(found[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
