"""Reading, writing and syncing files."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, TypeAlias


class ByteRange(NamedTuple):
    """Where a line is in the file, in bytes; its newline is not counted."""

    offset: int
    length: int


Drop: TypeAlias = Callable[[int, bytes], bool]
"""Whether to leave out the line that begins at this byte."""


def copy_lines(source: BinaryIO, target: BinaryIO, drop: Drop) -> dict[int, int]:
    """Copy the lines that stay; where each stood and is now."""
    moved: dict[int, int] = {}
    old, new = source.tell(), target.tell()
    for line in source:
        if not drop(old, line):
            moved[old] = new
            new += target.write(line)
        old += len(line)
    target.flush()
    return moved


def clear_away(folder: str, base: str) -> None:
    """Remove the copies that killed programs left half made; nobody else makes one: see `lock`."""
    copies = re.compile(rf"\.{re.escape(base)}\.[0-9a-f]{{32}}")
    for name in os.listdir(folder):
        if copies.fullmatch(name):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))


def take_back(fd: int, end: int, length: int) -> None:
    """Cut off what was appended, unless a program without a lock has appended something after."""
    with contextlib.suppress(OSError):
        if os.fstat(fd).st_size <= end + length:
            os.ftruncate(fd, end)


def is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _seek_and_read(fd: int, size: int, offset: int) -> bytes:
    """`os.pread` where there is none; whoever reads has the file to itself for so long."""
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, size)


pread: Callable[[int, int, int], bytes] = getattr(os, "pread", _seek_and_read)


def read_at(fd: int, place: ByteRange) -> bytes:
    parts, offset, end = [], place.offset, place.offset + place.length
    while offset < end:
        part = pread(fd, end - offset, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return b"".join(parts)
