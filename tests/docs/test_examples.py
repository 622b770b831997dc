"""The examples, run as a user runs them, and what they print."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from selectools_observe import JSONLTraceStore, SQLiteTraceStore

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

NEWEST = "The newest 4 of 4 runs in first-run/traces.db"


def run(folder: Path, name: str, *arguments: str) -> str:
    """Run an example in a folder, warnings being errors; return what it printed."""
    pytest.importorskip("selectools", reason="the examples run a selectools agent")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def section(output: str, title: str) -> str:
    """What is printed below a title, up to the next one."""
    below = output[output.index(title) :].partition("\n")[2].strip("\n")
    return re.split(r"^(?=[^ \n])", below, maxsplit=1, flags=re.MULTILINE)[0].rstrip()


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(tmp_path_factory.mktemp("first"), "first_run.py")


@pytest.fixture(scope="module")
def trace_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(tmp_path_factory.mktemp("sixty-nine"), "69_trace_store.py")


class TestFirstRun:
    def test_lists_the_runs_newest_first(self, first_run: str):
        rows = [line.split() for line in section(first_run, NEWEST).splitlines()]
        assert rows[0] == ["run", "user", "steps", "total", "question"]
        assert [row[1] for row in rows[1:]] == ["ada", "cleo", "ben", "ada"]
        assert [int(row[2]) for row in rows[1:]] == [4, 1, 9, 12]

    def test_columns_line_up(self, first_run: str):
        table = section(first_run, NEWEST).splitlines()
        assert len(table) == 5
        assert len({re.search(r"question|(?<= ms  )", line).start() for line in table}) == 1

    def test_answers_a_query(self, first_run: str):
        found = section(first_run, "In which runs of ada's did something fail?")
        assert found.count(" ms ") == 1
        assert "Where is my kettle, order 1042?" in found

    def test_shows_a_timeline_with_several_tools_and_turns(self, first_run: str):
        shown = section(first_run, "What happened in ")
        assert len(re.findall(r"^ +\d+\. \[llm_call ", shown, re.MULTILINE)) == 4
        assert len(re.findall(r"^ +\d+\. \[tool_execution ", shown, re.MULTILINE)) == 3
        assert len(re.findall(r"^ +\d+\. \[error ", shown, re.MULTILINE)) == 1
        assert "track_parcel said: TimeoutError: the carrier did not answer" in shown

    def test_shows_the_same_runs_from_jsonl(self, first_run: str):
        archive = section(first_run, "The same runs, from first-run/traces.jsonl")
        assert archive.startswith(section(first_run, NEWEST).rstrip())
        assert "step for step: yes" in archive

    @pytest.mark.slow
    def test_leaves_files_that_both_stores_open(self, tmp_path: Path):
        run(tmp_path, "first_run.py", "kept")
        with (
            SQLiteTraceStore(tmp_path / "kept" / "traces.db") as database,
            JSONLTraceStore(tmp_path / "kept" / "traces.jsonl") as archive,
        ):
            assert database.count() == archive.count() == 4
            for trace in database.iter_traces():
                assert archive.load(trace.run_id) == trace

    @pytest.mark.slow
    def test_may_run_again(self, tmp_path: Path):
        run(tmp_path, "first_run.py")
        assert "The newest 4 of 8 runs" in run(tmp_path, "first_run.py")


class TestTraceStore:
    def test_all_backends_give_the_same_answers(self, trace_store: str):
        kinds = ["InMemoryTraceStore", "SQLiteTraceStore", "JSONLTraceStore"]
        kinds += [f"Async{kind}" for kind in kinds]
        answers = [section(trace_store, f"== {kind}: 4 runs") for kind in kinds]
        counts = [re.findall(r": +(\d+)  \(", answer) for answer in answers]
        assert counts == [["2", "2", "1", "1", "1"]] * 6
        assert len(set(answers[:3])) == 1

    def test_loads_exports_and_deletes(self, trace_store: str):
        assert "llm_call" in section(trace_store, "== Load one")
        assert "1 run exported to failed.jsonl" in trace_store
        assert "deleted: True\nand load says that it is gone" in trace_store
        assert re.search(r"4 runs copied, [1-9]\d+ tokens in all", trace_store)

    @pytest.mark.slow
    def test_leaves_its_files_where_it_is_told(self, tmp_path: Path):
        run(tmp_path, "69_trace_store.py", "kept")
        (line,) = (tmp_path / "kept" / "failed.jsonl").read_text("utf-8").splitlines()
        steps = json.loads(line)["trace"]["steps"]
        assert "TimeoutError" in next(step["error"] for step in steps if "error" in step)

    @pytest.mark.slow
    def test_leaves_nothing_where_it_is_told_nothing(self, tmp_path: Path):
        run(tmp_path, "69_trace_store.py")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_importing_an_example_does_nothing(path: Path, tmp_path: Path):
    for needed in ("selectools", "redis"):
        if re.search(rf"^(import|from) {needed}\b", path.read_text("utf-8"), re.MULTILINE):
            pytest.importorskip(needed)
    program = (
        "import sys, importlib; sys.path[0] = sys.argv[1]; importlib.import_module(sys.argv[2])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(EXAMPLES), path.stem],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
