"""The calls of a run as its row keeps them next to the trace: statistics read nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import nan

import msgspec

from ...model.codec import EncodedTrace, decode
from ...model.details import cost_of
from ...model.group_sums import CallColumns, RunColumns
from ...model.rollups import CallRollup, Rollup
from ...model.statistics import Collector
from ...model.stored_calls import Call, stored_calls
from .session import Row

COLUMNS = (
    "seq, created_us, coalesce(started_us, created_us), steps, has_error::int, prompt_tokens, "
    "completion_tokens, total_ms, cost_usd, calls, CASE WHEN calls IS NULL THEN trace END"
)
"""What `add_runs` takes of each row."""


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


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptCalls)


def packed_calls(encoded: EncodedTrace) -> bytes | None:
    """The calls of a run, for its row; None if they cannot be packed: then the trace is read."""
    kept = _kept(encoded.trace, has_cost=cost_of(encoded.usage, encoded.details) is not None)
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
        return _kept(trace, has_cost=any(step.cost_usd is not None for step in steps))
    except ValueError:
        return None


def _kept(trace: bytes, *, has_cost: bool) -> KeptCalls | None:
    calls = stored_calls(trace)
    return None if calls is None else KeptCalls(has_cost, _named(calls.models), _named(calls.tools))


def _named(calls: Iterable[tuple[str, Call]]) -> list[tuple[str, list[Call]]]:
    found: dict[str, list[Call]] = {}
    for name, call in calls:
        found.setdefault(name, []).append(call)
    return list(found.items())


def add_runs(collector: Collector, rows: Sequence[Row]) -> None:
    """Count runs, newest first, without their annotations."""
    if not rows:
        return
    kept = [calls_of(row[9], row[10]) for row in rows]
    _, created, began, steps, errors, prompts, written, took, costs, *_ = zip(*rows, strict=True)
    known = [
        cost if one is not None and one.has_cost else nan
        for cost, one in zip(costs, kept, strict=True)
    ]
    moments = began if collector.time == "started_at" else created
    collector.add_runs(
        RunColumns(steps, errors, prompts, written, took, known),
        moments,
        {},
    )
    at = dict(enumerate(moments))
    if "model" in collector.by:
        collector.add_calls("model", _columns([one.models if one else [] for one in kept]), at)
    if "tool" in collector.by:
        collector.add_calls("tool", _columns([one.tools if one else [] for one in kept]), at)


def _columns(
    runs: Sequence[list[tuple[str, list[Call]]]],
) -> Iterator[tuple[str, list[int], CallColumns]]:
    """By name, the place of the run of each call, and the calls."""
    places: dict[str, list[int]] = {}
    calls: dict[str, list[Call]] = {}
    for place, named in enumerate(runs):
        for name, those in named:
            places.setdefault(name, []).extend([place] * len(those))
            calls.setdefault(name, []).extend(those)
    for name, those in calls.items():
        failed, took, sent, written, costs = zip(*those, strict=True)
        yield name, places[name], CallColumns(failed, sent, written, took, costs)


def rollup_of_row(row: Row | None) -> Rollup | None:
    """What the calls of a run add up to; None if it is gone, or cannot be read."""
    kept = None if row is None else calls_of(row[9], row[10])
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
