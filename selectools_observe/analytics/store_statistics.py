"""Totals and percentiles of many runs, of a store of any kind."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, tzinfo
from functools import partial

from ..model.clock import Clock, time_of
from ..model.filters import TraceFilter
from ..model.group_sums import Group
from ..model.statistics import (
    BY_DEFAULT,
    DIMENSIONS,
    OTHERS,
    Collector,
    Dimension,
    Statistics,
)
from ..protocols import AsyncQueryableTraceStore, QueryableTraceStore

__all__ = [
    "DIMENSIONS",
    "OTHERS",
    "Collector",
    "Dimension",
    "Group",
    "Statistics",
    "collect",
    "collect_async",
]

_MANY_STEPS = 1000  # take a millisecond or more: too long for an event loop


def collect(
    store: QueryableTraceStore,
    filters: TraceFilter | None = None,
    *,
    by: Collection[str] = BY_DEFAULT,
    zone: tzinfo = UTC,
    time: Clock = "started_at",
) -> Statistics:
    """`QueryableTraceStore.statistics`, also of a store that has only iterators.

    Raises:
        ValueError: As `Collector`.
        TraceStoreError: As the store.
    """
    if hasattr(store, "statistics"):
        return store.statistics(filters, by=by, zone=zone, time=time)
    collector = Collector(by, zone, time)
    moments: dict[str, datetime] = {}
    for summary in store.iter_summaries(filters):
        moments[summary.run_id] = time_of(summary, time)
        collector.add_summary(summary)
        collector.add_annotations(summary)
    if collector.needs_traces:
        for trace in store.iter_traces(filters):
            collector.add_trace(trace, moments.get(trace.run_id))
    return collector.result()


async def collect_async(
    store: AsyncQueryableTraceStore,
    filters: TraceFilter | None = None,
    *,
    by: Collection[str] = BY_DEFAULT,
    zone: tzinfo = UTC,
    time: Clock = "started_at",
) -> Statistics:
    """`collect` for an async store. The event loop never waits long: large traces are counted in a
    worker's thread.
    """
    if hasattr(store, "statistics"):
        return await store.statistics(filters, by=by, zone=zone, time=time)
    import anyio.to_thread  # noqa: PLC0415 - slow, and of no use to those who block

    collector = Collector(by, zone, time)
    moments: dict[str, datetime] = {}
    async for summary in store.iter_summaries(filters):
        moments[summary.run_id] = time_of(summary, time)
        collector.add_summary(summary)
        collector.add_annotations(summary)
    if collector.needs_traces:
        async for trace in store.iter_traces(filters):
            moment = moments.get(trace.run_id)
            if len(trace.steps) < _MANY_STEPS:
                collector.add_trace(trace, moment)
            else:
                await anyio.to_thread.run_sync(partial(collector.add_trace, trace, moment))
    return collector.result()
