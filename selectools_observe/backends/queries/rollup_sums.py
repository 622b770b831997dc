"""What many runs add up to, as stores keep it of parts: packed, and put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from ...model.group_sums import (
    CallColumns,
    CallSums,
    GroupBuilder,
    GroupSums,
    RunColumns,
    sums_by,
)
from ...model.statistics import QUARTER_US, RunSums

_VALUES_OF_QUARTER = 16  # that are kept as they are: there are many quarters

T = TypeVar("T")
KeyT = TypeVar("KeyT", int, str)
NamedColumns: TypeAlias = Sequence[tuple[str, Sequence[int], CallColumns]]
"""By the name of a model or a tool, which run made each call, and the calls."""
_ModelsAt: TypeAlias = dict[int, dict[str, CallSums]]


class _PackedSums(msgspec.Struct, array_like=True, gc=False):
    """`RunSums` as they are packed: names as bytes, since lone surrogates have no UTF-8 form."""

    form: int
    total: GroupSums
    quarters: dict[int, GroupSums]
    models: dict[bytes, GroupSums]
    tools: dict[bytes, GroupSums]
    models_at: dict[int, dict[bytes, CallSums]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_PackedSums)
FIRST_BYTE = bytes([0x90 | len(_PackedSums.__struct_fields__)])
"""Of packed sums, which say how many fields they have: those with fewer are made again."""


def pack_sums(sums: RunSums) -> bytes:
    """Sums in few bytes."""
    models_at = {quarter: _packed(found) for quarter, found in sums.models_at.items()}
    models, tools = _packed(sums.models), _packed(sums.tools)
    return _encoder.encode(_PackedSums(1, sums.total, sums.quarters, models, tools, models_at))


def unpack_sums(packed: bytes) -> RunSums | None:
    """What was packed; None if that is damaged."""
    try:
        found = _decoder.decode(packed)
        models_at = {quarter: _unpacked(those) for quarter, those in found.models_at.items()}
        models, tools = _unpacked(found.models), _unpacked(found.tools)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return RunSums(found.total, found.quarters, models, tools, models_at)


def _packed(named: dict[str, T]) -> dict[bytes, T]:
    return {name.encode("utf-8", "surrogatepass"): value for name, value in named.items()}


def _unpacked(named: dict[bytes, T]) -> dict[str, T]:
    return {name.decode("utf-8", "surrogatepass"): value for name, value in named.items()}


def sums_of_runs(
    runs: RunColumns, began_us: Mapping[int, int], models: NamedColumns, tools: NamedColumns
) -> RunSums:
    """What runs add up to.

    Args:
        runs: The runs, newest first.
        began_us: By what stands for a run in its calls, when it began; in the order of the runs.
        models: Their calls of models.
        tools: Their calls of tools.
    """
    total = GroupBuilder("")
    total.take_runs(runs)
    quarter_of = {run: moment // QUARTER_US for run, moment in began_us.items()}
    by_quarter: dict[int, list[int]] = {}
    for number, quarter in enumerate(quarter_of.values()):
        by_quarter.setdefault(quarter, []).append(number)
    quarters: dict[int, GroupBuilder] = {}
    for quarter, numbers in by_quarter.items():
        quarters[quarter] = GroupBuilder("")
        quarters[quarter].take_runs(runs.at(numbers))
    models_at: _ModelsAt = {}
    for name, places, columns in models:
        for quarter, use in sums_by(map(quarter_of.__getitem__, places), columns).items():
            models_at.setdefault(quarter, {})[name] = use
    return _sums_of(total, quarters, _calls(models), _calls(tools), models_at)


def _calls(named: NamedColumns) -> dict[str, GroupBuilder]:
    groups: dict[str, GroupBuilder] = {}
    for name, places, columns in named:
        groups[name] = GroupBuilder("")
        groups[name].take_many_calls(columns, len(set(places)))
    return groups


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
