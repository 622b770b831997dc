"""Keeping the index, inside a write transaction: facets for foreign rows, and full blocks.

New rows have facets at once; postings are made only when a block of 256 ids is full, so that a
save writes one narrow row to the index and not one entry for each term.
"""

from __future__ import annotations

import sqlite3
from binascii import unhexlify
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from .rows import TRACE_COLUMNS, facets_of, stored_bytes, to_summary, told_by_steps
from .terms import unpack
from .transactions import transaction

BLOCK = 256
FOREIGN_ROWS_AT_ONCE = 256
_POSTINGS_PER_STATEMENT = 512


def first_open_id(connection: sqlite3.Connection) -> int:
    """The first id that is in no full block: from there on, the facets themselves are the index."""
    (block,) = connection.execute("SELECT max(block) FROM trace_blocks").fetchone()
    return 0 if block is None else (int(block) + 1) * BLOCK


def insert_rows(
    connection: sqlite3.Connection,
    statement: str,
    rows: Sequence[Sequence[Any]],
    at_once: int,
) -> None:
    """Insert many rows with few statements.

    Each statement is one call into SQLite, during which other threads run; a call for each row
    would have to win the interpreter back each time. Sizes are powers of two, so that the same few
    statements are prepared once and used again.
    """
    start = 0
    while start < len(rows):
        while at_once > len(rows) - start:
            at_once //= 2
        chunk = rows[start : start + at_once]
        values = [value for row in chunk for value in row]
        connection.execute(_rows_sql(statement, len(chunk[0]), at_once), values)
        start += at_once


@lru_cache(maxsize=256)
def _rows_sql(statement: str, columns: int, rows: int) -> str:
    one = f"({','.join('?' * columns)})"
    return f"{statement} {','.join([one] * rows)}"


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
        facts, usage = told_by_steps(trace_json)
        summary = to_summary(columns, where, usage, has_error=facts.has_error)
        if summary is None:
            done.remove(row_id)
        else:
            facets.append(facets_of(row_id, columns, summary, facts, trace_json))
    insert_rows(connection, "INSERT OR REPLACE INTO trace_facets VALUES", facets, 128)
    for statement, chosen in (
        ("DELETE FROM trace_pending WHERE id = ?", done),
        ("UPDATE trace_pending SET unreadable = 1 WHERE id = ?", set(ids) - done),
    ):
        connection.executemany(statement, [(row_id,) for row_id in chosen])
    first_open = first_open_id(connection)
    index_blocks(connection, {row[0] // BLOCK for row in facets if row[0] < first_open})


def fill_blocks(connection: sqlite3.Connection) -> None:
    """Make the postings of blocks that are full and have no pending rows."""
    (newest,) = connection.execute("SELECT max(id) FROM trace_facets").fetchone()
    (pending,) = connection.execute(
        "SELECT min(id) FROM trace_pending WHERE NOT unreadable"
    ).fetchone()
    end = (newest or 0) // BLOCK
    if pending is not None:
        end = min(end, pending // BLOCK)
    # Only those that have rows: another program may number its own far beyond ours.
    blocks = connection.execute(
        "SELECT DISTINCT id / ? FROM trace_facets WHERE id BETWEEN ? AND ?",
        (BLOCK, first_open_id(connection), end * BLOCK - 1),
    )
    index_blocks(connection, [block for (block,) in blocks.fetchall()])


def index_blocks(connection: sqlite3.Connection, blocks: Iterable[int]) -> None:
    postings: list[tuple[int, int, bytes]] = []
    bounds: list[tuple[Any, ...]] = []
    for block in blocks:
        first = block * BLOCK
        # One row of the answer for all of the block: see `insert_rows` for why.
        *edges, ids, terms = connection.execute(
            _BLOCK_FACETS, (first, first + BLOCK - 1)
        ).fetchone()
        bounds.append((block, *edges))
        if ids is not None:
            postings += _postings(block, ids.split(b","), terms.split(b","))
    postings.sort()  # neighbours go to the same page
    insert_rows(
        connection,
        "INSERT OR REPLACE INTO trace_postings VALUES",
        postings,
        _POSTINGS_PER_STATEMENT,
    )
    insert_rows(connection, "INSERT OR REPLACE INTO trace_blocks VALUES", bounds, 16)


_BLOCK_FACETS = """
    SELECT
        min(created_us), max(created_us), min(steps), max(steps), min(total_ms), max(total_ms),
        min(cost_usd), max(cost_usd), min(has_error), max(has_error),
        group_concat(id), group_concat(hex(terms))
    FROM (SELECT * FROM trace_facets WHERE id BETWEEN ? AND ? ORDER BY id)
"""


def _postings(
    block: int, ids: Sequence[bytes], packed_terms: Sequence[bytes]
) -> list[tuple[int, int, bytes]]:
    places: dict[int, bytearray] = {}
    for row_id, packed in zip(ids, packed_terms, strict=True):
        place = int(row_id) - block * BLOCK
        for term in set(unpack(unhexlify(packed))):
            places.setdefault(term, bytearray()).append(place)
    return [(term, block, bytes(found)) for term, found in places.items()]


def index_everything(connection: sqlite3.Connection, where: str) -> None:
    """Index what other programs wrote while we were not looking, some at a time."""
    while connection.execute("SELECT 1 FROM trace_pending WHERE NOT unreadable LIMIT 1").fetchone():
        with transaction(connection):
            index_pending(connection, where, FOREIGN_ROWS_AT_ONCE)
            fill_blocks(connection)
