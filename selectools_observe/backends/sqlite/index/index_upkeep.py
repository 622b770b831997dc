"""Maintenance of the index within a write transaction: facets of new rows, and full blocks.

New rows have facets at once; postings are made only when a block of 256 ids is full, so that a
save writes one narrow row to the index and not one entry for each term.
"""

from __future__ import annotations

import sqlite3
import sys
from binascii import unhexlify
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from ...sql.terms import unpack
from ..rows import TRACE_COLUMNS, facets_from_json, facets_of, stored_bytes, to_summary
from ..transaction import transaction
from .words import note_changed

BLOCK = 256
FOREIGN_ROWS_AT_ONCE = 256
_POSTINGS_PER_STATEMENT = 2048
_BLOCKS_AT_ONCE = 8


def first_open_id(connection: sqlite3.Connection) -> int:
    """The first id that is in no full block: from there on, the facets themselves are the index."""
    (block,) = connection.execute("SELECT max(block) FROM trace_blocks").fetchone()
    return 0 if block is None else (int(block) + 1) * BLOCK


def insert_rows(
    connection: sqlite3.Connection, into: str, rows: Sequence[Sequence[Any]], at_once: int
) -> None:
    """Insert many rows with few statements, each of a power of two of rows, padded with nothing.

    Each statement is one call into SQLite, during which other threads run; a call for each row
    would have to win the interpreter back each time. So few sizes are prepared once and used again.
    """
    for start in range(0, len(rows), at_once):
        chunk = rows[start : start + at_once]
        columns, size = len(chunk[0]), 1 << (len(chunk) - 1).bit_length()
        values = [value for row in chunk for value in row]
        values += [None] * (columns * (size - len(chunk)))
        connection.execute(_rows_sql(into, columns, size), values)


@lru_cache(maxsize=256)
def _rows_sql(into: str, columns: int, rows: int) -> str:
    one = f"({','.join('?' * columns)})"
    values = ",".join([one] * rows)
    return f"INSERT OR REPLACE INTO {into} SELECT * FROM (VALUES {values}) WHERE column1 NOTNULL"


def index_pending(connection: sqlite3.Connection, where: str, most: int) -> int:
    """Make the facets of rows that other programs wrote; how many were looked at."""
    pending = connection.execute(
        "SELECT id FROM trace_pending WHERE NOT unreadable ORDER BY id LIMIT ?", (most,)
    )
    ids = [row[0] for row in pending.fetchall()]
    if ids:
        _index_foreign(connection, where, ids)
    return len(ids)


def _index_foreign(connection: sqlite3.Connection, where: str, ids: Sequence[int]) -> None:
    rows = connection.execute(
        f"SELECT rowid, {TRACE_COLUMNS}, trace_json FROM traces t "
        f"WHERE rowid IN ({','.join('?' * len(ids))})",
        ids,
    ).fetchall()
    facets = []
    done = set(ids)
    for row_id, *columns, stored in rows:
        trace_json = stored_bytes(stored)
        reported = facets_from_json(trace_json)
        summary = to_summary(columns, where, reported)
        if summary is None:
            done.remove(row_id)
        else:
            facets.append(facets_of(row_id, columns, summary, reported, trace_json))
    insert_rows(connection, "trace_facets", facets, 128)
    note_changed(connection, done)
    for statement, chosen in (
        ("DELETE FROM trace_pending WHERE id = ?", done),
        ("UPDATE trace_pending SET unreadable = 1 WHERE id = ?", set(ids) - done),
    ):
        connection.executemany(statement, [(row_id,) for row_id in chosen])
    first_open = first_open_id(connection)
    index_blocks(connection, {row[0] // BLOCK for row in facets if row[0] < first_open})


def fill_blocks(connection: sqlite3.Connection, spared: int = 0) -> None:
    """Make the postings of blocks that are full and have no pending rows.

    Args:
        connection: One that writes.
        spared: How many of the newest are left to be made in idle time.
    """
    newest, pending, last_block = connection.execute(_STATE).fetchone()
    end = (newest or 0) // BLOCK - spared
    if pending is not None:
        end = min(end, pending // BLOCK)
    begin = 0 if last_block is None else last_block + 1
    # Only those that have rows: another program may number its own far beyond ours.
    while begin < end:
        begin = _index_range(connection, begin, end)


_STATE = """
    SELECT
        (SELECT max(id) FROM trace_facets),
        (SELECT min(id) FROM trace_pending WHERE NOT unreadable),
        (SELECT max(block) FROM trace_blocks)
"""


def index_blocks(connection: sqlite3.Connection, blocks: Iterable[int]) -> None:
    """Make the postings of these blocks again."""
    found = [row for block in blocks for row in _block_facets(connection, block, block + 1)]
    _keep_blocks(connection, found)


def _index_range(connection: sqlite3.Connection, begin: int, end: int) -> int:
    """Make the postings of some blocks from ``begin`` on; the first that is not done yet."""
    found = _block_facets(connection, begin, end)
    _keep_blocks(connection, found)
    return int(found[-1][0]) + 1 if len(found) == _BLOCKS_AT_ONCE else end


def _block_facets(connection: sqlite3.Connection, begin: int, end: int) -> list[tuple[Any, ...]]:
    """Of some blocks from ``begin`` on: number, bounds, ids, and terms."""
    # One row of the answer for all of a block: see `insert_rows` for why.
    places = begin * BLOCK, end * BLOCK - 1, _BLOCKS_AT_ONCE
    return connection.execute(_BLOCK_FACETS, places).fetchall()


def _keep_blocks(connection: sqlite3.Connection, found: Sequence[tuple[Any, ...]]) -> None:
    postings: list[tuple[int, int, bytes]] = []
    for block, *_, ids, terms in found:
        postings += _postings(block, ids.split(b","), terms.split(b","))
    postings.sort()  # neighbours go to the same page
    insert_rows(connection, "trace_postings", postings, _POSTINGS_PER_STATEMENT)
    insert_rows(connection, "trace_blocks", [row[:-2] for row in found], _BLOCKS_AT_ONCE)


_BLOCK_FACETS = f"""
    SELECT
        id / {BLOCK} AS block,
        min(created_us), max(created_us), min(steps), max(steps), min(total_ms), max(total_ms),
        min(cost_usd), max(cost_usd), min(has_error), max(has_error),
        min(started_us), max(started_us), min(wall_ms), max(wall_ms),
        min(prompt_tokens + completion_tokens), max(prompt_tokens + completion_tokens),
        group_concat(id), group_concat(hex(terms))
    FROM trace_facets WHERE id BETWEEN ? AND ? GROUP BY block ORDER BY block LIMIT ?
"""


def _postings(
    block: int, ids: Sequence[bytes], packed_terms: Sequence[bytes]
) -> list[tuple[int, int, bytes]]:
    places: defaultdict[int, bytearray] = defaultdict(bytearray)
    for row_id, packed in zip(ids, packed_terms, strict=True):
        place = int(row_id) - block * BLOCK
        for term in set(unpack(unhexlify(packed))):
            places[term].append(place)
    return [(term, block, bytes(found)) for term, found in places.items()]


def index_everything(connection: sqlite3.Connection, where: str) -> None:
    """Index what other programs wrote while we were not looking."""
    if connection.execute("SELECT 1 FROM trace_pending WHERE NOT unreadable LIMIT 1").fetchone():
        keep_up(connection, where, sys.maxsize)


def keep_up(connection: sqlite3.Connection, where: str, rounds: int, spared: int = 0) -> None:
    """Index what other programs wrote, some rows a round, and the blocks that became full."""
    for _ in range(rounds):
        with transaction(connection):
            found = index_pending(connection, where, FOREIGN_ROWS_AT_ONCE)
            fill_blocks(connection, spared)
        if found < FOREIGN_ROWS_AT_ONCE:
            return
