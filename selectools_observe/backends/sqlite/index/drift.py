"""Detection of an index that no longer matches the table, and its rebuilding.

The index knows rows by their rowids. SQLite may number the rows of such a table again in a VACUUM,
and a tool that rebuilds the table drops our triggers with it; either leaves an index that speaks of
other rows.
"""

from __future__ import annotations

import logging
import sqlite3

from ..kept_summary import is_summary_of
from ..recovery.row_scan import DATABASE_ERRORS, is_damage
from ..rows import TRACE_COLUMNS
from ..schema import INDEX_TRIGGERS, TABLES, TRIGGERS, VERSION, has_tables, make_index, version_of
from ..transaction import transaction

log = logging.getLogger(__name__)

_LOOKED_AT = 8  # of the newest rows: a new number has passed down to all of them

_OWN_TRIGGERS = [
    *(f"traces.{name}" for name in TRIGGERS),
    *(f"{table}.{name}" for name, table in INDEX_TRIGGERS.items()),
]
_COUNT_TRIGGERS = f"""
    SELECT count(*) FROM sqlite_master
    WHERE type = 'trigger' AND tbl_name || '.' || name IN ({",".join("?" * len(_OWN_TRIGGERS))})
"""
# In every state that a transaction leaves, the newest row is known to the index by its number.
_NEWEST_IDS = """
    SELECT (SELECT max(rowid) FROM traces),
        max(ifnull((SELECT max(id) FROM trace_facets), 0),
            ifnull((SELECT max(id) FROM trace_pending), 0))
"""


def has_drifted(connection: sqlite3.Connection) -> bool:
    """Whether the index speaks of other rows, told by a few of them."""
    if version_of(connection) != VERSION:
        return False
    (triggers,) = connection.execute(_COUNT_TRIGGERS, _OWN_TRIGGERS).fetchone()
    if triggers < len(_OWN_TRIGGERS) or not has_tables(connection, *TABLES):
        return True
    newest, known = connection.execute(_NEWEST_IDS).fetchone()
    return (newest or 0) != known or _newest_are_others(connection)


def _newest_are_others(connection: sqlite3.Connection) -> bool:
    rows = connection.execute(
        f"SELECT f.summary, f.summary_crc, {TRACE_COLUMNS} "
        "FROM traces t JOIN trace_facets f ON f.id = t.rowid "
        f"ORDER BY t.rowid DESC LIMIT {_LOOKED_AT}"
    ).fetchall()
    # A single one may well be damaged; all of several are not.
    return len(rows) > 1 and not any([is_summary_of(*row) for row in rows])


def mend_drift(connection: sqlite3.Connection, where: str) -> bool:
    """Make an index again that speaks of other rows; whether it did."""
    try:
        if not has_drifted(connection):
            return False
    except DATABASE_ERRORS as error:
        if not is_damage(error):
            raise
        return False  # `verify` tells more about it; what can be read, is
    with transaction(connection):
        if not has_drifted(connection):
            return False  # another program did it meanwhile
        _remember_checksums(connection)
        make_index(connection)
    log.warning(
        "%s: the index did not match the rows (VACUUM, or another tool changed the table): rebuilt",
        where,
    )
    return True


def _remember_checksums(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS temp.known_checksums")
    connection.execute("CREATE TEMP TABLE known_checksums (trace_crc, summary_crc)")
    if has_tables(connection, "trace_facets"):
        connection.execute(
            "INSERT INTO known_checksums SELECT trace_crc, summary_crc FROM trace_facets"
        )
    connection.execute("CREATE INDEX temp.known ON known_checksums (trace_crc, summary_crc)")


def warn_of_new_checksums(connection: sqlite3.Connection, where: str) -> None:
    """After the index was made again: how many runs are not what they were when it was made."""
    (many,) = connection.execute(
        "SELECT count(*) FROM trace_facets f WHERE NOT EXISTS (SELECT 1 FROM known_checksums k "
        "WHERE k.trace_crc = f.trace_crc AND k.summary_crc = f.summary_crc)"
    ).fetchone()
    connection.execute("DROP TABLE known_checksums")
    if many:
        log.warning(
            "%s: %d runs were changed, damaged or added while the triggers were missing; their "
            "checksums are of their present state",
            where,
            many,
        )
