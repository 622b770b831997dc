"""What came of pieces that an agent sends again with every call."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import msgspec

from ...model.json_values import dumps, loads

_MOST = 4096
_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode


class Packed(NamedTuple):
    """A value of JSON's types, packed; and what was noted of it, which is immutable."""

    packed: bytes
    note: Any


class PackedList(list[Any]):
    """A list whose items are known packed too, as `pack` packs them."""

    packed: list[bytes]


class Remembered:
    """Values by what they were made of, packed: whoever unpacks one has a copy of his own.

    Runs belong to whoever has them, who may change them: they share nothing with each other.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Packed] = {}
        self.get = self._kept.get

    def keep(self, key: Hashable, value: Packed) -> None:
        """Remember a value."""
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[key] = value


_AS_JSON = b"\xc1"  # begins nothing in msgpack


def pack(value: Any) -> bytes | None:
    """A value packed; None if it cannot be: it holds a foreign object."""
    try:
        return _encode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError):
        pass
    try:
        return _AS_JSON + dumps(value)  # with a lone surrogate, or a large integer
    except (ValueError, RecursionError):
        return None


def unpack(packed: bytes) -> Any:
    """A new copy of what was packed."""
    return loads(packed[1:]) if packed[:1] == _AS_JSON else _decode(packed)
