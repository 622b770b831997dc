"""Runs named by id, by the beginning of an id, or by place (``@1``)."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict

import click

from ..analytics.run_totals import number
from ..errors import TraceNotFoundError
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, TraceSummary
from ..protocols import QueryableTraceStore

_PLACE = re.compile(r"@(\d{1,9})")
_SHOWN = 5
_MOST_CHILDREN = 200


def find_run(store: QueryableTraceStore, name: str, where: str) -> TraceSummary:
    """The run that a person names: its id; a beginning that no other id has; or ``@1`` for the
    newest run, ``@2`` for the one before, and so on.

    Raises:
        click.UsageError: Several ids begin so.
        TraceNotFoundError: None does.
    """
    exact = store.query(TraceFilter(run_ids=(name,)))
    if exact:
        return exact[0]
    if place := _PLACE.fullmatch(name):
        found = list(store.list(limit=1, offset=max(0, int(place[1]) - 1)))
    else:
        beginning = name.removesuffix("…")
        found = _beginning_with(store, beginning) if beginning else []
    if not found:
        raise TraceNotFoundError(name, where)
    if len(found) > 1:
        some = ", ".join(summary.run_id for summary in found[:_SHOWN])
        more = ", ..." if len(found) > _SHOWN else ""
        raise click.UsageError(f"several runs begin with {name!r}: {some}{more}")
    return found[0]


def with_whole_ids(store: QueryableTraceStore, filters: TraceFilter) -> TraceFilter:
    """The filter with its run ids written out where they were given as beginnings or places.

    What names no run stays as it is, and matches none.

    Raises:
        click.UsageError: Several ids begin so.
    """
    if filters.run_ids is None:
        return filters
    return dataclasses.replace(
        filters, run_ids=[_whole_id(store, name) for name in filters.run_ids]
    )


def _whole_id(store: QueryableTraceStore, name: str) -> str:
    try:
        return find_run(store, name, "").run_id
    except TraceNotFoundError:
        return name


def _beginning_with(store: QueryableTraceStore, beginning: str) -> list[TraceSummary]:
    found: list[TraceSummary] = []
    for summary in store.iter_summaries():
        if summary.run_id.startswith(beginning):
            found.append(summary)
            if len(found) > _SHOWN:
                break
    return found


def runs_started_by(store: QueryableTraceStore, trace: AgentTrace) -> dict[str, list[AgentTrace]]:
    """The runs started by this run, by those, and so on, by the id of who started them."""
    found: dict[str, list[AgentTrace]] = defaultdict(list)
    seen, waiting = {trace.run_id}, [trace.run_id]
    while waiting and len(seen) < _MOST_CHILDREN:
        parent = waiting.pop(0)
        filters = TraceFilter(parent_run_id=parent, limit=_MOST_CHILDREN)
        for child in store.iter_traces(filters, oldest_first=True):
            if child.run_id not in seen:
                seen.add(child.run_id)
                waiting.append(child.run_id)
                found[parent].append(child)
    for children in found.values():
        children.sort(key=lambda child: number(child.start_time))
    return found
