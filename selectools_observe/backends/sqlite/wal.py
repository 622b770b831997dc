"""Checkpoints that keep the write-ahead log from growing without bound.

SQLite moves the log into the file as it goes, but restarts it only at a moment when nobody reads
from it. Where readers come and go without a pause there is no such moment, so a writer makes one.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LIMIT = 16 * 1024 * 1024  # bytes of log beyond which a writer sees to it
_LOOKS = 16  # at it, while its limit is written
_PATIENCE = 1000  # milliseconds that one attempt may wait for a slow reader
_PAUSE = 1.0  # seconds after one that failed: while a reader stays for long, writers go on


# Of a bound of bytes the log may have a sixth, and half of that more for one large step.
_SHARE = 6
LARGE_STEP = 3 * 512 * 1024  # bytes of log that a step of the index's upkeep writes at most
_LEAST_PAGES = 512 * 1024


def limit_under(keep_bytes: int) -> int:
    """The log's limit next to a database that is to have so many bytes."""
    return min(LIMIT, keep_bytes // _SHARE)


def room_under(keep_bytes: int) -> int:
    """What is left of a bound for the database's pages, if it is small for a large step's log."""
    missing = LARGE_STEP - _with_step(limit_under(keep_bytes))
    return min(keep_bytes, max(keep_bytes - max(missing, 0), _LEAST_PAGES))


def _with_step(limit: int) -> int:
    return limit + limit // 2


class Log:
    """The log of a database, as one connection that writes sees it."""

    def __init__(
        self, connection: sqlite3.Connection, where: str, limit: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._where = where
        self._limit = limit
        (self._busy_timeout,) = connection.execute("PRAGMA busy_timeout").fetchone()
        self._unseen = 0
        self._not_before = 0.0

    def grows(self, size: int) -> None:
        """So many bytes more are committed, or about to be."""
        self._unseen += size

    def keep_short(self) -> None:
        """Begin the log again if it has become too long, by what was saved."""
        if self._unseen > self._limit() // _LOOKS:
            self.look(self._unseen)

    def look(self, coming: int = 0) -> None:
        """Begin the log again if it has become too long, or would with what comes."""
        if time.monotonic() > self._not_before:
            self._unseen = 0
            limit, size = self._limit(), self._size()
            is_long = size > limit or size + coming > _with_step(limit)
            if size and is_long and not self.begin_again():
                self._not_before = time.monotonic() + _PAUSE

    def begin_again(self) -> bool:
        """Move all of it into the file and cut it; whether no reader was in the way."""
        busy = 1
        self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}")
        try:
            (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:  # nothing is lost: what was committed stays in the log
            log.warning(
                "%s: the write-ahead log could not be checkpointed (%s)", self._where, error
            )
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
        return not busy

    def _size(self) -> int:
        try:
            return os.stat(f"{self._where}-wal").st_size
        except OSError:
            return 0
