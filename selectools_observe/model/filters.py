"""What a filter means. `matches` says it once; every backend gives exactly what it gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, tzinfo
from functools import wraps
from operator import attrgetter
from typing import Any, Self, TypeAlias, TypeVar

from .amounts import Number
from .conditions import (
    COMPARISONS,
    CONDITIONS,
    AllOf,
    Condition,
    Contains,
    IsAnnotated,
    LabelIs,
    Operator,
    RunIs,
    ScoreBound,
    conjuncts,
    judge,
    leaves,
    needs_facts,
)
from .filter_language import (
    FilterSyntaxError,
    check_keys,
    lower_case_operator,
    metadata_keys,
    parse_condition,
)
from .groups import TraceFacets, stored_key
from .json_values import UnstorableValueError, canonical, plain
from .ordering import Order, parse_order
from .text_query import TextQuery, parse_text, trace_matches
from .trace import AgentTrace, StepType, TraceFacts, TraceSummary

SummaryTest: TypeAlias = Callable[[TraceSummary], bool]
FilterT = TypeVar("FilterT", bound="TraceFilter")


class _Noted:
    """What a filter notes of itself when it is made."""

    _fields_set: tuple[str, ...]


def _filled_at_once(made: type[FilterT]) -> type[FilterT]:
    """The same frozen dataclass, of which a new one sets what is given and nothing else.

    The method that dataclasses write sets each field in a call of its own.
    """
    one_by_one: Callable[..., None] = made.__init__

    @wraps(one_by_one)
    def fill(self: FilterT, *values: object, **given: object) -> None:
        if values or not given.keys() <= _CHECKS.keys():
            one_by_one(self, *values, **given)
            return
        self.__dict__.update(given)
        self.__post_init__()

    type.__setattr__(made, "__init__", fill)
    return made


@_filled_at_once
@dataclass(frozen=True)
class TraceFilter(_Noted):
    """Which traces `query`, `count` and the iterators are to give.

    Every field that is set must hold; an unset field asks nothing. Bounds that exclude everything
    match nothing.

    Attributes:
        metadata_match: Every pair must be in the metadata: the key literally, at the top level; the
            value equal as JSON (``1`` equals ``1.0``, ``True`` is not ``1``, objects and arrays
            deeply). ``None`` matches a stored null, not an absent key.
        min_steps: Fewest steps.
        max_steps: Most steps.
        since: Saved at or after this instant; timezone-aware.
        until: Saved at or before this instant; timezone-aware.
        min_ms: The steps' durations sum to at least this, milliseconds.
        max_ms: They sum to at most this.
        min_cost_usd: The steps' costs sum to at least this, US dollars; a run whose cost nobody
            knows is within no bounds.
        max_cost_usd: They sum to at most this.
        parent_run_id: Started by this run.
        run_ids: One of these runs.
        has_error: True: some step is of type ``error`` or carries an error; False: none.
        step_type: Some step is of this type.
        tool_name: Some step has this tool.
        model: Some step has this model.
        name: The run has this name.
        session_id: It is part of this conversation.
        user_id: It was made for this user.
        agent: This agent made it.
        tags: It has all of these tags.
        outcome: It ended so: one of `OUTCOMES`, or another word that runs say.
        started_since: It began at or after this instant; timezone-aware.
        started_until: It began at or before this instant; timezone-aware.
        min_wall_ms: From its beginning to its end it took at least this, milliseconds.
        max_wall_ms: It took at most this.
        text: Its texts have every term of this query: words, which find what begins with them, and
            "quoted phrases"; case and accents do not matter. See ``docs/filters.md``.
        where: A condition in the filter language (``reward<1 -tool:think``), or one made of
            `model.conditions`.
        order_by: ``created_at``, ``started_at``, ``total_ms``, ``wall_ms``, ``cost_usd``,
            ``tokens``, ``steps`` or ``score.NAME`` (of annotations), with ``-`` before it
            for the largest first. Of equal ones the order of saving decides, in the same direction;
            what is unknown comes last. None: the order of saving, newest first.
        limit: The first so many of those that match; ``count`` stops there too.

    Raises:
        TypeError: A field has the wrong type, or is unknown.
        ValueError: A datetime without a timezone, a bound that is not a number, a negative limit,
            a metadata value that JSON has no form for, a text without a word, an unknown order, or
            a ``where`` that cannot be read.

    ``name`` to ``outcome`` ask for what summaries say, whether the run's own fields say it or its
    metadata. Of a run whose beginning or whose wall time nothing tells, no bound on it holds.
    """

    metadata_match: Mapping[str, Any] | None = None
    min_steps: int | None = None
    max_steps: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    min_ms: Number | None = None
    max_ms: Number | None = None
    min_cost_usd: Number | None = None
    max_cost_usd: Number | None = None
    parent_run_id: str | None = None
    run_ids: Iterable[str] | None = None
    has_error: bool | None = None
    step_type: StepType | str | None = None
    tool_name: str | None = None
    model: str | None = None
    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    tags: Iterable[str] | None = None
    outcome: str | None = None
    started_since: datetime | None = None
    started_until: datetime | None = None
    min_wall_ms: Number | None = None
    max_wall_ms: Number | None = None
    limit: int | None = None
    text: str | None = None
    where: Condition | str | None = None
    order_by: str | None = None

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        keys: Collection[str] | None = None,
        now: datetime | None = None,
        zone: tzinfo | None = None,
        **fields: Any,
    ) -> Self:
        """The filter that a text in the filter language means.

        Args:
            text: Such as ``reward<1 -tool:think status:error latency>5s "gift card"``.
            keys: The metadata keys that runs have (see `facets`): another is refused.
            now: What ``since:2h`` is counted from.
            zone: The zone of days and times that name none; local time if None.
            **fields: Further fields of the filter.

        Raises:
            FilterSyntaxError: The text cannot be read, or names a key that is not known.
        """
        return cls(where=parse_condition(text, keys=keys, now=now, zone=zone), **fields)

    def __post_init__(self) -> None:
        given = self.__dict__
        names = sorted(given.keys() & _CHECKS.keys(), key=_PLACES.__getitem__)
        for name in names:
            if given[name] is not None:
                given[name] = _CHECKS[name](name, given[name])
        # Once more: an empty text asks nothing.
        given["_fields_set"] = tuple([name for name in names if given[name] is not None])


def matches(
    filters: TraceFilter, summary: TraceSummary, facts: TraceFacts, trace: AgentTrace | None = None
) -> bool:
    """Whether a trace with this summary and these facts is one that the filter asks for.

    Raises:
        TypeError: The filter asks for the run's texts, and the trace is not given.
    """
    found = verdict(filters, summary, facts, trace)
    if found is None:
        raise TypeError("this filter asks for the texts of a run: give the trace too")
    return found


def verdict(
    filters: TraceFilter,
    summary: TraceSummary,
    facts: TraceFacts | None = None,
    trace: AgentTrace | None = None,
) -> bool | None:
    """`matches`, as far as what is given tells; None if it takes more of the run."""
    if not matches_summary(filters, summary):
        return False
    return rest_of_verdict(filters, summary, facts, trace)


def rest_of_verdict(
    filters: TraceFilter,
    summary: TraceSummary,
    facts: TraceFacts | None = None,
    trace: AgentTrace | None = None,
) -> bool | None:
    """`verdict` of a run that `summary_test` lets through."""
    if facts is not None and not matches_facts(filters, facts):
        return False
    is_plain = filters.where is None and filters.text is None
    answer = True if is_plain else _further(filters, summary, facts, trace)
    return None if answer and facts is None and asks_for_facts(filters) else answer


def _further(
    filters: TraceFilter,
    summary: TraceSummary,
    facts: TraceFacts | None,
    trace: AgentTrace | None,
) -> bool | None:
    """What the text and the condition say."""
    answer: bool | None = True
    if filters.where is not None:
        answer = judge(condition_of(filters), summary, facts, trace)
    if filters.text is not None and answer is not False:
        if trace is None:
            return None
        return trace_matches(parse_text(filters.text), trace) and answer
    return answer


def condition_of(filters: TraceFilter) -> Condition:
    """The filter's ``where``; one that always holds if it has none."""
    where = filters.where
    return AllOf(()) if where is None or isinstance(where, str) else where


def order_of(filters: TraceFilter) -> Order | None:
    """The filter's order; None for that of saving."""
    return None if filters.order_by is None else parse_order(filters.order_by)


def asks_for_texts(filters: TraceFilter) -> bool:
    """Whether `matches` may need the whole trace."""
    if filters.text is not None:
        return True
    if filters.where is None:
        return False
    return any(isinstance(leaf, Contains) for leaf in leaves(condition_of(filters)))


def asks_for_annotations(filters: TraceFilter) -> bool:
    """Whether `matches`, or the order, depends on the annotations of a run."""
    if filters.order_by is not None and parse_order(filters.order_by).is_of_score:
        return True
    asked = (ScoreBound, LabelIs, IsAnnotated)
    return any(isinstance(leaf, asked) for leaf in leaves(condition_of(filters)))


def needed_annotations(filters: TraceFilter) -> list[str | None]:
    """Names of which every run that matches has an annotation, None being any name."""
    parts = conjuncts(condition_of(filters))
    asked = (ScoreBound, LabelIs, IsAnnotated)
    return [part.name for part in parts if isinstance(part, asked)]


def scored(filters: TraceFilter, order: Order) -> TraceFilter:
    """The filter, and that a run has the score of this order besides."""
    has_score = IsAnnotated("score", order.field.removeprefix("score."))
    return replace(filters, where=AllOf((condition_of(filters), has_score)))


def grouped(filters: TraceFilter, by: str) -> TraceFilter:
    """The filter without runs that are in no group: few of them have a label."""
    if filters.limit is not None or stored_key(by) is not None:
        return filters
    has_label = IsAnnotated("label", None if by == "label" else by.removeprefix("label."))
    return replace(filters, where=AllOf((condition_of(filters), has_label)))


def needed_text(filters: TraceFilter) -> TextQuery | None:
    """Terms that every run that matches has; None if there are none."""
    texts = [] if filters.text is None else [filters.text]
    parts = conjuncts(condition_of(filters))
    texts += [part.text for part in parts if isinstance(part, Contains)]
    if not texts:
        return None
    terms = [term for text in texts for term in parse_text(text).terms]
    return TextQuery(tuple(dict.fromkeys(terms)))


def with_text(filters: TraceFilter, text: str) -> TraceFilter:
    """The filter, and every term of a text query besides."""
    if filters.text is not None:
        closed = filters.text + '"' * (filters.text.count('"') % 2)
        text = f"{closed} {text}"
    return replace(filters, text=text)


def may_explain(filters: TraceFilter) -> bool:
    """Whether `why_nothing` may have something to say."""
    condition = condition_of(filters)
    return bool(metadata_keys(condition)) or lower_case_operator(condition) is not None


def check_named_keys(filters: TraceFilter, keys: Collection[str], text: str = "") -> None:
    """Refuse a ``where`` that names a metadata key which no run has.

    Raises:
        FilterSyntaxError: It does; the nearest one is named.
    """
    check_keys(condition_of(filters), keys, text)


def why_nothing(filters: TraceFilter, facets: TraceFacets) -> str | None:
    """What is wrong with a ``where`` that finds nothing, as far as it tells.

    It has ``or`` for ``OR``, or names a key which no run has, of those of `KEYS_OF`.
    """
    problem = lower_case_operator(condition_of(filters))
    if problem is not None:
        return problem
    try:
        check_named_keys(filters, facets.metadata)
    except FilterSyntaxError as error:
        some = f" (of the newest {facets.runs:,})" if facets.runs == KEYS_OF.limit else ""
        return f"{error.problem}{some}"
    return None


def matches_summary(filters: TraceFilter, summary: TraceSummary) -> bool:
    """The part of `matches` that needs the summary only."""
    return all([test(summary) for test in _summary_tests(filters)])


def summary_test(filters: TraceFilter) -> SummaryTest:
    """What tells of many summaries whether the run may match: False where `verdict` says so."""
    tests = _summary_tests(filters)
    if filters.where is not None:
        condition = condition_of(filters)
        tests.append(lambda summary: judge(condition, summary) is not False)
    if len(tests) == 1:
        return tests[0]
    if not tests:
        return lambda _: True
    return lambda summary: all([test(summary) for test in tests])


def are_within_bounds(filters: TraceFilter, summaries: Sequence[TraceSummary]) -> bool:
    """Whether all of these runs, of which there are some, are within the bounds.

    Raises:
        TypeError: What is compared is not known of some.
    """
    for name in filter(BOUNDS.__contains__, fields_set(filters)):
        field, operator = BOUNDS[name]
        furthest = min if operator == ">=" else max
        value = furthest(map(attrgetter(field), summaries))
        if not COMPARISONS[operator](value, getattr(filters, name)):
            return False
    return True


def _summary_tests(filters: TraceFilter) -> list[SummaryTest]:
    asked = filter(_SUMMARY_TESTS.__contains__, fields_set(filters))
    return [_SUMMARY_TESTS[name](getattr(filters, name)) for name in asked]


def _is(field: str) -> Callable[[object], SummaryTest]:
    value_of = attrgetter(field)
    return lambda wanted: lambda summary: bool(value_of(summary) == wanted)


BOUNDS: dict[str, tuple[str, Operator]] = {
    "min_steps": ("steps", ">="), "max_steps": ("steps", "<="),
    "since": ("created_at", ">="), "until": ("created_at", "<="),
    "min_ms": ("total_ms", ">="), "max_ms": ("total_ms", "<="),
    "min_cost_usd": ("cost_usd", ">="), "max_cost_usd": ("cost_usd", "<="),
    "started_since": ("started_at", ">="), "started_until": ("started_at", "<="),
    "min_wall_ms": ("wall_ms", ">="), "max_wall_ms": ("wall_ms", "<="),
}  # fmt: skip
"""The bounds of a filter: which field of a summary each compares, and how."""


def _bounded(field: str, operator: Operator) -> Callable[[Any], SummaryTest]:
    value_of, holds = attrgetter(field), COMPARISONS[operator]
    return lambda bound: lambda s: (value := value_of(s)) is not None and holds(value, bound)


# What each field of a filter asks of a summary.
_SUMMARY_TESTS: dict[str, Callable[[Any], SummaryTest]] = {
    "run_ids": lambda run_ids: lambda summary: summary.run_id in run_ids,
    "tags": lambda tags: lambda summary: set(tags).issubset(summary.tags),
    **{name: _is(name) for name in ("name", "session_id", "user_id", "agent", "outcome")},
    **{name: _bounded(*compared) for name, compared in BOUNDS.items()},
    "metadata_match": lambda wanted: lambda summary: _holds(summary.metadata, wanted),
}  # fmt: skip


def matches_facts(filters: TraceFilter, facts: TraceFacts) -> bool:
    """The part of `matches` that needs the facts only."""
    return (
        (filters.parent_run_id is None or facts.parent_run_id == filters.parent_run_id)
        and (filters.has_error is None or facts.has_error == filters.has_error)
        and (filters.step_type is None or filters.step_type in facts.step_types)
        and (filters.tool_name is None or filters.tool_name in facts.tool_names)
        and (filters.model is None or filters.model in facts.models)
    )


def asks_for_facts(filters: TraceFilter) -> bool:
    """Whether `matches` needs more than a summary."""
    if not (
        filters.parent_run_id is None
        and filters.has_error is None
        and filters.step_type is None
        and filters.tool_name is None
        and filters.model is None
    ):
        return True
    return filters.where is not None and any(map(needs_facts, leaves(condition_of(filters))))


def _holds(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    for key, value in wanted.items():
        if key not in metadata or not _equal(metadata[key], value):
            return False
    return True


def _equal(one: Any, other: Any) -> bool:
    if one.__class__ is str and other.__class__ is str:
        return bool(one == other)  # spares the ordinary case the writing of two texts
    return canonical(one) == canonical(other)


def fields_set(filters: TraceFilter) -> tuple[str, ...]:
    """The names of the fields that ask something."""
    return filters._fields_set  # noqa: SLF001 - its own module's


def check_page(limit: int, offset: int) -> None:
    """Refuse what SQLite would read as 'all'.

    Raises:
        ValueError: A negative limit or offset.
        TypeError: One that is no integer.
    """
    _count("limit", limit)
    _count("offset", offset)


def check_filter(filters: TraceFilter) -> TraceFilter:
    """A filter as stores take it; refuse what is none.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(filters, TraceFilter):
        raise TypeError(f"filters must be a TraceFilter, not {type(filters).__name__}")
    return filters if filters.where is None else _with_its_run_id(filters)


def _with_its_run_id(filters: TraceFilter) -> TraceFilter:
    """The filter; with the run that its ``where`` names as a field, by which stores find it."""
    for part in conjuncts(condition_of(filters)):
        match part:
            case RunIs("run_id", run_id) if "*" not in run_id and filters.run_ids is None:
                return replace(filters, run_ids=[run_id])
    return filters


def _wrong_type(name: str, value: object, wanted: str) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}: {value!r:.80}")


def _metadata(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong_type(name, value, "a mapping")
    try:
        normal: dict[str, Any] = plain(dict(value), name)
    except UnstorableValueError as error:
        raise ValueError(f"{error.path} {error.reason}") from error
    return normal


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong_type(name, value, "an integer")
    return value


def _count(name: str, value: object) -> int:
    number = _integer(name, value)
    if number < 0:
        raise ValueError(f"{name} must not be negative: {number}")
    return number


def _number(name: str, value: object) -> Number:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong_type(name, value, "a number")
    if value != value:  # noqa: PLR0124 - the test for NaN that takes integers of any size
        raise ValueError(f"{name} must be a number, not {math.nan}")
    return value


def _instant(name: str, value: object) -> datetime:
    if not isinstance(value, datetime):
        raise _wrong_type(name, value, "a datetime")
    if value.utcoffset() is None:
        raise ValueError(
            f"{name} has no timezone: {value!r}. Make it aware: datetime.now(timezone.utc), "
            f"or {name}.astimezone() for local time"
        )
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong_type(name, value, "a string")
    return value


def _step_type(name: str, value: object) -> StepType:
    return StepType(_text(name, value))


def _texts(name: str, value: object) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise _wrong_type(name, value, "a collection of strings")
    return frozenset(_text(f"each of {name}", item) for item in value)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(name, value, "True or False")
    return value


def _text_query(name: str, value: object) -> str | None:
    text = _text(name, value)
    if not text.strip():
        return None  # as an empty search box asks nothing
    parse_text(text)
    return text


def _condition(name: str, value: object) -> Condition | None:
    if isinstance(value, str):
        return parse_condition(value)
    if not isinstance(value, CONDITIONS):
        raise _wrong_type(name, value, "a text in the filter language, or a condition")
    return value


def _order(name: str, value: object) -> str:
    parse_order(_text(name, value))
    return str(value)


_CHECKS_OF_TYPES: dict[object, Callable[[str, object], object]] = {
    "int": _integer, "Number": _number, "str": _text, "bool": _flag, "datetime": _instant,
    "Iterable[str]": _texts, "StepType | str": _step_type, "Mapping[str, Any]": _metadata,
    "Condition | str": _condition,
}  # fmt: skip
# What each field of a filter is held to: as its type says, but for three.
_CHECKS = {
    field.name: _CHECKS_OF_TYPES[str(field.type).removesuffix(" | None")]
    for field in fields(TraceFilter)
} | {"limit": _count, "text": _text_query, "order_by": _order}
_PLACES = {name: place for place, name in enumerate(_CHECKS)}

KEYS_OF = TraceFilter(limit=1000)
"""The runs whose metadata keys are looked at when a filter finds nothing: the newest."""
