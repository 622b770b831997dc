"""The columns of a run's steps: one array each, for statistics and for those who write SQL."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

from ...model.codec import EncodedTrace
from ...model.rollups import CallRollup, Rollup, number, whole
from ...model.stored_calls import StepOfCall, steps_at_hand, stored_steps
from ...model.trace import StepType
from . import native

_FIELDS = (
    "type", "model", "tool_name", "duration_ms", "prompt_tokens", "completion_tokens", "cost_usd",
    "error",
)  # fmt: skip
StepFields: TypeAlias = tuple[Sequence[Any], ...]
"""The fields of steps by field, each of all steps."""
STEP_COLUMNS = (
    "step.type, step.model, step.tool, step.ms, step.prompt_tokens, step.completion_tokens, "
    "step.cost_usd, step.failed"
)
"""The columns of ``traces`` that `columns_of_steps` fills."""
_values_of: Callable[[StepOfCall], tuple[Any, ...]] = attrgetter(*_FIELDS)
_TEXTS = frozenset({str, type(None)})
_NUMBERS = frozenset({int, float})
_COUNTS = frozenset({int, type(None)})
_NOTHING = frozenset({type(None)})
_LARGEST = 2**63 - 1


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
    return _fields_at_hand(trace) or _fields_stored(encoded)


def columns_of_steps(runs: Sequence[StepFields]) -> Iterator[Iterable[bytes]]:
    """The columns of the steps of runs, in the format ``Native``."""
    counts = [len(fields[0]) for fields in runs]
    kinds, models, tools, durations, prompts, completions, costs, errors = (
        list(chain.from_iterable(values)) for values in zip(*runs, strict=True)
    )
    for names in (kinds, models, tools):
        yield native.arrays_of_names(counts, names, named)
    sizes = native.sizes(counts)
    yield sizes, native.floats(_numbers(durations))
    yield sizes, native.integers(_counts(prompts))
    yield sizes, native.integers(_counts(completions))
    yield sizes, native.nullable_floats(_costs(costs))
    yield sizes, _failures(kinds, errors)


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


def _fields_at_hand(trace: object) -> StepFields:
    """The fields of the steps; nothing if what is stored of them may differ."""
    steps = steps_at_hand(trace)
    if steps is None:
        return ()
    fields = _fields_of(steps)
    _, models, tools, *_, errors = fields
    is_plain = all(_TEXTS.issuperset(map(type, texts)) for texts in (models, tools, errors))
    return fields if is_plain else ()


def _fields_stored(encoded: EncodedTrace) -> StepFields:
    kinds, models, tools, *rest = _fields_of(stored_steps(encoded.trace))
    named = ([n if n is None else str(n) for n in names] for names in (models, tools))
    return (kinds, *named, *rest)


def _fields_of(steps: Sequence[StepOfCall]) -> StepFields:
    return tuple(zip(*map(_values_of, steps), strict=True)) if steps else ((),) * len(_FIELDS)


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


def _costs(values: Sequence[Any]) -> Sequence[float | None]:
    told = [value for value in values if value is not None]
    known = _numbers(told)
    if known is told:
        return values
    return [None if value is None or _is_lost(value) else number(value) for value in values]


def _is_lost(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
