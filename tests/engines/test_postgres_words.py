"""Searches of PostgreSQL by its index of words, which is made later and decides nothing."""

from __future__ import annotations

import pytest
from noted_reads import noted

pytest.importorskip("psycopg", reason="the package psycopg is not installed")

import psycopg

from selectools_observe import AgentTrace, InMemoryTraceStore, StepType, TraceFilter, TraceStep
from selectools_observe.backends.postgres import store as postgres_store
from selectools_observe.backends.postgres import word_index
from selectools_observe.backends.postgres.address import parse_address
from selectools_observe.backends.postgres.connections import Connections
from selectools_observe.backends.postgres.direct import DirectConnection
from selectools_observe.stores.postgres import PostgresTraceStore

TEXTS = (
    "The train to Zürich leaves at noon",
    "a refund of 20 dollars was booked",
    "no refund; the booking stands",
    "get_order_details failed twice",
    "東京の天気",
    "\x00 odd \ud800 characters ' \" \\ & | ! :* refund",
    "",
)
QUERIES = (
    "refund", "ref", "zurich", '"refund of"', '"of refund"', "get_order_details", "天気",
    "noon train", "odd refund", "characters", "nothing", "the", "20",
)  # fmt: skip


def run(number: int) -> AgentTrace:
    text = TEXTS[number % len(TEXTS)]
    steps = [TraceStep(StepType.LLM_CALL, reasoning=f"{text} {'rare' * (number == 17)}")]
    return AgentTrace(run_id=f"r{number}", steps=steps, metadata={"user": f"u{number % 3}"})


RUNS = [run(number) for number in range(120)]


@pytest.fixture(autouse=True)
def read_little(monkeypatch):
    monkeypatch.setattr(postgres_store, "_NEWEST", 1)


@pytest.fixture
def stores(postgres_url):
    with PostgresTraceStore(postgres_url) as store, InMemoryTraceStore() as told:
        for one in (store, told):
            one.save_many(RUNS)
        yield store, told


def take_in(postgres_url: str) -> None:
    """What the thread does in idle time."""
    address = parse_address(postgres_url)
    keeper, connection = word_index.WordKeeper(address), DirectConnection(address)
    while keeper._take_some(connection):
        pass
    connection.close()


def check(stores) -> None:
    store, told = stores
    for query in QUERIES:
        for more in ({}, {"limit": 5}, {"metadata_match": {"user": "u1"}}):
            filters = TraceFilter(text=query, **more)
            found = [one.run_id for one in store.query(filters)]
            assert found == [one.run_id for one in told.query(filters)], filters
            assert store.count(filters) == told.count(filters)
        filters = TraceFilter(text=query)
        streams = [list(one.iter_summaries(filters, oldest_first=True)) for one in stores]
        assert [one.run_id for one in streams[0]] == [one.run_id for one in streams[1]]


def test_runs_that_the_index_does_not_know_are_read(stores):
    check(stores)


def test_runs_that_the_index_knows(stores, postgres_url):
    take_in(postgres_url)
    check(stores)


def test_some_known_some_saved_again_and_some_gone(stores, postgres_url):
    take_in(postgres_url)
    for one in stores:
        one.save_many(RUNS[10:30])
        one.delete_many([run.run_id for run in RUNS[50:70]])
    check(stores)
    take_in(postgres_url)
    check(stores)


def test_pages_follow_each_other(stores, postgres_url):
    store, told = stores
    take_in(postgres_url)
    wanted = [one.run_id for one in told.query(TraceFilter(text="refund"))]
    found, cursor = [], None
    while True:
        page = store.query(TraceFilter(text="refund", limit=7), cursor=cursor)
        found += [one.run_id for one in page]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == wanted


def test_few_runs_are_read_for_a_rare_word(stores, postgres_url, monkeypatch):
    store, _ = stores
    take_in(postgres_url)
    monkeypatch.setattr("selectools_observe.backends.queries.row_queries.FEWEST_AT_ONCE", 2)
    read = noted(monkeypatch, Connections, "load", asked=True)
    assert [one.run_id for one in store.query(TraceFilter(text="rare"))] == ["r17"]
    assert len(read) < 8


def test_many_named_are_asked_for_in_parts(stores, postgres_url, monkeypatch):
    take_in(postgres_url)
    monkeypatch.setattr(word_index, "MOST_NAMED", 3)
    monkeypatch.setattr(postgres_store, "MOST_NAMED", 3)
    monkeypatch.setattr(postgres_store, "MOST_AT_ONCE", 2)
    check(stores)


def test_a_run_with_too_many_words_is_read(stores, postgres_url, monkeypatch):
    monkeypatch.setattr(word_index, "_MOST_BYTES", 20)
    take_in(postgres_url)
    check(stores)


def test_entries_of_runs_that_are_gone_go(stores, postgres_url, monkeypatch):
    store, _ = stores
    take_in(postgres_url)
    store.delete_many([run.run_id for run in RUNS[:110]])
    url, _, schema = postgres_url.partition("?schema=")
    with psycopg.connect(url, autocommit=True) as connection:
        tidy = word_index.WordTable(schema).tidy.replace("+ 10000", "+ 10")
        connection.execute(f"ANALYZE {schema}.words, {schema}.traces")
        connection.execute(tidy)
        assert connection.execute(f"SELECT count(*) FROM {schema}.words").fetchone() == (10,)


def test_the_thread_takes_in_what_was_saved(postgres_url, monkeypatch):
    monkeypatch.setattr("selectools_observe.runtime.idle_thread._DELAY", 0.0)
    with PostgresTraceStore(postgres_url) as store:
        store.save_many(RUNS * 3)
        store._core._words._thread.join(60)
    address = parse_address(postgres_url)
    connection = DirectConnection(address)
    ((done, newest),) = connection.rows(word_index.WordTable(address.schema).marks)
    connection.close()
    assert 0 < done == newest
