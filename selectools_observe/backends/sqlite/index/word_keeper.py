"""Takes runs into the index of words in idle time, in a thread with a connection of its own; after
that, makes what is kept of runs for statistics.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from ....runtime.idle_thread import IdleThread
from . import words


class WordKeeper(IdleThread[sqlite3.Connection]):
    """The thread of one store.

    Args:
        connect: Opens a connection.
        afterwards: A piece of other work, when no run is left to take in; whether there is more.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        afterwards: Callable[[sqlite3.Connection], bool],
    ) -> None:
        self._afterwards = afterwards
        super().__init__(lambda: _unsynced(connect()), self._take_in)
        self._is_damaged = False
        self._is_first = True

    def rebuild(self) -> None:
        """The index cannot be read: begin it anew."""
        self._is_damaged = True
        self.wake()

    def _take_in(self, connection: sqlite3.Connection) -> bool:
        if self._is_damaged or (self._is_first and words.is_useless(connection)):
            words.rebuild(connection)
            self._is_damaged = False
        has_more = words.take_in(connection)
        self._is_first = not has_more
        return has_more or self._afterwards(connection)


def _unsynced(connection: sqlite3.Connection) -> sqlite3.Connection:
    """What a loss of power takes away is made again; the commits of others sync it as well."""
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection
