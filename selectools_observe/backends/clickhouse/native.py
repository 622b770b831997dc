"""ClickHouse's format ``Native``: a block has its columns one after another, each of all rows.

A column of thousands of runs takes a few calls, where their rows would take as many each; and the
server has no rows to take apart.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, TypeAlias

import msgspec

FORMAT = "Native"

_Packer: TypeAlias = Callable[[Sequence[Any]], bytes]

_PLACE_SIZE = 16
_SMALL = [bytes([size]) for size in range(128)]
_VERSION_OF_NAMES = struct.pack("<Q", 1)
_OWN_DICTIONARY = 1 << 9 | 1 << 10  # the names of the block come with it
_INDEXES = ((1 << 8, "B"), (1 << 16, "H"), (1 << 32, "I"))  # of how many names, and their format


class Block(msgspec.Struct, frozen=True):
    """Rows that are inserted together, in pieces, as often as is asked.

    Attributes:
        types: The columns' types as SQL has them, by their names.
        rows: How many rows.
        columns: Gives the columns, each in pieces.
    """

    types: Mapping[str, str]
    rows: int
    columns: Callable[[], Iterable[Iterable[bytes]]]

    def __iter__(self) -> Iterator[bytes]:
        yield size_of(len(self.types)) + size_of(self.rows)
        for (name, kind), pieces in zip(self.types.items(), self.columns(), strict=True):
            yield text(name.encode()) + text(kind.encode())
            yield from pieces


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


def texts(values: Sequence[bytes]) -> bytes:
    """``String``s."""
    return b"".join(chain.from_iterable(zip(map(size_of, map(len, values)), values, strict=True)))


def _numbers(code: str) -> _Packer:
    return lambda values: struct.pack(f"<{len(values)}{code}", *values)


floats = _numbers("d")
"""``Float64``s."""
integers = _numbers("q")
"""``Int64``s."""
large_counts = _numbers("Q")
"""``UInt64``s."""


def _nullable(pack: _Packer, null: object) -> _Packer:
    """Packs which of the values are null, and then all."""

    def packed(values: Sequence[Any]) -> bytes:
        nulls = bytes([value is None for value in values])
        return nulls + pack([null if value is None else value for value in values])

    return packed


nullable_floats = _nullable(floats, 0.0)
"""``Nullable(Float64)``s."""
_PACKERS: dict[str, _Packer] = {
    "UUID": b"".join,
    "UInt128": b"".join,
    "UInt64": large_counts,
    "UInt32": _numbers("I"),
    "UInt8": bytes,
    "Int64": integers,
    "Float64": floats,
    "String": texts,
    "Nullable(Int64)": _nullable(integers, 0),
    "Nullable(Float64)": nullable_floats,
    "Nullable(String)": _nullable(texts, b""),
}


def column(kind: str, values: Sequence[Any]) -> list[bytes]:
    """A column of such values; those of 16 bytes are packed before."""
    return [_PACKERS[kind](values)]


def block_of_values(types: Mapping[str, str], *values: Sequence[Any]) -> Block:
    """A block of columns of values."""
    return Block(types, len(values[0]), lambda: map(column, types.values(), values))


def sizes(counts: Iterable[int]) -> bytes:
    """How many elements arrays have, before the elements of all of them."""
    return large_counts(list(accumulate(counts)))


def arrays_of_names(
    counts: Iterable[int], names: Sequence[str | None], encoded: Callable[[str], bytes]
) -> Iterator[bytes]:
    """``Array(LowCardinality(String))``s: each name once, and which stands where.

    Args:
        counts: How many names each array has.
        names: The names of all; None: an empty text.
        encoded: Gives a name's bytes.
    """
    yield _VERSION_OF_NAMES
    yield sizes(counts)
    if not names:
        return
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    width, code = next(
        (width, code) for width, (most, code) in enumerate(_INDEXES) if len(places) <= most
    )
    yield large_counts([_OWN_DICTIONARY | width, len(places)])
    yield texts([b"" if name is None else encoded(name) for name in places])
    yield large_counts([len(names)])
    yield struct.pack(f"<{len(names)}{code}", *map(places.__getitem__, names))
