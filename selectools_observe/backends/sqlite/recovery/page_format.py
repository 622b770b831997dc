"""The pages of a database file, read without SQLite: for files that it no longer opens.

Only what rows need: leaf pages of tables, records, and the chains of pages that long rows overflow
to, as https://www.sqlite.org/fileformat2.html describes them. Nothing here trusts what it reads.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

_LEAF = 0x0D
_HEADER = 100  # bytes of the file's own header, on the first page
_USUAL_SIZE = 4096
_FIXED_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # of a value, by its serial type
_REAL, _ZERO, _ONE, _FIRST_BLOB = 7, 8, 9, 12


class Record(NamedTuple):
    """A row of some table: its id, and its values; text as bytes."""

    row_id: int
    values: list[Any]


class Data(Protocol):
    """The file's bytes: a memory map, or bytes."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> bytes: ...


class Unreadable(Exception):  # noqa: N818 - never leaves this module
    """This is not a record."""


class Pages:
    """The pages of a file."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._size = _page_size(data)
        reserved = data[20:21]
        self._usable = self._size - (reserved[0] if reserved and reserved[0] <= 32 else 0)
        self.count = len(data) // self._size

    def records(self, number: int) -> Iterator[Record]:
        """The rows on a page that looks like a leaf of a table."""
        page = self._page(number)
        start = _HEADER if number == 1 else 0
        if len(page) < start + 8 or page[start] != _LEAF:
            return
        (cells,) = struct.unpack_from(">H", page, start + 3)
        if start + 8 + 2 * cells > self._usable:
            return
        for (offset,) in struct.iter_unpack(">H", page[start + 8 : start + 8 + 2 * cells]):
            try:
                yield self._record(page, offset)
            except (Unreadable, IndexError, struct.error):
                continue

    def free(self) -> set[int]:
        """The pages that the file's list of free pages names: what is there was deleted."""
        free: set[int] = set()
        head = self._data[32:36]
        (trunk,) = struct.unpack(">I", head) if len(head) == 4 else (0,)
        while trunk and trunk <= self.count and trunk not in free:
            free.add(trunk)
            page = self._page(trunk)
            trunk, leaves = struct.unpack_from(">II", page)
            if leaves > self._usable // 4 - 2:
                break
            free.update(struct.unpack_from(f">{leaves}I", page, 8))
        return free

    def _page(self, number: int) -> bytes:
        return self._data[(number - 1) * self._size : number * self._size]

    def _record(self, page: bytes, offset: int) -> Record:
        length, offset = _varint(page, offset)
        row_id, offset = _varint(page, offset)
        if not 0 < length <= len(self._data):
            raise Unreadable
        local = self._local(length)
        payload = page[offset : offset + local]
        types = _types(payload)
        if local < length:
            (follow,) = struct.unpack_from(">I", page, offset + local)
            payload += self._overflow(follow, length - local)
        return Record(row_id, _values(payload, types))

    def _local(self, length: int) -> int:
        """How much of a payload is on its own page."""
        most = self._usable - 35
        if length <= most:
            return length
        least = (self._usable - 12) * 32 // 255 - 23
        fitting = least + (length - least) % (self._usable - 4)
        return fitting if fitting <= most else least

    def _overflow(self, number: int, length: int) -> bytes:
        parts: list[bytes] = []
        while length > 0:
            page = self._page(number) if 1 < number <= self.count else b""
            if len(page) < self._usable:
                raise Unreadable
            (number,) = struct.unpack_from(">I", page)
            parts.append(page[4 : min(self._usable, 4 + length)])
            length -= len(parts[-1])
        return b"".join(parts)


def _page_size(data: Data) -> int:
    reported = data[16:18]
    size = struct.unpack(">H", reported)[0] if len(reported) == 2 else 0
    size = 65536 if size == 1 else size
    is_possible = 512 <= size <= 65536 and size & (size - 1) == 0
    return size if is_possible and len(data) % size == 0 else _USUAL_SIZE


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[offset + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset + place + 1
    value = value << 8 | data[offset + 8]
    return (value - (1 << 64) if value >= 1 << 63 else value), offset + 9


def _types(payload: bytes) -> list[int]:
    """The serial types of a record's values, and nothing else in its first bytes."""
    end, offset = _varint(payload, 0)
    if not offset < end <= len(payload):
        raise Unreadable
    types = []
    while offset < end:
        found, offset = _varint(payload, offset)
        if found < 0 or found in (10, 11):
            raise Unreadable
        types.append(found)
    return [end, *types]


def _values(payload: bytes, types: list[int]) -> list[Any]:
    offset, *types = types
    values: list[Any] = []
    for kind in types:
        size = _FIXED_SIZES[kind] if kind < len(_FIXED_SIZES) else (kind - _FIRST_BLOB) // 2
        data = payload[offset : offset + size]
        if len(data) < size:
            raise Unreadable
        values.append(_value(kind, data))
        offset += size
    if offset != len(payload):
        raise Unreadable
    return values


def _value(kind: int, data: bytes) -> Any:
    if kind == 0:
        return None
    if kind in (_ZERO, _ONE):
        return kind - _ZERO
    if kind == _REAL:
        return struct.unpack(">d", data)[0]
    return data if kind >= _FIRST_BLOB else int.from_bytes(data, "big", signed=True)
