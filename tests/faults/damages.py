"""Ways to damage a file, and the places of a file that differ in what damage there does."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PAGE = 4096
HOW = ("flip", "cut", "nul", "nul page")


@dataclass(frozen=True)
class Damage:
    """One change to one file."""

    file: str  # what is added to the store's own name
    place: str  # the class of position
    offset: int
    how: str
    bit: int = 0
    length: int = 1

    def apply(self, content: bytes) -> bytes:
        if self.how == "cut":
            return content[: self.offset]
        if self.how == "flip":
            changed = bytes([content[self.offset] ^ (1 << self.bit)])
            return content[: self.offset] + changed + content[self.offset + 1 :]
        end = min(self.offset + self.length, len(content))
        return content[: self.offset] + bytes(end - self.offset) + content[end:]


def damages(
    places: dict[tuple[str, str], list[range]], many: int, chance: random.Random
) -> Iterator[Damage]:
    """So many damages for each class of position."""
    for (file, place), ranges in places.items():
        for number in range(many):
            how = HOW[number % len(HOW)] if many >= len(HOW) else chance.choice(HOW)
            offset = chance.choice(chance.choice(ranges))
            length = chance.choice([1, 4, 64])
            if how == "nul page":
                offset, length = offset // _PAGE * _PAGE, _PAGE
            yield Damage(file, place, offset, how, chance.randrange(8), length)


def places_of_database(path: Path) -> dict[tuple[str, str], list[range]]:
    """The bytes of a database, by what they are for."""
    places: dict[tuple[str, str], list[range]] = {("", "header"): [range(100)]}
    content = path.read_bytes()
    size = struct.unpack_from(">H", content, 16)[0]
    for name, number, kind in _pages(path):
        start = (number - 1) * size
        head = start + (100 if number == 1 else 0)
        key = lambda what, name=name, kind=kind: ("", f"{name}, {kind} page, {what}")  # noqa: E731
        if kind == "overflow":
            places.setdefault(key("link"), []).append(range(start, start + 4))
            places.setdefault(key("content"), []).append(range(start + 4, start + size))
            continue
        length = 12 if content[head] in (2, 5) else 8
        (cells,) = struct.unpack_from(">H", content, head + 3)
        (cell_area,) = struct.unpack_from(">H", content, head + 5)
        places.setdefault(key("header"), []).append(range(head, head + length))
        if cells:
            pointers = range(head + length, head + length + 2 * cells)
            places.setdefault(key("cell pointers"), []).append(pointers)
            places.setdefault(key("cells"), []).append(range(start + cell_area, start + size))
    for number in _free(content, size):
        start = (number - 1) * size
        places.setdefault(("", "free page"), []).append(range(start, start + size))
    return places


def _pages(path: Path) -> list[tuple[str, int, str]]:
    """Which tree each page belongs to; of SQLites without dbstat, nothing."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        rows = raw.execute("SELECT name, pageno, pagetype FROM dbstat").fetchall()
    return [(name, number, kind) for name, number, kind in rows]


def _free(content: bytes, size: int) -> list[int]:
    found = []
    (trunk,) = struct.unpack_from(">I", content, 32)
    while trunk:
        start = (trunk - 1) * size
        found.append(trunk)
        trunk, leaves = struct.unpack_from(">II", content, start)
        found += struct.unpack_from(f">{leaves}I", content, start + 8)
    return found


def places_of_log(path: Path) -> dict[tuple[str, str], list[range]]:
    """The bytes of a database's write-ahead log."""
    size = _PAGE
    frames = range(32, Path(f"{path}-wal").stat().st_size, 24 + size)
    return {
        ("-wal", "log header"): [range(32)],
        ("-wal", "log frame header"): [range(start, start + 24) for start in frames],
        ("-wal", "log frame"): [range(start + 24, start + 24 + size) for start in frames],
    }


def places_of_lines(path: Path) -> dict[tuple[str, str], list[range]]:
    """The bytes of a JSONL file, by what they are for."""
    places: dict[tuple[str, str], list[range]] = {}
    start = 0
    for line in path.read_bytes().splitlines(keepends=True):
        trace = start + line.index(b'"trace":')
        end = start + len(line)
        for what, part in (
            ("summary", range(start, trace)),
            ("trace", range(trace, end - 34)),
            ("checksum", range(end - 34, end - 1)),
            ("newline", range(end - 1, end)),
        ):
            places.setdefault(("", what), []).append(part)
        start = end
    return places
