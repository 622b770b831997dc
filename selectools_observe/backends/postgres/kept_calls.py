"""The calls of a run as its row keeps them next to the trace: statistics read nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any, TypeAlias

import msgspec

from ...model.codec import EncodedTrace, decode
from ...model.details import cost_of
from ...model.group_sums import CallColumns, RunColumns
from ...model.rollups import CallRollup, Rollup
from ...model.statistics import Collector, RunSums
from ...model.stored_calls import Call, GroupedCalls, calls_alone, calls_at_hand
from ..queries.rollup_sums import NamedColumns, sums_of_runs
from ..sql.row import Row

COLUMNS = (
    "seq, created_us, coalesce(started_us, created_us), started_us, steps, has_error::int, "
    "prompt_tokens, completion_tokens, total_ms, cost_usd, calls, "
    "CASE WHEN calls IS NULL THEN trace END"
)
"""What `runs_of_rows` takes of each row."""


class KeptCalls(msgspec.Struct, array_like=True, gc=False):
    """The calls of a run.

    Attributes:
        has_cost: Whether any step says what it cost.
        models: By name of the model, its calls.
        tools: The same of tools; selecting one is no call.
    """

    has_cost: bool
    models: list[tuple[str, list[Call]]]
    tools: list[tuple[str, list[Call]]]


# As objects, so that the garbage collector need not look at those of thousands of runs.
_DECODED_AT_ONCE = 64
_Found: TypeAlias = dict[str, tuple[list[int], tuple[list[Any], ...]]]
"""By name, the place of the run of each call, and the columns of the calls, as `Call` has them."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptCalls)


def packed_calls(encoded: EncodedTrace, trace: object = None) -> bytes | None:
    """The calls of a run, for its row; None if they cannot be packed: then the trace is read.

    Args:
        encoded: The run.
        trace: What it was encoded of, as long as that is as it was.
    """
    calls = calls_at_hand(trace) or calls_alone(encoded.trace)
    kept = _kept(calls, has_cost=cost_of(encoded.usage, encoded.details) is not None)
    try:
        return None if kept is None else _encoder.encode(kept)
    except (UnicodeEncodeError, OverflowError, ValueError):
        return None


def calls_of(packed: bytes | None, trace: bytes | None) -> KeptCalls | None:
    """The calls of a row, or else of its trace; None if that cannot be read."""
    if packed is not None:
        return _decoder.decode(packed)
    if trace is None:
        return None
    try:
        steps = decode(trace).steps
        return _kept(calls_alone(trace), has_cost=any(step.cost_usd is not None for step in steps))
    except ValueError:
        return None


def _kept(calls: GroupedCalls | None, *, has_cost: bool) -> KeptCalls | None:
    return None if calls is None else KeptCalls(has_cost, *calls)


class KeptRuns(msgspec.Struct, gc=False):
    """What rows tell of their runs, newest first; calls have the place of their run here.

    Attributes:
        runs: What statistics ask of them.
        created_us: When each was saved.
        began_us: When each began, or else was saved.
        models: By the name of the model, the place of the run of each call, and the calls.
        tools: The same of tools.
    """

    runs: RunColumns
    created_us: Sequence[int]
    began_us: Sequence[int]
    models: NamedColumns
    tools: NamedColumns


def runs_of_rows(rows: Sequence[Row], *, models: bool = True, tools: bool = True) -> KeptRuns:
    """What rows tell, at least one; of models and of tools if asked."""
    _, created, began, _, steps, errors, prompts, written, took, *_ = zip(*rows, strict=True)
    known: list[float] = []
    of_models: _Found = {}
    of_tools: _Found = {}
    for first in range(0, len(rows), _DECODED_AT_ONCE):
        some = rows[first : first + _DECODED_AT_ONCE]
        kept = [calls_of(row[10], row[11]) for row in some]
        known += [
            row[9] if one is not None and one.has_cost else nan
            for row, one in zip(some, kept, strict=True)
        ]
        if models:
            _add_calls(of_models, first, [one.models if one else [] for one in kept])
        if tools:
            _add_calls(of_tools, first, [one.tools if one else [] for one in kept])
    return KeptRuns(
        RunColumns(steps, errors, prompts, written, took, known),
        created,
        began,
        _columns(of_models),
        _columns(of_tools),
    )


def sums_of_rows(rows: Sequence[Row]) -> RunSums:
    """What runs add up to, newest first and at least one, without their annotations."""
    told = runs_of_rows(rows)
    return sums_of_runs(told.runs, dict(enumerate(told.began_us)), told.models, told.tools)


def add_runs(collector: Collector, rows: Sequence[Row]) -> None:
    """Count runs, newest first, without their annotations."""
    if not rows:
        return
    of_models, of_tools = ("model" in collector.by, "tool" in collector.by)
    told = runs_of_rows(rows, models=of_models, tools=of_tools)
    moments = told.began_us if collector.time == "started_at" else told.created_us
    collector.add_runs(told.runs, moments, {})
    at = dict(enumerate(moments))
    if of_models:
        collector.add_calls("model", told.models, at)
    if of_tools:
        collector.add_calls("tool", told.tools, at)


def _add_calls(found: _Found, first: int, runs: Sequence[list[tuple[str, list[Call]]]]) -> None:
    """Note the calls of runs, the first of which has this place."""
    places: dict[str, list[int]] = {}
    calls: dict[str, list[Call]] = {}
    for place, named in enumerate(runs, first):
        for name, those in named:
            places.setdefault(name, []).extend([place] * len(those))
            calls.setdefault(name, []).extend(those)
    for name, those in calls.items():
        here, columns = found.setdefault(name, ([], ([], [], [], [], [])))
        here += places[name]
        for column, values in zip(columns, zip(*those, strict=True), strict=True):
            column.extend(values)


def _columns(found: _Found) -> NamedColumns:
    """By name, the place of the run of each call, and the calls."""
    return [
        (name, places, CallColumns(failed, sent, written, took, costs))
        for name, (places, (failed, took, sent, written, costs)) in found.items()
    ]


def rollup_of_row(row: Row | None) -> Rollup | None:
    """What the calls of a run add up to; None if it is gone, or cannot be read."""
    kept = None if row is None else calls_of(row[10], row[11])
    if kept is None:
        return None
    return Rollup(
        [_rollup(name, calls) for name, calls in kept.models],
        [_rollup(name, calls) for name, calls in kept.tools],
    )


def _rollup(name: str, calls: Sequence[Call]) -> CallRollup:
    failed, took, sent, written, costs = zip(*calls, strict=True)
    return CallRollup(
        name,
        len(calls),
        sum(failed),
        sum(sent),
        sum(written),
        list(took),
        [one + other for one, other in zip(sent, written, strict=True) if one or other],
        [cost for cost in costs if cost == cost],  # noqa: PLR0124 - a number
    )
