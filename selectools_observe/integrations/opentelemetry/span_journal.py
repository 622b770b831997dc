"""Spans that wait for the rest of their run, on disk: a receiver that is killed loses none of them.

A journal is a file in a folder next to the store. Whoever writes it holds its lock for as long as
the process lives, so a journal whose lock is free belongs to nobody: the next receiver of the
store takes its spans over. Each line is one batch, a CRC32 and JSON; a line that was being written
when the process died was not acknowledged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from ...backends.atomic_file import write_all
from ...backends.filelock import try_to_lock
from ...model.json_values import dumps, loads
from .spans import SpanRecord, from_plain, to_plain

log = logging.getLogger(__name__)

_SUFFIX = ".spans"
_BEING_MADE = ".new"  # not locked yet
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
# Bytes beyond which what waits is written again: what does not wait any more takes room till then.
_LARGE = 16 * 2**20


class SpanJournal:
    """The spans that one receiver holds. Safe to share between threads.

    Args:
        folder: Where the journals of all receivers of a store are; made if need be.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._name = ""
        self._size = 0
        self._limit = _LARGE

    def append(self, records: Iterable[SpanRecord]) -> None:
        """Write spans down; they are on disk when it returns.

        Raises:
            OSError: They could not be written.
        """
        line = _line([to_plain(record) for record in records])
        with self._lock:
            self._write(line)

    def shorten(self, waiting: Iterable[SpanRecord]) -> None:
        """Keep only the spans that wait still, if it is worth it."""
        with self._lock:
            if self._fd is None or not self._size:
                return
            left = [to_plain(record) for record in waiting]
            if not left:
                os.ftruncate(self._fd, 0)
                self._size = 0
                self._limit = _LARGE
            elif self._size > self._limit:
                self._rewrite(_line(left))

    def taken_over(self) -> Iterator[tuple[str, list[SpanRecord]]]:
        """The spans of receivers that are gone, by the journal they are in: see `done_with`."""
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.folder)):
                path = os.path.join(self.folder, name)
                if name.endswith(_SUFFIX) and path != self._name:
                    yield from self._taken(path)

    def _taken(self, path: str) -> Iterator[tuple[str, list[SpanRecord]]]:
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return  # another took it
        try:
            if try_to_lock(fd):
                with open(fd, "rb", closefd=False) as file:
                    records = list(_records(path, file.read()))
                yield path, records
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of the file; remove it if nothing waits."""
        with self._lock:
            fd, self._fd = self._fd, None
            if fd is None:
                return
            if not self._size:
                with contextlib.suppress(OSError):
                    os.unlink(self._name)
            os.close(fd)
            self._name, self._size = "", 0
            with contextlib.suppress(OSError):
                os.rmdir(self.folder)  # if it is empty

    def after_fork_in_child(self) -> None:
        """Begin a journal of one's own: the parent's is the parent's."""
        self._lock = threading.Lock()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        self._name, self._size = "", 0

    def _write(self, line: bytes) -> None:
        if self._fd is None:
            self._fd, self._name = self._made()
        end = os.fstat(self._fd).st_size
        try:
            write_all(self._fd, line)
            os.fsync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, end)
            raise
        self._size = end + len(line)

    def _rewrite(self, line: bytes) -> None:
        fd, name = self._made()
        try:
            write_all(fd, line)
            os.fsync(fd)
        except OSError:
            os.close(fd)
            os.unlink(name)
            raise
        old, old_name = self._fd, self._name
        self._fd, self._name, self._size = fd, name, len(line)
        self._limit = max(_LARGE, 4 * len(line))
        if old is not None:
            os.unlink(old_name)
            os.close(old)

    def _made(self) -> tuple[int, str]:
        """A new journal, locked before others can see it."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        name = os.path.join(self.folder, f"{os.getpid()}-{uuid.uuid4().hex}{_SUFFIX}")
        fd = os.open(name + _BEING_MADE, _FLAGS | os.O_EXCL, 0o600)
        try_to_lock(fd)
        os.rename(name + _BEING_MADE, name)
        return fd, name


def _line(plain: list[dict[str, object]]) -> bytes:
    body = dumps(plain)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _records(path: str, data: bytes) -> Iterator[SpanRecord]:
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return  # it was being written
        try:
            crc, body = line[:8], line[9:-1]
            if int(crc, 16) != zlib.crc32(body):
                raise ValueError("the checksum does not match")  # noqa: TRY301 - as if it were cut
            yield from [from_plain(each) for each in loads(body)]
        except (ValueError, TypeError, msgspec.ValidationError) as error:
            log.warning("%s: line %d of the journal skipped: %s", path, number, error)
