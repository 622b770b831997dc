"""Rows of a file put together by the run they belong to, however far apart they stand in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import Self

_AT_ONCE = 512


class SpanSpool:
    """Keeps rows by group in a private temporary database, which goes to disk when it is large."""

    def __init__(self) -> None:
        # An empty name: SQLite's own temporary file, gone when it is closed.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE groups (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);"
            "CREATE TABLE rows (id INTEGER PRIMARY KEY, of_group INTEGER NOT NULL, data BLOB);"
            "BEGIN"
        )

    def add(self, group: str, row: bytes) -> None:
        """Keep a row of a group."""
        name = group.encode("utf-8", "backslashreplace").decode()
        execute = self._database.execute
        execute("INSERT OR IGNORE INTO groups (name) VALUES (?)", (name,))
        execute(
            "INSERT INTO rows (of_group, data) SELECT id, ? FROM groups WHERE name = ?", (row, name)
        )

    def groups(self) -> Iterator[list[bytes]]:
        """The rows of each group, the groups and the rows in the order of their coming."""
        self._database.execute("CREATE INDEX rows_by_group ON rows (of_group, id)")
        cursor = self._database.execute("SELECT of_group, data FROM rows ORDER BY of_group, id")
        cursor.arraysize = _AT_ONCE
        for _, rows in groupby(cursor, key=lambda row: row[0]):
            yield [data for _, data in rows]

    def close(self) -> None:
        """Drop all rows."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
