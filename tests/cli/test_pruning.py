"""The command ``prune``, and ``delete`` of child runs."""

from __future__ import annotations

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")

from command import run

from selectools_observe import SQLiteTraceStore
from selectools_observe.testing.samples import make_trace, make_traces


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "runs.db"
    with SQLiteTraceStore(path) as store:
        store.save_many(make_traces(20))
        store.annotate("run-001", "a", note="keep")
    return path


def left(path):
    with SQLiteTraceStore(path) as store:
        return [int(summary.run_id[-3:]) for summary in store.list(100)][::-1]


def test_the_newest_are_kept(path):
    done = run("prune", "--keep-runs", 15, "--keep-annotated", "--yes", "-s", path)
    assert done.returncode == 0
    assert "4 runs deleted, 1 spared" in done.stderr
    assert left(path) == [1, *range(5, 20)]
    again = run("prune", "--keep-runs", 16, "--yes", "-s", path)
    assert again.returncode == 1


def test_a_dry_run_says_what_would_go(path):
    done = run("prune", "--keep-runs", 18, "--keep", "n=0", "--dry-run", "-s", path)
    assert (done.returncode, done.stdout) == (0, "run-001\n")
    assert "1 run would be deleted, 1 spared" in done.stderr
    assert left(path) == [*range(20)]


def test_it_asks_first(path):
    done = run("prune", "--keep-runs", 0, "-s", path)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert left(path) == [*range(20)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "older_than"),
        (["--keep-bytes", "lots"], "500MB"),
        (["--keep-runs", "-1"], "-1"),
        (["--where", "tool:("], "filter"),
        (["--older-than", "soon"], "soon"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(path, words, told):
    done = run("prune", *words, "--yes", "-s", path)
    assert done.returncode == 2
    assert told in done.stderr
    assert left(path) == [*range(20)]


def test_bytes_as_people_write_them(path):
    from selectools_observe.cli.commands.prune import byte_count

    assert [byte_count(text) for text in ("500", "1.5k", "2GB", "1 MiB")] == [
        500, 1500, 2_000_000_000, 1_048_576,
    ]  # fmt: skip
    assert run("prune", "--keep-bytes", "1GB", "--yes", "-s", path).returncode == 1


def test_child_runs_go_with_their_parent(path):
    with SQLiteTraceStore(path) as store:
        store.save(make_trace("child-020", parent_run_id="run-003"))
        store.save(make_trace("child-021", parent_run_id="child-020"))
    done = run("delete", "run-003", "--descendants", "--yes", "-s", path)
    assert (done.returncode, done.stderr) == (0, "3 deleted\n")
    assert left(path) == [n for n in range(20) if n != 3]
    assert run("delete", "-w", "n>=10", "--yes", "-s", path).returncode == 0
    assert left(path) == [n for n in range(10) if n != 3]
