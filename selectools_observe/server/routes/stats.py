"""The routes of sums over runs: statistics, groups, facets and histograms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from ...model.filters import asks_for_annotations
from ...model.groups import GROUP_ORDERS, check_group_order
from ...model.histogram import TraceHistogram
from ...model.statistics import BY_DEFAULT, Statistics
from ..key_warning import key_warning
from ..param_types import Reader, Schema, bounded, typed
from ..query_params import CURSOR, DEFAULT_LIMIT, FILTERS, Parameter, filter_of, parse
from ..responses import Problem, answer, moment_text
from ..shared_answers import Make
from ..state import state_of

BUCKETS = Parameter("buckets", *bounded(1, 500, 60), "Number of time buckets.")
MAX_RUNS = Parameter(
    "max_runs", *typed(Annotated[int, Meta(ge=1)]), "Only this number of the newest matching runs."
)


def _name(value: str) -> str:
    if not value:
        raise ValueError("a name")
    return value


def _one_of(*words: str) -> tuple[Reader, Schema]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return value

    return read, {"type": "string", "enum": list(words)}


_NAME = {"type": "string", "minLength": 1}


def _group_order(value: str) -> str:
    try:
        check_group_order(value)
    except ValueError:
        raise ValueError(f"one of {', '.join(GROUP_ORDERS)}, score.NAME") from None
    return value


BY = Parameter(
    "by", _name, {"type": "array", "items": _NAME, "maxItems": 10},
    "What to group by: hour, day, model, tool, session, user, agent, name, outcome, tag or a "
    "metadata key; by default day, model and tool. May be repeated.",
    many=True,
)  # fmt: skip
TIME = Parameter(
    "time",
    *_one_of("started_at", "created_at"),
    "Time of a run that counts: its start, or its save.",
)
GROUP_BY = Parameter(
    "by", _name, _NAME,
    "session, user, agent, name, outcome, tag or a metadata key (meta.KEY for one of those words).",
    needed=True,
)  # fmt: skip
GROUP_ORDER = Parameter(
    "order_by", _group_order,
    {"type": "string", "pattern": rf"^-?({'|'.join(GROUP_ORDERS)}|score\..+)$"},
    "Order, the largest first with a - before it; by default -last. score.NAME: the mean score.",
)  # fmt: skip
GROUP_LIMIT = Parameter("limit", *bounded(1, 1000, DEFAULT_LIMIT), "Maximum number of groups.")
MOST_VALUES = Parameter("most", *bounded(1, 10_000, 100), "Maximum number of values of each key.")

_MOST_KEYS = 10


async def stats(request: Request) -> Response:
    values = parse(_query(request), (BY, TIME, MAX_RUNS, *FILTERS))
    by = tuple(dict.fromkeys(values.get("by", BY_DEFAULT)))
    if len(by) > _MOST_KEYS:
        raise Problem(400, "invalid_parameter", f"by is given more than {_MOST_KEYS} times")
    filters = replace(filter_of(values), limit=values.get("max_runs"))
    zone, time = values.get("tz", UTC), values.get("time", "started_at")
    store = state_of(request).store

    async def make() -> dict[str, Any]:
        found = await store.statistics(filters, by=by, zone=zone, time=time)
        runs = found.total.runs
        if not runs:
            return {**_as_fields(found, 0), **await key_warning(store, filters)}
        # Only where it may have been cut off is there more to count.
        if filters.limit is None or runs < filters.limit:
            return _as_fields(found, runs)
        return _as_fields(found, await store.count(replace(filters, limit=None)))

    return await _shared(request, "stats", make)


def _as_fields(found: Statistics, matching: int) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(found)
    return {"runs": found.total.runs, "matching_runs": matching, **fields}


async def groups(request: Request) -> Response:
    values = parse(_query(request), (GROUP_BY, GROUP_ORDER, GROUP_LIMIT, CURSOR, *FILTERS))
    order_by = values.pop("order_by", "-last")  # of the groups, not of their runs
    filters, cursor = filter_of(values), values.get("cursor")
    limit = values.get("limit", DEFAULT_LIMIT)
    store = state_of(request).store

    async def make() -> dict[str, Any]:
        page = await store.groups(
            values["by"], filters, order_by=order_by, limit=limit, cursor=cursor
        )
        found = msgspec.to_builtins(list(page))
        warning = {} if found else await key_warning(store, filters)
        return {"groups": found, "next_cursor": page.next_cursor, **warning}

    try:
        return await _shared(request, "groups", make)
    except ValueError as error:
        if cursor is None:
            raise
        hint = "Pass the next_cursor of the previous page unchanged, or none"
        raise Problem(404, "unknown_cursor", "invalid cursor for these groups", hint) from error


async def facets(request: Request) -> Response:
    values = parse(_query(request), (MOST_VALUES, MAX_RUNS, *FILTERS))
    filters = replace(filter_of(values), limit=values.get("max_runs"))
    most = values.get("most", 100)
    store = state_of(request).store

    async def make() -> dict[str, Any]:
        found: dict[str, Any] = msgspec.to_builtins(await store.facets(filters, most=most))
        return found

    return await _shared(request, "facets", make)


async def histogram(request: Request) -> Response:
    values = parse(_query(request), (BUCKETS, TIME, *FILTERS))
    filters, store = filter_of(values), state_of(request).store
    buckets, time = values.get("buckets", 60), values.get("time", "started_at")

    async def make() -> dict[str, Any]:
        return _over_time(await store.histogram(filters, buckets=buckets, time=time))

    return await _shared(request, "histogram", make, keep=not asks_for_annotations(filters))


def _over_time(counted: TraceHistogram) -> dict[str, Any]:
    return {
        "since": None if counted.since is None else moment_text(counted.since),
        "until": None if counted.until is None else moment_text(counted.until),
        "bucket_ms": counted.bucket / timedelta(milliseconds=1),
        "runs": counted.runs,
        "errors": counted.errors,
        "total": counted.total,
    }


async def _shared(request: Request, route: str, make: Make, *, keep: bool = False) -> Response:
    """An answer; kept only where no annotation shows in it: those change while nothing is saved."""
    reported = await state_of(request).answers.get(route, _query(request), make, keep=keep)
    return answer(reported)


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query
