"""What ClickHouse's SQL narrows and puts in order is what a store in memory gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
from noted_reads import noted

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from selectools_observe import (
    AgentTrace,
    Annotation,
    InMemoryTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.backends.clickhouse.connections import Connections
from selectools_observe.model.filters import order_of
from selectools_observe.model.groups import GROUP_ORDERS
from selectools_observe.model.ordering import ORDERS
from selectools_observe.stores.clickhouse import ClickHouseTraceStore
from selectools_observe.testing.samples import various_traces

WHERE = (
    "cost>0.001", "cost<=0", "-cost>0", "steps>=3 tokens<100", "wall_ms<5", "-wall_ms<5",
    "tokens>1e30", f"tokens<{10**40}", "started>2026-01-01", "created>2020-01-01 steps=2",
    "score.q>2", "-score.q>2", "label:bad OR steps=1", "has:annotation", "-has:annotation steps>2",
    "tool:search", "model:gpt-4o -has:error", "user:alice OR user:bob", "tag:b*",
    "env:production", "nothing:here", "status:error", "-status:error", "has:error steps>1",
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


@pytest.fixture
def read(monkeypatch):
    """The rows that pages read."""
    return noted(monkeypatch, Connections, "scan")


@pytest.mark.parametrize(
    "where", ["nothing:here", "(user:nobody OR env:nowhere) steps>=0", "status:error -has:error"]
)
def test_what_no_run_has_reads_no_summary(stores, where, read):
    assert not stores[0].query(TraceFilter(where=where))
    assert not read


@pytest.mark.parametrize("offset", [1, 200, 299, 300, 5_000])
def test_what_an_offset_leaves_out_is_not_read(stores, offset, read):
    server, memory = ([run.run_id for run in store.list(5, offset)] for store in stores)
    assert server == memory
    assert len(read) <= len(memory) + 1  # which tells whether there are more


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


# What JSON hides: escapes, letters that fold to others, signs, keys that look like SQL.
ODD_TEXTS = (
    "Refund the Order", "ref\u017fund", "\u212aelvin order", "caf\u00e9 order", "Straße",
    "order \u2014 refund", "\ud800 refund", "o\0rder refund", "refund 'order' \\x{80}",
    "\U0001d42b\U0001d41e\U0001d41f\U0001d42e\U0001d427\U0001d41d order",
)  # fmt: skip
ODD_VALUES = (
    "plain", "it's", "\0", "\ud800", "naïve", 7, -0.0, 1e300, 10**20, True, None,
    ["a", "a", None, 3], [], {"b": [1.5, "x"]}, "a" * 5000,
)  # fmt: skip


@pytest.fixture(scope="module")
def odd_stores(clickhouse_server):
    traces = list(various_traces(60))
    for number, trace in enumerate(traces):
        trace.start_time = 1_771_000_000.0 + number // 2
        trace.steps.append(TraceStep("llm_call", output=ODD_TEXTS[number % len(ODD_TEXTS)]))
        for step in trace.steps:
            step.timestamp = trace.start_time
        trace.metadata["odd"] = ODD_VALUES[number % len(ODD_VALUES)]
        trace.metadata["k'\0\ud800"] = number % 3
        trace.session_id = f"s{number // 7}"
        trace.tags = [f"t{number % 4}", f"t{number % 3}"]
    with (
        ClickHouseTraceStore(f"{clickhouse_server.url}/odd?durability=normal") as server,
        InMemoryTraceStore() as memory,
    ):
        for store in (server, memory):
            store.save_many(traces)
            store.annotate_many(
                Annotation(trace.run_id, "q", score=n, label="bad" if n % 2 else "good")
                for n, trace in enumerate(traces[::9])
            )
        yield server, memory
    clickhouse_server.ask("DROP DATABASE odd")


@pytest.mark.parametrize(
    "by", ["session", "user", "agent", "tag", "outcome", "label", "odd", "meta.k'\0\ud800", "none"]
)
def test_groups_page_by_page(odd_stores, by):
    for order in (*GROUP_ORDERS, "score.q"):
        for sign in ("", "-"):
            server, memory = (list(_groups(store, by, sign + order)) for store in odd_stores)
            assert server == memory


@pytest.mark.parametrize(
    "filters",
    [
        TraceFilter(min_steps=3),
        TraceFilter(where="steps>2"),
        TraceFilter(limit=20),
        TraceFilter(limit=0),
        TraceFilter(where="steps>2", limit=5),
        TraceFilter(order_by="-total_ms", limit=20),
    ],
)
def test_what_some_add_up_to(odd_stores, filters, read):
    server, memory = (store.groups("odd", filters, limit=100) for store in odd_stores)
    assert server == memory
    read.clear()
    server, memory = (store.facets(filters) for store in odd_stores)
    assert server == memory
    assert len(read) in ({20, 21} if filters.order_by else {0, 1})  # the newest place may be asked


def test_facets(odd_stores):
    for most in (3, 100):
        server, memory = (store.facets(most=most) for store in odd_stores)
        assert server == memory


def test_facets_read_a_summary_once(odd_stores, read):
    server, memory = (store.facets(TraceFilter(text="order")) for store in odd_stores)
    assert server == memory
    assert server.runs > 40
    assert len(read) <= 60 + 1


@pytest.mark.parametrize(
    "text", ["refund", "order", "refund order", "kelvin", "cafe", "CAFÉ", "strasse", "x{80}", "zzz"]
)
def test_texts(odd_stores, text):
    server, memory = (
        [run.run_id for run in store.query(TraceFilter(text=text))] for store in odd_stores
    )
    assert server == memory
    assert len({store.count(TraceFilter(text=text)) for store in odd_stores}) == 1


def _groups(store, by, order_by):
    cursor = None
    while True:
        page = store.groups(by, order_by=order_by, limit=4, cursor=cursor)
        yield from page
        cursor = page.next_cursor
        if cursor is None:
            return


@pytest.mark.parametrize("many", [300, 70_000])
def test_names_of_steps_whatever_their_number(clickhouse_server, clickhouse_url, many):
    steps = [TraceStep("llm_call", model=f"m{n}", cost_usd=n % 3 or None) for n in range(many)]
    runs = [AgentTrace(steps, run_id="many"), AgentTrace(run_id="without steps")]
    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save_many(runs)
        assert store.statistics(by=("model",)).total.runs == 2
    names = f"arrayMap(n -> concat('m', toString(n)), range({many}))"
    found = clickhouse_server.ask(
        f"SELECT step.model = {names}, length(step.tool), countEqual(step.cost_usd, NULL) FROM "
        f"{clickhouse_url.partition('?')[0].rpartition('/')[2]}.traces ORDER BY place"
    )
    free = len(range(0, many, 3))
    assert found.split() == ["1", str(many), str(free), "0", "0", "0"]


def test_what_is_saved_is_each_trace_as_it_came(clickhouse_url):
    one = AgentTrace()

    def came():
        for number in range(200):
            one.run_id = f"run-{number}"
            one.steps[:] = [TraceStep("llm_call", 1.0, model=f"m{number % 7}")] * (number % 3)
            one.metadata["n"] = number
            yield one

    with ClickHouseTraceStore(clickhouse_url) as server, InMemoryTraceStore() as memory:
        for store in (server, memory):
            store.save_many(came())
        assert [(s.run_id, s.metadata, s.steps) for s in server.list(200)] == [
            (s.run_id, s.metadata, s.steps) for s in memory.list(200)
        ]
        assert server.facets() == memory.facets()
        assert server.load("run-101") == memory.load("run-101")
