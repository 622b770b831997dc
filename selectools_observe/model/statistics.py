"""Totals and percentiles of many runs: all together, over time, by model and by tool.

Runs are streamed and forgotten; what is kept grows with the number of groups, which is limited.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Literal, TypeAlias

from .annotation_statistics import AnnotationCollector, AnnotationStatistics
from .groups import group_values
from .percentiles import PercentileBuilder, Percentiles
from .rollups import CallRollup, Rollup, rollup_of
from .trace import AgentTrace, TraceSummary

Dimension: TypeAlias = Literal["hour", "day", "model", "tool"]
DIMENSIONS: tuple[Dimension, ...] = ("hour", "day", "model", "tool")
BY_DEFAULT: tuple[str, ...] = ("day", "model", "tool")
Clock: TypeAlias = Literal["started_at", "created_at"]

OTHERS = "(others)"
"""The group of whatever came after the limit of groups was reached."""

MOST_NAMES = 500
"""How many models, and how many tools, are distinguished."""
MOST_TIMES = 5000
"""How many hours, and how many days, are distinguished: the newest."""


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
        prompt_tokens: Tokens sent to models.
        completion_tokens: Tokens that models wrote.
        cost_usd: US dollars, spread over the runs, or over the calls whose cost is known.
        duration_ms: Milliseconds, spread over runs or calls. A run's duration is the sum of its
            steps'.
        tokens: Tokens both ways, spread over runs or calls.
        annotations: By name, what the newest annotations of the runs say together; of a model or
            a tool, those of the runs that called it.
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


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the runs that match a filter say together.

    Attributes:
        total: All runs; its key is empty.
        hours: By the hour, oldest first; only hours with runs. Empty if not asked for.
        days: By the day, as hours.
        models: By model, most calls first.
        tools: By tool, most calls first.
        groups: By each other key that was asked for, most runs first.
        annotations: Those of the total.
    """

    total: Group
    hours: tuple[Group, ...] = ()
    days: tuple[Group, ...] = ()
    models: tuple[Group, ...] = ()
    tools: tuple[Group, ...] = ()
    groups: dict[str, tuple[Group, ...]] = field(default_factory=dict)
    annotations: dict[str, AnnotationStatistics] = field(default_factory=dict)


class _GroupBuilder:
    def __init__(self, key: str, start: datetime | None = None) -> None:
        self.key = key
        self.start = start
        self.runs = self.calls = self.errors = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.cost_usd, self.duration_ms, self.tokens = (PercentileBuilder() for _ in range(3))
        self.annotations = AnnotationCollector()

    def take_run(self, summary: TraceSummary) -> None:
        self.runs += 1
        self.calls += summary.steps
        self.errors += summary.has_error
        self.prompt_tokens += summary.prompt_tokens
        self.completion_tokens += summary.completion_tokens
        self.duration_ms.add(summary.total_ms)
        self.tokens.add(summary.prompt_tokens + summary.completion_tokens)
        if summary.cost_usd is not None:
            self.cost_usd.add(summary.cost_usd)

    def take_calls(self, calls: CallRollup) -> None:
        self.calls += calls.calls
        self.errors += calls.errors
        self.prompt_tokens += calls.prompt_tokens
        self.completion_tokens += calls.completion_tokens
        for builder, values in (
            (self.duration_ms, calls.durations),
            (self.tokens, calls.tokens),
            (self.cost_usd, calls.costs),
        ):
            for value in values:
                builder.add(value)

    def built(self) -> Group:
        return Group(
            self.key,
            self.start,
            self.runs,
            self.calls,
            self.errors,
            self.prompt_tokens,
            self.completion_tokens,
            self.cost_usd.spread(),
            self.duration_ms.spread(),
            self.tokens.spread(),
            self.annotations.result(),
        )


class Collector:
    """Takes runs and says what they say together.

    Args:
        by: Which groups to make: ``hour``, ``day``, ``model``, ``tool``, or what `groups` takes.
            All but ``model`` and ``tool`` need summaries only.
        zone: The time zone whose hours and days are meant.
        time: Whether the hour and the day are those of the beginning or of the save. A run whose
            beginning nothing tells counts with its save.

    Raises:
        ValueError: A dimension or a clock that is none.
    """

    def __init__(
        self,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> None:
        if "" in by:
            raise ValueError(f"runs are grouped by {', '.join(DIMENSIONS)} or a key, not by ''")
        if time not in {"started_at", "created_at"}:
            raise ValueError(f"time is started_at or created_at, not {time!r:.80}")
        self.by = frozenset(by)
        self._others = [name for name in dict.fromkeys(by) if name not in DIMENSIONS]
        self._zone = zone
        self._time = time
        self._total = _GroupBuilder("")
        names = (*DIMENSIONS, *self._others)
        self._groups: dict[str, dict[str, _GroupBuilder]] = {name: {} for name in names}

    @property
    def needs_traces(self) -> bool:
        """Whether `add_rollup` is to be called for each run, besides `add_summary`."""
        return not self.by.isdisjoint({"model", "tool"})

    def add_summary(self, summary: TraceSummary) -> None:
        """Count a run in the total, in its hour and day, and with its keys."""
        for group in self._groups_of(summary):
            group.take_run(summary)

    def add_trace(self, trace: AgentTrace) -> None:
        """Count the calls of a run with their models and tools."""
        self.add_rollup(rollup_of(trace))

    def add_rollup(self, rollup: Rollup) -> None:
        """Count the calls that a run adds up to."""
        seen: set[_GroupBuilder] = set()
        for group, calls in self._groups_of_calls(rollup):
            group.take_calls(calls)
            seen.add(group)
        for group in seen:
            group.runs += 1

    def add_annotations(self, summary: TraceSummary, rollup: Rollup | None = None) -> None:
        """Count what was said of a run, which `add_summary` and `add_rollup` do not.

        So what is kept of runs may be counted without their annotations, which change while
        nothing is saved, and those few runs by themselves that have some.

        Args:
            summary: The run.
            rollup: What its calls add up to, where `needs_traces`.
        """
        if not summary.annotations:
            return
        groups = self._groups_of(summary)
        if rollup is not None:
            groups += [group for group, _ in self._groups_of_calls(rollup)]
        for group in dict.fromkeys(groups):
            group.annotations.add(summary.annotations)

    def result(self) -> Statistics:
        """What the runs so far say together."""
        total = self._total.built()
        return Statistics(
            total,
            self._over_time("hour"),
            self._over_time("day"),
            self._by_name("model"),
            self._by_name("tool"),
            {name: self._by_name(name) for name in self._others},
            total.annotations,
        )

    def _groups_of(self, summary: TraceSummary) -> list[_GroupBuilder]:
        """The total, the run's hour and day, and its keys."""
        groups = [self._total]
        if "hour" in self.by or "day" in self.by:
            moment = summary.started_at if self._time == "started_at" else None
            groups += self._times_of(summary.created_at if moment is None else moment)
        for name in self._others:
            groups += [
                self._group(name, key, MOST_NAMES)
                for key in dict.fromkeys(group_values(summary, name))
            ]
        return groups

    def _groups_of_calls(self, rollup: Rollup) -> Iterator[tuple[_GroupBuilder, CallRollup]]:
        for name, found in (("model", rollup.models), ("tool", rollup.tools)):
            for calls in found if name in self.by else ():
                yield self._group(name, calls.name, MOST_NAMES), calls

    def _times_of(self, moment: datetime) -> list[_GroupBuilder]:
        local = moment.astimezone(self._zone)
        hour = local.replace(minute=0, second=0, microsecond=0)
        found = []
        if "hour" in self.by:
            key = hour.isoformat(timespec="minutes")
            found.append(self._group("hour", key, MOST_TIMES, hour))
        if "day" in self.by:
            day = hour.replace(hour=0, fold=0)
            found.append(self._group("day", day.date().isoformat(), MOST_TIMES, day))
        return found

    def _group(
        self, dimension: str, key: str, most: int, start: datetime | None = None
    ) -> _GroupBuilder:
        groups = self._groups[dimension]
        found = groups.get(key)
        if found is None:
            if len(groups) >= most:
                key, start = OTHERS, None
            found = groups.setdefault(key, _GroupBuilder(key, start))
        return found

    def _over_time(self, dimension: str) -> tuple[Group, ...]:
        groups = self._groups[dimension].values()
        return tuple(group.built() for group in sorted(groups, key=_by_time))

    def _by_name(self, dimension: str) -> tuple[Group, ...]:
        groups = self._groups[dimension].values()
        return tuple(group.built() for group in sorted(groups, key=_by_calls))


def _by_time(group: _GroupBuilder) -> tuple[bool, float]:
    return (group.start is not None, group.start.timestamp() if group.start else 0.0)


def _by_calls(group: _GroupBuilder) -> tuple[bool, int, str]:
    return (group.key == OTHERS, -group.calls, group.key)
