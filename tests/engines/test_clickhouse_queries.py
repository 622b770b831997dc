"""What ClickHouse's SQL narrows and puts in order is what a store in memory gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from selectools_observe import Annotation, InMemoryTraceStore, TraceFilter
from selectools_observe.model.filters import order_of
from selectools_observe.model.ordering import ORDERS
from selectools_observe.stores.clickhouse import ClickHouseTraceStore
from selectools_observe.testing.samples import various_traces

WHERE = (
    "cost>0.001", "cost<=0", "-cost>0", "steps>=3 tokens<100", "wall_ms<5", "-wall_ms<5",
    "tokens>1e30", f"tokens<{10**40}", "started>2026-01-01", "created>2020-01-01 steps=2",
    "score.q>2", "-score.q>2", "label:bad OR steps=1", "has:annotation", "-has:annotation steps>2",
    "tool:search", "model:gpt-4o -has:error", "user:alice OR user:bob", "tag:b*",
)  # fmt: skip


@pytest.fixture(scope="module")
def stores(clickhouse_server):
    traces = list(various_traces(300))
    for number, trace in enumerate(traces):
        for step in trace.steps[: number % 2]:
            step.prompt_tokens = number * 2**50
    with (
        ClickHouseTraceStore(f"{clickhouse_server.url}/queries?durability=normal") as server,
        InMemoryTraceStore() as memory,
    ):
        for store in (server, memory):
            store.save_many(traces)
            store.annotate_many(
                Annotation(trace.run_id, "q", score=n, label="bad" if n % 2 else "good")
                for n, trace in enumerate(traces[::60])
            )
        yield server, memory
    clickhouse_server.ask("DROP DATABASE queries")


@pytest.mark.parametrize("where", WHERE)
def test_filters_in_words(stores, where):
    filters = TraceFilter(where=where)
    server, memory = ([run.run_id for run in store.query(filters)] for store in stores)
    assert server == memory


@pytest.mark.parametrize("order", [*ORDERS, "score.q"])
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("where", [{}, {"min_steps": 2}, {"where": "steps>1"}], ids=str)
def test_orders_page_by_page(stores, order, sign, where):
    filters = TraceFilter(order_by=sign + order, limit=40, **where)
    server, memory = (list(_pages(store, filters)) for store in stores)
    assert len(memory) > 100
    if order != "created_at":  # each store has its own times
        assert server == memory
    assert sorted(server) == sorted(memory)
    values = [
        order_of(filters).value_of(run) for run in stores[0].query(replace(filters, limit=1000))
    ]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=bool(sign))


def _pages(store, filters):
    cursor = None
    while True:
        page = store.query(filters, cursor=cursor)
        yield from (run.run_id for run in page)
        cursor = page.next_cursor
        if cursor is None:
            return
