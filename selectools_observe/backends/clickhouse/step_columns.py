"""The columns of a run's steps: one array each, for statistics and for those who write SQL."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from ...model.codec import EncodedTrace, decode
from ...model.rollups import CallRollup, Rollup, number, whole
from ...model.trace import AgentTrace, StepType, TraceStep
from . import row_binary

_FIELDS = (
    "type", "model", "tool_name", "duration_ms", "prompt_tokens", "completion_tokens", "cost_usd",
    "error",
)  # fmt: skip
StepFields: TypeAlias = Sequence[Sequence[Any]]
"""The fields of steps by field, each of all steps."""
STEP_COLUMNS = (
    "step.type, step.model, step.tool, step.ms, step.prompt_tokens, step.completion_tokens, "
    "step.cost_usd, step.failed"
)
"""The columns of ``traces`` that `packed_steps` fills."""
_values_of: Callable[[TraceStep], tuple[Any, ...]] = attrgetter(*_FIELDS)
_NAMES = frozenset({str, type(None)})
_NUMBERS = frozenset({int, float})
_COUNTS = frozenset({int, type(None)})
_NOTHING = frozenset({type(None)})
_NULL = b"\1"
_LARGEST = 2**63 - 1
_LONG = 200  # characters; what is longer is not remembered
_MOST_NAMES = 4096


class _Packed(dict[str | None, bytes]):
    """Names as ``String``s, those that were seen before without packing them again."""

    def __missing__(self, name: str | None) -> bytes:
        packed = row_binary.text(b"" if name is None else named(name))
        if name is None or (len(name) < _LONG and len(self) < _MOST_NAMES):
            self[name] = packed
        return packed


_packed_name = _Packed().__getitem__


def named(name: str) -> bytes:
    """A model's or a tool's name as its column has it: nothing is for a step without one."""
    # Not by a format, which for the type of a step would write the name of its class.
    text = "\0" + name if not name or name.startswith("\0") else name
    return text.encode("utf-8", "surrogatepass")


def name_of(kept: bytes) -> str:
    """What `named` wrote."""
    return kept.removeprefix(b"\0").decode("utf-8", "surrogatepass")


def fields_of_steps(trace: object, encoded: EncodedTrace) -> StepFields:
    """The fields of a run's steps, by what of the steps is stored."""
    return _columns_at_hand(trace) or _columns_stored(encoded)


def packed_steps(fields: StepFields) -> bytes:
    """The columns of a run's steps as ``RowBinary``."""
    kinds, models, tools, durations, prompts, completions, costs, errors = fields
    size = row_binary.size_of(len(kinds))
    return b"".join(
        (
            size, *map(_packed_name, kinds),
            size, *map(_packed_name, models),
            size, *map(_packed_name, tools),
            size, row_binary.floats(_numbers(durations)),
            size, row_binary.integers(_counts(prompts)),
            size, row_binary.integers(_counts(completions)),
            size, _costs(costs),
            size, _failures(kinds, errors),
        )
    )  # fmt: skip


def rollup_of_columns(
    kinds: Sequence[bytes], models: Sequence[bytes], tools: Sequence[bytes], *columns: Sequence[Any]
) -> Rollup:
    """What the calls of a run add up to, by its `STEP_COLUMNS`."""
    steps = list(zip(*columns, strict=True))
    selects = StepType.TOOL_SELECTION.value.encode()
    called = [b"" if kind == selects else tool for kind, tool in zip(kinds, tools, strict=True)]
    return Rollup(_calls(models, steps), _calls(called, steps))


def _calls(names: Sequence[bytes], steps: Sequence[tuple[Any, ...]]) -> list[CallRollup]:
    calls: dict[bytes, CallRollup] = {}
    for name, (took, prompt, written, cost, failed) in zip(names, steps, strict=True):
        if not name:
            continue
        if name not in calls:
            calls[name] = CallRollup(name_of(name))
        one = calls[name]
        one.calls += 1
        one.errors += failed
        one.prompt_tokens += prompt
        one.completion_tokens += written
        one.durations.append(took)
        if prompt or written:
            one.tokens.append(prompt + written)
        if cost is not None:
            one.costs.append(cost)
    return list(calls.values())


def _columns_at_hand(trace: object) -> StepFields:
    """The fields of the steps by field; nothing if what is stored of them may differ."""
    if not isinstance(trace, AgentTrace) or not {*map(type, trace.steps)} <= {TraceStep}:
        return []
    columns = _columns_of(trace.steps)
    is_plain = all(_NAMES.issuperset(map(type, names)) for names in columns[1:3])
    return columns if is_plain else []


def _columns_stored(encoded: EncodedTrace) -> StepFields:
    kinds, models, tools, *rest = _columns_of(decode(encoded.trace).steps)
    return [
        kinds,
        *([n if n is None else str(n) for n in names] for names in (models, tools)),
        *rest,
    ]


def _columns_of(steps: Sequence[TraceStep]) -> StepFields:
    return list(zip(*map(_values_of, steps), strict=True)) if steps else [()] * len(_FIELDS)


def _failures(kinds: Sequence[str], errors: Sequence[object]) -> bytes:
    if _NOTHING.issuperset(map(type, errors)) and StepType.ERROR not in kinds:
        return bytes(len(kinds))
    return bytes(
        kind == StepType.ERROR or error is not None
        for kind, error in zip(kinds, errors, strict=True)
    )


def _numbers(values: Sequence[Any]) -> Sequence[float]:
    """The values as finite numbers: at once where they are, as most are."""
    if _NUMBERS.issuperset(map(type, values)):
        try:
            if math.isfinite(math.fsum(values)):
                return values
        except (OverflowError, ValueError):
            pass
    return [number(value) for value in values]


def _counts(values: Sequence[Any]) -> Sequence[int]:
    if _COUNTS.issuperset(map(type, values)):
        counts = [value or 0 for value in values]
        if not counts or (min(counts) > -_LARGEST and max(counts) < _LARGEST):
            return counts
    return [whole(value) for value in values]


def _costs(values: Sequence[Any]) -> bytes:
    told = [value for value in values if value is not None]
    known = _numbers(told)
    if known is not told:  # what is not finite is stored as nothing
        values = [None if _is_lost(value) else value for value in values]
        known = _numbers([value for value in values if value is not None])
    if len(known) == len(values):
        return b"".join(map(row_binary.nullable_float, known))
    costs = iter(map(row_binary.nullable_float, known))
    return b"".join([_NULL if value is None else next(costs) for value in values])


def _is_lost(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
