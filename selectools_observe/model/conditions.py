"""Conditions on a run that can be combined: what the filter language means, in plain Python.

`judge` says whether a run fulfils one. Asked with less than the whole run it may answer None: only
the rest of the run can tell.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec

from .amounts import Number
from .annotations import Annotation
from .json_values import canonical
from .text_query import parse_text, trace_matches
from .trace import AgentTrace, TraceFacts, TraceSummary

Operator: TypeAlias = Literal["<", "<=", "=", ">=", ">"]
NumberField: TypeAlias = Literal[
    "steps", "total_ms", "wall_ms", "cost_usd", "tokens", "prompt_tokens", "completion_tokens"
]
TimeField: TypeAlias = Literal["created_at", "started_at"]
StepField: TypeAlias = Literal["tool", "model", "type"]
AnnotationField: TypeAlias = Literal["label", "score", "note"]
RunField: TypeAlias = Literal["run_id", "parent_run_id", "name", "session_id", "user_id", "agent",
                              "tags", "outcome"]  # fmt: skip

COMPARISONS: dict[Operator, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip
"""What each comparison says of a value and its bound."""


class AllOf(msgspec.Struct, frozen=True):
    """Every part holds."""

    parts: tuple[Condition, ...]


class AnyOf(msgspec.Struct, frozen=True):
    """Some part holds."""

    parts: tuple[Condition, ...]


class Not(msgspec.Struct, frozen=True):
    """The part does not hold."""

    part: Condition


class Bound(msgspec.Struct, frozen=True):
    """A number of the run, compared. A number that is unknown is on neither side of a bound."""

    field: NumberField
    operator: Operator
    value: Number


class Moment(msgspec.Struct, frozen=True):
    """When the run was saved or began, compared."""

    field: TimeField
    operator: Operator
    value: datetime


class MetadataBound(msgspec.Struct, frozen=True):
    """A number in the metadata, compared; what is absent or not a number does not fulfil it."""

    key: str
    operator: Operator
    value: Number


class MetadataIs(msgspec.Struct, frozen=True):
    """Metadata that equals one of the values as JSON, or an array of it that has one.

    With ``pattern`` instead: text that looks like it, ``*`` standing for anything.
    """

    key: str
    values: tuple[Any, ...] = ()
    pattern: str | None = None


class StepHas(msgspec.Struct, frozen=True):
    """Some step has this tool, model or type; ``*`` stands for anything.

    With ``failed``, that very step is of type ``error`` or carries an error.
    """

    field: StepField
    name: str
    failed: bool = False


class RunIs(msgspec.Struct, frozen=True):
    """A field of the run is this text, or one of its tags; ``*`` stands for anything.

    What a run does not say itself, its summary takes from its metadata: see `model.details`.
    """

    field: RunField
    name: str


class HasError(msgspec.Struct, frozen=True):
    """Some step is of type ``error`` or carries an error."""


class HasField(msgspec.Struct, frozen=True):
    """The run has such a thing at all: a known cost, an error, a tool call, a name, a user."""

    field: str


class ScoreBound(msgspec.Struct, frozen=True):
    """The score of the newest annotation with this name, compared."""

    name: str
    operator: Operator
    value: Number


class LabelIs(msgspec.Struct, frozen=True):
    """The newest annotation with this name, or one of any name, has this label; ``*`` stands for
    anything.
    """

    label: str
    name: str | None = None


class IsAnnotated(msgspec.Struct, frozen=True):
    """There is an annotation, with this name if one is given, that has a label, score or note."""

    field: AnnotationField | None = None
    name: str | None = None


class HasKey(msgspec.Struct, frozen=True):
    """The metadata has this key."""

    key: str


class Contains(msgspec.Struct, frozen=True):
    """The run's texts have every term of a text query."""

    text: str


Condition: TypeAlias = (
    AllOf | AnyOf | Not | Bound | Moment | MetadataBound | MetadataIs | StepHas | RunIs | HasError
    | HasField | HasKey | Contains | ScoreBound | LabelIs | IsAnnotated
)  # fmt: skip
CONDITIONS = (
    AllOf, AnyOf, Not, Bound, Moment, MetadataBound, MetadataIs, StepHas, RunIs, HasError,
    HasField, HasKey, Contains, ScoreBound, LabelIs, IsAnnotated,
)  # fmt: skip

FIELDS_TO_HAVE = (
    "cost", "tokens", "error", "tool", "model", "parent", "name", "session", "user", "agent",
    "tags", "outcome",
)  # fmt: skip
"""What `HasField` can ask for."""

_RUN_FIELD_OF = {
    "parent": "parent_run_id", "name": "name", "session": "session_id", "user": "user_id",
    "agent": "agent", "tags": "tags", "outcome": "outcome",
}  # fmt: skip


def judge(
    condition: Condition,
    summary: TraceSummary,
    facts: TraceFacts | None = None,
    trace: AgentTrace | None = None,
) -> bool | None:
    """Whether a run fulfils a condition; None if what is given does not tell."""
    match condition:
        case AllOf(parts):
            return _all(judge(part, summary, facts, trace) for part in parts)
        case AnyOf(parts):
            answer = _all(_not(judge(part, summary, facts, trace)) for part in parts)
            return _not(answer)
        case Not(part):
            return _not(judge(part, summary, facts, trace))
        case Contains(text):
            return None if trace is None else trace_matches(parse_text(text), trace)
    if needs_facts(condition):
        return None if facts is None else _of_facts(condition, facts)
    return _of_summary(condition, summary)


def _all(answers: Iterable[bool | None]) -> bool | None:
    known: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        known = known if answer else None
    return known


def _not(answer: bool | None) -> bool | None:  # noqa: FBT001 - there is nothing else
    return None if answer is None else not answer


def needs_facts(condition: Condition) -> bool:
    """Whether more than a summary is needed for a condition that is not made of others."""
    match condition:
        case StepHas() | RunIs("parent_run_id") | HasField("tool" | "model" | "parent"):
            return True
    return False


def _of_facts(condition: Condition, facts: TraceFacts) -> bool:
    if isinstance(condition, StepHas):
        return _some_is(condition.name, names_of(facts, condition.field, condition.failed))
    if isinstance(condition, RunIs):
        parent = facts.parent_run_id
        return parent is not None and _some_is(condition.name, (parent,))
    if condition == HasField("parent"):
        return facts.parent_run_id is not None
    return bool(facts.tool_names if condition == HasField("tool") else facts.models)


def names_of(facts: TraceFacts, field: StepField, failed: bool) -> frozenset[str]:  # noqa: FBT001
    """The types, tools or models of the steps, or of those that failed."""
    if field == "type":
        return facts.failed_types if failed else facts.step_types
    if field == "tool":
        return facts.failed_tools if failed else facts.tool_names
    return facts.failed_models if failed else facts.models


def _of_summary(condition: Condition, summary: TraceSummary) -> bool:
    try:
        holds = _HOLDS[type(condition)]
    except KeyError:
        raise TypeError(f"not a condition: {condition!r:.80}") from None
    return holds(condition, summary)


def _bound_holds(condition: Bound, summary: TraceSummary) -> bool:
    number = number_of(summary, condition.field)
    return number is not None and COMPARISONS[condition.operator](number, condition.value)


def _moment_holds(condition: Moment, summary: TraceSummary) -> bool:
    moment = moment_of(summary, condition.field)
    return moment is not None and COMPARISONS[condition.operator](moment, condition.value)


def _metadata_bound_holds(condition: MetadataBound, summary: TraceSummary) -> bool:
    found = summary.metadata.get(condition.key)
    return _is_number(found) and COMPARISONS[condition.operator](found, condition.value)


def number_of(summary: TraceSummary, field: NumberField) -> Number | None:
    """A number of a run; None if it is unknown."""
    if field == "tokens":
        return summary.prompt_tokens + summary.completion_tokens
    number: Number | None = getattr(summary, field)
    return number


def moment_of(summary: TraceSummary, field: TimeField) -> datetime | None:
    """When a run was saved or began; None if that is unknown."""
    moment: datetime | None = getattr(summary, field)
    return moment


def _metadata_is(condition: MetadataIs, summary: TraceSummary) -> bool:
    if condition.key not in summary.metadata:
        return False
    value = summary.metadata[condition.key]
    every = [value, *value] if isinstance(value, list) else [value]
    if condition.pattern is not None:
        return _some_is(condition.pattern, (one for one in every if isinstance(one, str)))
    wanted = {canonical(one) for one in condition.values}
    return any(canonical(one) in wanted for one in every)


def _texts_of(summary: TraceSummary, field: RunField) -> Iterator[str]:
    value = getattr(summary, field)
    for one in value if isinstance(value, list | tuple | frozenset) else (value,):
        if isinstance(one, str):
            yield one


def _has_field(field: str, summary: TraceSummary) -> bool:
    if field == "cost":
        return summary.cost_usd is not None
    if field == "tokens":
        return bool(summary.prompt_tokens or summary.completion_tokens)
    if field == "error":
        return summary.has_error
    return next(_texts_of(summary, _RUN_FIELD_OF[field]), None) is not None  # type: ignore[arg-type]


def _score_holds(condition: ScoreBound, summary: TraceSummary) -> bool:
    score = score_of(summary, condition.name)
    return score is not None and COMPARISONS[condition.operator](score, condition.value)


def score_of(summary: TraceSummary, name: str) -> Number | None:
    """The score of the newest annotation with this name; None if it has none."""
    found = summary.annotations.get(name)
    return None if found is None else found.score


def _annotations_of(summary: TraceSummary, name: str | None) -> Iterable[Annotation]:
    if name is None:
        return summary.annotations.values()
    return (summary.annotations[name],) if name in summary.annotations else ()


def _label_is(condition: LabelIs, summary: TraceSummary) -> bool:
    found = _annotations_of(summary, condition.name)
    return _some_is(condition.label, [one.label for one in found if one.label is not None])


def _is_annotated(condition: IsAnnotated, summary: TraceSummary) -> bool:
    found, field = _annotations_of(summary, condition.name), condition.field
    return any(field is None or getattr(one, field) is not None for one in found)


_HOLDS: dict[type, Callable[[Any, TraceSummary], bool]] = {
    Bound: _bound_holds,
    Moment: _moment_holds,
    MetadataBound: _metadata_bound_holds,
    MetadataIs: _metadata_is,
    RunIs: lambda condition, summary: _some_is(condition.name, _texts_of(summary, condition.field)),
    HasError: lambda _, summary: summary.has_error,
    HasKey: lambda condition, summary: condition.key in summary.metadata,
    HasField: lambda condition, summary: _has_field(condition.field, summary),
    ScoreBound: _score_holds,
    LabelIs: _label_is,
    IsAnnotated: _is_annotated,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_like(name: str, text: str) -> bool:
    """Whether a text is this name, in which ``*`` stands for anything."""
    return _some_is(name, (text,))


def _some_is(name: str, texts: Iterable[str]) -> bool:
    if "*" not in name:
        return name in texts
    pattern = _pattern(name)
    return any(pattern.fullmatch(text) for text in texts)


@lru_cache(maxsize=256)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL)


def conjuncts(condition: Condition | None) -> Iterator[Condition]:
    """Parts that must all hold, as far as that can be told by looking at the tree."""
    if isinstance(condition, AllOf):
        for part in condition.parts:
            yield from conjuncts(part)
    elif condition is not None:
        yield condition


def leaves(condition: Condition | None) -> Iterator[Condition]:
    """All conditions that are not made of others."""
    waiting = [] if condition is None else [condition]
    while waiting:
        one = waiting.pop()
        if isinstance(one, AllOf | AnyOf):
            waiting += one.parts
        elif isinstance(one, Not):
            waiting.append(one.part)
        else:
            yield one
