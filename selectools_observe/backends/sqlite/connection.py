"""A connection that knows whether its file still stands where it was opened.

SQLite goes on with a file that was removed or replaced: it would acknowledge saves that nobody ever
finds again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TypeAlias

Identity: TypeAlias = tuple[int, int]

_SOON = 0.02  # seconds


class Connection(sqlite3.Connection):
    """A connection to a file; `settle` tells it which."""

    _place: tuple[str, Identity] | None = None
    _asked = 0.0

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


def identity_of(path: str) -> Identity | None:
    """What tells a file from others; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
