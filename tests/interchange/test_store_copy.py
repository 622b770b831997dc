"""`copy`: what it leaves alone, what it finds by comparing, and that it goes on where it was."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

import selectools_observe as so
from selectools_observe.interchange.store_copy import StoreCopy

pytest.importorskip("click", reason="the extra cli is not installed")

from command import run
from killed_copy import kill_copy

RUNS = 2000


def some_run(number: int, text: str = "found") -> so.AgentTrace:
    trace = so.AgentTrace(run_id=f"run-{number}", start_time=1.0, metadata={"n": number})
    trace.add(so.TraceStep("tool_execution", 1000.0, 5.0, tool_name="search", tool_result=text))
    return trace


def filled(path, many: int = 6):
    with so.SQLiteTraceStore(path) as store:
        store.save_many([some_run(number) for number in range(many)])
        judged = [f"run-{number}" for number in range(0, many, 3)]
        for score in (0.5, 0.75):
            store.annotate_many([so.Annotation(each, "quality", score=score) for each in judged])
    return path


@pytest.fixture
def source(tmp_path):
    return filled(tmp_path / "a.db")


class TestGoingOn:
    def test_what_is_equal_is_left_alone(self, source, tmp_path):
        run("copy", source, tmp_path / "b.db")
        again = run("copy", source, tmp_path / "b.db")
        assert "0 runs saved" in again.stderr
        assert "6 already there" in again.stderr

    @pytest.mark.parametrize("change", ["saved again", "annotated", "older annotation changed"])
    def test_what_changed_is_copied_again(self, source, tmp_path, change):
        run("copy", source, tmp_path / "b.db")
        with so.SQLiteTraceStore(source) as store:
            if change == "saved again":
                store.save(some_run(3))
            elif change == "annotated":
                store.annotate("run-3", "tone", label="kind")
            else:
                older, _ = store.annotations("run-3")
                store.annotate_many([so.Annotation.from_dict({**older.to_dict(), "note": "new"})])
        again = run("copy", source, tmp_path / "b.db", "--verify")
        is_run = change == "saved again"
        assert ("1 run saved" if is_run else "annotations of 1 run added") in again.stderr
        assert "6 runs compared: all are equal" in again.stderr
        assert again.returncode == 0

    def test_what_is_there_is_left_alone_if_asked(self, source, tmp_path):
        run("copy", source, tmp_path / "b.db")
        with so.SQLiteTraceStore(source) as store:
            store.save(some_run(3, "other"))
        again = run("copy", source, tmp_path / "b.db", "--skip-existing", "--verify")
        assert "6 already there" in again.stderr
        assert "run 'run-3': differs: the run, when it was saved" in again.stderr
        assert again.returncode == 1

    @pytest.mark.slow
    @pytest.mark.parametrize("target", ["b.db", "b.jsonl"])
    def test_killed_in_the_midst_and_started_again(self, tmp_path, target):
        filled(tmp_path / "a.db", RUNS)
        path = tmp_path / target
        kill_copy(str(tmp_path / "a.db"), str(path))
        before = held(path)
        assert 0 < before < RUNS
        again = run("copy", tmp_path / "a.db", path, "--verify")
        assert f"{RUNS:,} runs compared: all are equal" in again.stderr
        assert again.returncode == 0
        saved = int(again.stderr.partition(" runs saved")[0].replace(",", ""))
        assert saved == RUNS - before
        assert order_of(path) == order_of(tmp_path / "a.db")


def opened(path) -> so.SQLiteTraceStore | so.JSONLTraceStore:
    return (so.JSONLTraceStore if path.suffix == ".jsonl" else so.SQLiteTraceStore)(path)


def held(path) -> int:
    with opened(path) as store:
        return store.count()


def order_of(path) -> list[str]:
    with opened(path) as store:
        return [each.run_id for each in store.iter_summaries(oldest_first=True)]


class TestRunsOfOtherPrograms:
    @pytest.mark.parametrize("target", ["b.db", "b.jsonl"])
    def test_json_in_lines(self, source, tmp_path, target):
        with closing(sqlite3.connect(source)) as connection, connection:
            text = json.dumps(some_run(9).to_dict(), indent=2)
            connection.execute(
                "INSERT INTO traces VALUES ('run-9', 1, 5.0, '2024-01-01T00:00:00+00:00', '{}', ?)",
                (text,),
            )
        assert run("copy", source, tmp_path / target, "--verify").returncode == 0
        with opened(tmp_path / target) as store:
            assert store.load("run-9") == some_run(9)

    def test_what_cannot_be_read_is_told_of(self, source, tmp_path):
        with closing(sqlite3.connect(source)) as connection, connection:
            connection.execute("UPDATE traces SET trace_json = '{}' WHERE run_id = 'run-2'")
            other = json.dumps(some_run(8).to_dict())
            connection.execute("UPDATE traces SET trace_json = ? WHERE run_id = 'run-4'", (other,))
        done = run("copy", source, tmp_path / "b.db")
        assert "4 runs saved" in done.stderr
        assert "2 skipped" in done.stderr


class TestComparing:
    @pytest.mark.parametrize(
        ("harm", "said"),
        [
            (lambda copy: copy.delete("run-3"), "is missing"),
            (lambda copy: copy.save(some_run(3)), "differs: when it was saved"),
            (
                lambda copy: copy.save_many(
                    [some_run(3, "lost")], created_at=[summary_of(copy).created_at]
                ),
                "differs: the run",
            ),
            (lambda copy: copy.remove_annotation("run-3", name="quality"), "its annotations"),
            (lambda copy: copy.annotate("run-3", "new", label="more"), "its annotations"),
        ],
        ids=["missing", "time", "content", "annotation missing", "annotation more"],
    )
    def test_each_difference_is_found(self, source, harm, said):
        with so.SQLiteTraceStore(source) as store, so.InMemoryTraceStore() as target:
            work = StoreCopy(store, target, None, pytest.fail)
            work.copy()
            assert list(work.differences()) == []
            harm(target)
            (difference,) = work.differences()
            assert difference.run_id == "run-3"
            assert said in str(difference)

    def test_a_damaged_copy_is_told_of(self, source, tmp_path):
        copy = tmp_path / "b.db"
        run("copy", source, copy)
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute("UPDATE trace_facets SET trace_crc = 5 WHERE id = 4")
        again = run("copy", source, copy, "--verify")
        assert again.returncode == 1
        assert "run 'run-3': cannot be read" in again.stderr


def summary_of(store) -> so.TraceSummary:
    (found,) = store.query(so.TraceFilter(run_ids=["run-3"]))
    return found
