"""ClickHouse's format ``RowBinary``: a row is the bytes of its values, one after another.

Whoever makes a row makes its bytes at once, so that nothing but bytes is kept until it is sent.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_NULL = b"\1"
_PLACE_SIZE = 16
_SMALL = [bytes([size]) for size in range(128)]

pack_float = struct.Struct("<d").pack
pack_integer = struct.Struct("<q").pack
_pack_some_float = struct.Struct("<?d").pack
_pack_some_integer = struct.Struct("<?q").pack


def size_of(number: int) -> bytes:
    """A size: seven bits a byte, the lowest first."""
    if number < len(_SMALL):
        return _SMALL[number]
    return bytes([number & 127 | 128]) + size_of(number >> 7)


def text(data: bytes) -> bytes:
    """A ``String``."""
    return size_of(len(data)) + data


def uuid(data: bytes) -> bytes:
    """A ``UUID`` of its 16 bytes, or these of it: two numbers of 64 bits."""
    return data[7::-1] + data[:7:-1]


def place(number: int) -> bytes:
    """A ``UInt128``."""
    return number.to_bytes(_PLACE_SIZE, "little")


def nullable_integer(value: int | None) -> bytes:
    """A ``Nullable(Int64)``."""
    return _NULL if value is None else _pack_some_integer(False, value)  # noqa: FBT003 - not null


def nullable_float(value: float | None) -> bytes:
    """A ``Nullable(Float64)``."""
    return _NULL if value is None else _pack_some_float(False, value)  # noqa: FBT003 - not null


def floats(values: Sequence[float]) -> bytes:
    """The elements of an ``Array(Float64)``, without their number."""
    return struct.pack(f"<{len(values)}d", *values)


def integers(values: Sequence[int]) -> bytes:
    """The elements of an ``Array(Int64)``, without their number."""
    return struct.pack(f"<{len(values)}q", *values)
