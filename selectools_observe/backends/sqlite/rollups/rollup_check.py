"""Verification of what is kept of runs: that it says what they say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from ....model.statistics import RunSums
from ..index.index_upkeep import BLOCK
from ..schema import has_tables
from .columns import BlockRuns, Selection, Values, chosen_runs
from .rollup_upkeep import LEVELS, parts_of
from .stored_blocks import (
    Block,
    block_of_rows,
    ids_of,
    kept_block,
    kept_sums,
    sums_of_block,
    sums_of_parts,
)

_DAMAGED = "what is kept of its runs is damaged"
_CONTRADICTS = "what is kept of its runs contradicts them"
_WRONG_SUMS = "what its runs are kept to add up to is wrong"

_Told: TypeAlias = tuple[RunSums, Sequence[int], Sequence[int], list[dict[str, Values]]]


def faults_of_rollups(
    connection: sqlite3.Connection, where: str, block: int, whole_ids: Sequence[int]
) -> Iterator[str]:
    """What is wrong with what is kept of a block.

    Args:
        connection: The database, within a transaction.
        where: Its name.
        block: The block.
        whole_ids: Those of its rows that are whole: of others, what was kept once is right.
    """
    if not has_tables(connection, "trace_rollup_sums"):
        return
    question = "SELECT 1 FROM trace_rollups WHERE block = ?"
    if connection.execute(question, (block,)).fetchone() is None:
        return
    kept = kept_block(connection, block)
    if kept is None:
        yield _DAMAGED
        return
    here = set(ids_of(connection, block))
    ids = [row_id for row_id in whole_ids if row_id // BLOCK == block and row_id in here]
    made = block_of_rows(connection, where, ids)
    if _told(made, ids) != _told(kept, ids):
        yield _CONTRADICTS
    elif not _are_right(connection, 0, block, sums_of_block(kept, sorted(here, reverse=True))):
        yield _WRONG_SUMS


def _told(block: Block, ids: Sequence[int]) -> _Told:
    """All that a block tells of some of its runs."""
    selection = Selection([row_id % BLOCK for row_id in ids])
    chosen = chosen_runs(block.runs, selection)
    return (
        sums_of_block(block, ids),
        list(chosen.created_us),
        list(chosen.began_us),
        [_restricted(values, selection) for values in _values(block.runs)],
    )


def _values(runs: BlockRuns) -> list[dict[str, Values]]:
    return [runs.fields or {}, {"": runs.present}, runs.facts]


def _restricted(values: dict[str, Values], selection: Selection) -> dict[str, Values]:
    """The values that the chosen runs have."""
    found: dict[str, Values] = {}
    for key, places_of in values.items():
        for value, places in places_of.items():
            those = selection.among(places)
            if those:
                found.setdefault(key, {})[value] = those
    return found


def _are_right(connection: sqlite3.Connection, level: int, part: int, sums: RunSums) -> bool:
    question = "SELECT 1 FROM trace_rollup_sums WHERE level = ? AND part = ?"
    if connection.execute(question, (level, part)).fetchone() is None:
        return True
    return kept_sums(connection, level, part) == sums


def wrong_sums(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """The sums of larger parts, by level and number, that are not those of the parts within."""
    if not has_tables(connection, "trace_rollup_sums"):
        return
    levels = parts_of(connection)
    for level in range(1, LEVELS):
        for part, children in levels[level].items():
            found = [kept_sums(connection, level - 1, child) for child in children]
            known = [sums for sums in found if sums is not None]
            if len(known) == len(found):
                is_right = _are_right(connection, level, part, sums_of_parts(known))
            else:
                is_right = _are_right(connection, level, part, sums_of_parts([]))
            if not is_right:
                yield level, part


def forget_rollups(connection: sqlite3.Connection, blocks: Sequence[int]) -> None:
    """Forget what is kept of these blocks, and all sums; in the caller's transaction."""
    connection.executemany(
        "DELETE FROM trace_rollups WHERE block = ?", [(block,) for block in blocks]
    )
    connection.execute("DELETE FROM trace_rollup_sums")
