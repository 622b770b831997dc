"""SQLite databases of other programs: which they are, and opening them without writing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..backends.files.file_kind import SQLITE_MAGIC
from ..backends.sqlite.connection import guard


def is_sqlite(path: str) -> bool:
    """Whether a file is an SQLite database."""
    with open(path, "rb") as file:
        return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def tables_of(path: str) -> frozenset[str]:
    """The names of a database's tables; none if it is not a database or cannot be read."""
    try:
        with reading(path) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table','view')")
            return frozenset(name for (name,) in rows)
    except sqlite3.Error:
        return frozenset()


@contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write."""
    uri = f"{Path(os.path.abspath(path)).as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        guard(database, path)
        database.row_factory = sqlite3.Row
        yield database
