"""Verification of what is kept of runs: that it says what they say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TypeAlias

from ....model.statistics import RunSums
from ...queries.rollup_sums import sums_of_parts
from ..index.index_upkeep import BLOCK
from ..schema import has_tables
from .columns import BlockRuns, Selection, Values, chosen_runs
from .packed import unpack_floats, unpack_text
from .rollup_upkeep import LEVELS, parts_of
from .stored_blocks import (
    Block,
    block_of_rows,
    ids_of,
    kept_block,
    kept_sums,
    sums_of_block,
)

_DAMAGED = "what is kept of its runs is damaged"
_CONTRADICTS = "what is kept of its runs contradicts them"
_WRONG_SUMS = "what its runs are kept to add up to is wrong"

_Told: TypeAlias = tuple[RunSums, list[Sequence[float]], bytes, dict[str, Values]]


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
    metadata = made.runs.is_told and kept.runs.is_told
    if _told(made, ids, metadata=metadata) != _told(kept, ids, metadata=metadata):
        yield _CONTRADICTS
    elif not _are_right(connection, 0, block, sums_of_block(kept, sorted(here, reverse=True))):
        yield _WRONG_SUMS


def _told(block: Block, ids: Sequence[int], *, metadata: bool) -> _Told:
    """All that a block tells of some of its runs, with their metadata or without."""
    selection = Selection(bytes([row_id % BLOCK for row_id in ids]))
    chosen = chosen_runs(block.runs, selection)
    runs = block.runs
    marks = selection.of(runs.places)
    wall_ms = unpack_floats(runs.wall_ms)
    wall = [-1.0 if took != took else took for took in wall_ms]  # noqa: PLR0124 - no number
    return (
        sums_of_block(block, ids),
        [
            chosen.created_us,
            chosen.began_us,
            wall if marks is None else list(compress(wall, marks)),
        ],
        selection.among(runs.unstarted),
        {
            name: those
            for name, values in _values(runs, metadata=metadata)
            if (those := _restricted(values, selection))
        },
    )


def _values(runs: BlockRuns, *, metadata: bool) -> Iterator[tuple[str, Values]]:
    for key in runs.fields:
        yield key, runs.values_of_field(key)
    for name in runs.facts:
        yield f"facts.{name}", runs.values_of_facts(name)
    for packed in runs.metadata or () if metadata else ():
        key = unpack_text(packed)
        yield f"metadata.{key}", runs.values_of_key(key)


def _restricted(values: Values, selection: Selection) -> Values:
    """The values that the chosen runs have."""
    found = {value: selection.among(places) for value, places in values.items()}
    return {value: places for value, places in found.items() if places}


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
