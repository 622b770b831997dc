"""What kind of store a file holds: told by its content, damaged or not, and then by its name."""

from __future__ import annotations

import os
import re
from typing import Literal, TypeAlias

from .private_files import check_regular

FileKind: TypeAlias = Literal["sqlite", "jsonl"]

SQLITE_MAGIC = b"SQLite format 3\0"
PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"BZh": "bzip2"}
"""How packed files begin, and what packs them."""

ENDINGS: dict[str, FileKind] = {
    ".db": "sqlite",
    ".db3": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".jsonl": "jsonl",
    ".jsonlines": "jsonl",
    ".ndjson": "jsonl",
}
"""What a file that does not exist yet, or is empty, is to become, told by its name."""

_JSON_LINE = re.compile(rb'\xef?\xbb?\xbf?[ \t\r\n]*\{[ \t]*"')
_FIRST = 512  # bytes that tell of a file that is sound
_LOOKED_AT = 256 * 1024
_LINE_OF_A_RUN = re.compile(rb'\{\s*"run_id"\s*:\s*"[^"]*"\s*,\s*"steps"\s*:')


def kind_of(path: str) -> FileKind | None:
    """What a file is; None if nothing tells.

    Raises:
        OSError: It cannot be read.
        ValueError: No file can have this name.
    """
    head = _head_of(path, _FIRST)
    if head.startswith(SQLITE_MAGIC):
        return "sqlite"
    if _JSON_LINE.match(head):
        return "jsonl"
    if packer_of(head) is None and len(head) == _FIRST:
        head = _head_of(path, _LOOKED_AT)
        if b"CREATE TABLE traces" in head:
            return "sqlite"
        if _LINE_OF_A_RUN.search(head):
            return "jsonl"
    return kind_by_name(path)


def kind_by_name(path: str) -> FileKind | None:
    """What a file's ending says; None if that is nothing."""
    return ENDINGS.get(os.path.splitext(path)[1].lower())


def packer_of(head: bytes) -> str | None:
    """What packed a file that begins like this; None if it is not packed."""
    return next((packer for magic, packer in PACKED.items() if head.startswith(magic)), None)


def first_bytes(path: str) -> bytes:
    """How a file begins; nothing if there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: No file can have this name.
    """
    try:
        return _head_of(path, _FIRST)
    except FileNotFoundError:
        return b""


def _head_of(path: str, size: int) -> bytes:
    check_regular(path)
    with open(path, "rb") as file:
        return file.read(size)
