"""Bounds in the filter language, which SQLite's index narrows by, mean what plain Python says."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from selectools_observe import AgentTrace, InMemoryTraceStore, SQLiteTraceStore, TraceFilter
from selectools_observe.backends.queries.paging import PageRequest
from selectools_observe.backends.sqlite.index.candidates import CandidateQuery
from selectools_observe.model.conditions import Bound
from selectools_observe.model.trace import TraceStep

KINDS = ("a", "b", ["a", "c"], [], 3, "3", None, ["b", 3], {"a": 1}, True)
DAY = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def a_run(number: int, chance: random.Random) -> AgentTrace:
    steps = [
        TraceStep(
            chance.choice(["llm_call", "tool_execution", "error"] if number % 9 == 0 else ["x"]),
            timestamp=chance.choice([0.0, DAY + 60 * number]),
            duration_ms=chance.choice([0, 5, 5.5, 4000]),
            cost_usd=chance.choice([None, 0, 0.5, chance.random()]),
            prompt_tokens=chance.choice([None, 0, 7, 2**62]),
            completion_tokens=chance.choice([None, 3, 2**62]),
        )
        for _ in range(chance.randrange(4))
    ]
    start = chance.choice([0, DAY + 60 * number])
    return AgentTrace(
        steps,
        start,
        f"run-{number}",
        metadata={"n": number, "kind": chance.choice(KINDS), "user_id": f"u{number % 90}"},
    )


@pytest.fixture(scope="module")
def stores(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[SQLiteTraceStore, InMemoryTraceStore]]:
    path = tmp_path_factory.mktemp("narrowing") / "runs.db"
    chance = random.Random(5)
    runs = [a_run(number, chance) for number in range(700)]
    with SQLiteTraceStore(path, durability="normal") as store, InMemoryTraceStore() as plain:
        for first, last in pairwise(range(0, 701, 100)):
            store.save_many(runs[first:last])
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE traces SET metadata = metadata WHERE rowid % 50 = 0")
        other.close()
        plain.save_many(runs, created_at=[one.created_at for one in store.list(700)[::-1]])
        yield store, plain


BOUNDS = (
    "steps>2", "steps=0", "steps<2", "latency>4s", "latency<4s", "latency<=5ms",
    "wall>1s", "wall<1ms", "cost>0.5", "cost<0.5", "cost<0.1",
    "cost>=0", "tokens>10", "tokens<5", "tokens>9223372036854775807", "prompt_tokens=7",
    "status:error", "status:ok", "has:error", "-has:error", "started>=2026-03-01T05:00:00Z",
    "started:2026-03-01", "since:2h", "created<2026-01-01", "steps>1 -latency<5ms status:ok",
    "(steps>2 OR cost>0.9) tokens>3", "n:7", "kind:a", "kind:3", 'kind:"3"', "kind:true",
    "kind:c steps>0", "(kind:a OR kind:b)", "(user:u7 OR n:9)", "(user:u7 OR steps>2)",
    "(user:u7 OR (kind:c type:error))", "-kind:a user:u7", "kind:a,c", "(kind:a OR kind:b*)",
    "(user:u7 OR user:u8) (kind:a OR kind:b)", "user:u7 (kind:a OR kind:b)",
)  # fmt: skip


@pytest.mark.parametrize("text", BOUNDS)
def test_pages_and_counts(stores: tuple[SQLiteTraceStore, InMemoryTraceStore], text: str) -> None:
    found, expected = (
        [summary.run_id for summary in store.query(TraceFilter.parse(text))] for store in stores
    )
    assert found == expected
    assert stores[0].count(TraceFilter.parse(text)) == len(expected)
    orders = [
        [one.run_id for one in store.query(TraceFilter.parse(text, order_by="-steps", limit=9))]
        for store in stores
    ]
    assert orders[0] == orders[1]
    sums = [store.statistics(TraceFilter.parse(text)).total.runs for store in stores]
    assert sums == [len(expected)] * 2


def test_what_is_no_number_bounds_nothing(
    stores: tuple[SQLiteTraceStore, InMemoryTraceStore],
) -> None:
    for value in (float("nan"), float("inf"), -float("inf"), 2**70, -(2**70)):
        for operator in ("<", ">=", "="):
            filters = TraceFilter(where=Bound("steps", operator, value))
            assert stores[0].count(filters) == stores[1].count(filters)


def test_bounds_spare_the_reading_of_runs(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    with SQLiteTraceStore(path) as store:
        store.save_many([AgentTrace([TraceStep("x")] * (n == 7), 0.0, f"{n}") for n in range(600)])
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    query = CandidateQuery(connection, PageRequest(TraceFilter.parse("steps>0")))
    assert [row_id for row_id, _ in query.candidates()] == [8]
    connection.close()


def test_alternatives_spare_it_too(tmp_path: Path) -> None:
    path = str(tmp_path / "runs.db")
    with SQLiteTraceStore(path) as store:
        runs = [AgentTrace([], 0.0, f"{n}", metadata={"n": n, "m": [n]}) for n in range(600)]
        store.save_many(runs)
        store.save_many([AgentTrace([], 0.0, f"more-{n}") for n in range(300)])
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    query = CandidateQuery(connection, PageRequest(TraceFilter.parse("(n:7 OR n:500)")))
    assert [row_id for row_id, _ in query.candidates()] == [501, 8]
    connection.close()
