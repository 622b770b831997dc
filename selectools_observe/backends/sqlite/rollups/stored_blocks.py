"""The rollups of blocks: made of their rows, kept, and read back.

Damaged ones are none: what they would tell is told by the rows again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from ....model.checksum import checksum
from ....model.statistics import RunSums
from ....model.stored_calls import StoredCalls, stored_calls
from ...queries.rollup_sums import pack_sums, sums_of_runs, unpack_sums
from ..index.index_upkeep import BLOCK
from ..rows import SUMMARIES, stored_bytes, summaries_of_rows
from .columns import BlockBuilder, BlockCalls, BlockRuns, Selection, chosen_calls, chosen_runs

_ROWS_AT_ONCE = 32  # of traces: some are large

_runs = msgspec.msgpack.Decoder(BlockRuns)
_calls = msgspec.msgpack.Decoder(BlockCalls)
_encode = msgspec.msgpack.Encoder().encode

T = TypeVar("T")


class Block(NamedTuple):
    """What is told of the runs of a block."""

    runs: BlockRuns
    calls: BlockCalls


def block_of_rows(connection: sqlite3.Connection, where: str, ids: Sequence[int]) -> Block:
    """What is told of runs of one block, by reading them; the newest first."""
    builder = BlockBuilder()
    newest_first = sorted(ids, reverse=True)
    for start in range(0, len(newest_first), _ROWS_AT_ONCE):
        _add_rows(connection, where, newest_first[start : start + _ROWS_AT_ONCE], builder)
    return Block(builder.runs(), builder.calls())


def _add_rows(
    connection: sqlite3.Connection, where: str, ids: Sequence[int], builder: BlockBuilder
) -> None:
    marks = ",".join("?" * len(ids))
    rows = connection.execute(
        f"{SUMMARIES} WHERE t.rowid IN ({marks}) ORDER BY t.rowid DESC", ids
    ).fetchall()
    calls = dict(_calls_of(connection, ids))
    for (row_id, *_), summary in zip(rows, summaries_of_rows(connection, where, rows), strict=True):
        if summary is not None:
            builder.add(row_id % BLOCK, summary, calls.get(row_id))


def _calls_of(
    connection: sqlite3.Connection, ids: Sequence[int]
) -> Iterator[tuple[int, StoredCalls | None]]:
    rows = connection.execute(
        "SELECT t.rowid, t.trace_json, f.trace_crc FROM traces t JOIN trace_facets f "
        f"ON f.id = t.rowid WHERE t.rowid IN ({','.join('?' * len(ids))})",
        ids,
    )
    for row_id, stored, crc in rows:
        trace_json = stored_bytes(stored)
        is_whole = checksum(trace_json) == crc
        yield row_id, stored_calls(trace_json) if is_whole else None


def ids_of(connection: sqlite3.Connection, block: int) -> list[int]:
    """The ids of the rows of a block that the index knows, the newest first."""
    rows = connection.execute(
        "SELECT id FROM trace_facets WHERE id BETWEEN ? AND ? ORDER BY id DESC",
        (block * BLOCK, block * BLOCK + BLOCK - 1),
    ).fetchall()
    return [row[0] for row in rows]


def keep_block(connection: sqlite3.Connection, block: int, told: Block) -> None:
    """Keep what is told of a block, in the caller's transaction."""
    runs, calls = _encode(told.runs), _encode(told.calls)
    connection.execute(
        "INSERT OR REPLACE INTO trace_rollups VALUES (?, ?, ?, ?, ?)",
        (block, runs, calls, checksum(runs), checksum(calls)),
    )


def kept_block(connection: sqlite3.Connection, block: int) -> Block | None:
    """What is told of a block; None if that is not kept, or damaged."""
    question = "SELECT runs, runs_crc, calls, calls_crc FROM trace_rollups WHERE block = ?"
    row = _row(connection, question, block)
    if row is None:
        return None
    runs, calls = _decoded(_runs, *row[:2]), _decoded(_calls, *row[2:])
    return None if runs is None or calls is None else Block(runs, calls)


def kept_runs(connection: sqlite3.Connection, block: int) -> BlockRuns | None:
    """The same, but of their calls."""
    question = "SELECT runs, runs_crc FROM trace_rollups WHERE block = ?"
    row = _row(connection, question, block)
    return None if row is None else _decoded(_runs, *row)


def _row(connection: sqlite3.Connection, question: str, *values: int) -> tuple[Any, ...] | None:
    """A row; none where the table is damaged."""
    try:
        row: tuple[Any, ...] | None = connection.execute(question, values).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row


def _decoded(decoder: msgspec.msgpack.Decoder[T], data: object, crc: object) -> T | None:
    """What was kept; None if it is damaged."""
    if not isinstance(data, bytes) or checksum(data) != crc:
        return None
    try:
        return decoder.decode(data)
    except msgspec.MsgspecError:
        return None


def keep_sums(connection: sqlite3.Connection, level: int, part: int, sums: RunSums) -> None:
    """Keep what the runs of a part add up to, in the caller's transaction."""
    data = pack_sums(sums)
    connection.execute(
        "INSERT OR REPLACE INTO trace_rollup_sums VALUES (?, ?, ?, ?, ?)",
        (level, part, sums.total.runs, data, checksum(data)),
    )


def kept_sums(connection: sqlite3.Connection, level: int, part: int) -> RunSums | None:
    """What the runs of a part add up to; None if that is not kept, or damaged."""
    question = "SELECT sums, crc FROM trace_rollup_sums WHERE level = ? AND part = ?"
    row = _row(connection, question, level, part)
    if row is None or not isinstance(row[0], bytes) or checksum(row[0]) != row[1]:
        return None
    return unpack_sums(row[0])


def runs_summed(connection: sqlite3.Connection) -> dict[int, int]:
    """Of each block whose sums are kept, how many runs it has: they go with the first of these."""
    question = "SELECT part, runs FROM trace_rollup_sums WHERE level = 0"
    try:
        return dict(connection.execute(question).fetchall())
    except sqlite3.DatabaseError:  # the table is damaged: then rows tell
        return {}


def sums_of_block(told: Block, ids: Sequence[int]) -> RunSums:
    """What those rows of a block add up to that are there."""
    selection = Selection(bytes([row_id % BLOCK for row_id in ids]))
    chosen = chosen_runs(told.runs, selection)
    began = dict(zip(chosen.places, chosen.began_us, strict=True))
    models, tools = (
        list(chosen_calls(calls, selection)) for calls in (told.calls.models, told.calls.tools)
    )
    return sums_of_runs(chosen.columns, began, models, tools)
