"""Scores, feedback and assessments of other tools become annotations of the runs they are about."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")

from command import run

import selectools_observe as so
from selectools_observe.interchange import read_saved_runs

DATA = Path(__file__).resolve().parents[1] / "data" / "imports"


def imported(path, *files, code=0):
    """What is said of each run after files were imported, each one by itself and in this order."""
    for file in files:
        done = run("import", DATA / file if isinstance(file, str) else file, "-s", path)
        assert done.returncode == code, done.stderr
    return said(path)


def said(path):
    with so.SQLiteTraceStore(path) as store:
        ids = [summary.run_id for summary in store.list(1000)]
        assert ids
        return {run_id: store.annotations(run_id) for run_id in ids}


def told(annotations):
    return {
        one.name: (one.label, one.score, one.note, one.step, one.author, one.source)
        for one in annotations
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.db"


LANGFUSE = {
    "correct": ("true", 1, "It names a number.", None, "ada", "human"),
    "tone": ("curt", None, None, None, None, "llm"),
    "brevity": (None, 0.25, None, 0, None, "code"),
}
PHOENIX = {"correct": ("yes", 0.75, "It names a number.", 0, None, "llm")}
PHOENIX_TRACE = {"tone": ("curt", None, None, None, None, "human")}
LANGSMITH = {
    "correct": ("true", 1, "It names a number.", None, None, "code"),
    "tone": ("curt", None, None, None, None, "code"),
    "brevity": (None, 0.25, None, 0, None, "llm"),
}
MLFLOW = {
    "correct": ("true", 1, "It names a number.", None, "ada", "human"),
    "brevity": (None, 0.25, None, 0, "gpt-4o", "llm"),
    "expectation.answer": ("12 degrees", None, None, None, "ada", "human"),
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["langfuse/traces.json"], LANGFUSE),
        (["langfuse/observations.json", "langfuse/scores.json"], LANGFUSE),
        (["langfuse/traces.json", "langfuse/scores.json"], LANGFUSE),
        (["langsmith/runs.jsonl", "langsmith/feedback.jsonl"], LANGSMITH),
        (["mlflow/traces.jsonl"], MLFLOW),
        (["mlflow/frame.json"], MLFLOW),
        (["phoenix/spans.json", "phoenix/annotations.json"], PHOENIX),
        (["phoenix/spans.parquet", "phoenix/annotations.parquet"], PHOENIX),
        (["phoenix/frame.json", "phoenix/trace_annotations.json"], PHOENIX_TRACE),
        (
            ["phoenix/spans.json", "phoenix/annotations.json", "phoenix/trace_annotations.json"],
            PHOENIX | PHOENIX_TRACE,
        ),
    ],
)
def test_scores_are_annotations_and_imported_twice_kept_once(path, files, expected):
    if any(file.endswith(".parquet") for file in files):
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    first = imported(path, *files)
    assert len(first) == 2
    for judged in first.values():
        names = {one.name: one.step for one in judged}
        found = told(judged)
        # A call is evaluated that is the first, or the second, of its run.
        assert {name: step for name, step in names.items() if step} in ({}, {"brevity": 2})
        assert {name: (*one[:3], one[3] and 0, *one[4:]) for name, one in found.items()} == expected
        assert len(judged) == len({one.id for one in judged})
    assert imported(path, *files) == first


@pytest.mark.parametrize("file", ["inspect/weather.json", "inspect/weather.eval"])
def test_scores_of_a_sample(path, file):
    if file.endswith(".eval"):
        pytest.importorskip("zstandard", reason="the extra zstd is not installed")
    found = imported(path, file)
    for judged in found.values():
        (one,) = judged
        assert (one.name, one.label, one.score, one.source) == ("includes", "C", 1.0, "code")
        assert one.note.startswith("It is 12 degrees")
    assert imported(path, file) == found


def test_a_file_of_scores_alone_is_not_lost_silently(path, tmp_path):
    done = run("import", DATA / "langfuse/scores.json", "-s", path)
    assert (done.returncode, done.stderr.count("is not in the store: import it first")) == (1, 6)
    done = run("import", DATA / "phoenix/annotations.json", "-s", path)
    assert "the run of span" in done.stderr
    skipped = []
    runs = read_saved_runs(
        DATA / "langfuse/scores.json", skipped=lambda *each: skipped.append(each)
    )
    assert list(runs) == []
    assert "a run that is not in the file" in skipped[0][1]


def test_the_order_of_the_files_does_not_matter(path):
    files = ["langsmith/feedback.jsonl", "langsmith/runs.jsonl"]
    done = run("import", *(DATA / file for file in files), "-s", path)
    assert done.returncode == 0, done.stderr
    assert "6 annotations" not in done.stderr
    assert sorted(map(len, said(path).values())) == [3, 4]


def test_files_of_runs_and_scores_in_one(path, tmp_path):
    whole = tmp_path / "all.jsonl"
    files = ("langsmith/feedback.jsonl", "langsmith/runs.jsonl")
    whole.write_bytes(b"".join((DATA / file).read_bytes() for file in files))
    assert sorted(map(len, imported(path, whole).values())) == [3, 4]


def test_what_no_annotation_can_say_is_told(path, tmp_path):
    rows = json.loads((DATA / "langfuse/scores.json").read_text())["data"][:1]
    about = {"comment": "so", "value": {"a": [1]}, "dataType": "CATEGORICAL"}
    changed = [
        about,
        about | {"value": "x" * 500, "comment": None},
        about | {"value": None, "comment": None},
        about | {"value": 1e999, "dataType": "NUMERIC"},
        about | {"name": "n" * 300, "value": 2, "dataType": "NUMERIC"},
        about | {"subject": {"kind": "session", "id": "session-1"}},
    ]
    rows = [rows[0] | one | {"id": f"s{number}"} for number, one in enumerate(changed)]
    file = tmp_path / "scores.json"
    file.write_text(json.dumps({"data": rows, "meta": {"limit": 50}}))
    imported(path, "langfuse/observations.json")
    done = run("import", file, "-s", path)
    assert (done.returncode, done.stderr.count("skipped ")) == (1, 2), done.stderr
    assert "give label, score or note" in done.stderr
    assert "is not of a trace" in done.stderr
    by_id = {one.id: one for one in said(path)[f"{1:032x}"]}
    assert by_id["langfuse-s0"].note == 'so\n{"a":[1]}'
    assert by_id["langfuse-s1"].note == "x" * 500
    assert by_id["langfuse-s3"].score is None
    assert (len(by_id["langfuse-s4"].name), by_id["langfuse-s4"].score) == (200, 2)
    assert by_id["langfuse-s0"].created_at == datetime(2026, 11, 1, 13, 5, tzinfo=UTC)
