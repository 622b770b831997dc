"""Orders in an SQLite store of several blocks, which other programs write into too."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import pytest

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceFilter, TraceStep
from selectools_observe.model.filters import order_of
from selectools_observe.model.ordering import ORDERS


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("orders") / "runs.db"
    chance = random.Random(3)

    def run(number):
        steps = [
            TraceStep(
                "llm_call",
                timestamp=chance.choice([0.0, 1.7e9, 1.8e9]),
                duration_ms=chance.choice([0, 5, 5.5, chance.random()]),
                cost_usd=chance.choice([None, 0, 0.5, chance.random()]),
                prompt_tokens=chance.choice([None, 0, 7, chance.randrange(1000)]),
            )
            for _ in range(chance.randrange(4))
        ]
        start = chance.choice([0, 1.7e9, 1.7e9 + number])
        return AgentTrace(steps, start, f"run-{number}", metadata={"user": number % 40})

    with SQLiteTraceStore(path, durability="normal") as opened:
        for start in range(0, 1500, 300):
            opened.save_many(run(number) for number in range(start, start + 300))
        opened.save_many(run(number) for number in range(100, 200, 3))
        for number in range(0, 1500, 11):
            opened.delete(f"run-{number}")
        # As selectools does, and in the midst of a block.
        with closing(sqlite3.connect(path)) as other, other:
            other.execute(
                "INSERT INTO traces SELECT 'foreign-' || run_id, steps, total_ms, created_at, "
                "metadata, replace(trace_json, run_id, 'foreign-' || run_id) FROM traces LIMIT 20"
            )
            other.execute("UPDATE traces SET metadata = '{}' WHERE run_id = 'run-501'")
        other.close()
        yield opened


@pytest.mark.parametrize("order_by", [f"{sign}{name}" for sign in ("", "-") for name in ORDERS])
@pytest.mark.parametrize("fields", [{}, {"metadata_match": {"user": 7}}, {"min_steps": 2}])
def test_pages_are_those_of_the_sorted_summaries(store, order_by, fields):
    order = order_of(TraceFilter(order_by=order_by))
    newest_first = store.query(TraceFilter(**fields))
    placed = list(enumerate(reversed(newest_first)))
    placed.sort(
        key=lambda pair: order.key(order.value_of(pair[1]), (pair[0],)), reverse=order.descending
    )
    expected = [summary.run_id for _, summary in placed]
    found, cursor = [], None
    while True:
        filters = TraceFilter(order_by=order_by, limit=len(expected) // 4 + 1, **fields)
        page = store.query(filters, cursor=cursor)
        found += [summary.run_id for summary in page]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == expected
    assert [s.run_id for s in store.query(TraceFilter(order_by=order_by, **fields))] == expected
