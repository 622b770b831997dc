"""The routes of statistics and histograms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...analytics import Collector, Statistics
from ...errors import CorruptTraceError, TraceNotFoundError
from ...model.filters import TraceFilter, asks_for_annotations
from ...model.histogram import TraceHistogram
from ...model.trace import AgentTrace
from ...model.validation import as_agent_trace
from ...protocols import AsyncQueryableTraceStore
from ..param_types import bounded
from ..query_params import FILTERS, Parameter, filter_of, parse
from ..responses import answer, moment_text
from ..state import state_of

BUCKETS = Parameter("buckets", *bounded(1, 500, 60), "Number of time buckets.")
MAX_RUNS = Parameter(
    "max_runs", *bounded(1, 100_000, 1000), "Read at most this many of the newest matching runs."
)

_LOADS_AT_ONCE = 32


async def version_of(store: AsyncQueryableTraceStore) -> object:
    """Something that differs when the store does."""
    newest = await store.list(1)
    count = await store.count()
    return (count, *[(summary.run_id, summary.created_at) for summary in newest])


async def _version_for(store: AsyncQueryableTraceStore, filters: TraceFilter) -> object:
    """`version_of`, but for what annotations decide: those change while nothing is saved."""
    return object() if asks_for_annotations(filters) else await version_of(store)


async def stats(request: Request) -> Response:
    state, query = state_of(request), request.scope["query_string"]
    values = parse(query, (MAX_RUNS, *FILTERS))
    filters = replace(filter_of(values), limit=values.get("max_runs", 1000))
    async with state.summing:  # who asked the same meanwhile finds the answer remembered
        version = await _version_for(state.store, filters)
        told = state.remembered.get("stats", query, version)
        if told is None:
            told = await _statistics(state.store, filters)
            state.remembered.keep("stats", query, version, told)
    return answer(told)


async def _statistics(store: AsyncQueryableTraceStore, filters: TraceFilter) -> dict[str, Any]:
    collector = Collector(("day", "model", "tool"))
    run_ids = []
    async for summary in store.iter_summaries(filters):
        collector.add_summary(summary)
        run_ids.append(summary.run_id)
    async for trace in _traces(store, run_ids):
        collector.add_trace(trace)
    matching = await store.count(replace(filters, limit=None))
    return {
        "runs": len(run_ids),
        "matching_runs": matching,
        **_as_fields(collector.result()),
    }


def _as_fields(statistics: Statistics) -> dict[str, Any]:
    return {
        name: msgspec.to_builtins(getattr(statistics, name))
        for name in ("total", "days", "models", "tools")
    }


async def _traces(
    store: AsyncQueryableTraceStore, run_ids: Sequence[str]
) -> AsyncIterator[AgentTrace]:
    for start in range(0, len(run_ids), _LOADS_AT_ONCE):
        some = run_ids[start : start + _LOADS_AT_ONCE]
        for found in await asyncio.gather(*map(store.load, some), return_exceptions=True):
            if isinstance(found, TraceNotFoundError | CorruptTraceError):
                continue
            if isinstance(found, BaseException):
                raise found
            yield as_agent_trace(found)


async def histogram(request: Request) -> Response:
    state, query = state_of(request), request.scope["query_string"]
    values = parse(query, (BUCKETS, *FILTERS))
    filters = filter_of(values)
    version = await _version_for(state.store, filters)
    told = state.remembered.get("histogram", query, version)
    if told is None:
        counted = await state.store.histogram(filters, buckets=values.get("buckets", 60))
        told = _over_time(counted)
        state.remembered.keep("histogram", query, version, told)
    return answer(told)


def _over_time(counted: TraceHistogram) -> dict[str, Any]:
    return {
        "since": None if counted.since is None else moment_text(counted.since),
        "until": None if counted.until is None else moment_text(counted.until),
        "bucket_ms": counted.bucket / timedelta(milliseconds=1),
        "runs": counted.runs,
        "errors": counted.errors,
        "total": counted.total,
    }
