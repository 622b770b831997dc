"""A filter, asked of the columns of a block: which of its runs match, without reading any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache, partial, reduce
from itertools import repeat
from operator import add, eq, or_
from typing import Any, TypeAlias

from ....model import timestamps
from ....model.conditions import (
    COMPARISONS,
    AllOf,
    AnyOf,
    Bound,
    Condition,
    HasError,
    HasField,
    HasKey,
    IsAnnotated,
    LabelIs,
    MetadataBound,
    MetadataIs,
    Moment,
    Not,
    Operator,
    RunIs,
    ScoreBound,
    StepHas,
    is_like,
    judge,
)
from ....model.filters import TraceFilter, condition_of, needed_annotations
from ....model.groups import FIELD_KEYS
from ....model.json_values import canonical, loads
from ....model.trace import EPOCH, TraceSummary
from .columns import BlockRuns, Values, marks_of
from .packed import pack_text, unpack_floats, unpack_integers, unpack_text

Marks: TypeAlias = int
"""A byte for each run of a block, 1 if it is meant: as an integer, which is quick to combine."""

Test: TypeAlias = Callable[[BlockRuns], Marks]

_KEY_OF_FIELD = dict(
    zip(("session_id", "user_id", "agent", "name", "tags", "outcome"), FIELD_KEYS, strict=True)
)
_FACT_OF_FIELD = {
    ("tool", False): "tool_names", ("tool", True): "failed_tools",
    ("model", False): "models", ("model", True): "failed_models",
    ("type", False): "step_types", ("type", True): "failed_types",
}  # fmt: skip
_FACTS = {"step_type": "step_types", "tool_name": "tool_names", "model": "models",
          "parent_run_id": "parent_run_id"}  # fmt: skip
_CONDITIONS: dict[str, Callable[[Any], Condition]] = {
    "min_steps": partial(Bound, "steps", ">="), "max_steps": partial(Bound, "steps", "<="),
    "min_ms": partial(Bound, "total_ms", ">="), "max_ms": partial(Bound, "total_ms", "<="),
    "min_cost_usd": partial(Bound, "cost_usd", ">="),
    "max_cost_usd": partial(Bound, "cost_usd", "<="),
    "min_wall_ms": partial(Bound, "wall_ms", ">="), "max_wall_ms": partial(Bound, "wall_ms", "<="),
    "since": partial(Moment, "created_at", ">="), "until": partial(Moment, "created_at", "<="),
    "started_since": partial(Moment, "started_at", ">="),
    "started_until": partial(Moment, "started_at", "<="),
    "has_error": lambda wanted: HasError() if wanted else Not(HasError()),
}  # fmt: skip
"""Fields of a filter that ask the same as a condition."""

_MOST_KNOWN = 100_000  # values of which it is remembered
_APART = frozenset({"limit", "order_by", "where"})
_NOBODY = TraceSummary("", 0, 0.0, EPOCH, {})


class _NotToldError(ValueError):
    """Columns do not tell all that is asked."""


class BlockFilter:
    """Which runs of a block a filter asks for, but its limit.

    Args:
        filters: The filter; of runs with annotations, those that the condition asks for are as if
            they had none.

    Raises:
        ValueError: Columns do not tell all that it asks.
    """

    def __init__(self, filters: TraceFilter) -> None:
        self._tests = _tests_of(filters)

    def places(self, runs: BlockRuns) -> bytes:
        """The places of the runs that match, the newest first."""
        chosen = runs.places
        marks = _all_of(self._tests, runs)
        if marks == _full(runs):
            return chosen
        return bytes(
            [
                place
                for place, mark in zip(chosen, marks.to_bytes(len(chosen), "big"), strict=True)
                if mark
            ]
        )


def is_told_by_columns(filters: TraceFilter) -> bool:
    """Whether a `BlockFilter` can be made, and no few runs are named instead."""
    if needed_annotations(filters):
        return False
    try:
        BlockFilter(filters)
    except ValueError:
        return False
    return True


def _tests_of(filters: TraceFilter) -> list[Test]:
    tests: list[Test] = []
    for field in fields(TraceFilter):
        value = getattr(filters, field.name)
        if value is not None and field.name not in _APART:
            tests += _tests_of_field(field.name, value)
    if filters.where is not None:
        tests.append(_test_of(condition_of(filters)))
    return tests


def _tests_of_field(name: str, value: Any) -> list[Test]:
    if name in _CONDITIONS:
        return [_test_of(_CONDITIONS[name](value))]
    if name in _FACTS:
        return [_is_one_of(_facts(_FACTS[name]), str(getattr(value, "value", value)))]
    if name == "metadata_match":
        return [_metadata_equals(key, wanted) for key, wanted in value.items()]
    if name in _KEY_OF_FIELD:
        values_of = _field(_KEY_OF_FIELD[name])
        return [_is_one_of(values_of, one) for one in (value if name == "tags" else (value,))]
    raise _NotToldError


def _test_of(condition: Condition) -> Test:
    """The test of a condition; see `judge` for what each means."""
    make = _MAKERS.get(type(condition))
    if make is None:
        raise _NotToldError
    return make(condition)


def _every_part(condition: AllOf) -> Test:
    tests = [_test_of(part) for part in condition.parts]
    return lambda runs: _all_of(tests, runs)


def _some_part(condition: AnyOf) -> Test:
    tests = [_test_of(part) for part in condition.parts]
    return lambda runs: reduce(or_, [test(runs) for test in tests], 0)


def _not(condition: Not) -> Test:
    test = _test_of(condition.part)
    return lambda runs: _full(runs) ^ test(runs)


def _run_is(condition: RunIs) -> Test:
    if condition.field == "parent_run_id":
        return _some_is(_facts("parent_run_id"), condition.name)
    if condition.field in _KEY_OF_FIELD:
        return _some_is(_field(_KEY_OF_FIELD[condition.field]), condition.name)
    raise _NotToldError


def _step_has(condition: StepHas) -> Test:
    return _some_is(_facts(_FACT_OF_FIELD[condition.field, condition.failed]), condition.name)


def _of_annotations(condition: ScoreBound | LabelIs | IsAnnotated) -> Test:
    holds = bool(judge(condition, _NOBODY))
    return lambda runs: _full(runs) if holds else 0


def _errors(runs: BlockRuns) -> Marks:
    return int.from_bytes(runs.errors, "big")


def _all_of(tests: Sequence[Test], runs: BlockRuns) -> Marks:
    marks = _full(runs)
    for test in tests:
        if not marks:
            break
        marks &= test(runs)
    return marks


def _full(runs: BlockRuns) -> Marks:
    return _ones(len(runs.places))


@cache
def _ones(count: int) -> Marks:
    return int.from_bytes(b"\1" * count, "big")


# Numbers.


def _bound(condition: Bound) -> Test:
    column = _COLUMNS[condition.field]
    return lambda runs: _compared(column(runs), condition.operator, condition.value)


def _moment(condition: Moment) -> Test:
    instant = timestamps.to_microseconds(condition.value)
    if condition.field == "created_at":
        return lambda runs: _compared(_integers(runs.created_us, runs), condition.operator, instant)

    def test(runs: BlockRuns) -> Marks:
        began = _compared(_integers(runs.began_us, runs), condition.operator, instant)
        return began & ~_at(runs.unstarted, runs)

    return test


def _compared(values: Sequence[Any], operator: Operator, bound: Any) -> Marks:
    return int.from_bytes(bytes(map(COMPARISONS[operator], values, repeat(bound))), "big")


def _integers(packed: bytes, runs: BlockRuns) -> Sequence[int]:
    return unpack_integers(packed) or [0] * len(runs.places)


def _tokens(runs: BlockRuns) -> Sequence[int]:
    sent, written = runs.prompt_tokens, runs.completion_tokens
    return list(map(add, _integers(sent, runs), _integers(written, runs)))


# No number, of a cost or a wall time that is unknown, is on neither side of a bound.
_COLUMNS: dict[str, Callable[[BlockRuns], Sequence[Any]]] = {
    "steps": lambda runs: _integers(runs.steps, runs),
    "total_ms": lambda runs: unpack_floats(runs.total_ms),
    "wall_ms": lambda runs: unpack_floats(runs.wall_ms),
    "cost_usd": lambda runs: unpack_floats(runs.costs),
    "prompt_tokens": lambda runs: _integers(runs.prompt_tokens, runs),
    "completion_tokens": lambda runs: _integers(runs.completion_tokens, runs),
    "tokens": _tokens,
}


# Values, each of which stands once for all runs that have it.

_ValuesOf: TypeAlias = Callable[[BlockRuns], Values]


def _facts(name: str) -> _ValuesOf:
    return lambda runs: runs.values_of_facts(name)


def _field(key: str) -> _ValuesOf:
    return lambda runs: runs.values_of_field(key)


def _is_one_of(values_of: _ValuesOf, text: str) -> Test:
    wanted = pack_text(text)
    return lambda runs: _at(values_of(runs).get(wanted, b""), runs)


def _some_is(values_of: _ValuesOf, name: str) -> Test:
    if "*" not in name:
        return _is_one_of(values_of, name)
    return _some(values_of, lambda packed: is_like(name, unpack_text(packed)))


def _metadata_equals(key: str, wanted: Any) -> Test:
    written = canonical(wanted)
    return _some(_metadata(key), lambda packed: canonical(loads(packed)) == written)


def _metadata_fulfils(condition: MetadataBound | MetadataIs | HasKey) -> Test:
    key = condition.key

    def holds(packed: bytes) -> bool:
        return bool(judge(condition, TraceSummary("", 0, 0.0, EPOCH, {key: loads(packed)})))

    return _some(_metadata(key), holds)


def _metadata(key: str) -> _ValuesOf:
    return lambda runs: runs.values_of_key(key)


def _some(values_of: _ValuesOf, holds: Callable[[bytes], bool]) -> Test:
    """Some value of a run fulfils this, which is asked once of each."""
    known: dict[bytes, bool] = {}

    def test(runs: BlockRuns) -> Marks:
        if len(known) > _MOST_KNOWN:
            known.clear()
        found: list[bytes] = []
        for value, places in values_of(runs).items():
            is_so = known.get(value)
            if is_so is None:
                is_so = known[value] = holds(value)
            if is_so:
                found.append(places)
        return _at(b"".join(found), runs)

    return test


def _has_field(condition: HasField) -> Test:
    field = condition.field
    if field in _HAS:
        return _HAS[field]
    if field in _HAS_FACT:
        return _some(_facts(_HAS_FACT[field]), lambda _: True)
    return _some(_field("tag" if field == "tags" else field), lambda _: True)


_HAS: dict[str, Test] = {
    "cost": lambda runs: _known(unpack_floats(runs.costs)),
    "tokens": lambda runs: int.from_bytes(bytes(map(bool, _tokens_or(runs))), "big"),
    "error": _errors,
}
_HAS_FACT = {"tool": "tool_names", "model": "models", "parent": "parent_run_id"}


def _known(values: Sequence[float]) -> Marks:
    return int.from_bytes(bytes(map(eq, values, values)), "big")


def _tokens_or(runs: BlockRuns) -> Sequence[int]:
    sent, written = runs.prompt_tokens, runs.completion_tokens
    return list(map(or_, _integers(sent, runs), _integers(written, runs)))


def _at(places: bytes, runs: BlockRuns) -> Marks:
    """The runs at these places."""
    if not places:
        return 0
    return int.from_bytes(runs.places.translate(marks_of(places)), "big")


_MAKERS: dict[type, Callable[[Any], Test]] = {
    AllOf: _every_part, AnyOf: _some_part, Not: _not, Bound: _bound, Moment: _moment,
    StepHas: _step_has, RunIs: _run_is, HasError: lambda _: _errors, HasField: _has_field,
    MetadataBound: _metadata_fulfils, MetadataIs: _metadata_fulfils, HasKey: _metadata_fulfils,
    ScoreBound: _of_annotations, LabelIs: _of_annotations, IsAnnotated: _of_annotations,
}  # fmt: skip
