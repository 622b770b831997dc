"""The JSON values of a file, one at a time: a line each, a long array, or several values in a row.

Of a file that is one array, its elements are read one at a time; any other value is read whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol, TypeVar

from ..model.limits import LimitError, Limits, loads_limited
from .source import IMPORT_LIMITS, LONGEST, LONGEST_TEXT

_BLANK = b" \t\r\n\0"
_MARK = b"\xef\xbb\xbf"
# What opens and closes a value; a text is one match, so that brackets inside it do not count.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_MOST_BEFORE = 1000  # lines of text before the first value
_SHOWN = 40

T = TypeVar("T")


class Document(NamedTuple):
    """A JSON value of a file.

    Attributes:
        place: Where it begins, such as ``line 3``.
        value: The value; None if it cannot be read.
        problem: Why it cannot.
    """

    place: str
    value: Any
    problem: str | None = None


class _Parse(Protocol):
    """Reads the text of one value."""

    def __call__(self, text: bytes, place: str = "", /) -> Document: ...


def documents(lines: Iterable[bytes], limits: Limits = IMPORT_LIMITS) -> Iterator[Document]:
    """The JSON values of a file's lines; of one that is too large the problem."""
    numbered = ((n, text) for n, line in enumerate(lines, 1) if (text := _stripped(line)))
    before = list(_up_to(lambda each: _opens(each[1]), numbered, _MOST_BEFORE))
    first = before[-1][1] if before else b""
    after = list(islice(numbered, 1))
    every = chain(before, after, numbered)
    parse = partial(_parsed, limits)
    is_each = _is_a_value_each(first, after, parse)
    yield from _lines(every, parse) if is_each else _spread(every, parse)


def _up_to(condition: Callable[[T], bool], values: Iterator[T], most: int) -> Iterator[T]:
    """The values up to the first for which a condition holds, and that one."""
    for value in islice(values, most):
        yield value
        if condition(value):
            return


def _stripped(line: bytes) -> bytes:
    return line.strip(_BLANK).removeprefix(_MARK)


def _opens(text: bytes) -> bool:
    return text.startswith((b"{", b"["))


def _is_a_value_each(first: bytes, after: list[tuple[int, bytes]], parse: _Parse) -> bool:
    """Whether the lines are values: the first is, or it is torn and the one after it is."""
    if not _opens(first) or parse(first).problem is None:
        return True
    torn = first.startswith(b"{") and len(first) > 1
    return torn and any(_opens(text) and parse(text).problem is None for _, text in after)


def _lines(lines: Iterable[tuple[int, bytes]], parse: _Parse) -> Iterator[Document]:
    for number, text in lines:
        yield parse(text, f"line {number}")


def _parsed(limits: Limits, text: bytes, place: str = "") -> Document:
    try:
        return Document(place, loads_limited(text, limits))
    except LimitError as error:
        return Document(place, None, str(error))
    except ValueError as error:
        return Document(place, None, f"not JSON: {error}")


def _spread(lines: Iterable[tuple[int, bytes]], parse: _Parse) -> Iterator[Document]:
    """Values that stand on several lines each: objects, or the elements of an array."""
    splitter = _Splitter(parse)
    for number, text in lines:
        yield from splitter.take(number, text)
    yield from splitter.rest()


class _Splitter:
    """Finds where values begin and end, by their brackets."""

    def __init__(self, parse: _Parse) -> None:
        self._parse = parse
        self._open: list[bytes] = []  # brackets around the current place, an outer array's not
        self._in_array = False
        self._parts: list[bytes] = []
        self._size = 0
        self._began = 0

    def take(self, number: int, text: bytes) -> Iterator[Document]:
        """The values that this line ends."""
        start = 0  # of what is not looked at yet
        for token in _TOKEN.finditer(text):
            sign = token[0]
            if sign in {b"{", b"["}:
                if not self._open:
                    yield from self._outside(number, text[start : token.start()])
                    self._began, start = number, token.start()
                    if sign == b"[" and not self._in_array:
                        self._in_array, start = True, token.end()
                        continue
                self._open.append(sign)
            elif sign in {b"}", b"]"} and self._open:
                self._open.pop()
                if not self._open:
                    yield self._ended(text[start : token.end()])
                    start = token.end()
            elif sign == b"]":
                yield from self._outside(number, text[start : token.start()])
                self._in_array, start = False, token.end()
        if self._open:
            self._keep(text[start:])
        else:
            yield from self._outside(number, text[start:])

    def _outside(self, number: int, text: bytes) -> Iterator[Document]:
        """What is between the values: commas in an array; lines that a program printed."""
        left = text.strip(b", \t" if self._in_array else _BLANK)
        if left:
            yield Document(f"line {number}", None, f"not JSON: {left[:_SHOWN]!r}")

    def rest(self) -> Iterator[Document]:
        """What began and did not end."""
        if self._open:
            yield Document(f"line {self._began}", None, "the JSON value does not end")

    def _keep(self, text: bytes) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size > LONGEST:
            raise ValueError(f"the JSON value of line {self._began} is larger than {LONGEST_TEXT}")

    def _ended(self, text: bytes) -> Document:
        whole = b"\n".join([*self._parts, text])
        self._parts, self._size = [], 0
        return self._parse(whole, f"line {self._began}")
