"""What a PostgreSQL server refuses: too many connections, writes without the right, a full disk."""

from __future__ import annotations

import os
import subprocess

import pytest

psycopg = pytest.importorskip("psycopg", reason="the package psycopg is not installed")


from selectools_observe import AgentTrace, StorageError, TraceStep
from selectools_observe.stores.postgres import PostgresTraceStore


def run(run_id: str, size: int = 10) -> AgentTrace:
    text = os.urandom(size).hex()  # not to be compressed
    return AgentTrace(
        run_id=run_id, steps=[TraceStep("tool_execution", tool_name="read", tool_result=text)]
    )


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def guest(postgres_url):
    """The URL as a role that may read and write the tables of a store, and make none."""
    PostgresTraceStore(postgres_url).close()
    schema = postgres_url.rpartition("=")[2]
    name = f"guest_{schema}"
    execute(
        postgres_url,
        f"CREATE ROLE {name} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}",
    )
    yield postgres_url.replace("tester@", f"{name}@"), name
    execute(postgres_url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_role_that_makes_no_tables_uses_those_that_are_there(guest):
    with PostgresTraceStore(guest[0]) as store:
        store.save(run("one"))
        store.annotate("one", "quality", score=1.0)
        assert store.load("one").run_id == "one"
        assert store.delete("one")


def test_a_role_that_may_only_read_reads(guest, postgres_url):
    url, name = guest
    schema = postgres_url.rpartition("=")[2]
    with PostgresTraceStore(postgres_url) as store:
        store.save(run("one"))
    execute(
        postgres_url, f"REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} FROM {name}"
    )
    with PostgresTraceStore(url) as store:
        assert [found.run_id for found in store.list()] == ["one"]
        with pytest.raises(StorageError, match="Give the role the rights"):
            store.save(run("two"))
        assert store.count() == 1


def test_too_many_connections(guest, postgres_url):
    url, name = guest
    execute(postgres_url, f"ALTER ROLE {name} CONNECTION LIMIT 1")
    with PostgresTraceStore(url) as store:  # which reads over the one connection
        with pytest.raises(StorageError, match="max_connections"):
            store.save(run("one"))
        with pytest.raises(StorageError, match="max_connections"):
            PostgresTraceStore(url)
        execute(postgres_url, f"ALTER ROLE {name} CONNECTION LIMIT 20")
        store.save(run("one"))
        assert store.load("one").run_id == "one"


def test_a_run_that_is_too_large_is_named(postgres_url, monkeypatch):
    monkeypatch.setattr("selectools_observe.backends.postgres.store._LARGEST_ROW", 10_000)
    with PostgresTraceStore(postgres_url) as store:
        store.save(run("small"))
        with pytest.raises(StorageError, match=r"'large' is larger .* at most 1 GB"):
            store.save_many([run("other"), run("large", 6_000)])
        with pytest.raises(StorageError, match="'small' is larger"):
            store.update("small", lambda _: run("small", 6_000))
        assert store.count() == 1


def test_a_full_disk_refuses_saves_and_loses_none(small_disk, postgres_url):
    name = f"small_{postgres_url.rpartition('=')[2]}"
    execute(postgres_url, f"CREATE TABLESPACE {name} LOCATION '{small_disk}'")
    try:
        with PostgresTraceStore(f"{postgres_url}&options=-c%20default_tablespace={name}") as store:
            saved: list[str] = []

            def save_many() -> None:
                saved.extend(store.save(run(f"run-{number}", 200_000)) for number in range(200))

            with pytest.raises(StorageError, match="Free space on the server's disk"):
                save_many()
            assert saved
            assert {found.run_id for found in store.iter_summaries()} == set(saved)
            assert all(store.load(run_id) for run_id in saved)
            subprocess.run(["mount", "-o", "remount,size=96m", small_disk], check=True)
            store.save(run("after", 200_000))
            assert store.load("after").run_id == "after"
    finally:
        schema = postgres_url.rpartition("=")[2]
        execute(postgres_url, f"DROP SCHEMA {schema} CASCADE", f"DROP TABLESPACE {name}")
