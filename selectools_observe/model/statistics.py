"""Totals and percentiles of many runs: all together, over time, by model and by tool.

Runs are streamed and forgotten; what is kept grows with the number of groups, which is limited.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, TypeAlias

import msgspec

from .annotation_statistics import AnnotationStatistics
from .clock import Clock, check_clock, time_of
from .group_sums import (
    CallColumns,
    CallSums,
    Group,
    GroupBuilder,
    GroupSums,
    RunColumns,
    sums_by,
    sums_of,
)
from .groups import group_values
from .rollups import CallRollup, Rollup, rollup_of
from .trace import EPOCH, MICROSECOND, AgentTrace, TraceSummary

Dimension: TypeAlias = Literal["hour", "day", "model", "tool"]
DIMENSIONS: tuple[Dimension, ...] = ("hour", "day", "model", "tool")
BY_DEFAULT: tuple[str, ...] = ("day", "model", "tool")

OTHERS = "(others)"
"""The group of whatever came after the limit of groups was reached."""

MOST_NAMES = 500
"""How many models, and how many tools, are distinguished."""
MOST_TIMES = 5000
"""How many hours, and how many days, are distinguished: the newest."""

_QUARTER = timedelta(minutes=15)
QUARTER_US = _QUARTER // MICROSECOND
"""The microseconds of a quarter of an hour."""


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


class RunSums(msgspec.Struct, array_like=True, gc=False):
    """What some runs add up to: together, by quarter of an hour, by model and by tool.

    Attributes:
        total: All of them.
        quarters: By the quarter of an hour in which they began, counted from 1970; hours and days
            of any zone are whole numbers of quarters. Newest runs first, as the others.
        models: By model.
        tools: By tool.
        models_at: By quarter, what the calls of its runs add up to by model.
    """

    total: GroupSums
    quarters: dict[int, GroupSums]
    models: dict[str, GroupSums]
    tools: dict[str, GroupSums]
    models_at: dict[int, dict[str, CallSums]]


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
        check_clock(time)
        self.by = frozenset(by)
        self.other_keys = [name for name in dict.fromkeys(by) if name not in DIMENSIONS]
        self.counts_times = not self.by.isdisjoint({"hour", "day"})
        self._counts_use = self.counts_times and "model" in by
        self._at_quarters: dict[int, list[GroupBuilder]] = {}
        self.zone = zone
        self.time = time
        self._total = GroupBuilder("")
        names = (*DIMENSIONS, *self.other_keys)
        self._groups: dict[str, dict[str, GroupBuilder]] = {name: {} for name in names}

    @property
    def needs_traces(self) -> bool:
        """Whether `add_rollup` is to be called for each run, besides `add_summary`."""
        return not self.by.isdisjoint({"model", "tool"})

    def add_summary(self, summary: TraceSummary) -> None:
        """Count a run in the total, in its hour and day, and with its keys."""
        for group in self._groups_of(summary):
            group.take_run(summary)

    def add_runs(
        self,
        runs: RunColumns,
        moments: Sequence[int],
        values: Mapping[str, Mapping[str, Sequence[int]]],
    ) -> None:
        """Count many runs, newest first.

        Args:
            runs: What `add_summary` takes of each.
            moments: The microseconds since 1970 by which each counts.
            values: For each of `other_keys`, at which places in `runs` each value is, the newest
                first.
        """
        self._total.take_runs(runs)
        if self.counts_times:
            by_time: dict[GroupBuilder, list[int]] = {}
            for times, places in self._by_times(moments):
                for group in times:
                    by_time.setdefault(group, []).extend(places)
            for group, places in by_time.items():
                group.take_runs(runs if len(places) == len(moments) else runs.at(places))
        for name in self.other_keys:
            beyond: list[int] = []
            for key, those in values[name].items():
                group = self._group(name, key, MOST_NAMES)
                if group.key == OTHERS:
                    beyond += those
                else:
                    group.take_runs(runs.at(those))
            if beyond:
                self._group(name, OTHERS, MOST_NAMES).take_runs(runs.at(beyond))

    def add_calls(
        self,
        dimension: Dimension,
        calls: Iterable[tuple[str, Sequence[int], CallColumns]],
        moments: Mapping[int, int],
    ) -> None:
        """Count the calls of many runs.

        Args:
            dimension: Whether they are of models or of tools.
            calls: For each name, which run made each call, and the calls.
            moments: For each run the microseconds since 1970 by which it counts.
        """
        beyond: set[int] = set()
        counts_use = self._counts_use and dimension == "model"
        by_times = self._by_times(list(moments.values())) if counts_use else []
        runs_of_moments = list(moments)
        number_of = {
            runs_of_moments[place]: number
            for number, (_, places) in enumerate(by_times)
            for place in places
        }
        for name, runs, columns in calls:
            group = self._group(dimension, name, MOST_NAMES)
            if counts_use:
                for number, sums in sums_by(map(number_of.__getitem__, runs), columns).items():
                    for at in by_times[number][0]:
                        at.take_use(group.key, sums)
            distinct = set(runs)
            if group.key == OTHERS:  # a run counts once, however many of them it called
                distinct -= beyond
                beyond |= distinct
            group.take_many_calls(columns, len(distinct))

    def can_add(self, sums: RunSums, time: Clock = "started_at") -> bool:
        """Whether `add_sums` counts as one by one: all groups are told, and distinguished.

        Args:
            sums: What would be added.
            time: Which time of a run its quarters are of.
        """
        if self.other_keys or (self.counts_times and self.time != time):
            return False
        for kind, names in (("model", sums.models), ("tool", sums.tools)):
            if kind in self.by and len(self._groups[kind].keys() | names.keys()) > MOST_NAMES:
                return False
        if not self.counts_times:
            return True
        most = max(len(self._groups["hour"]), len(self._groups["day"])) + len(sums.quarters)
        return most <= MOST_TIMES and all(map(self._is_whole, sums.quarters))

    def add_sums(self, sums: RunSums) -> None:
        """Count runs by what they add up to."""
        self._total.take_sums(sums.total)
        if self.counts_times:
            for quarter, those in sums.quarters.items():
                for group in self._times_at(quarter * QUARTER_US):
                    group.take_sums(those)
        if self._counts_use:
            self._add_uses(sums)
        for name, found in (("model", sums.models), ("tool", sums.tools)):
            if name in self.by:
                for key, those in found.items():
                    self._group(name, key, MOST_NAMES).take_sums(those)

    def _add_uses(self, sums: RunSums) -> None:
        for quarter, by_model in sums.models_at.items():
            for group in self._times_at(quarter * QUARTER_US):
                for model, use in by_model.items():
                    group.take_use(model, use)

    def add_trace(self, trace: AgentTrace, moment: datetime | None) -> None:
        """Count the calls of a run with their models and tools.

        Args:
            trace: The run.
            moment: When it counts (`clock.time_of`); None if that is not known: then the models
                of no day and no hour have its calls.
        """
        self.add_rollup(rollup_of(trace), moment)

    def add_rollup(self, rollup: Rollup, moment: datetime | None) -> None:
        """Count the calls that a run adds up to; see `add_trace`."""
        seen: set[GroupBuilder] = set()
        for group, calls in self._groups_of_calls(rollup):
            group.take_calls(calls)
            seen.add(group)
        if self._counts_use and moment is not None:
            for at in self._times_of(moment):
                for one in rollup.models:
                    at.take_use(self._group("model", one.name, MOST_NAMES).key, sums_of(one))
        for group in seen:
            group.runs += 1

    def add_annotations(self, summary: TraceSummary, rollup: Rollup | None = None) -> None:
        """Count the annotations of a run, which `add_summary` and `add_rollup` do not.

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
            {name: self._by_name(name) for name in self.other_keys},
            total.annotations,
        )

    def _groups_of(self, summary: TraceSummary) -> list[GroupBuilder]:
        """The total, the run's hour and day, and its keys."""
        groups = [self._total]
        if self.counts_times:
            groups += self._times_of(time_of(summary, self.time))
        for name in self.other_keys:
            groups += [
                self._group(name, key, MOST_NAMES)
                for key in dict.fromkeys(group_values(summary, name))
            ]
        return groups

    def _groups_of_calls(self, rollup: Rollup) -> Iterator[tuple[GroupBuilder, CallRollup]]:
        for name, found in (("model", rollup.models), ("tool", rollup.tools)):
            for calls in found if name in self.by else ():
                yield self._group(name, calls.name, MOST_NAMES), calls

    def _by_times(self, moments: Sequence[int]) -> list[tuple[tuple[GroupBuilder, ...], list[int]]]:
        """Hours and days, and at which places the moments are that lie in them."""
        by_quarter: dict[int, list[int]] = {}
        for place, moment in enumerate(moments):
            places = by_quarter.get(moment // QUARTER_US)
            if places is None:
                by_quarter[moment // QUARTER_US] = [place]
            else:
                places.append(place)
        found: dict[tuple[GroupBuilder, ...], list[int]] = {}
        for quarter, places in by_quarter.items():
            times = tuple(self._times_at(moments[places[0]]))
            if quarter in self._at_quarters:
                found.setdefault(times, []).extend(places)
            else:
                for place in places:
                    times = tuple(self._times_at(moments[place]))
                    found.setdefault(times, []).append(place)
        return list(found.items())

    def _times_at(self, moment: int) -> list[GroupBuilder]:
        """The hour and the day of a microsecond since 1970."""
        quarter = moment // QUARTER_US
        found = self._at_quarters.get(quarter)
        if found is None:
            found = self._times_of(EPOCH + moment * MICROSECOND)
            if self._is_whole(quarter):
                self._at_quarters[quarter] = found
        return found

    def _is_whole(self, quarter: int) -> bool:
        """Whether a quarter of an hour lies within one hour of the zone, as all do by now."""
        begin = EPOCH + quarter * _QUARTER
        offset = begin.astimezone(self.zone).utcoffset()
        last = (begin + _QUARTER - MICROSECOND).astimezone(self.zone).utcoffset()
        return offset is not None and not offset % _QUARTER and offset == last

    def _times_of(self, moment: datetime) -> list[GroupBuilder]:
        local = moment.astimezone(self.zone)
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
    ) -> GroupBuilder:
        groups = self._groups[dimension]
        found = groups.get(key)
        if found is None:
            if len(groups) >= most:
                key, start = OTHERS, None
            found = groups.setdefault(key, GroupBuilder(key, start))
        return found

    def _over_time(self, dimension: str) -> tuple[Group, ...]:
        groups = self._groups[dimension].values()
        return tuple(group.built() for group in sorted(groups, key=_by_time))

    def _by_name(self, dimension: str) -> tuple[Group, ...]:
        groups = self._groups[dimension].values()
        return tuple(group.built() for group in sorted(groups, key=_by_calls))


def _by_time(group: GroupBuilder) -> tuple[bool, float]:
    return (group.start is not None, group.start.timestamp() if group.start else 0.0)


def _by_calls(group: GroupBuilder) -> tuple[bool, int, str]:
    return (group.key == OTHERS, -group.calls, group.key)
