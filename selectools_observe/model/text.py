"""Text of a trace made safe to print.

A trace holds what models and tools said: escape sequences that would recolour the screen or retitle
the window, marks that reverse the order of letters, characters that cannot be seen. All that the
command prints of a trace, a path or an argument goes through here.
"""

from __future__ import annotations

import re

# Unicode's control, format, surrogate, line separator and paragraph separator characters, but for
# the two joiners: emoji and several scripts need them, and they do nothing else.
_UNPRINTABLE = re.compile(
    "["
    r"\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    r"\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e007f"
    "]"
)
_BLANKS = re.compile(r"[ \t\r\n\v\f]+")
_LINE_BREAKS = re.compile(r"\r\n?|\n")


LONGEST_IN_SUMMARY = 200
"""Characters of a run's input and output, and of a note, in a summary."""


def shortened(text: str | None) -> str | None:
    """A text as a summary has it; None if it is empty."""
    if not text or len(text) <= LONGEST_IN_SUMMARY:
        return text or None
    return f"{text[: LONGEST_IN_SUMMARY - 1]}…"


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


def _as_escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _as_json_escape(found: re.Match[str]) -> str:
    if found[0] == "\n":
        return "\n"
    code = ord(found[0])
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
