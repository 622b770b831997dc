"""Checks of `query`: it gives exactly what `matches` says."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ..model.facets import facts_of
from ..model.filters import TraceFilter, matches
from .backend import Backend
from .callers import StoreCaller
from .cases import all_cases
from .samples import (
    EQUAL_VALUES,
    TEXTS,
    make_step,
    make_trace,
    make_traces,
    various_filters,
    various_traces,
)

SECOND = timedelta(seconds=1)
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))

STEPS: dict[str, list[Any]] = {
    "none": [],
    "plain": [make_step(ms=1)],
    "search": [make_step("tool_execution", ms=2, tool_name="search"), make_step(ms=0.5)],
    "book": [make_step("tool_execution", ms=2, tool_name="book", model="gpt-4o")],
    "mini": [make_step(ms=0, model="gpt-4o-mini"), make_step(ms=10, model="gpt-4o")],
    "error-type": [make_step("error", ms=3)],
    "error-text": [make_step(ms=3, error="Timeout")],
    "error-empty": [make_step(ms=3, error="")],
    "unknown": [make_step("hologram", ms=4), make_step("error", ms=4, error="x")],
    "cheap": [make_step(ms=0, cost_usd=0.25), make_step(ms=0, cost_usd=0.25)],
    "dear": [make_step(ms=0, cost_usd=2)],
    "free": [make_step(ms=0, cost_usd=0)],
}

QUESTIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set(STEPS)),
    ({"min_steps": 2}, {"search", "mini", "unknown", "cheap"}),
    ({"max_steps": 0}, {"none"}),
    (
        {"min_steps": 1, "max_steps": 1},
        {"plain", "book", "error-type", "error-text", "error-empty", "dear", "free"},
    ),
    ({"min_steps": 5, "max_steps": 2}, set()),
    ({"min_steps": -(10**30), "max_steps": 10**30}, set(STEPS)),
    ({"min_steps": 10**30}, set()),
    ({"max_steps": -1}, set()),
    ({"min_ms": 3}, {"mini", "error-type", "error-text", "error-empty", "unknown"}),
    ({"max_ms": 2.5}, {"none", "plain", "search", "book", "cheap", "dear", "free"}),
    ({"min_ms": 2.5, "max_ms": 2.5}, {"search"}),
    ({"min_ms": 3, "max_ms": 2}, set()),
    ({"min_ms": -(10**400)}, set(STEPS)),
    ({"max_ms": float("inf")}, set(STEPS)),
    ({"min_ms": 10**400}, set()),
    ({"has_error": True}, {"error-type", "error-text", "error-empty", "unknown"}),
    (
        {"has_error": False},
        {"none", "plain", "search", "book", "mini", "cheap", "dear", "free"},
    ),
    ({"step_type": "hologram"}, {"unknown"}),
    ({"step_type": "tool_execution"}, {"search", "book"}),
    ({"step_type": "TOOL_EXECUTION"}, set()),
    ({"tool_name": "search"}, {"search"}),
    ({"tool_name": "sear"}, set()),
    ({"model": "gpt-4o"}, {"book", "mini"}),
    ({"model": "gpt-4o", "tool_name": "book"}, {"book"}),
    ({"model": "gpt-4o", "tool_name": "search"}, set()),
    ({"step_type": "llm_call", "has_error": True}, {"error-text", "error-empty"}),
    ({"run_ids": ["plain", "book", "absent", "plain"]}, {"plain", "book"}),
    ({"run_ids": []}, set()),
    ({"run_ids": {"plain"}, "min_steps": 2}, set()),
    ({"parent_run_id": "parent-plain"}, {"plain"}),
    ({"parent_run_id": ""}, set()),
    ({"min_cost_usd": 0.5}, {"cheap", "dear"}),
    ({"min_cost_usd": 0.5, "max_cost_usd": 0.5}, {"cheap"}),
    ({"min_cost_usd": 2}, {"dear"}),
    ({"max_cost_usd": 0}, {"free"}),
    ({"min_cost_usd": 0, "max_cost_usd": 1}, {"free", "cheap"}),
    ({"max_cost_usd": 10**400}, {"free", "cheap", "dear"}),
    ({"limit": 0}, set()),
]

METADATA: dict[str, dict[str, Any]] = {
    "dotted": {"a.b": 1},
    "path": {"a": {"b": 1}},
    "wider": {"a": {"b": 1, "c": 2}},
    "null": {"a": None},
    "absent": {"b": 1},
    "pair": {"b": 1, "c": "x"},
    "index": {"a[0]": 1, "$.a": 1},
    "list": {"a": [1]},
    "bare": {},
}

PAIRS: list[tuple[dict[str, Any], set[str]]] = [
    ({"a.b": 1}, {"dotted"}),
    ({"a": {"b": 1}}, {"path"}),
    ({"a": {"c": 2, "b": 1.0}}, {"wider"}),
    ({"a": None}, {"null"}),
    ({"b": 1}, {"absent", "pair"}),
    ({"b": 1, "c": "x"}, {"pair"}),
    ({"b": 1, "c": None}, set()),
    ({"a[0]": 1}, {"index"}),
    ({"$.a": 1.0}, {"index"}),
    ({"a": [1]}, {"list"}),
    ({"a": 1}, set()),
    ({"A": None}, set()),
    ({"": None}, set()),
    ({}, set(METADATA)),
]


class FilteringChecks(Backend):
    """Checks of `query`."""

    async def test_query(self, caller: StoreCaller) -> None:
        traces = [
            make_trace(name, of=steps, parent_run_id=f"parent-{name}")
            for name, steps in STEPS.items()
        ]
        newest_first = await self.save_all(caller, traces)
        with all_cases() as case:
            for fields, expected in QUESTIONS:
                with case(fields):
                    found = await caller.ids(TraceFilter(**fields))
                    assert found == [run_id for run_id in newest_first if run_id in expected]

    async def test_query_gives_all_that_match(self, caller: StoreCaller) -> None:
        newest_first = await self.save_all(caller, make_traces(120))
        assert await caller.ids() == newest_first
        assert await caller.ids(TraceFilter(min_steps=1)) == newest_first

    async def test_limit_keeps_the_newest(self, caller: StoreCaller) -> None:
        traces = [make_trace(f"run-{n}", metadata={"even": n % 2 == 0}) for n in range(8)]
        newest_first = await self.save_all(caller, traces)
        for limit in (0, 1, 3, 4, 1000):
            assert await caller.ids(TraceFilter(limit=limit)) == newest_first[:limit]
            even = TraceFilter(metadata_match={"even": True}, limit=limit)
            assert await caller.ids(even) == ["run-6", "run-4", "run-2", "run-0"][:limit]

    async def test_query_refuses_what_is_no_filter(self, caller: StoreCaller) -> None:
        for wrong in ({"min_steps": 1}, None, "all"):
            with pytest.raises(TypeError):
                await caller.query(wrong)  # type: ignore[arg-type]

    # Metadata.

    async def test_metadata_match(self, caller: StoreCaller) -> None:
        traces = [make_trace(name, metadata=metadata) for name, metadata in METADATA.items()]
        newest_first = await self.save_all(caller, traces)
        with all_cases() as case:
            for wanted, expected in PAIRS:
                with case(wanted):
                    found = await caller.ids(TraceFilter(metadata_match=wanted))
                    assert found == [run_id for run_id in newest_first if run_id in expected]

    async def test_metadata_values_are_equal_as_json(self, caller: StoreCaller) -> None:
        for group, values in enumerate(EQUAL_VALUES):
            for n, value in enumerate(values):
                await caller.save(make_trace(f"{group}.{n}", metadata={"value": value}))
        for group, values in enumerate(EQUAL_VALUES):
            members = [f"{group}.{n}" for n in reversed(range(len(values)))]
            for value in values:
                found = await caller.ids(TraceFilter(metadata_match={"value": value}))
                assert found == members, f"asked for {value!r:.80}"

    async def test_metadata_keys_are_literal(self, caller: StoreCaller) -> None:
        for name, key in TEXTS.items():
            await caller.save(make_trace(name, metadata={key: 1, "other": {key: 1}}))
        for name, key in TEXTS.items():
            assert await caller.ids(TraceFilter(metadata_match={key: 1})) == [name]
            assert await caller.ids(TraceFilter(metadata_match={key: True})) == []

    async def test_a_filter_is_a_snapshot(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run", metadata={"tags": ["a"]}))
        wanted = {"tags": ["a"]}
        filters = TraceFilter(metadata_match=wanted)
        wanted["tags"].append("b")
        assert await caller.ids(filters) == ["run"]

    # Time.

    async def test_bounds_of_time(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(6))
        summaries = await caller.list()
        moments = {summary.created_at for summary in summaries}
        for moment, zone in itertools.product(moments, (UTC, EAST, WEST)):
            bound = moment.astimezone(zone)
            since = [s.run_id for s in summaries if s.created_at >= moment]
            until = [s.run_id for s in summaries if s.created_at <= moment]
            assert await caller.ids(TraceFilter(since=bound)) == since
            assert await caller.ids(TraceFilter(until=bound)) == until
            assert await caller.ids(TraceFilter(since=bound + SECOND, until=bound)) == []

    async def test_bounds_at_the_ends_of_time(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        for zone in (UTC, EAST, WEST):
            earliest, latest = EARLIEST.replace(tzinfo=zone), LATEST.replace(tzinfo=zone)
            assert await caller.ids(TraceFilter(since=earliest, until=latest)) == ["run"]
            assert await caller.ids(TraceFilter(until=earliest)) == []
            assert await caller.ids(TraceFilter(since=latest)) == []

    # All at once.

    async def test_query_gives_what_matches_says(self, caller: StoreCaller) -> None:
        traces = list(various_traces(60))
        for trace in traces:
            await caller.save(trace)
        for trace in traces[::7]:
            await caller.save(trace)
        for trace in traces[3::9]:
            await caller.delete(trace.run_id)
        summaries = await caller.list(limit=100)
        facts = {trace.run_id: facts_of(trace) for trace in traces}
        for fields in various_filters(200):
            filters = TraceFilter(**fields)
            expected = [s.run_id for s in summaries if matches(filters, s, facts[s.run_id])]
            assert await caller.ids(filters) == expected[: filters.limit], fields
