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
import re
import threading
import uuid
from collections.abc import Iterable, Iterator

import msgspec

from ...backends.files.atomic_file import write_all
from ...backends.files.journal_file import (
    JournalFolder,
    RecordForm,
    checked_line,
    new_record,
    owners_of,
    payload_of,
    remove_if_empty,
)
from ...model.json_values import dumps, loads
from .spans import SpanRecord, from_plain, to_plain

log = logging.getLogger(__name__)

_SUFFIX = ".spans"
_FORM = RecordForm(
    re.compile(r"\d+-[0-9a-f]{32}\.(?:spans|new)"),
    re.compile(rb"[0-9a-f]{0,8}|[0-9a-f]{8} (?:\[.*)?", re.DOTALL),
)
# Bytes beyond which what waits is written again: what does not wait any more takes room till then.
_LARGE = 16 * 2**20


class SpanJournal:
    """The spans that one receiver holds. Safe to share between threads.

    Args:
        folder: Where the journals of all receivers of a store are; made if need be.
        store_file: The store's file, whose owner's journals are taken over too.
    """

    def __init__(self, folder: str, store_file: str | None = None) -> None:
        self.folder = folder
        self._store_file = store_file
        self._refused: set[str] = set()  # said once
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
        """The spans of receivers that are gone, by the journal they are in.

        A journal is removed when the next is asked for.
        """
        try:
            folder = JournalFolder(self.folder, owners_of(self._store_file), _FORM)
        except FileNotFoundError:
            return
        except OSError as error:
            self._refuse(self.folder, error)
            return
        try:
            for path in folder.records():
                if path != self._name:
                    yield from self._taken(folder, path)
        finally:
            folder.close()

    def _taken(self, folder: JournalFolder, path: str) -> Iterator[tuple[str, list[SpanRecord]]]:
        try:
            held = folder.claim(path)
        except OSError as error:
            self._refuse(path, error)
            return
        if held is None:
            return
        try:
            try:
                records = list(_records(path, held.lines()))
            except ValueError as error:
                self._refuse(path, error)
                return
            yield path, records
            with contextlib.suppress(FileNotFoundError):
                held.remove()
        finally:
            held.release()

    def _refuse(self, path: str, error: Exception) -> None:
        """Say once that something is left alone: it is looked at again and again."""
        if path not in self._refused:
            self._refused.add(path)
            log.warning("%s is not taken over: %s", path, error)

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
            remove_if_empty(self.folder)

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
        name, fd = new_record(self.folder, f"{os.getpid()}-{uuid.uuid4().hex}", _SUFFIX)
        return fd, name


def _line(plain: list[dict[str, object]]) -> bytes:
    return checked_line(dumps(plain))


def _records(path: str, lines: Iterable[bytes]) -> Iterator[SpanRecord]:
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            continue  # it was being written
        try:
            body = payload_of(line)
            if body is None:
                raise ValueError("the checksum does not match")  # noqa: TRY301 - as if it were cut
            yield from [from_plain(each) for each in loads(body)]
        except (ValueError, TypeError, msgspec.ValidationError) as error:
            log.warning("%s: line %d of the journal skipped: %s", path, number, error)
