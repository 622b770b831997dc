"""Runs under way on PostgreSQL: others see their steps, and those of killed programs are kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import pytest

pytest.importorskip("psycopg", reason="the package psycopg is not installed")

from command import run

from selectools_observe.backends.postgres import journal_table
from selectools_observe.capture import Recorder, running_runs
from selectools_observe.stores.postgres import AsyncPostgresTraceStore, PostgresTraceStore

AGENT = """
import os, sys, time
from selectools_observe.capture import Recorder
from selectools_observe.stores.postgres import PostgresTraceStore

recorder = Recorder(PostgresTraceStore(sys.argv[1]), live=True)
with recorder.run("refund", run_id="r-1") as trace:
    for place in range(3):
        with trace.tool("lookup", {"place": place}) as call:
            call.tool_result = "found"
        print("step", place, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def store(postgres_url):
    with PostgresTraceStore(postgres_url) as opened:
        yield opened


@pytest.fixture
def other(postgres_url, store):
    """The same store as another machine opens it."""
    with PostgresTraceStore(postgres_url) as opened:
        yield opened


@pytest.fixture
def recorder(store):
    made = Recorder(store, live=True)
    yield made
    made.close()


@pytest.fixture
def agent(postgres_url):
    """A program in the midst of a run, three steps of which are acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, postgres_url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert [process.stdout.readline() for _ in range(3)] == [f"step {n}\n" for n in range(3)]
        yield process
        process.kill()


def texts(trace) -> list:
    return [step.output for step in trace.steps]


def until(is_so) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_steps_so_far(recorder, other):
    assert running_runs(other) == []
    with recorder.run("refund") as trace:
        with trace.llm_call(model="m") as call:
            call.output = "one"
        (found,) = running_runs(other)
        assert (found.run_id, found.name, texts(found)) == (trace.run_id, "refund", ["one"])
        assert found.metadata["unfinished"] is True
        with trace.llm_call(model="m") as call:
            until(lambda: len(running_runs(other)[0].steps) == 2)
            assert (running_runs(other)[0].steps[1].extra or {})["unfinished"] is True
            call.output = "two"
        assert texts(running_runs(other)[0]) == ["one", "two"]
    until(lambda: running_runs(other) == [])  # the lines of a saved run go a moment later
    assert texts(other.load(trace.run_id)) == ["one", "two"]
    assert "unfinished" not in other.load(trace.run_id).metadata


async def test_in_an_event_loop(postgres_url):
    async with (
        AsyncPostgresTraceStore(postgres_url) as store,
        AsyncPostgresTraceStore(postgres_url) as other,
    ):
        recorder = Recorder(store, live=True)
        async with recorder.run("refund") as trace:
            async with trace.llm_call(model="m") as call:
                call.output = "one"
            (found,) = running_runs(other)
            assert texts(found) == ["one"]
        recorder.close()
        until(lambda: running_runs(other) == [])
        assert texts(await other.load(trace.run_id)) == ["one"]


def test_on_the_command_line(recorder, postgres_url):
    with recorder.run("refund") as trace:
        with trace.tool("lookup"):
            pass
        done = run("tail", postgres_url, "--steps")
        assert (done.returncode, done.stdout.splitlines()[-1].split()[0]) == (0, "refund")
        told = json.loads(run("tail", postgres_url, "--steps", "--jsonl").stdout.splitlines()[-1])
        assert (told["run_id"], told["step"], told["tool_name"]) == (trace.run_id, 0, "lookup")
    done = run("show", trace.run_id[:8], "-f", "-s", postgres_url)
    assert "lookup" in done.stdout
    assert "the run has ended" in done.stderr


def test_over_http(recorder, other):
    starlette = pytest.importorskip("starlette.testclient", reason="the extra server is missing")
    from selectools_observe.server import create_app

    with starlette.TestClient(create_app(other), base_url="http://localhost") as client:
        with recorder.run("refund") as trace:
            with trace.llm_call(model="m", input="Refund?") as call:
                call.output = "Yes."
            (found,) = client.get("/api/running").json()["traces"]
            assert (found["run_id"], found["steps"]) == (trace.run_id, 1)
            assert len(client.get(f"/api/traces/{trace.run_id}").json()["steps"]) == 1
        until(lambda: client.get("/api/running").json() == {"traces": []})


def test_a_run_that_goes_on_is_recovered_by_nobody(agent, postgres_url):
    with PostgresTraceStore(postgres_url) as store:
        assert store.recover() == []
        assert [trace.run_id for trace in running_runs(store)] == ["r-1"]


def test_a_killed_programs_run_is_in_the_store_at_the_next_opening(agent, postgres_url):
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    with PostgresTraceStore(postgres_url) as store:
        until(lambda: store.recover() or running_runs(store) == [])  # the server notices soon
        trace = store.load("r-1")
        assert (trace.metadata["unfinished"], len(trace.steps)) == (True, 3)
        assert running_runs(store) == []
        assert store.recover() == []


def test_through_a_pooler_silence_tells(store, postgres_url, pgbouncer, monkeypatch):
    pooled = f"{pgbouncer.url}?{postgres_url.partition('?')[2]}"
    with PostgresTraceStore(pooled) as behind:
        recorder = Recorder(behind, live=True)
        with closing(recorder), recorder.run("refund", run_id="r-1") as trace:
            with trace.tool("lookup"):
                pass
            assert [len(one.steps) for one in running_runs(store)] == [1]
            assert store.recover() == []
            monkeypatch.setattr(journal_table, "SILENCE", 0)
            assert store.recover() == ["r-1"]
        assert "unfinished" not in store.load("r-1").metadata


def test_an_agent_goes_on_without_the_server(postgres_url, postgres_server, store, recorder):
    import psycopg

    with recorder.run("refund") as trace:
        with trace.tool("lookup"):
            pass
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            schema = postgres_url.rpartition("=")[2]
            connection.execute(f"ALTER TABLE {schema}.journals RENAME TO away")
            with trace.tool("lookup"):
                pass
            assert recorder.counts.unwritten >= 1
            connection.execute(f"ALTER TABLE {schema}.away RENAME TO journals")
        with trace.tool("lookup"):
            pass
        assert [len(one.steps) for one in running_runs(store)] == [3]
    assert len(store.load(trace.run_id).steps) == 3


def test_after_a_fork_each_process_has_a_record_of_its_own(recorder, other):
    with recorder.run("parent") as trace:
        with trace.tool("lookup"):
            pass
        child = os.fork()
        if not child:
            with recorder.run("child", run_id="c-1") as of_child, of_child.tool("lookup"):
                pass
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with trace.tool("lookup"):
            pass
        (found,) = running_runs(other)
        assert (found.run_id, len(found.steps)) == (trace.run_id, 2)
    assert len(other.load("c-1").steps) == 1
    assert len(other.load(trace.run_id).steps) == 2
