"""A connection that knows whether its file still stands where it was opened.

SQLite goes on with a file that was removed or replaced: it would acknowledge saves that nobody ever
finds again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TypeAlias

Identity: TypeAlias = tuple[int, int]

_SOON = 0.02  # seconds


class Connection(sqlite3.Connection):
    """A connection to a file; `settle` tells it which."""

    found: Identity | None = None  # the file that was there before it was opened
    _place: tuple[str, Identity] | None = None
    _asked = 0.0

    def guard(self, path: str | None) -> None:
        """Give no statement more work than the file warrants, and its schema no trust.

        A database from others may hold a trigger or an expression that never ends.
        """
        guard(self, path)

    def settle(self, path: str) -> None:
        """This is the file, from now on."""
        identity = identity_of(path)
        self._place = None if identity is None else (path, identity)

    def is_current(self) -> bool:
        """Whether its path still leads to the file; a private database has none."""
        return self._place is None or identity_of(self._place[0]) == self._place[1]

    def seems_current(self) -> bool:
        """The same, asking the system no more often than a reader would notice."""
        now = time.monotonic()
        if now < self._asked + _SOON:
            return True
        self._asked = now
        return self.is_current()


def guard(connection: sqlite3.Connection, path: str | None) -> None:
    """`Connection.guard` for a plain connection."""
    connection.execute("PRAGMA trusted_schema = OFF")
    if path is not None:  # nobody else writes a schema into a private one
        connection.set_progress_handler(_WorkBound(path), _STEPS_AT_ONCE)


_STEPS_AT_ONCE = 1_000_000  # of SQLite's machine, some hundredths of a second
_LEAST_WORK = 200 * _STEPS_AT_ONCE  # some seconds
# A page holds at most some hundred small rows, for each of which a scan or a sort takes some
# hundred steps.
_STEPS_PER_PAGE = 50_000
_SMALL_PAGE = 4096
_PAUSE = 1.0  # seconds without a call: another statement


class _WorkBound:
    """Interrupts a statement that takes more steps than its database can ask for.

    SQLite calls it each million steps. It is not told when a statement ends, and takes what comes
    without a pause as one.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._done = 0
        self._last = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now > self._last + _PAUSE:
            self._done = 0
        self._last = now
        self._done += _STEPS_AT_ONCE
        return self._done > _LEAST_WORK and self._done > self._warranted()

    def _warranted(self) -> int:
        size = 0
        for part in ("", "-wal"):
            with contextlib.suppress(OSError):
                size += os.stat(self._path + part).st_size
        return size // _SMALL_PAGE * _STEPS_PER_PAGE


class SharedConnection(Connection):
    """The connection to a private database, which all share who open it, until the store ends."""

    def close(self) -> None:
        """Nothing: others may use it."""

    def really_close(self) -> None:
        super().close()


def identity_of(path: str) -> Identity | None:
    """What tells a file from others; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
