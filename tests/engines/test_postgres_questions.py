"""What PostgreSQL reads to answer: the calls that rows keep, runs by annotation and by term."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from noted_reads import noted

pytest.importorskip("psycopg", reason="the package psycopg is not installed")

from selectools_observe import (
    AgentTrace,
    Annotation,
    InMemoryTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.backends.postgres import queries
from selectools_observe.backends.postgres.connections import Connections
from selectools_observe.backends.sql.server_rows import key_of
from selectools_observe.model.conditions import ScoreBound
from selectools_observe.model.ordering import ORDERS
from selectools_observe.stores.postgres import PostgresTraceStore
from selectools_observe.testing.samples import various_traces

RUNS = list(various_traces(200))


def step(tokens):
    return TraceStep("llm_call", 1e9, 1.0, prompt_tokens=tokens, completion_tokens=tokens)


JUDGED = [Annotation(run.run_id, "quality", score=0.25) for run in RUNS[::20]]


@pytest.fixture
def stores(postgres_url):
    with PostgresTraceStore(postgres_url) as store, InMemoryTraceStore() as told:
        for one in (store, told):
            one.save_many(RUNS)
            one.annotate_many(JUDGED)
        yield store, told


@pytest.mark.parametrize(
    "filters",
    [
        TraceFilter(),
        TraceFilter(limit=30),
        TraceFilter(model="gpt-4o"),
        TraceFilter(model="gpt-4o", limit=7),
        TraceFilter(has_error=True, min_steps=2),
        TraceFilter(user_id="nobody"),
        TraceFilter.parse("score.quality<0.5"),
    ],
    ids=str,
)
def test_statistics_are_those_of_memory(stores, filters):
    store, told = stores
    for by in (("day",), ("model", "tool"), ("hour", "model"), ("outcome", "tool")):
        assert store.statistics(filters, by=by) == told.statistics(filters, by=by)
        assert store.facets(filters) == told.facets(filters)


@pytest.mark.parametrize("by", ["label", "label.tone", "label.quality", "label.nothing"])
@pytest.mark.parametrize(
    "filters",
    [
        TraceFilter(), TraceFilter(limit=30), TraceFilter.parse("steps>=2 OR outcome:error"),
        TraceFilter.parse("score.quality<0.5"),
    ],
    ids=str,
)  # fmt: skip
def test_groups_by_label_read_runs_with_one_alone(stores, read, by, filters):
    store, told = stores
    for one in stores:
        one.annotate_many(
            Annotation(run.run_id, "tone", label=f"l-{place % 3}")
            for place, run in enumerate(RUNS[::16])
        )
    read.clear()
    found, expected = (one.groups(by, filters, order_by="key") for one in (store, told))
    # When a run began that does not tell it is when it was saved, which differs.
    assert [(group.key, group.runs, group.total_ms, group.annotations) for group in found] == [
        (group.key, group.runs, group.total_ms, group.annotations) for group in expected
    ]
    annotated = len(JUDGED) + len(RUNS[::16])
    assert len(read) <= (filters.limit or 2 * annotated)  # the nearest may be read twice


@pytest.mark.parametrize("order", ["score.quality", "-score.quality"])
def test_by_a_score_that_few_have_little_more_than_the_pages_is_read(stores, read, order):
    store, _ = stores
    filters = TraceFilter(order_by=order, limit=7)
    expected = [run.run_id for run in store.query(dataclasses.replace(filters, limit=None))]
    found, cursor, sizes = [], None, []
    while cursor is not None or not found:
        read.clear()
        page = store.query(filters, cursor=cursor)
        sizes.append(len(read))
        found += [run.run_id for run in page]
        cursor = page.next_cursor
    assert found == expected
    assert max(sizes) <= 3 * len(JUDGED) + 8


@pytest.mark.parametrize("order", [order for one in ORDERS for order in (one, f"-{one}")])
def test_in_an_order_the_server_gives_what_is_on_a_page(stores, monkeypatch, order):
    store, told = stores
    runs = [*RUNS[:50], AgentTrace(run_id="huge", start_time=1e9, steps=[step(2**62), step(2**62)])]
    moments = [datetime(2024, 1, 1 + place % 9, tzinfo=UTC) for place in range(len(runs))]
    for one in stores:
        one.delete_many([run.run_id for run in RUNS])
        one.save_many(runs, created_at=moments)
    read = noted(monkeypatch, Connections, "sort")
    for asked in ({}, {"min_steps": 1}, {"model": "gpt-4o"}):
        filters = TraceFilter(order_by=order, limit=7, **asked)
        expected = [run.run_id for run in told.query(dataclasses.replace(filters, limit=None))]
        found, cursor = [], None
        while cursor is not None or not found:
            read.clear()
            page = store.query(filters, cursor=cursor)
            assert len(read) <= 8
            found += [run.run_id for run in page]
            cursor = page.next_cursor
        assert found == expected


def test_no_page_waits_for_a_count(stores, monkeypatch):
    store, told = stores
    monkeypatch.setattr(Connections, "count", None)  # a count of many is under way
    for filters in (
        TraceFilter(order_by="-total_ms", limit=5),
        TraceFilter.parse("meta.a.b:1", order_by="steps", limit=5),
        TraceFilter(text="number", limit=5),
    ):
        expected = [run.run_id for run in told.query(filters)]
        assert [run.run_id for run in store.query(filters)] == expected
    assert [run.run_id for run in store.list(5, 100)] == [run.run_id for run in told.list(5, 100)]


def test_statistics_read_no_trace(stores, monkeypatch):
    store, told = stores
    monkeypatch.setattr(Connections, "load", None)
    assert store.statistics(by=("model", "tool")).models
    assert store.statistics(by=("model", "outcome")).models
    assert store.facets() == told.facets()


@pytest.fixture
def read(monkeypatch):
    """The rows whose summaries were read."""
    return noted(monkeypatch, Connections, "scan_summaries")


@pytest.mark.parametrize(
    ("where", "most"),
    [
        ("score.quality<0.5", len(JUDGED)),
        ("model:gpt-4o tool:book steps>=2", None),
        ("score.quality<0.5 model:gpt-4o", len(JUDGED)),
        ("steps>=1000", 0),
        ("tokens>1000000000 cost<5", 0),
        ("is:error", 0),
        ("score:1.5 steps>=0", None),
        ("(user:nobody OR user:none) model:gpt-4o", 0),
        ("score.nothing<0.5", 0),
        ("has:cost -has:cost", 0),
        ("model:zzz*", 0),
        ("tool:bo*", None),
        ("env:nowhere* -user:nobody", 0),
        (ScoreBound("no\0name", "<", 1), 0),
    ],
)
def test_a_condition_narrows_what_is_read(stores, read, where, most):
    store, told = stores
    filters = TraceFilter.parse(where) if isinstance(where, str) else TraceFilter(where=where)
    found = [run.run_id for run in store.query(filters)]
    assert found == [run.run_id for run in told.query(filters)]
    assert len(read) <= (len(RUNS) // 2 if most is None else most)


@pytest.mark.parametrize(
    "where",
    [
        "-type:llm_call steps>=1",
        "-outcome:ok -outcome:error",
        "-(model:gpt-4o OR tool:book) -env:production",
        "-(tool:book -is:error)",
        "-has:cost",
        "has:cost",
    ],
)
def test_only_what_matches_is_read(stores, read, where):
    store, told = stores
    filters = TraceFilter.parse(where)
    found = [run.run_id for run in store.query(filters)]
    assert found == [run.run_id for run in told.query(filters)]
    assert len(read) == len(found)


@pytest.mark.parametrize(
    "where",
    [
        "meta.user:alice",
        "-score:1.5",
        "user:alice OR (tool:search latency>=20.25)",
        "cost>0.01",
        "-(status:error OR tokens>10)",
        "run:various-007 started>2000-01-01",
    ],
)
def test_what_columns_and_terms_tell_is_counted_by_the_server(stores, read, where):
    store, told = stores
    filters = TraceFilter.parse(where)
    assert store.count(filters) == told.count(filters)
    assert store.histogram(filters).total == told.count(filters)
    assert not read
    longest = dataclasses.replace(filters, order_by="-total_ms", limit=3)
    expected = [run.run_id for run in told.query(longest)]
    read.clear()
    assert [run.run_id for run in store.query(longest)] == expected
    assert len(read) <= 4


@pytest.mark.parametrize("where", ["meta.a.b:1", "-meta.a.b:1", "steps:1 OR meta.a.b:1"])
def test_metadata_that_is_an_array_is_looked_into(stores, where):
    store, told = stores
    filters = TraceFilter.parse(where)
    assert store.count(filters) == told.count(filters)
    assert store.histogram(filters).total == told.count(filters)
    runs = [[(g.key, g.runs) for g in one.groups("outcome", filters)] for one in stores]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    "where", ["cost>1000 OR tokens>100000", "-latency<1000000 steps>=0", "cost>1000 -model:zz*"]
)
def test_numbers_that_no_run_has_are_looked_for_in_their_index(stores, read, where):
    store, told = stores
    filters = TraceFilter.parse(where, limit=5)
    assert not store.query(filters)
    assert not told.query(filters)
    assert not read


@pytest.mark.parametrize("size", [3, 30])
@pytest.mark.parametrize(
    "where",
    [
        "cost>1000 OR tool:nothing",
        "tool:book OR steps>=4",
        "(user:alice OR latency>20 OR tool:search status:error) started>2000-01-01",
        "(tool:book OR is:error OR model:gpt-4o) -steps:1",
        "tokens>10 OR score:1.5",
    ],
)
def test_numbers_or_terms_are_looked_for_in_the_index_of_each(stores, monkeypatch, where, size):
    store, told = stores
    filters = TraceFilter.parse(where)
    assert store.count(filters) == told.count(filters)
    assert store.histogram(filters).total == told.count(filters)
    expected = [run.run_id for run in told.query(filters)]
    monkeypatch.setattr(queries, "nearest", None)  # would walk through all runs
    found, cursor = [], None
    while cursor is not None or not found:
        page = store.query(dataclasses.replace(filters, limit=size), cursor=cursor)
        found += [run.run_id for run in page]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == expected


@pytest.mark.parametrize(
    "filters",
    [
        TraceFilter.parse("cost<1000000"),
        TraceFilter(max_cost_usd=1e6),
        TraceFilter(min_cost_usd=0),
        TraceFilter.parse("cost<1000000 OR steps>1000"),
    ],
    ids=str,
)
def test_runs_of_unknown_cost_are_not_read_for_a_bound_of_costs(stores, read, filters):
    store, told = stores
    found = [run.run_id for run in store.query(filters)]
    assert found == [run.run_id for run in told.query(filters)]
    assert len(read) == len(found) < len(RUNS)


def test_a_bounded_count_reads_no_more_than_it_must(stores, read):
    store, _ = stores
    assert store.count(TraceFilter.parse("steps>=0 -model:nothing*", limit=5)) == 5
    assert len(read) == 5


def test_an_offset_counts_runs_whose_summaries_are_damaged(stores, postgres_url):
    import psycopg

    store, _ = stores
    every = [run.run_id for run in store.list(20)]
    url, _, schema = postgres_url.partition("?schema=")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"UPDATE {schema}.traces SET summary = 'x' WHERE key = %s", [key_of(every[3])]
        )
    first = store.list(10)
    assert [run.run_id for run in first] == [*every[:3], *every[4:11]]
    assert [run.run_id for run in store.list(5, 10)] == every[10:15]
    after = store.list(5, cursor=first.next_cursor)
    assert [run.run_id for run in after] == every[11:16]
    assert store.count() == len(RUNS)
