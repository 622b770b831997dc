"""The bytes of a file packed with gzip, up to where it is damaged or has too many members."""

from __future__ import annotations

import io
import zlib
from typing import IO

from ..model.limits import LimitError

_PIECE = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16


class GzipFile(io.RawIOBase):
    """Unpacks a file. It ends where it cannot be read any further: `damage` says why.

    `gzip.GzipFile` raises one of four errors there, an `EOFError` among them.

    Args:
        file: The packed file.
        members: How many members it may have.

    Attributes:
        damage: Why the rest is not read; empty if nothing is wrong.
    """

    def __init__(self, file: IO[bytes], members: int) -> None:
        self.damage = ""
        self._file = file
        self._most = members
        self._members = 0
        self._packed = b""
        self._unpacker: zlib._Decompress | None = None
        self._is_full = False  # the last piece was, and there may be more of it

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read some bytes; 0 of them at the end."""
        view = memoryview(buffer)
        piece = b""
        try:
            while not piece and self._goes_on():
                piece = self._unpacked(len(view))
        except LimitError as error:
            self.damage = str(error)
        except zlib.error as error:
            self.damage = f"its gzip data is damaged: {error}"
        view[: len(piece)] = piece
        return len(piece)

    def _goes_on(self) -> bool:
        """Whether there is more, in this member or the next one."""
        if self.damage or self._is_full:
            return not self.damage
        self._packed = self._packed or self._file.read(_PIECE)
        if self._unpacker is None and self._members:
            while self._packed and not self._packed.strip(b"\0"):  # some pad with them
                self._packed = self._file.read(_PIECE)
            self._packed = self._packed.lstrip(b"\0")
        if not self._packed and (self._unpacker is not None or not self._members):
            self.damage = "it is cut: its gzip data has no end"
        return bool(self._packed)

    def _unpacked(self, size: int) -> bytes:
        if self._unpacker is None:
            self._members += 1
            if self._members > self._most:
                raise LimitError("members", self._most)
            self._unpacker = zlib.decompressobj(_GZIP)
        piece = self._unpacker.decompress(self._packed, size)
        self._packed = self._unpacker.unconsumed_tail
        self._is_full = len(piece) == size
        if self._unpacker.eof:
            self._is_full = False
            self._packed = self._unpacker.unused_data
            self._unpacker = None
        return piece
