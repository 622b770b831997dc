"""A PostgreSQL store by its URL: opened, filled by the command, and moved back."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

psycopg = pytest.importorskip("psycopg", reason="the package psycopg is not installed")

from selectools_observe import (
    AgentTrace,
    InMemoryTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.cli.command_group import command
from selectools_observe.stores.open import open_async_store, open_store, store_name
from selectools_observe.stores.postgres import PostgresTraceStore
from selectools_observe.testing.samples import various_traces


def run(*args: str):
    done = CliRunner().invoke(command, list(args), standalone_mode=False, catch_exceptions=True)
    return done.return_value, done.output


def traces(number: int) -> list[AgentTrace]:
    step = TraceStep("tool_execution", tool_name="refund", tool_result="no card \0 \ud800")
    return [
        AgentTrace(run_id=f"run-{n}", name="support", steps=[step], metadata={"user": f"u{n % 3}"})
        for n in range(number)
    ]


def test_a_store_moves_to_a_server_and_back(postgres_url, tmp_path):
    here, back = tmp_path / "here.db", tmp_path / "back.db"
    with SQLiteTraceStore(here) as store:
        store.save_many(traces(120))
    assert run("copy", str(here), postgres_url)[0] == 0
    assert run("copy", postgres_url, str(back))[0] == 0
    with SQLiteTraceStore(here) as one, SQLiteTraceStore(back) as other:
        ours, theirs = ([t.to_dict() for t in store.iter_traces()] for store in (one, other))
        assert ours == theirs


def test_a_server_answers_what_a_file_answers(postgres_url, tmp_path):
    filters = TraceFilter.parse('user:u1 tool:refund "no card"')
    with open_store(postgres_url) as ours, SQLiteTraceStore(tmp_path / "a.db") as file:
        for store in (ours, file):
            store.save_many(traces(30))
        found = [[s.run_id for s in store.query(filters)] for store in (ours, file)]
        assert found[0] == found[1] != []
        assert ours.count(filters) == len(found[0])
        ordered = TraceFilter(order_by="-steps")
        assert len(ours.query(ordered)) == 30
        assert ours.load("run-0").steps[0].tool_result == "no card \0 \ud800"


async def test_the_async_store_opens_by_the_same_url(postgres_url):
    store = open_async_store(postgres_url)
    await store.save(AgentTrace(run_id="one"))
    assert await store.count() == 1
    await store.aclose()


def test_the_name_shows_no_password():
    name = store_name("postgresql://ada:s3cret@db/x")
    assert "s3cret" not in str(name)


def test_commands_for_files_name_the_servers_own_tools(postgres_url):
    import click

    with pytest.raises(click.UsageError, match="pg_dump"):
        CliRunner().invoke(
            command, ["--store", postgres_url, "verify"], standalone_mode=False,
            catch_exceptions=False,
        )  # fmt: skip


def test_a_role_that_may_not_create_tables_uses_those_of_the_owner(postgres_url):
    schema = postgres_url.rpartition("=")[2]
    _, sql = run("schema", "postgresql", "--schema", schema)
    with psycopg.connect(postgres_url.partition("?")[0], autocommit=True) as owner:
        owner.execute(sql.encode())
        owner.execute("DROP ROLE IF EXISTS writer")
        owner.execute("CREATE ROLE writer LOGIN")
        owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO writer")
        rights = "SELECT, INSERT, UPDATE, DELETE"
        owner.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO writer")
        with open_store(postgres_url.replace("tester@", "writer@")) as store:
            store.save(AgentTrace(run_id="one"))
            assert store.load("one").run_id == "one"
        owner.execute(f"DROP SCHEMA {schema} CASCADE")
        owner.execute("DROP ROLE writer")


def test_tables_of_the_version_before_are_brought_up_to_date(postgres_url):
    """Runs from before have no calls of their own: statistics read their traces."""
    schema = postgres_url.rpartition("=")[2]
    runs = list(various_traces(40))
    with PostgresTraceStore(postgres_url) as store:
        store.save_many(runs)
    with psycopg.connect(postgres_url.partition("?")[0], autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {schema}.traces DROP COLUMN calls")
        connection.execute(f"DROP TABLE {schema}.annotations")
        connection.execute(f"DROP INDEX {schema}.traces_numbers")
        connection.execute(f"CREATE INDEX traces_created ON {schema}.traces (created_us)")
        connection.execute(f"UPDATE {schema}.store SET version = 1")
    with PostgresTraceStore(postgres_url) as store, InMemoryTraceStore() as told:
        store.save_many(runs[:3])
        told.save_many([*runs, *runs[:3]])
        by = ("model", "tool")
        assert store.statistics(by=by) == told.statistics(by=by)
        assert store.annotate(runs[0].run_id, "quality", score=1.0)
    with psycopg.connect(postgres_url.partition("?")[0]) as connection:
        sql = "SELECT indexname FROM pg_indexes WHERE schemaname = %s AND tablename = 'traces'"
        indexes = {row[0] for row in connection.execute(sql, [schema])}
    assert indexes == {"traces_pkey", "traces_seq", "traces_terms", "traces_numbers"}


@pytest.mark.engines
@pytest.mark.parametrize("name", ["postgres_url", "other_postgres_url"])
def test_traces_are_compressed_by_the_best_that_the_server_has(request, name):
    url = request.getfixturevalue(name)
    schema = url.rpartition("=")[2]
    with PostgresTraceStore(url) as store:
        store.save_many(traces(3))
        assert store.count() == 3
        assert store.statistics(by=["tool"]).tools[0].calls == 3
    with psycopg.connect(url.partition("?")[0]) as connection:
        ((methods,),) = connection.execute(
            "SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression'"
        ).fetchall()
        ((used,),) = connection.execute(
            "SELECT attcompression FROM pg_attribute "
            f"WHERE attrelid = '{schema}.traces'::regclass AND attname = 'trace'"
        ).fetchall()
    assert used == ("l" if "lz4" in methods else "")
