"""Statistics that ClickHouse adds up are those that plain Python adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from selectools_observe import AgentTrace, Annotation, TraceFilter, TraceStep
from selectools_observe.backends.clickhouse.store import ClickHouseStore
from selectools_observe.backends.sql.zone_offsets import offsets_of
from selectools_observe.model.clock import time_of
from selectools_observe.model.facets import facts_of
from selectools_observe.model.groups import FacetCollector, GroupCollector
from selectools_observe.model.rollups import rollup_of
from selectools_observe.model.statistics import QUARTER_US, Collector
from selectools_observe.stores.clickhouse import ClickHouseTraceStore
from selectools_observe.testing.samples import various_traces
from selectools_observe.testing.summing_checks import same_but_for_errors

RUNS = 1200
START = 1_771_000_000.0  # a Friday in February: clocks go forward, and back, within the next year
ODD_STEPS = (
    TraceStep("llm_call", model="", duration_ms=1.5, cost_usd=0.0),
    TraceStep("llm_call", model="\0m", duration_ms=0.0, prompt_tokens=2**62, cost_usd=1e-12),
    TraceStep("llm_call", model="m" * 300, duration_ms=1e300, completion_tokens=3, cost_usd=2),
    TraceStep("tool_selection", tool_name="find", model="gpt-4o", duration_ms=7),
    TraceStep("tool_execution", tool_name="найти", error="boom", duration_ms=12.5),
    TraceStep("error", tool_name="find", duration_ms=3),
    TraceStep("llm_call", model="gpt-4o", prompt_tokens=True, duration_ms=True),
)


@pytest.fixture(scope="module")
def traces() -> list[AgentTrace]:
    """Runs of a year, some with what is seldom seen."""
    made = list(various_traces(RUNS))
    for number, trace in enumerate(made):
        trace.start_time = START + number * 26_000.5
        trace.metadata["of"] = ["all", f"third {number % 3}"]
        for step in trace.steps:
            step.timestamp = trace.start_time
        if number % 9 == 0:
            trace.steps.append(ODD_STEPS[number // 9 % len(ODD_STEPS)])
    return made


@pytest.fixture(scope="module")
def store(clickhouse_server, traces):
    with ClickHouseTraceStore(f"{clickhouse_server.url}/added_up?durability=normal") as store:
        store.save_many(traces)
        store.save_many(traces[100:130])
        store.annotate_many(
            [Annotation(each.run_id, "quality", score=n / 9) for n, each in enumerate(traces[::40])]
        )
        yield store
    clickhouse_server.ask("DROP DATABASE added_up")


@pytest.mark.parametrize(
    "zone", [UTC, ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")], ids=str
)
@pytest.mark.parametrize("by", [("day", "model", "tool"), ("hour", "day"), ("model",), ()], ids=str)
@pytest.mark.parametrize("time", ["started_at", "created_at"])
@pytest.mark.parametrize("filters", [TraceFilter(), TraceFilter(max_steps=50)], ids=["all", "some"])
def test_what_the_server_adds_up_is_what_python_does(
    store, traces, monkeypatch, zone, by, time, filters
):
    read: list[int] = []
    rollups = ClickHouseStore._rollups

    async def counted(self, rows):
        read.append(len(rows))
        return await rollups(self, rows)

    monkeypatch.setattr(ClickHouseStore, "_rollups", counted)
    stored = {trace.run_id: trace for trace in traces}
    collector = Collector(by, zone, time)
    for summary in store.query(filters):
        collector.add_summary(summary)
        collector.add_trace(stored[summary.run_id], time_of(summary, collector.time))
        collector.add_annotations(summary, rollup_of(stored[summary.run_id]))
    found = store.statistics(filters, by=by, zone=zone, time=time)
    assert found.total.duration_ms.error == 0.01
    assert sum(read) <= RUNS / 40  # those with annotations
    same_but_for_errors(found, collector.result())


@pytest.mark.parametrize("order_by", ["-runs", "total_ms", "score.quality"])
@pytest.mark.parametrize("filters", [TraceFilter(), TraceFilter(max_steps=50)], ids=["all", "some"])
def test_groups_of_many_runs_are_what_python_adds_up(store, order_by, filters):
    collector = GroupCollector("of")
    for summary in store.query(filters):
        collector.add(summary)
    found = store.groups("of", filters, order_by=order_by)
    assert [group.key for group in found if group.total_ms.error] == ["all"]
    same_but_for_errors(list(found), list(collector.page(order_by, 50, None)))


def test_few_runs_and_other_keys_are_counted_exactly(store, traces):
    few = store.statistics(TraceFilter(max_steps=1))
    assert few.total.runs > 0
    assert few.total.duration_ms.error == 0
    by_user = store.statistics(by=("user",))
    assert by_user.total.runs == RUNS
    assert sum(group.runs for group in by_user.groups["user"]) <= RUNS


@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_offsets_are_those_of_the_zone(name):
    zone = ZoneInfo(name)
    first, last = (int(second * 1e6) // QUARTER_US for second in (START, START + 400 * 86_400))
    offsets = offsets_of(zone, first, last)
    assert offsets is not None
    at = first
    for until, quarters in offsets:
        for quarter in range(at, until):
            moment = datetime.fromtimestamp(quarter * QUARTER_US / 1e6, zone)
            assert moment.utcoffset() == timedelta(minutes=15 * quarters)
        at = until
    assert at == last + 1


def test_a_zone_of_odd_minutes_has_no_offsets():
    assert offsets_of(ZoneInfo("Africa/Monrovia"), -2_000_000, -1_999_000) is None


def test_what_calls_add_up_to_is_told_by_the_columns(store, traces, monkeypatch):
    """No trace is read, where runs are looked at one by one."""
    monkeypatch.setattr(ClickHouseStore, "_load_many", None)
    few = TraceFilter(where="steps>0", limit=500)
    stored = {trace.run_id: trace for trace in traces}
    statistics, facets = Collector(("day", "model", "tool", "user")), FacetCollector()
    for summary in store.query(few):
        statistics.add_summary(summary)
        statistics.add_trace(stored[summary.run_id], time_of(summary, statistics.time))
        statistics.add_annotations(summary, rollup_of(stored[summary.run_id]))
        facets.add(summary, facts_of(stored[summary.run_id]))
    found = store.statistics(few, by=("day", "model", "tool", "user"))
    same_but_for_errors(found, statistics.result())
    assert store.facets(few) == facets.result(100)


@pytest.mark.parametrize("cost", [float("nan"), float("inf")])
def test_a_cost_that_is_no_number_is_not_known(clickhouse_server, cost):
    """It is stored as nothing, as in every store."""
    steps = [TraceStep("llm_call", model="m", cost_usd=each) for each in (0.5, cost, None)]
    with ClickHouseTraceStore(f"{clickhouse_server.url}/no_number?durability=normal") as store:
        store.save(AgentTrace(steps))
        (models,) = store.statistics(by=("model",)).models
        assert (models.calls, models.cost_usd.count, models.cost_usd.total) == (3, 1, 0.5)
    clickhouse_server.ask("DROP DATABASE no_number")
