"""Making the rollups that are missing, block by block, each in a short transaction of its own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial

from ....model.statistics import RunSums
from ...queries.rollup_sums import sums_of_parts
from ..index.index_upkeep import BLOCK, fill_blocks, first_open_id
from ..transaction import transaction, undo
from .stored_blocks import (
    block_of_rows,
    ids_of,
    keep_block,
    keep_sums,
    kept_block,
    kept_sums,
    sums_of_block,
)

LEVELS = 3
"""Sums of 1, 16 and 256 blocks."""
_CHILDREN = 16
_MOMENT = 0.1  # seconds of one call
_PATIENCE_MS = 250  # to wait for whoever writes: then what is missing is read, and kept later

# Not those in which another program's rows are to be read yet, or no row is left.
_BLOCKS_WITHOUT = f"""
    SELECT block FROM trace_blocks b
    WHERE NOT EXISTS (SELECT 1 FROM trace_rollups r WHERE r.block = b.block)
    AND NOT EXISTS (
        SELECT 1 FROM trace_pending WHERE NOT unreadable
        AND id BETWEEN b.block * {BLOCK} AND b.block * {BLOCK} + {BLOCK - 1}
    )
    AND EXISTS (
        SELECT 1 FROM trace_facets
        WHERE id BETWEEN b.block * {BLOCK} AND b.block * {BLOCK} + {BLOCK - 1}
    )
    ORDER BY block DESC
"""
_IS_PENDING = f"""
    SELECT EXISTS (
        SELECT 1 FROM trace_pending
        WHERE id BETWEEN :block * {BLOCK} AND :block * {BLOCK} + {BLOCK - 1}
    )
"""
_IS_FULL = f"""
    SELECT ifnull((SELECT max(id) FROM trace_facets), 0) / {BLOCK}
        > ifnull((SELECT max(block) FROM trace_blocks), -1) + 1
"""


def make_rollups(
    connection: sqlite3.Connection, where: str, *, seconds: float = _MOMENT, sums: bool = True
) -> bool:
    """Make rollups for a moment; whether there may be more to make.

    Where nothing can be written, others are writing for long, or the file is damaged, nothing is
    made.
    """
    undo(connection)
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    try:
        return _make(connection, where, time.monotonic() + seconds, sums=sums)
    except sqlite3.DatabaseError:
        undo(connection)
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(patience)}")


def _make(connection: sqlite3.Connection, where: str, deadline: float, *, sums: bool) -> bool:
    (is_full,) = connection.execute(_IS_FULL).fetchone()
    if is_full:
        with transaction(connection):
            fill_blocks(connection)
    for make in (_missing_blocks, _missing_sums) if sums else (_missing_blocks,):
        for step in make(connection, where):
            with transaction(connection):
                step()
            if time.monotonic() > deadline:
                return True
    return False


def _missing_blocks(connection: sqlite3.Connection, where: str) -> Iterator[Callable[[], None]]:
    for (block,) in connection.execute(_BLOCKS_WITHOUT).fetchall():
        yield partial(_make_block, connection, where, block)


def _make_block(connection: sqlite3.Connection, where: str, block: int) -> None:
    ids = ids_of(connection, block)
    if ids:
        keep_block(connection, block, block_of_rows(connection, where, ids))


def _missing_sums(connection: sqlite3.Connection, _where: str) -> Iterator[Callable[[], None]]:
    levels = parts_of(connection)
    for level, parts in enumerate(levels):
        kept = {
            row[0]
            for row in connection.execute(
                "SELECT part FROM trace_rollup_sums WHERE level = ?", (level,)
            ).fetchall()
        }
        for part in sorted(parts.keys() - kept, reverse=True):
            yield partial(_make_sums, connection, level, part, parts[part])


def parts_of(connection: sqlite3.Connection) -> list[dict[int, list[int]]]:
    """For each level its parts that are complete, and the parts of the level below in each.

    The newest first. At the lowest level they are blocks.
    """
    end = first_open_id(connection) // BLOCK
    rows = connection.execute("SELECT block FROM trace_blocks ORDER BY block DESC").fetchall()
    below = [row[0] for row in rows]
    levels: list[dict[int, list[int]]] = [{block: [block] for block in below}]
    for level in range(1, LEVELS):
        parts: dict[int, list[int]] = {}
        for each in below:
            if (each // _CHILDREN + 1) * _CHILDREN**level <= end:
                parts.setdefault(each // _CHILDREN, []).append(each)
        levels.append(parts)
        below = list(parts)
    return levels


def _make_sums(connection: sqlite3.Connection, level: int, part: int, children: list[int]) -> None:
    sums = _sums(connection, level, part, children)
    if sums is not None:
        keep_sums(connection, level, part, sums)


def _sums(
    connection: sqlite3.Connection, level: int, part: int, children: list[int]
) -> RunSums | None:
    if level:
        found = [kept_sums(connection, level - 1, child) for child in children]
        known = [sums for sums in found if sums is not None]
        return sums_of_parts(known) if len(known) == len(found) else None
    ids = ids_of(connection, part)
    if not ids:
        (is_pending,) = connection.execute(_IS_PENDING, {"block": part}).fetchone()
        return None if is_pending else sums_of_parts([])
    told = kept_block(connection, part)
    return None if told is None else sums_of_block(told, ids)
