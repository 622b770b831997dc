"""Space of a database: what is in use, and giving back what is not."""

from __future__ import annotations

import sqlite3

from .index.index_upkeep import BLOCK
from .transaction import transaction, undo

_INCREMENTAL = 2
_PAGES_AT_ONCE = 1000
_FREE_SHARE = 0.1  # of the pages: fewer are soon used again
_BLOCKS_LEFT = 64

_IDS_AT_ONCE = 256


DELETE_OLDEST = """
    DELETE FROM traces WHERE rowid IN (SELECT rowid FROM traces ORDER BY rowid LIMIT ?)
"""


def in_use(connection: sqlite3.Connection) -> int:
    """The bytes of pages that hold something."""
    pages, free, page_size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * page_size


def give_back(connection: sqlite3.Connection, *, all_of_it: bool) -> bool:
    """Give some free pages back to the disk; whether there are more to give."""
    undo(connection)
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if mode != _INCREMENTAL or free <= (0 if all_of_it else _FREE_SHARE * pages):
        return False
    # One page goes with each step of the statement, and `execute` takes a single one.
    connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
    return bool(free > _PAGES_AT_ONCE)


def is_wasteful(connection: sqlite3.Connection) -> bool:
    """Whether much is free that only a VACUUM can give back: the file is of an older version."""
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    return bool(mode != _INCREMENTAL and free > 0.25 * pages)


def forget_blocks(connection: sqlite3.Connection) -> None:
    """Remove what the index says of blocks in which no run is left."""
    (blocks,) = connection.execute("SELECT count(*) FROM trace_blocks").fetchone()
    live = {
        row[0]
        for row in connection.execute(f"SELECT DISTINCT id / {BLOCK} FROM trace_facets").fetchall()
    }
    if blocks - len(live) < _BLOCKS_LEFT:
        return
    with transaction(connection):
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS live_blocks (block INTEGER PRIMARY KEY)"
        )
        connection.execute("DELETE FROM live_blocks")
        # Where the next block begins, the newest one tells: it stays.
        connection.execute("INSERT INTO live_blocks SELECT max(block) FROM trace_blocks")
        connection.executemany(
            "INSERT OR IGNORE INTO live_blocks VALUES (?)", [(block,) for block in live]
        )
        for table in ("trace_postings", "trace_blocks"):
            connection.execute(
                f"DELETE FROM {table} WHERE block NOT IN (SELECT block FROM live_blocks)"
            )


def delete_rows(
    connection: sqlite3.Connection, row_ids: list[int], *, spare_annotated: bool
) -> list[str]:
    """Delete rows that are still there under their ids; their run ids."""
    gone: list[str] = []
    spared = "AND run_id NOT IN (SELECT run_id FROM trace_annotations)" if spare_annotated else ""
    for start in range(0, len(row_ids), _IDS_AT_ONCE):
        some = row_ids[start : start + _IDS_AT_ONCE]
        condition = f"rowid IN ({','.join('?' * len(some))}) {spared}"
        with transaction(connection):
            rows = connection.execute(f"SELECT run_id FROM traces WHERE {condition}", some)
            found = [row[0].decode(errors="replace") for row in rows.fetchall()]
            connection.execute(f"DELETE FROM traces WHERE {condition}", some)
        gone += found
    return gone


def delete_many(connection: sqlite3.Connection, run_ids: list[str]) -> int:
    """Delete runs, all or none; how many there were."""
    gone = 0
    with transaction(connection):
        for start in range(0, len(run_ids), _IDS_AT_ONCE):
            some = run_ids[start : start + _IDS_AT_ONCE]
            marks = ",".join("?" * len(some))
            gone += connection.execute(
                f"DELETE FROM traces WHERE run_id IN ({marks})", some
            ).rowcount
    return gone
