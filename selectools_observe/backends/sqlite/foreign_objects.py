"""What others put on our tables: a trigger that is not ours could undo a save that we acknowledge.

So could a constraint: a unique index on the number of steps lets one save delete another run, since
saves replace. Expressions in a table (checks, generated columns, defaults, indexes) compute at each
save or list, for as long and in as much memory as their author likes.

Our triggers are compared to the letter with what this version makes; tables and indexes by what
they do, since selectools and other programs write theirs in words of their own. Columns and plain
indexes of others stay, as do views and triggers on tables of others.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager

from ...errors import StorageError
from .index.words import WORD_TABLES
from .schema import INDEX_TRIGGERS, TABLES, TRIGGERS, VERSION, migrate, version_of

_OURS = ("traces", *TABLES, *WORD_TABLES)
_OBJECTS = f"""
    SELECT type, name, tbl_name, sql FROM sqlite_master
    WHERE type = 'trigger' AND lower(tbl_name) IN ({",".join("?" * len(_OURS))})
    OR type IN ('view', 'table') AND lower(name) IN ({",".join("?" * len(_OURS))})
"""
_SCHEMA = f"""
    SELECT type, name, tbl_name, sql FROM sqlite_master
    WHERE lower(tbl_name) IN ({",".join("?" * len(_OURS))})
"""
_COLUMNS = "SELECT name, hidden, dflt_value, type FROM pragma_table_xinfo(?)"
# The indexes that do more than to find rows. One that a key made has a number in its name.
_INDEXES = """
    SELECT CASE i.origin WHEN 'c' THEN i.name ELSE '' END, i.partial,
    group_concat(lower(ifnull(k.name, '?')) || ' ' || k.coll)
    FROM pragma_index_list(?) AS i JOIN pragma_index_xinfo(i.name) AS k WHERE k.key
    GROUP BY i.name HAVING i."unique" OR i.partial OR min(k.cid) < -1
"""
LAST_ROW = 2**62
"""A row's number that no store reaches; each save takes the next one."""
_QUOTED = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/""", re.DOTALL
)
_CHECK = re.compile(r"\b(?:CHECK|CONFLICT)\b", re.IGNORECASE)
_LITERAL = re.compile(r"(?:'(?:[^']|'')*'|[-+]?[\w.]+)?")


class ForeignObjectsError(StorageError):
    """The database holds triggers or views of others in the place of ours, or on it."""


def foreign_objects(connection: sqlite3.Connection) -> list[str]:
    """What on our tables is not ours, in words."""
    is_current = version_of(connection) == VERSION
    if is_current and _schema_of(connection) == _own_schema():  # to the letter
        return [*_last_rows(connection, _OURS), *_encoding(connection)]
    rows = [tuple(map(_text, row)) for row in connection.execute(_OBJECTS, _OURS * 2)]
    found = [
        f"{kind} {name!r} on {table!r}" if kind == "trigger" else f"{kind} {name!r}"
        for kind, name, table, sql in rows
        if not _is_ours(kind, name, table, sql, is_current=is_current)
    ]
    # What a view or virtual table is in the place of is not looked into: that runs its code.
    # The index of an older version is made anew before anything is written.
    tables = {
        name.lower(): sql
        for kind, name, _, sql in rows
        if kind == "table" and name not in WORD_TABLES and (is_current or name.lower() == "traces")
    }
    return found or [
        *(f"a check of {name!r}" for name, sql in tables.items() if _has_check(sql)),
        *_foreign_columns(connection, tables),
        *_foreign_indexes(connection, tables),
        *_last_rows(connection, tables),
        *_encoding(connection),
    ]


def _schema_of(connection: sqlite3.Connection) -> set[tuple[object, ...]]:
    """Our tables, and all that is on them."""
    return set(connection.execute(_SCHEMA, _OURS))


def _encoding(connection: sqlite3.Connection) -> Iterator[str]:
    """Another than UTF-8: what is read there are not the bytes that were saved."""
    (name,) = connection.execute("PRAGMA encoding").fetchone()
    if _text(name) != "UTF-8":
        yield f"the encoding {_text(name)}"


def _has_check(sql: str) -> bool:
    """Whether a table has rules that nothing but its text tells of."""
    return _CHECK.search(_QUOTED.sub(" ", sql)) is not None


def _foreign_columns(connection: sqlite3.Connection, tables: Collection[str]) -> Iterator[str]:
    for name in tables:
        for column, hidden, default, kind in connection.execute(_COLUMNS, (name,)):
            is_text = _text(column).lower() in _own_texts()[name]
            if (
                hidden
                or not _LITERAL.fullmatch(_text(default))
                or (is_text and not _keeps_text(_text(kind)))
            ):
                yield f"column {_text(column)!r} of {name!r}"


def _keeps_text(kind: str) -> bool:
    """Whether a column of this type keeps texts: in others the ids 1e3 and 1000 are one number.

    https://www.sqlite.org/datatype3.html#determination_of_column_affinity
    """
    kind = kind.upper()
    return "INT" not in kind and (not kind or any(word in kind for word in _TEXTS))


_TEXTS = ("CHAR", "CLOB", "TEXT", "BLOB")


def _foreign_indexes(connection: sqlite3.Connection, tables: Collection[str]) -> Iterator[str]:
    for name in tables:
        found, own = _indexes(connection, name), _own_indexes()[name]
        for index, *_ in sorted(found - own):
            yield f"index {index!r} on {name!r}" if index else f"a unique column of {name!r}"
        if any(not index for index, *_ in own - found):
            yield f"{name!r} without its key"


def _last_rows(connection: sqlite3.Connection, tables: Collection[str]) -> Iterator[str]:
    """Rows after which there is none: each save takes the next number."""
    for name in {"traces", "trace_newest"}.intersection(map(str.lower, tables)):
        of = "max(rowid)" if name == "traces" else "max(deleted)"
        try:
            (last,) = connection.execute(f"SELECT {of} FROM {name}").fetchone()
        except sqlite3.OperationalError:  # WITHOUT ROWID, or other columns than ours
            yield f"{name!r} of another form"
            continue
        if last is not None and not (isinstance(last, int) and last < LAST_ROW):
            yield f"row {_text(last)} of {name!r}"


def _indexes(connection: sqlite3.Connection, table: str) -> set[tuple[str, ...]]:
    return {tuple(map(_text, row)) for row in connection.execute(_INDEXES, (table,))}


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
    return f"unknown triggers, views or constraints act on its tables: {', '.join(found)}"


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
def _own_schema() -> set[tuple[object, ...]]:
    with _own_database() as made:
        return _schema_of(made)


@functools.cache
def _own_triggers() -> dict[str, str]:
    with _own_database() as made:
        rows = made.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return {_text(name): _text(sql) for name, sql in rows}


@functools.cache
def _own_indexes() -> dict[str, set[tuple[str, ...]]]:
    with _own_database() as made:
        return {name: _indexes(made, name) for name in ("traces", *TABLES)}


@functools.cache
def _own_texts() -> dict[str, set[str]]:
    """The columns of our tables that hold texts."""
    with _own_database() as made:
        return {
            name: {
                _text(column)
                for column, _, _, kind in made.execute(_COLUMNS, (name,))
                if _text(kind) == "TEXT"
            }
            for name in ("traces", *TABLES)
        }


@contextmanager
def _own_database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.text_factory = bytes
        migrate(made)
        yield made


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)
