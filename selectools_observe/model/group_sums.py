"""Sums over runs or calls that have something in common; those of parts can be added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import add, itemgetter
from typing import TypeVar

import msgspec

from .amounts import added
from .annotation_statistics import AnnotationCollector, AnnotationStatistics
from .percentiles import LARGEST, PercentileBuilder, Percentiles, Sketch
from .rollups import CallRollup
from .trace import TraceSummary

T = TypeVar("T")

MOST_TOKENS = 2**63 - 1
"""What a sum of tokens ends at: so it can be kept anywhere."""

MOST_VALUES = 128
"""So many values of a part are kept as they are: what is rare stays exact."""


@dataclass(frozen=True, slots=True)
class Group:
    """Runs, or calls, that have something in common.

    Attributes:
        key: What they have in common: the model's or the tool's name; for a day or an hour the
            ISO text of its beginning, such as ``2026-03-01`` or ``2026-03-01T09:00+00:00``.
        start: The beginning of the day or hour, aware; None for models and tools.
        runs: How many runs.
        calls: How many steps: of the runs, or with this model or tool. Selecting a tool
            is not a call.
        errors: For times, the runs in which some step failed; for models and tools, the calls that
            failed.
        prompt_tokens: Tokens sent to models; `MOST_TOKENS` at most.
        completion_tokens: Tokens that models wrote; likewise.
        cost_usd: US dollars, spread over the runs, or over the calls whose cost is known.
        duration_ms: Milliseconds, spread over runs or calls. A run's duration is the sum of its
            steps'.
        tokens: Tokens both ways, spread over runs or calls.
        annotations: By name, what the newest annotations of the runs say together; of a model or
            a tool, those of the runs that called it.
        models: Of a day or an hour, by model, what the calls of its runs add up to; empty where
            models were not asked for.
    """

    key: str
    start: datetime | None
    runs: int
    calls: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Percentiles
    duration_ms: Percentiles
    tokens: Percentiles
    annotations: dict[str, AnnotationStatistics] = field(default_factory=dict)
    models: dict[str, ModelUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What the calls of one model add up to, of the runs of a day or an hour.

    Attributes:
        calls: How many steps.
        prompt_tokens: Tokens sent to it.
        completion_tokens: Tokens that it wrote.
        cost_usd: US dollars; None if no call says what it cost.
    """

    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


class CallSums(msgspec.Struct, array_like=True, gc=False):
    """What some calls of a model add up to; the fields are those of `ModelUse`.

    Attributes:
        priced: How many calls say what they cost.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    priced: int = 0

    def add(self, other: CallSums) -> None:
        """Count what others have counted."""
        self.calls += other.calls
        self.prompt_tokens = limited(self.prompt_tokens + other.prompt_tokens)
        self.completion_tokens = limited(self.completion_tokens + other.completion_tokens)
        self.cost_usd = min(self.cost_usd + other.cost_usd, LARGEST)
        self.priced += other.priced

    def add_costs(self, costs: Iterable[float]) -> None:
        """Count costs; no number is one that nobody knows."""
        known = [cost for cost in costs if cost == cost]  # noqa: PLR0124 - a number
        if not known:
            return
        self.priced += len(known)
        if not (min(known) >= 0 and max(known) <= LARGEST):
            known = [cost for cost in known if 0 < cost <= LARGEST]
        self.cost_usd = min(self.cost_usd + added(known), LARGEST)

    def built(self) -> ModelUse:
        """What was counted."""
        cost = self.cost_usd if self.priced else None
        return ModelUse(self.calls, self.prompt_tokens, self.completion_tokens, cost)


def limited(tokens: int) -> int:
    """A sum of tokens, `MOST_TOKENS` at most."""
    return max(-MOST_TOKENS, min(tokens, MOST_TOKENS))


class GroupSums(msgspec.Struct, array_like=True, gc=False):
    """What a `GroupBuilder` has taken; the fields are those of `Group`."""

    runs: int
    calls: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Sketch
    duration_ms: Sketch
    tokens: Sketch


class RunColumns(msgspec.Struct, gc=False):
    """What statistics ask of many runs, a column for each; newest first.

    Attributes:
        steps: How many steps each has.
        errors: Whether some step failed, 0 or 1.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens written.
        total_ms: Milliseconds.
        costs: US dollars; no number where they are unknown.
    """

    steps: Sequence[int]
    errors: Sequence[int]
    prompt_tokens: Sequence[int]
    completion_tokens: Sequence[int]
    total_ms: Sequence[float]
    costs: Sequence[float]

    def at(self, places: Sequence[int]) -> RunColumns:
        """Some of the runs."""
        return RunColumns(*(chosen(getattr(self, name), places) for name in self.__struct_fields__))


def chosen(column: Sequence[T], places: Sequence[int]) -> Sequence[T]:
    """The values at these places."""
    if len(places) == 1:
        return [column[places[0]]]
    return itemgetter(*places)(column) if places else []


class CallColumns(msgspec.Struct, gc=False):
    """What statistics ask of the calls of one model or tool, a column for each.

    Attributes:
        errors: Whether each failed, 0 or 1.
        prompt_tokens: Tokens sent; nothing if no call has any.
        completion_tokens: Tokens written; likewise.
        durations: Milliseconds.
        costs: US dollars, no number where they are unknown; nothing if all are.
    """

    errors: Sequence[int]
    prompt_tokens: Sequence[int]
    completion_tokens: Sequence[int]
    durations: Sequence[float]
    costs: Sequence[float]

    def at(self, places: Sequence[int]) -> CallColumns:
        """Some of the calls."""
        columns = (getattr(self, name) for name in self.__struct_fields__)
        return CallColumns(*(chosen(column, places) if column else () for column in columns))


def sums_by(keys: Iterable[int], calls: CallColumns) -> dict[int, CallSums]:
    """What calls add up to by something of theirs, such as the time of their runs.

    Args:
        keys: The key of each.
        calls: The calls.
    """
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        found = places.get(key)
        if found is None:
            places[key] = [place]
        else:
            found.append(place)
    if len(places) == 1:
        return {key: _sums(calls) for key in places}
    return {key: _sums(calls.at(those)) for key, those in places.items()}


def _sums(calls: CallColumns) -> CallSums:
    sent, written = sum(calls.prompt_tokens), sum(calls.completion_tokens)
    sums = CallSums(len(calls.durations), limited(sent), limited(written))
    sums.add_costs(calls.costs)
    return sums


def sums_of(calls: CallRollup) -> CallSums:
    """What the calls of one model in one run add up to."""
    sent, written = limited(calls.prompt_tokens), limited(calls.completion_tokens)
    found = CallSums(calls.calls, sent, written)
    found.add_costs(calls.costs)
    return found


class GroupBuilder:
    """Adds up runs or calls."""

    def __init__(self, key: str, start: datetime | None = None) -> None:
        self.key = key
        self.start = start
        self.runs = self.calls = self.errors = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.cost_usd, self.duration_ms, self.tokens = (PercentileBuilder() for _ in range(3))
        self.annotations = AnnotationCollector()
        self.models: dict[str, CallSums] = {}

    def take_use(self, model: str, sums: CallSums) -> None:
        """Count calls of a model in runs that are counted here."""
        if model not in self.models:
            self.models[model] = CallSums()
        self.models[model].add(sums)

    def take_run(self, summary: TraceSummary) -> None:
        """Count a run."""
        self.runs += 1
        self.calls += summary.steps
        self.errors += summary.has_error
        self.prompt_tokens += summary.prompt_tokens
        self.completion_tokens += summary.completion_tokens
        self.duration_ms.add(summary.total_ms)
        self.tokens.add(summary.prompt_tokens + summary.completion_tokens)
        if summary.cost_usd is not None:
            self.cost_usd.add(summary.cost_usd)

    def take_runs(self, runs: RunColumns) -> None:
        """Count many runs."""
        self.runs += len(runs.steps)
        self.calls += sum(runs.steps)
        self.errors += sum(runs.errors)
        self.prompt_tokens += sum(runs.prompt_tokens)
        self.completion_tokens += sum(runs.completion_tokens)
        self.duration_ms.extend(runs.total_ms)
        self.tokens.extend(list(map(add, runs.prompt_tokens, runs.completion_tokens)))
        self.cost_usd.extend([cost for cost in runs.costs if cost == cost])  # noqa: PLR0124 - a number

    def take_calls(self, calls: CallRollup) -> None:
        """Count the calls of one run, without the run."""
        self.calls += calls.calls
        self.errors += calls.errors
        self.prompt_tokens += calls.prompt_tokens
        self.completion_tokens += calls.completion_tokens
        self.duration_ms.extend(calls.durations)
        self.tokens.extend(calls.tokens)
        self.cost_usd.extend(calls.costs)

    def take_many_calls(self, calls: CallColumns, runs: int) -> None:
        """Count the calls of many runs, and the runs."""
        self.runs += runs
        self.calls += len(calls.durations)
        self.errors += sum(calls.errors)
        self.duration_ms.extend(calls.durations)
        if calls.prompt_tokens:
            self.prompt_tokens += sum(calls.prompt_tokens)
            self.completion_tokens += sum(calls.completion_tokens)
            pairs = zip(calls.prompt_tokens, calls.completion_tokens, strict=True)
            self.tokens.extend([prompt + written for prompt, written in pairs if prompt or written])
        self.cost_usd.extend([cost for cost in calls.costs if cost == cost])  # noqa: PLR0124 - a number

    def take_sums(self, sums: GroupSums) -> None:
        """Count what others have counted."""
        self.runs += sums.runs
        self.calls += sums.calls
        self.errors += sums.errors
        self.prompt_tokens += sums.prompt_tokens
        self.completion_tokens += sums.completion_tokens
        self.cost_usd.add_sketch(sums.cost_usd)
        self.duration_ms.add_sketch(sums.duration_ms)
        self.tokens.add_sketch(sums.tokens)

    def sums(self, most_values: int = MOST_VALUES) -> GroupSums:
        """What was counted, to be added elsewhere; so many values at most as they are."""
        return GroupSums(
            self.runs,
            self.calls,
            self.errors,
            limited(self.prompt_tokens),
            limited(self.completion_tokens),
            self.cost_usd.sketch(most_values),
            self.duration_ms.sketch(most_values),
            self.tokens.sketch(most_values),
        )

    def built(self) -> Group:
        """What was counted."""
        return Group(
            self.key,
            self.start,
            self.runs,
            self.calls,
            self.errors,
            limited(self.prompt_tokens),
            limited(self.completion_tokens),
            self.cost_usd.spread(),
            self.duration_ms.spread(),
            self.tokens.spread(),
            self.annotations.result(),
            {name: sums.built() for name, sums in self.models.items()},
        )
