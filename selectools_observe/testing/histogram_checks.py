"""Checks of `histogram`."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from ..model.clock import Clock, time_of
from ..model.facets import facts_of
from ..model.filters import TraceFilter, matches
from ..model.histogram import TraceHistogram, bounds_of, only_times
from ..model.trace import EPOCH, MICROSECOND, TraceFacts, TraceSummary
from .backend import Backend, SetClock
from .callers import StoreCaller
from .samples import make_trace, make_traces, various_filters, various_traces

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
_NO_FACTS = TraceFacts(None, has_error=False)


class HistogramChecks(Backend):
    """Checks of runs counted over time."""

    async def test_the_histogram_of_nothing(self, caller: StoreCaller) -> None:
        assert await caller.histogram() == TraceHistogram()
        assert await caller.histogram(TraceFilter(since=NOON)) == TraceHistogram()
        for time, filters in (
            ("created_at", TraceFilter(since=NOON, until=NOON + MINUTE)),
            ("started_at", TraceFilter(started_since=NOON, started_until=NOON + MINUTE)),
        ):
            between = await caller.histogram(filters, buckets=3, time=time)  # type: ignore[arg-type]
            assert (between.since, between.until) == (NOON, NOON + MINUTE)
            assert (between.runs, between.errors, between.total) == ([0, 0, 0], [0, 0, 0], 0)

    async def test_the_histogram_of_one_run(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("only"))
        (summary,) = await caller.list()
        for time in get_args(Clock):
            counted = await caller.histogram(buckets=4, time=time)
            moment = getattr(summary, time)
            assert (counted.since, counted.until) == (moment, moment)
            assert counted.runs == [1, 0, 0, 0]
        assert await caller.histogram(buckets=4) == await caller.histogram(
            buckets=4, time="started_at"
        )

    async def test_a_run_without_a_beginning_counts_with_its_save(
        self, caller: StoreCaller
    ) -> None:
        trace = make_trace("when")
        trace.start_time = 0.0
        for step in trace.steps:
            step.timestamp = 0.0
        await caller.save(trace)
        (summary,) = await caller.list()
        assert summary.started_at is None
        assert (await caller.histogram()).since == summary.created_at
        assert await caller.histogram() == await caller.histogram(time="created_at")

    async def test_histograms_agree_with_queries(self, caller: StoreCaller) -> None:
        """In a store of some size, changed since, the counts are those of the summaries."""
        traces = list(various_traces(600))
        for number, trace in enumerate(traces):
            trace.start_time = 1_700_000_000 + number * 977 % 601
        for start in range(0, 600, 60):
            await caller.save_many(traces[start : start + 60])
        await caller.save_many(traces[5:300:11])
        for trace in [*traces[:20], *traces[::17], *traces[-3:]]:
            await caller.delete(trace.run_id)
        summaries = list(await caller.list(1000))
        facts = {trace.run_id: facts_of(trace) for trace in traces}
        for number, fields in enumerate([{}, *various_filters(80)]):
            filters = TraceFilter(**{**fields, "limit": None})
            matching = [s for s in summaries if matches(filters, s, facts[s.run_id])]
            failed = {s.run_id for s in matching if facts[s.run_id].has_error}
            for time in get_args(Clock):
                counted = await caller.histogram(filters, buckets=1 + number % 70, time=time)
                bounds = _span(filters, time, summaries)
                moments = [(time_of(one, time), one.run_id in failed) for one in matching]
                _check(counted, filters, bounds, moments)

    async def test_histograms_follow_the_clock(
        self, caller: StoreCaller, set_clock: SetClock | None
    ) -> None:
        if set_clock is None:
            pytest.skip("no fixture `set_clock`")
        minutes = [10, 0, 5, 5, 59, 60, 30, 7]  # it is set back now and then
        for n, minute in enumerate(minutes * 40):
            set_clock(NOON + minute * MINUTE)
            await caller.save(make_trace(f"run-{n:03}"))
        counted = await caller.histogram(
            TraceFilter(since=NOON, until=NOON + 60 * MINUTE - MICROSECOND),
            buckets=6,
            time="created_at",
        )
        assert counted.bucket == 10 * MINUTE
        assert counted.runs == [160, 40, 0, 40, 0, 40]
        counted = await caller.histogram(buckets=60, time="created_at")
        assert (counted.since, counted.until) == (NOON, NOON + 60 * MINUTE)
        assert counted.total == 320
        assert [n for n, runs in enumerate(counted.runs) if runs] == [0, 4, 6, 9, 29, 58, 59]
        await caller.delete("run-001")
        assert (await caller.histogram()).total == 319

    async def test_histograms_forget_what_was_deleted(self, caller: StoreCaller) -> None:
        saved = await caller.save_many(make_traces(300))
        newer = make_trace("newer", metadata={"kept": True})
        await caller.save(newer)
        for run_id in saved:
            await caller.delete(run_id)
        (summary,) = await caller.list()
        counted = await caller.histogram(time="created_at")
        assert (counted.since, counted.total) == (summary.created_at, 1)
        assert (await caller.histogram()).since == summary.started_at
        await caller.delete("newer")
        assert await caller.histogram() == TraceHistogram()

    async def test_histograms_refuse_bad_bounds(self, caller: StoreCaller) -> None:
        for buckets in (0, -1, 10_001):
            with pytest.raises(ValueError, match="buckets must be from 1 to 10000"):
                await caller.histogram(buckets=buckets)
        with pytest.raises(ValueError, match="time is started_at or created_at"):
            await caller.histogram(time="yesterday")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no limit"):
            await caller.histogram(TraceFilter(limit=5))

    async def test_histograms_refuse_bad_types(self, caller: StoreCaller) -> None:
        wrong: list[Any] = ["6", 6.0, None, True]
        for buckets in wrong:
            with pytest.raises(TypeError, match="buckets must be an integer"):
                await caller.histogram(buckets=buckets)
        with pytest.raises(TypeError, match="must be a TraceFilter"):
            await caller.histogram({"min_steps": 1})  # type: ignore[arg-type]

    async def test_a_histogram_of_bounds_that_exclude_everything(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("only"))
        backwards = TraceFilter(since=NOON + MINUTE, until=NOON)
        assert (await caller.histogram(backwards)).total == 0
        assert (await caller.histogram(replace(backwards, has_error=True))).total == 0


def _span(
    filters: TraceFilter, time: Clock, summaries: list[TraceSummary]
) -> tuple[datetime, datetime] | None:
    """From when to when a histogram is."""
    within = only_times(filters)
    inside = [time_of(one, time) for one in summaries if matches(within, one, _NO_FACTS)]
    since, until = bounds_of(filters, time)
    if not inside and (since is None or until is None):
        return None
    return (
        min(inside) if since is None else EPOCH + since * MICROSECOND,
        max(inside) if until is None else EPOCH + until * MICROSECOND,
    )


def _check(
    counted: TraceHistogram,
    filters: TraceFilter,
    span: tuple[datetime, datetime] | None,
    moments: list[tuple[datetime, bool]],
) -> None:
    """Whether the counts are those of the runs, bucket by bucket."""
    if span is None:
        assert counted == TraceHistogram(), filters
        return
    since, until = span
    assert (counted.since, counted.until) == (since, until), filters
    runs, errors = [0] * len(counted.runs), [0] * len(counted.runs)
    for moment, has_failed in moments:
        if since <= moment <= until:
            bucket = (moment - since) // counted.bucket
            runs[bucket] += 1
            errors[bucket] += has_failed
    assert (counted.runs, counted.errors) == (runs, errors), filters
