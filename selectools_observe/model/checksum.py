"""Checksums of traces: CRC-32, as zlib and gzip compute it."""

from __future__ import annotations

from zlib import crc32

# zlib gives the interpreter away for more than this, and has to win it back.
_AT_ONCE = 5 * 1024
_LARGE = 256 * 1024


def checksum(data: bytes, start: int = 0) -> int:
    """The CRC-32 of the data, going on from that of what is before it."""
    if len(data) <= _AT_ONCE or len(data) > _LARGE:
        return crc32(data, start)
    view = memoryview(data)
    for place in range(0, len(data), _AT_ONCE):
        start = crc32(view[place : place + _AT_ONCE], start)
    return start
