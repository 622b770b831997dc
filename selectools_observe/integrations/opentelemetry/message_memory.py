"""What came of the messages of a run, whose every call repeats those of the call before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from ...model.json_values import dumps

_BEGINNING = 256
_MOST = 4096
_JSON_SPACE = " \t\n\r"
_encode = msgspec.msgpack.Encoder().encode


class ReadMessage(NamedTuple):
    """A message in the one shape, and the form that gives it back as it came, if there is one."""

    message: Any
    form: Any


class FlatList(NamedTuple):
    """The leaves of a list that was flattened into attributes, and its items by their numbers."""

    leaves: list[tuple[str, Any]]
    items: dict[str, Any]


class _Text(NamedTuple):
    """A JSON array without its closing bracket, and its items."""

    open: str
    items: list[Any]


Reads: TypeAlias = Callable[[Any, str, "Conversation"], ReadMessage | None]
"""Reads an item of a list as one message of that role, unless it says another."""


class Conversation:
    """Remembers what was read of a run, while the run is put together.

    What it gives is its own: it is copied before it becomes part of a step.
    """

    def __init__(self) -> None:
        self.flat: dict[tuple[str, str], FlatList] = {}
        self._texts: dict[tuple[str, str], _Text] = {}
        self._by_object: dict[tuple[int, str], tuple[Any, ReadMessage | None]] = {}
        self._by_value: dict[tuple[str, bytes], ReadMessage | None] = {}
        self._messages: dict[bytes, Any] = {}

    def array(self, name: str, text: str, parsed: Callable[[str], Any]) -> Any:
        """What ``parsed`` makes of a JSON array; read is only what the call before did not say."""
        key = name, text[:_BEGINNING]
        known = self._texts.get(key)
        value = None if known is None else _continued(known, text, parsed)
        if value is None:
            value = parsed(text)
        if isinstance(value, list) and value:
            self._texts[key] = _Text(text.rstrip(_JSON_SPACE)[:-1].rstrip(_JSON_SPACE), value)
        return value

    def message(self, raw: Any, role: str, read: Reads) -> ReadMessage | None:
        """What ``read`` makes of an item of a list; equal messages are one object."""
        key = id(raw), role
        found = self._by_object.get(key)
        if found is None:
            self._forget_many()
            found = self._by_object[key] = raw, self._read(raw, role, read)
        return found[1]

    def _forget_many(self) -> None:
        """Keep no more than a long conversation has: a run may have any number of messages."""
        for known in (self._by_object, self._by_value, self._messages):
            if len(known) >= _MOST:
                known.clear()

    def _read(self, raw: Any, role: str, read: Reads) -> ReadMessage | None:
        if not isinstance(raw, dict):
            return None
        own = raw.get("message", raw)
        says_role = isinstance(own, dict) and type(own.get("role")) is str
        packed = exactly(sorted(raw.items()))  # in whatever order it says what it says
        if packed is None:
            return None
        key = "" if says_role else role, packed
        if key not in self._by_value:
            self._by_value[key] = self._shared(read(raw, role, self))
        return self._by_value[key]

    def _shared(self, found: ReadMessage | None) -> ReadMessage | None:
        packed = None if found is None else exactly(found.message)
        if found is None or packed is None:
            return None
        return ReadMessage(self._messages.setdefault(packed, found.message), found.form)


def _continued(known: _Text, text: str, parsed: Callable[[str], Any]) -> list[Any] | None:
    """A list's items, if its text goes on where a known one ended."""
    if not text.startswith(known.open):
        return None
    rest = text[len(known.open) :].lstrip(_JSON_SPACE)
    if rest[:1] != ",":
        return None
    more = parsed(f"[{rest[1:]}")
    return [*known.items, *more] if isinstance(more, list) and more else None


def exactly(value: Any) -> bytes | None:
    """What only equal values of the same types are; None for what holds a foreign object."""
    try:
        return _encode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError):
        pass
    try:
        return _AS_JSON + dumps(value)  # with a lone surrogate, or a large integer
    except (ValueError, RecursionError):
        return None


_AS_JSON = b"\xc1"  # begins nothing in msgpack
