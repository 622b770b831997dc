"""Runs under way: their steps are seen before the run is over, by every way to look."""

from __future__ import annotations

import json

import pytest
from command import run

from selectools_observe import InMemoryTraceStore, SQLiteTraceStore
from selectools_observe.capture import Recorder, running_runs


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def store(path):
    with SQLiteTraceStore(path) as opened:
        yield opened


def texts(trace) -> list:
    return [step.output for step in trace.steps]


def test_the_steps_so_far(store):
    recorder = Recorder(store, live=True)
    assert running_runs(store) == []
    with recorder.run("refund") as trace:
        with trace.llm_call(model="m") as call:
            call.output = "one"
        (found,) = running_runs(store)
        assert (found.run_id, found.name, texts(found)) == (trace.run_id, "refund", ["one"])
        assert found.metadata["unfinished"] is True
        with trace.llm_call(model="m") as call:
            (found,) = running_runs(store)
            assert (found.steps[1].extra or {})["unfinished"] is True
            call.output = "two"
        assert texts(running_runs(store)[0]) == ["one", "two"]
    assert running_runs(store) == []
    assert texts(store.load(trace.run_id)) == ["one", "two"]


def test_the_run_that_began_last_is_first(store):
    recorder = Recorder(store, live=True)
    with recorder.run("outer"), recorder.run("inner"):
        assert [trace.name for trace in running_runs(store)] == ["inner", "outer"]


def test_a_store_in_memory_has_none():
    assert running_runs(InMemoryTraceStore()) == []


def test_a_folder_that_is_a_link_is_left_alone(store, path, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.with_name("runs.db.live").symlink_to(elsewhere)
    assert running_runs(store) == []


def test_on_the_command_line(store, path):
    recorder = Recorder(store, live=True)
    with recorder.run("refund") as trace:
        with trace.tool("lookup"):
            pass
        done = run("tail", path, "--steps")
        assert (done.returncode, done.stdout.splitlines()[-1].split()[0]) == (0, "refund")
        assert "lookup" in done.stdout.splitlines()[-1]
        told = json.loads(run("tail", path, "--steps", "--jsonl").stdout.splitlines()[-1])
        assert (told["run_id"], told["step"], told["tool_name"]) == (trace.run_id, 0, "lookup")
    done = run("show", trace.run_id[:8], "-f", "-s", path)
    assert "lookup" in done.stdout
    assert "the run has ended" in done.stderr
    assert run("tail", path, "--steps").stdout.count("lookup") == 0


def test_over_http(store):
    starlette = pytest.importorskip("starlette.testclient", reason="the extra server is missing")
    from selectools_observe.server import create_app

    recorder = Recorder(store, live=True)
    with starlette.TestClient(create_app(store), base_url="http://localhost") as client:
        with recorder.run("refund") as trace:
            with trace.llm_call(model="m", input="Refund?") as call:
                call.output = "Yes."
            (found,) = client.get("/api/running").json()["traces"]
            assert (found["run_id"], found["steps"]) == (trace.run_id, 1)
            response = client.get(f"/api/traces/{trace.run_id}")
            assert len(response.json()["steps"]) == 1
            turns = client.get(f"/api/traces/{trace.run_id}/conversation").json()["turns"]
            assert [turn["parts"][0]["content"] for turn in turns] == ["Refund?", "Yes."]
            with trace.llm_call(model="m") as call:
                call.output = "Done."
            headers = {"If-None-Match": response.headers["ETag"]}
            again = client.get(f"/api/traces/{trace.run_id}", headers=headers)
            assert (again.status_code, len(again.json()["steps"])) == (200, 2)
        assert client.get("/api/running").json() == {"traces": []}
        assert "unfinished" not in client.get(f"/api/traces/{trace.run_id}").json().get(
            "metadata", {}
        )
