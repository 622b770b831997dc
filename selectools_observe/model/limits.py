"""Limits on what text from others may become in memory, checked before anything is decoded.

A short text can become much: 16 KB packed with gzip are millions of empty lists, and an integer of
a million digits takes seconds to convert. A `JsonScanner` counts on the text itself, piece by
piece, so that a body is refused at the first piece that is too much.
"""

from __future__ import annotations

import sys
from itertools import accumulate
from typing import Any

import msgspec

from ..errors import InvalidTraceError
from ..runtime.gil import GilYielder
from .integers import LONGEST_PLAIN
from .json_values import DEEPEST, dumps, loads
from .trace import AgentTrace

_ENVELOPE = 8  # containers around a value of a run: a line, the run, its steps, a step


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken of a run, or of a body, that comes from others.

    Attributes:
        digits: The digits of a number.
        values: The values of a JSON text, or of a protobuf body: scalars, arrays, objects.
        depth: How deep arrays and objects are nested.
        steps: The steps of a run.
        lines: The lines of a body, empty ones too.
        refused: The lines or items of a body that are not saved: no more is read after them.
        members: The members of a body that is packed with gzip.
        metadata: The bytes of a run's metadata as JSON, and of its name, tags, session, user,
            agent, outcome and ids together: lists carry all that.
        long_digits: The digits of all numbers that have 100 or more: they take long to convert.
        seconds: The processor time to decode a large body; a service has a process do that.
    """

    digits: int = LONGEST_PLAIN
    values: int = 500_000
    depth: int = DEEPEST + _ENVELOPE
    steps: int = 100_000
    lines: int = 1_000_000
    refused: int = 10_000
    members: int = 10_000
    metadata: int = 64 * 1024
    long_digits: int = 1_000_000
    seconds: int = 60


DEFAULT_LIMITS = Limits()
NO_LIMITS = Limits(**dict.fromkeys(Limits.__struct_fields__, sys.maxsize))


class LimitError(ValueError):
    """A text would become more than is taken.

    Attributes:
        limit: The name of the field of `Limits`.
        most: Its value.
    """

    def __init__(self, limit: str, most: int) -> None:
        super().__init__(limit, most)
        self.limit = limit
        self.most = most

    def __str__(self) -> str:
        return f"{_MESSAGES[self.limit].format(self.most)} (limit: {self.limit})"


_MESSAGES = {
    "digits": "a number has more than {} digits",
    "values": "it holds more than {} values",
    "depth": "it is nested more than {} levels deep",
    "steps": "the run has more than {} steps",
    "lines": "it has more than {} lines",
    "refused": "more than {} runs of it are refused",
    "members": "it has more than {} gzip members",
    "metadata": "what lists say of the run has more than {} bytes as JSON",
    "long_digits": "its numbers of 100 digits or more have more than {} digits together",
    "seconds": "to decode it takes more than {} s of processor time, or too much memory",
}

_SHORT = 256  # bytes; no text that short reaches any limit worth setting
_PAIRS_DEEP = 4
_LONG = 100
_LONGEST_SHOWN = 1000  # characters of a run id
# What is in every summary of a run.
_LISTED = (
    "metadata", "tags", "name", "session_id", "user_id", "agent", "outcome", "run_id",
    "parent_run_id",
)  # fmt: skip
_MANY_DIGITS = b"0" * _LONG
_SLICE = 64 * 1024
_DIGITS = frozenset("0123456789")
_DIGITS_ONLY = bytes(ord("0") if 48 <= byte <= 57 else ord(" ") for byte in range(256))
_NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class JsonScanner:
    """Counts what a JSON text will become, as its pieces come; linear, and in bounded memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.values = 1
        self._depth = 0
        self._digits = 0  # at the end of the piece before
        self._long_digits = 0
        self._in_string = False
        self._backslash = b""

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            LimitError: The text is too much already.
        """
        yielder = GilYielder()
        for start in range(0, len(piece), _SLICE):
            self._feed(piece[start : start + _SLICE])
            yielder.maybe_yield()

    def _feed(self, piece: bytes) -> None:
        outside = self._outside_strings(piece)
        opened = outside.count(b"[") + outside.count(b"{")
        self.values += outside.count(b",") + opened
        if self.values > self._limits.values:
            raise LimitError("values", self._limits.values)
        self._check_digits(outside)
        self._check_depth(outside, opened)

    def _outside_strings(self, piece: bytes) -> bytes:
        """The piece without the content of its strings, each of which is a quotation mark."""
        text = self._backslash + piece
        trailing = len(text) - len(text.rstrip(b"\\"))
        self._backslash = b"\\" if trailing % 2 else b""
        if self._backslash:
            text = text[:-1]
        if b"\\" in text:
            text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = text.split(b'"')
        outside = parts[1 if self._in_string else 0 :: 2]
        was_in_string, self._in_string = self._in_string, self._in_string ^ (len(parts) % 2 == 0)
        return (b'"' if was_in_string else b"") + b'"'.join(outside)

    def _check_digits(self, outside: bytes) -> None:
        most = self._limits.digits
        digits = b"0" * self._digits + outside.translate(_DIGITS_ONLY)
        if len(digits) > most and b"0" * (most + 1) in digits:
            raise LimitError("digits", most)
        counted = self._digits // _LONG
        self._long_digits += _LONG * (digits.count(_MANY_DIGITS) - counted)
        if self._long_digits > self._limits.long_digits:
            raise LimitError("long_digits", self._limits.long_digits)
        self._digits = len(digits) - len(digits.rstrip(b"0"))

    def _check_depth(self, outside: bytes, opened: int) -> None:
        brackets = outside.translate(None, _NO_BRACKET)
        # The plainest attack, told without counting in Python.
        if len(brackets) > self._limits.depth:
            opening = b"[" * (self._limits.depth + 1)
            if opening in brackets.translate(_ONE_KIND):
                raise LimitError("depth", self._limits.depth)
        left = brackets
        for _ in range(_PAIRS_DEEP):  # most nest no deeper, and to count takes long
            left = left.replace(b"[]", b"").replace(b"{}", b"")
        if self._depth + len(left) + _PAIRS_DEEP > self._limits.depth:
            deepest = max(accumulate(map(_STEP.__getitem__, brackets), initial=self._depth))
            if deepest > self._limits.depth:
                raise LimitError("depth", self._limits.depth)
        self._depth += 2 * opened - len(brackets)


def check_json(text: bytes | str, limits: Limits = DEFAULT_LIMITS) -> int:
    """Refuse a JSON text that would become too much; return how many values it holds, or more.

    Raises:
        LimitError: It would.
    """
    if len(text) < _SHORT:
        return len(text)
    if isinstance(text, str):
        opened = text.count("[") + text.count("{")
        values = 1 + opened + text.count(",")
        # Of so many digits in a row one is at such a place.
        some = text[limits.digits :: limits.digits + 1]
        if opened <= limits.depth and values <= limits.values and _DIGITS.isdisjoint(some):
            return values  # as most are
    scanner = JsonScanner(limits)
    scanner.feed(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return scanner.values


def loads_limited(text: bytes | str, limits: Limits = DEFAULT_LIMITS) -> Any:
    """`loads` for a text that comes from others.

    Raises:
        ValueError: It is not JSON, or would become too much (`LimitError`).
    """
    check_json(text, limits)
    return loads(text)


def check_run(trace: AgentTrace, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse a run that is larger than what is taken from others.

    Raises:
        InvalidTraceError: It is.
    """
    shown = trace.run_id if len(trace.run_id) <= _LONGEST_SHOWN else None
    if len(trace.steps) > limits.steps:
        raise InvalidTraceError(shown, "steps", str(LimitError("steps", limits.steps)))
    size = 0
    for name in _LISTED:
        value = getattr(trace, name)
        size += len(dumps(value, name)) if value else 0
        if size > limits.metadata:
            raise InvalidTraceError(shown, name, str(LimitError("metadata", limits.metadata)))
