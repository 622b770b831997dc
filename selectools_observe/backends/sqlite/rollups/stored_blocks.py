"""The rollups of blocks: made of their rows, kept, and read back.

Damaged ones are none: what they would tell is told by the rows again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from ....model.checksum import checksum
from ....model.group_sums import CallSums, GroupBuilder, GroupSums, sums_by
from ....model.statistics import QUARTER_US, RunSums
from ....model.stored_calls import StoredCalls, stored_calls
from ..index.index_upkeep import BLOCK
from ..rows import SUMMARIES, stored_bytes, summaries_of_rows
from .columns import BlockBuilder, BlockCalls, BlockRuns, Selection, chosen_calls, chosen_runs

_VALUES_OF_QUARTER = 16  # that are kept as they are: there are many quarters
_ROWS_AT_ONCE = 32  # of traces: some are large

_runs = msgspec.msgpack.Decoder(BlockRuns)
_calls = msgspec.msgpack.Decoder(BlockCalls)
_sums = msgspec.msgpack.Decoder(RunSums)
_encode = msgspec.msgpack.Encoder().encode
FIRST_BYTE = bytes([0x90 | len(RunSums.__struct_fields__)])
"""Of packed sums, which say how many fields they have: those with fewer are made again."""

KeyT = TypeVar("KeyT", int, str)
_ModelsAt: TypeAlias = dict[int, dict[str, CallSums]]


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
        "INSERT OR REPLACE INTO trace_rollups VALUES (?, ?, ?, ?)",
        (block, runs, calls, checksum(calls, checksum(runs))),
    )


def kept_block(connection: sqlite3.Connection, block: int) -> Block | None:
    """What is told of a block; None if that is not kept, or damaged."""
    question = "SELECT runs, calls, crc FROM trace_rollups WHERE block = ?"
    row = _row(connection, question, block)
    return None if row is None else block_of_columns(*row)


def _row(connection: sqlite3.Connection, question: str, *values: int) -> tuple[Any, ...] | None:
    """A row; none where the table is damaged."""
    try:
        row: tuple[Any, ...] | None = connection.execute(question, values).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row


def block_of_columns(runs: object, calls: object, crc: object) -> Block | None:
    """What is told of a block by its row; None if that is damaged."""
    if not isinstance(runs, bytes) or not isinstance(calls, bytes):
        return None
    if checksum(calls, checksum(runs)) != crc:
        return None
    try:
        return Block(_runs.decode(runs), _calls.decode(calls))
    except msgspec.MsgspecError:
        return None


def keep_sums(connection: sqlite3.Connection, level: int, part: int, sums: RunSums) -> None:
    """Keep what the runs of a part add up to, in the caller's transaction."""
    data = _encode(sums)
    connection.execute(
        "INSERT OR REPLACE INTO trace_rollup_sums VALUES (?, ?, ?, ?)",
        (level, part, data, checksum(data)),
    )


def kept_sums(connection: sqlite3.Connection, level: int, part: int) -> RunSums | None:
    """What the runs of a part add up to; None if that is not kept, or damaged."""
    question = "SELECT sums, crc FROM trace_rollup_sums WHERE level = ? AND part = ?"
    row = _row(connection, question, level, part)
    if row is None or not isinstance(row[0], bytes) or checksum(row[0]) != row[1]:
        return None
    try:
        return _sums.decode(row[0])
    except msgspec.MsgspecError:
        return None


def sums_of_block(told: Block, ids: Sequence[int]) -> RunSums:
    """What those rows of a block add up to that are there."""
    selection = Selection([row_id % BLOCK for row_id in ids])
    chosen = chosen_runs(told.runs, selection)
    total = GroupBuilder("")
    total.take_runs(chosen.columns)
    by_quarter: dict[int, list[int]] = {}
    for number, moment in enumerate(chosen.began_us):
        by_quarter.setdefault(moment // QUARTER_US, []).append(number)
    quarters: dict[int, GroupBuilder] = {}
    for quarter, numbers in by_quarter.items():
        quarters[quarter] = GroupBuilder("")
        quarters[quarter].take_runs(chosen.columns.at(numbers))
    named = []
    quarter_of = {
        place: moment // QUARTER_US
        for place, moment in zip(chosen.places, chosen.began_us, strict=True)
    }
    models_at: _ModelsAt = {}
    for calls in (told.calls.models, told.calls.tools):
        groups: dict[str, GroupBuilder] = {}
        for name, places, columns in chosen_calls(calls, selection):
            groups[name] = GroupBuilder("")
            groups[name].take_many_calls(columns, len(set(places)))
            if calls is told.calls.models:
                keys = map(quarter_of.__getitem__, places)
                for quarter, use in sums_by(keys, columns).items():
                    models_at.setdefault(quarter, {})[name] = use
        named.append(groups)
    models, tools = named
    return _sums_of(total, quarters, models, tools, models_at)


def sums_of_parts(parts: Sequence[RunSums]) -> RunSums:
    """What parts add up to together, the newest first."""
    total = GroupBuilder("")
    quarters: dict[int, GroupBuilder] = {}
    models: dict[str, GroupBuilder] = {}
    tools: dict[str, GroupBuilder] = {}
    models_at: _ModelsAt = {}
    for part in parts:
        total.take_sums(part.total)
        _add_sums(quarters, part.quarters)
        _add_sums(models, part.models)
        _add_sums(tools, part.tools)
        for quarter, by_model in part.models_at.items():
            there = models_at.setdefault(quarter, {})
            for name, use in by_model.items():
                there.setdefault(name, CallSums()).add(use)
    return _sums_of(total, quarters, models, tools, models_at)


def _add_sums(groups: dict[KeyT, GroupBuilder], sums: dict[KeyT, GroupSums]) -> None:
    for key, those in sums.items():
        if key not in groups:
            groups[key] = GroupBuilder("")
        groups[key].take_sums(those)


def _sums_of(
    total: GroupBuilder,
    quarters: dict[int, GroupBuilder],
    models: dict[str, GroupBuilder],
    tools: dict[str, GroupBuilder],
    models_at: _ModelsAt,
) -> RunSums:
    return RunSums(
        total.sums(),
        {quarter: group.sums(_VALUES_OF_QUARTER) for quarter, group in quarters.items()},
        {name: group.sums() for name, group in models.items()},
        {name: group.sums() for name, group in tools.items()},
        models_at,
    )
