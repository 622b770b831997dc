"""Totals and percentiles of many runs: all together, over time, by model and by tool.

Runs are streamed and forgotten; what is kept grows with the number of groups, which is limited.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Literal, TypeAlias

from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, StepType, TraceStep, TraceSummary
from ..protocols import AsyncQueryableTraceStore, QueryableTraceStore
from .percentiles import PercentileBuilder, Percentiles
from .totals import has_failed, number, whole

Dimension: TypeAlias = Literal["hour", "day", "model", "tool"]
DIMENSIONS: tuple[Dimension, ...] = ("hour", "day", "model", "tool")

OTHERS = "(others)"
"""The group of whatever came after the limit of groups was reached."""

MOST_NAMES = 500
"""How many models, and how many tools, are distinguished."""
MOST_TIMES = 5000
"""How many hours, and how many days, are distinguished: the newest."""

_MANY_STEPS = 1000  # take a millisecond or more: too long for an event loop


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
        cost_usd: US dollars, spread over runs or calls.
        duration_ms: Milliseconds, spread over runs or calls. A run's duration is the sum of its
            steps'.
        tokens: Tokens both ways, spread over runs or calls.
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


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the runs that match a filter say together.

    Attributes:
        total: All runs; its key is empty.
        hours: By the hour of the save, oldest first; only hours with runs. Empty if not asked for.
        days: By the day of the save, as hours.
        models: By model, most calls first.
        tools: By tool, most calls first.
    """

    total: Group
    hours: tuple[Group, ...] = ()
    days: tuple[Group, ...] = ()
    models: tuple[Group, ...] = ()
    tools: tuple[Group, ...] = ()


class _GroupBuilder:
    def __init__(self, key: str, start: datetime | None = None) -> None:
        self.key = key
        self.start = start
        self.runs = self.calls = self.errors = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.cost_usd, self.duration_ms, self.tokens = (PercentileBuilder() for _ in range(3))

    def take(
        self, prompt: int, completion: int, cost: float, ms: float, *, failed: bool, calls: int = 1
    ) -> None:
        self.calls += calls
        self.errors += failed
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.cost_usd.add(cost)
        self.duration_ms.add(ms)
        self.tokens.add(prompt + completion)

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
        )


class Collector:
    """Takes runs and says what they say together.

    Args:
        by: Which groups to make. ``hour`` and ``day`` need summaries only; ``model`` and ``tool``
            need the traces too.
        zone: The time zone whose hours and days are meant.

    Raises:
        ValueError: A dimension that is none.
    """

    def __init__(
        self, by: Collection[Dimension] = ("day", "model", "tool"), zone: tzinfo = UTC
    ) -> None:
        unknown = sorted(set(by) - set(DIMENSIONS))
        if unknown:
            raise ValueError(f"cannot group by {unknown[0]!r}: choose from {', '.join(DIMENSIONS)}")
        self.by = frozenset(by)
        self._zone = zone
        self._total = _GroupBuilder("")
        self._groups: dict[Dimension, dict[str, _GroupBuilder]] = {name: {} for name in DIMENSIONS}

    @property
    def needs_traces(self) -> bool:
        """Whether `add_trace` is to be called for each run, besides `add_summary`."""
        return not self.by.isdisjoint({"model", "tool"})

    def add_summary(self, summary: TraceSummary) -> None:
        """Count a run in the total, in its hour and in its day."""
        groups = [self._total]
        if "hour" in self.by or "day" in self.by:
            groups += self._times_of(summary.created_at)
        for group in groups:
            group.runs += 1
            group.take(
                summary.prompt_tokens,
                summary.completion_tokens,
                summary.cost_usd,
                summary.total_ms,
                failed=summary.has_error,
                calls=summary.steps,
            )

    def add_trace(self, trace: AgentTrace) -> None:
        """Count the calls of a run with their models and tools."""
        seen: set[_GroupBuilder] = set()
        for step in trace.steps:
            for group in self._groups_of(step):
                group.take(
                    whole(step.prompt_tokens),
                    whole(step.completion_tokens),
                    number(step.cost_usd),
                    number(step.duration_ms),
                    failed=has_failed(step),
                )
                seen.add(group)
        for group in seen:
            group.runs += 1

    def result(self) -> Statistics:
        """What the runs so far say together."""
        return Statistics(
            self._total.built(),
            self._over_time("hour"),
            self._over_time("day"),
            self._by_name("model"),
            self._by_name("tool"),
        )

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

    def _groups_of(self, step: TraceStep) -> list[_GroupBuilder]:
        found = []
        if step.model is not None and "model" in self.by:
            found.append(self._group("model", str(step.model), MOST_NAMES))
        if (
            step.tool_name is not None
            and "tool" in self.by
            and step.type != StepType.TOOL_SELECTION
        ):
            found.append(self._group("tool", str(step.tool_name), MOST_NAMES))
        return found

    def _group(
        self, dimension: Dimension, key: str, most: int, start: datetime | None = None
    ) -> _GroupBuilder:
        groups = self._groups[dimension]
        found = groups.get(key)
        if found is None:
            if len(groups) >= most:
                key, start = OTHERS, None
            found = groups.setdefault(key, _GroupBuilder(key, start))
        return found

    def _over_time(self, dimension: Dimension) -> tuple[Group, ...]:
        groups = self._groups[dimension].values()
        return tuple(group.built() for group in sorted(groups, key=_by_time))

    def _by_name(self, dimension: Dimension) -> tuple[Group, ...]:
        groups = self._groups[dimension].values()
        return tuple(group.built() for group in sorted(groups, key=_by_calls))


def collect(
    store: QueryableTraceStore,
    filters: TraceFilter | None = None,
    *,
    by: Collection[Dimension] = ("day", "model", "tool"),
    zone: tzinfo = UTC,
) -> Statistics:
    """What the runs that match a filter say together.

    Args:
        store: Where they are.
        filters: Which runs; all if None.
        by: As `Collector` takes it. With ``model`` or ``tool`` every trace that matches is read,
            else only summaries are.
        zone: As `Collector` takes it.

    Raises:
        ValueError: As `Collector`.
        TraceStoreError: As the store's iterators.
    """
    collector = Collector(by, zone)
    for summary in store.iter_summaries(filters):
        collector.add_summary(summary)
    if collector.needs_traces:
        for trace in store.iter_traces(filters):
            collector.add_trace(trace)
    return collector.result()


async def collect_async(
    store: AsyncQueryableTraceStore,
    filters: TraceFilter | None = None,
    *,
    by: Collection[Dimension] = ("day", "model", "tool"),
    zone: tzinfo = UTC,
) -> Statistics:
    """`collect` for an async store. The event loop never waits long: large traces are counted in a
    worker's thread.
    """
    import anyio.to_thread  # noqa: PLC0415 - slow, and of no use to those who block

    collector = Collector(by, zone)
    async for summary in store.iter_summaries(filters):
        collector.add_summary(summary)
    if collector.needs_traces:
        async for trace in store.iter_traces(filters):
            if len(trace.steps) < _MANY_STEPS:
                collector.add_trace(trace)
            else:
                await anyio.to_thread.run_sync(partial(collector.add_trace, trace))
    return collector.result()


def _by_time(group: _GroupBuilder) -> tuple[bool, float]:
    return (group.start is not None, group.start.timestamp() if group.start else 0.0)


def _by_calls(group: _GroupBuilder) -> tuple[bool, int, str]:
    return (group.key == OTHERS, -group.calls, group.key)
