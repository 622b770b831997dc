"""What ClickHouse keeps of sums counts as long as the runs are those that were added up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from selectools_observe import AgentTrace, StorageError, TraceFilter
from selectools_observe.backends.clickhouse import kept_cells
from selectools_observe.backends.clickhouse import store as store_module
from selectools_observe.backends.clickhouse.connections import Connections
from selectools_observe.backends.clickhouse.kept_cells import KeptCells
from selectools_observe.model import timestamps
from selectools_observe.model.clock import time_of
from selectools_observe.model.rollups import rollup_of
from selectools_observe.model.statistics import Collector
from selectools_observe.stores.clickhouse import ClickHouseTraceStore
from selectools_observe.testing.samples import various_traces
from selectools_observe.testing.summing_checks import same_but_for_errors

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
ZONE = ZoneInfo("America/New_York")


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """The sizes of the blocks whose cells are made; small blocks, all of them closed."""
    sizes: list[int] = []
    make = KeptCells._make

    async def counted(self, block):
        sizes.append(block.runs)
        return await make(self, block)

    monkeypatch.setattr(KeptCells, "_make", counted)
    monkeypatch.setattr(kept_cells, "_MOST_RUNS", 200)
    monkeypatch.setattr(kept_cells, "_FEW_RUNS", 10)
    monkeypatch.setattr(kept_cells, "_OPEN_FOR_US", -(2**45))
    monkeypatch.setattr(store_module, "_MANY_RUNS", 0)
    return sizes


@pytest.fixture
def traces() -> list[AgentTrace]:
    made = list(various_traces(1_300))
    for number, trace in enumerate(made):
        trace.start_time = BEGIN.timestamp() + number * 600
        for step in trace.steps:
            step.timestamp = trace.start_time
    return made


def fill(store, traces, monkeypatch) -> None:
    """Save runs over some days."""
    for number, start in enumerate(range(0, len(traces), 100)):
        moment = BEGIN + timedelta(hours=5 * number)
        monkeypatch.setattr(timestamps, "now", lambda moment=moment: moment)
        store.save_many(traces[start : start + 100])


def check(store, traces, filters=None) -> None:
    """Whether statistics are those of plain Python."""
    stored = {trace.run_id: trace for trace in traces}
    collector = Collector(("day", "model", "tool"), ZONE)
    for summary in store.iter_summaries(filters):
        collector.add_summary(summary)
        collector.add_trace(stored[summary.run_id], time_of(summary, collector.time))
        collector.add_annotations(summary, rollup_of(stored[summary.run_id]))
    same_but_for_errors(store.statistics(filters, zone=ZONE), collector.result())


def test_only_what_changed_is_added_up_again(clickhouse_url, traces, made, monkeypatch):
    with ClickHouseTraceStore(clickhouse_url) as store:
        fill(store, traces, monkeypatch)
        check(store, traces)
        assert len(made) > 5
        assert sum(made) == len(traces)
        made.clear()
        check(store, traces)
        assert made == []
        store.delete_many([trace.run_id for trace in traces[5:10]])
        store.annotate(traces[20].run_id, "quality", score=0.5)
        check(store, traces)
        assert len(made) == 1
        made.clear()
        store.save_many(traces[300:310])  # elsewhere, too, now
        check(store, traces)
        assert 1 <= len(made) <= 3


def test_times_of_saving_cut_blocks(clickhouse_url, traces, made, monkeypatch):
    with ClickHouseTraceStore(clickhouse_url) as store:
        fill(store, traces, monkeypatch)
        check(store, traces)
        whole = len(made)
        since, until = BEGIN + timedelta(hours=7), BEGIN + timedelta(hours=50)
        monkeypatch.setattr(store_module, "_FEW_RUNS", 0)
        for filters in (
            TraceFilter(since=since),
            TraceFilter(until=until),
            TraceFilter(since=since, until=until),
            TraceFilter(since=BEGIN + timedelta(days=99)),
        ):
            check(store, traces, filters)
        assert len(made) == whole


def test_who_may_not_write_adds_up_each_time(clickhouse_url, traces, made, monkeypatch, caplog):
    async def refused(*_: object) -> None:
        raise StorageError("clickhouse://db", "not enough privileges", "")

    with ClickHouseTraceStore(clickhouse_url) as store:
        fill(store, traces, monkeypatch)
        monkeypatch.setattr(Connections, "keep", refused)
        check(store, traces)
        assert caplog.text.count("statistics are added up each time") == 1


def test_cells_of_runs_that_change_meanwhile_are_not_kept(
    clickhouse_url, traces, made, monkeypatch
):
    keep = Connections.keep

    async def deleted_meanwhile(self, sql: str) -> None:
        await keep(self, sql)
        if "INSERT" in sql and not deleted:
            deleted.append(traces[5].run_id)
            with ClickHouseTraceStore(clickhouse_url) as other:
                other.delete(traces[5].run_id)

    deleted: list[str] = []
    with ClickHouseTraceStore(clickhouse_url) as store:
        fill(store, traces, monkeypatch)
        monkeypatch.setattr(Connections, "keep", deleted_meanwhile)
        store.statistics()
        assert deleted
        check(store, traces)


def test_blocks_are_as_large_as_they_may_be():
    def block(number: int, runs: int) -> kept_cells.Block:
        return kept_cells.Block(36, number, runs, number, number << 36, (number << 36) + 5)

    spread = [block(number, 5_000) for number in range(64, 128)]
    open_since = spread[-1].number << 36
    assert [b.span for b in kept_cells._divided(spread, kept_cells._SPANS[:3], 2**60)] == [42]
    found = kept_cells._divided(spread, kept_cells._SPANS[:3], open_since)
    assert [b.span for b in found] == [39] * 7 + [36] * 8
    assert sum(b.runs for b in found) == sum(b.runs for b in spread)
    dense = [block(number, 600_000) for number in range(64, 66)]
    assert kept_cells._divided(dense, kept_cells._SPANS[:3], 2**60) == dense
