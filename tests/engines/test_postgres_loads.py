"""Runs that are saved together go to the server as arrays, and become the same rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

psycopg = pytest.importorskip("psycopg", reason="the package psycopg is not installed")

import selectools_observe as so
from selectools_observe.backends.postgres.rows import COLUMNS
from selectools_observe.stores.postgres import AsyncPostgresTraceStore, PostgresTraceStore

MANY = 40
THEN = datetime(2020, 2, 3, 4, 5, 6, 789, tzinfo=UTC)


def various(number: int) -> so.AgentTrace:
    trace = so.AgentTrace(run_id=f"run-{number}", start_time=0.0)
    match number % 6:
        case 0:
            trace.run_id += "\0\x01\ud7ff é 雪"
        case 1:
            trace = so.AgentTrace(run_id=trace.run_id, start_time=1.7e9, metadata={"n": number})
            trace.add(so.TraceStep("llm_call", 1.7e9, 5.0, model="m", prompt_tokens=2**40))
        case 2:
            trace.add(so.TraceStep("tool_execution", 1e9, 5.0, tool_name="t", cost_usd=0.25))
            trace.metadata = {f"key{k}": [k, "\ud800", None] for k in range(300)}
        case 3:
            trace.add(so.TraceStep("error", 1e9, float("inf"), error="\0"))
        case 4:
            trace.add(so.TraceStep("llm_call", 1e9, tool_result="x" * 300_000, model="\ud800"))
    return trace


def rows_of(url: str, columns: str = COLUMNS) -> list[tuple[object, ...]]:
    place, _, schema = url.partition("?schema=")
    with psycopg.connect(place) as connection:
        sql = f"SELECT {columns} FROM {schema}.traces ORDER BY seq"
        return connection.execute(sql.encode()).fetchall()


def ids_of(store: PostgresTraceStore) -> list[str]:
    return [each.run_id for each in store.iter_summaries(oldest_first=True)]


def test_the_rows_are_those_of_saves_one_by_one(postgres_url, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")  # which has no form of some of the ids
    with PostgresTraceStore(postgres_url) as store:
        for number in range(MANY):
            store.save(various(number))
        monkeypatch.undo()
        alone = rows_of(postgres_url)
        store.delete_many([various(number).run_id for number in range(MANY)])
        store.save_many(map(various, range(MANY)))
    assert rows_of(postgres_url) == alone
    assert len(alone) == MANY


def test_times_of_saving(postgres_url):
    moments = [THEN if number % 2 else None for number in range(MANY)]
    with PostgresTraceStore(postgres_url) as store:
        began = datetime.now(UTC)
        store.save_many(map(various, range(MANY)), created_at=moments)
        ended = datetime.now(UTC)
        saved = [each.created_at for each in store.iter_summaries(oldest_first=True)]
    assert saved[1::2] == [THEN] * (MANY // 2)
    assert all(began <= moment <= ended for moment in saved[::2])


def test_a_run_that_is_there_is_replaced_and_keeps_its_annotations(postgres_url):
    with PostgresTraceStore(postgres_url) as store:
        store.save_many(map(various, range(MANY)))
        store.annotate(various(7).run_id, "quality", score=1)
        store.save_many(map(various, range(7, 7 + MANY)))
        assert ids_of(store) == [various(number).run_id for number in range(7 + MANY)]
        assert len(store.annotations(various(7).run_id)) == 1


def test_of_two_with_one_id_the_later_stays(postgres_url):
    traces = [various(number) for number in range(MANY)]
    traces.append(so.AgentTrace(run_id=traces[1].run_id, metadata={"later": True}))
    with PostgresTraceStore(postgres_url) as store:
        store.save_many(traces)
        assert ids_of(store)[-1] == traces[1].run_id
        assert store.count() == MANY
        assert store.load(traces[1].run_id).metadata == {"later": True}


def test_one_id_again_and_again(postgres_url):
    traces = [so.AgentTrace(run_id=f"run-{n % 3}", metadata={"n": n}) for n in range(300)]
    with PostgresTraceStore(postgres_url) as store:
        store.save_many(traces)
        found = [each.metadata["n"] for each in store.iter_summaries(oldest_first=True)]
    assert found == [297, 298, 299]


def test_more_bytes_than_go_in_one_array(postgres_url):
    traces = [so.AgentTrace(run_id=f"run-{n}", metadata={"n": n}) for n in range(12)]
    for trace in traces[1::3]:
        trace.add(so.TraceStep("llm_call", 1e9, tool_result="0123456789" * 300_000))
    with PostgresTraceStore(postgres_url) as store:
        store.save_many(traces)
        assert ids_of(store) == [trace.run_id for trace in traces]
        assert store.load("run-4").to_dict() == traces[4].to_dict()


def test_what_is_saved_together_was_saved_at_one_moment(postgres_url):
    with PostgresTraceStore(postgres_url) as store:
        store.save_many(map(various, range(200)))
        store.save(so.AgentTrace(run_id="later"))
        *together, later = [each.created_at for each in store.iter_summaries(oldest_first=True)]
    assert len(set(together)) == 1
    assert later > together[0]


def test_tables_that_are_made_anew_meanwhile(postgres_url):
    place, _, schema = postgres_url.partition("?schema=")
    with PostgresTraceStore(postgres_url) as store:
        store.save(various(1))
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
        with pytest.raises(so.StorageError, match="does not exist"):
            store.save(various(2))
        with PostgresTraceStore(postgres_url) as other:
            other.save(various(3))
        store.save_many(map(various, range(4, 6)))
        assert store.update("run-4", lambda trace: trace)
        assert ids_of(store) == ["run-3", "run-5", "run-4"]


async def test_in_an_event_loop(postgres_url):
    async with AsyncPostgresTraceStore(postgres_url) as store:
        await store.save_many(map(various, range(MANY)))
        await store.save_many(map(various, range(MANY)))
        found = [each.run_id async for each in store.iter_summaries(oldest_first=True)]
    assert found == [various(number).run_id for number in range(MANY)]
