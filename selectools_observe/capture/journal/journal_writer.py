"""Writing a live record; see `selectools_observe.backends.files.journal_file` for what it is."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import weakref

from ...backends.files.atomic_file import write_all
from ...backends.files.journal_file import (
    BEGIN,
    DOING,
    END,
    FORGET,
    STEP,
    SUFFIX,
    new_record,
    remove_if_empty,
    to_line,
)
from ...runtime.fork import rest_during_forks

_WORTH_EMPTYING = 64 * 1024  # bytes
_WORTH_REWRITING = 4 * 1024 * 1024


class _Opened:
    """The file, apart from its owner, so that it can be tidied up when the owner is gone."""

    def __init__(self) -> None:
        self.path = ""
        self.fd = -1
        self.runs: dict[int, int] = {}  # the bytes of each run that is not forgotten

    def leave(self) -> None:
        """Let go of the record; it stays only if it holds what the store has not."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                if not self.runs:
                    os.unlink(self.path)
            os.close(fd)
            remove_if_empty(os.path.dirname(self.path))


class LiveRecord:
    """The record of all runs that go on in this process, in one file that is locked meanwhile.

    May be used from any thread. Every line is handed to the operating system before its method
    returns, so it survives a crash of the program; `sync` makes it survive power loss. What ended
    runs leave behind is removed now and then, so that the file stays small.

    Raises:
        OSError: Any method, when the disk refuses. The next may be tried all the same.
    """

    is_shared = False

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._file = _Opened()
        self._begin_again()
        rest_during_forks(self, holds_others=True)
        self._tidy = weakref.finalize(self, self._file.leave)

    def _begin_again(self) -> None:
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()  # taken before the other
        self._size = 0
        self._written = 0  # bytes in all, over all files
        self._synced = 0
        self._is_torn = False
        self._last_run = 0

    def begin(self, head: bytes) -> int:
        """A run begins; the number that stands for it."""
        with self._lock:
            self._last_run += 1
            run = self._last_run
            self._file.runs[run] = 0
            try:
                self._write(run, BEGIN, 0, head)
            except BaseException:
                del self._file.runs[run]
                raise
        return run

    def doing(self, run: int, place: int, step: bytes) -> int:
        """A step has begun."""
        with self._lock:
            return self._write(run, DOING, place, step)

    def step(self, run: int, place: int, step: bytes) -> int:
        """A step is over; up to where `sync` must go for it to survive power loss."""
        with self._lock:
            return self._write(run, STEP, place, step)

    def end(self, run: int, head: bytes) -> int:
        """The run is over, but maybe not in the store yet."""
        with self._lock:
            return self._write(run, END, 0, head)

    def forget(self, run: int) -> None:
        """The run is in the store."""
        with self._lock:
            try:
                self._write(run, FORGET, 0, b"")
            finally:
                self._file.runs.pop(run, None)
            if not self._file.runs and self._size > _WORTH_EMPTYING:
                os.ftruncate(self._file.fd, 0)
                self._size = 0
        if self._is_worth_rewriting():
            with self._sync_lock, self._lock:
                self._rewrite()

    def sync(self, upto: int) -> None:
        """Make what was written survive power loss; many who wait are served by one go."""
        with self._sync_lock:
            if self._synced < upto:
                with self._lock:
                    written, fd = self._written, self._file.fd
                os.fsync(fd)
                self._synced = written

    @property
    def kept_bytes(self) -> int:
        """The bytes of all runs that are not forgotten."""
        return sum(self._file.runs.values())

    def close(self) -> None:
        """Let go of the file; it stays only if it holds runs that the store has not."""
        with self._sync_lock, self._lock:
            self._file.leave()
            self._file.runs.clear()
            self._size = 0

    def _write(self, run: int, kind: bytes, place: int, body: bytes) -> int:
        if run not in self._file.runs:
            return self._written  # begun before a fork: its record is the parent's
        if self._file.fd < 0:
            self._file.path, self._file.fd = self._make()
        line = to_line(run, kind, place, body)
        if self._is_torn:  # after a write that failed half way
            line = b"\n" + line
        self._is_torn = True
        write_all(self._file.fd, line)
        self._is_torn = False
        self._file.runs[run] += len(line)
        self._size += len(line)
        self._written += len(line)
        return self._written

    def _make(self) -> tuple[str, int]:
        return new_record(self._folder, secrets.token_hex(8), SUFFIX)

    def _is_worth_rewriting(self) -> bool:
        return self._size > _WORTH_REWRITING and self._size > 2 * self.kept_bytes

    def _rewrite(self) -> None:
        """Go on in a new file that holds only what is not forgotten."""
        if not self._is_worth_rewriting():
            return
        path, fd = self._make()
        size = 0
        with open(os.dup(self._file.fd), "rb") as old:  # by its path, it could be another
            old.seek(0)
            for line in old:
                number = line.split(b" ", 2)[1:2]
                if number and number[0].isdigit() and int(number[0]) in self._file.runs:
                    write_all(fd, line)
                    size += len(line)
        os.fsync(fd)
        os.unlink(self._file.path)
        os.close(self._file.fd)
        self._file.path, self._file.fd = path, fd
        self._size = size
        self._synced = self._written

    def before_fork(self) -> None:
        self._sync_lock.acquire()
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()
        self._sync_lock.release()

    def after_fork_in_child(self) -> None:
        # Closing does not take the lock away from the parent.
        if self._file.fd >= 0:
            os.close(self._file.fd)
        self._file.fd = -1
        self._file.runs.clear()
        last_run = self._last_run
        self._begin_again()
        self._last_run = last_run
