"""What others put on our tables: a trigger that is not ours could undo a save that we acknowledge.

Ours are compared to the letter with what this version makes. Views and indexes of others on tables
of others are theirs; a view in the place of a table of ours is not a table.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Sequence
from contextlib import closing

from ...errors import StorageError
from .index.words import WORD_TABLES
from .schema import INDEX_TRIGGERS, TABLES, TRIGGERS, VERSION, migrate, version_of

_OURS = ("traces", *TABLES, *WORD_TABLES)
_OBJECTS = f"""
    SELECT type, name, tbl_name, sql FROM sqlite_master
    WHERE type = 'trigger' AND lower(tbl_name) IN ({",".join("?" * len(_OURS))})
    OR type IN ('view', 'table') AND lower(name) IN ({",".join("?" * len(_OURS))})
"""


class ForeignObjectsError(StorageError):
    """The database holds triggers or views of others in the place of ours, or on it."""


def foreign_objects(connection: sqlite3.Connection) -> list[str]:
    """What on our tables is not ours, in words."""
    is_current = version_of(connection) == VERSION
    rows = connection.execute(_OBJECTS, _OURS * 2).fetchall()
    return [
        f"{kind} {name!r} on {table!r}" if kind == "trigger" else f"{kind} {name!r}"
        for kind, name, table, sql in (map(_text, row) for row in rows)
        if not _is_ours(kind, name, table, sql, is_current=is_current)
    ]


def refuse_foreign_objects(connection: sqlite3.Connection, where: str) -> None:
    """Use no database in which others act on our tables.

    Raises:
        ForeignObjectsError: They do.
    """
    found = foreign_objects(connection)
    if found:
        raise ForeignObjectsError(where, problem_of(found), _REMEDY)


def problem_of(found: Sequence[str]) -> str:
    """What is wrong, for people."""
    return f"unknown triggers or views act on its tables: {', '.join(found)}"


_REMEDY = (
    "Drop them if you know them, or copy the runs into a new file without them: "
    "selectools_observe.stores.maintenance.repair(path, into=...)"
)


def schema_cookie(connection: sqlite3.Connection) -> int:
    """A number that changes when somebody changes the schema."""
    (cookie,) = connection.execute("PRAGMA schema_version").fetchone()
    return int(cookie)


def _is_ours(kind: str, name: str, table: str, sql: str, *, is_current: bool) -> bool:
    if kind == "trigger":
        if table != ("traces" if name in TRIGGERS else INDEX_TRIGGERS.get(name)):
            return False
        # Those of an older version are replaced before anything is written.
        return not is_current or sql == _own_triggers()[name]
    if name in WORD_TABLES:
        return kind == "table" and sql == WORD_TABLES[name]
    return kind == "table" and not sql.upper().startswith("CREATE VIRTUAL")


@functools.cache
def _own_triggers() -> dict[str, str]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.text_factory = bytes
        migrate(made)
        rows = made.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return {_text(name): _text(sql) for name, sql in rows}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
