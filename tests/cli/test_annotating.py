"""The commands ``annotate`` and ``annotations``, and what others show of annotations."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")

from command import run

from selectools_observe import SQLiteTraceStore
from selectools_observe.testing.samples import make_traces


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "runs.db"
    with SQLiteTraceStore(path) as store:
        store.save_many(make_traces(3))
    return path


def said(path, run_id="run-002"):
    with SQLiteTraceStore(path) as store:
        return store.annotations(run_id)


def test_a_run_is_annotated(path):
    words = ["@1", "resolved", "--label", "no", "--score", "0", "--note", "gave up", "--step", 1]
    done = run("annotate", *words, "-s", path, USER="ada")
    assert (done.returncode, done.stdout) == (0, "")
    assert "run-002: resolved (step 1): no 0 gave up ada" in done.stderr
    (one,) = said(path)
    assert (one.name, one.label, one.score, one.note) == ("resolved", "no", 0, "gave up")
    assert (one.step, one.author, one.source) == (0, "ada", "human")


def test_lists_and_filters_know_it(path):
    run("annotate", "run-001", "quality", "--score", "0.25", "--author", "check", "-s", path)
    found = run("list", "-w", "score.quality<0.5", "--json", "-s", path)
    (listed,) = json.loads(found.stdout)["traces"]
    assert listed["annotations"]["quality"]["score"] == 0.25
    ordered = run("query", "--order-by", "-score.quality", "--jsonl", "-s", path)
    assert json.loads(ordered.stdout.splitlines()[0])["run_id"] == "run-001"
    assert "quality: 0.25" in run("show", "run-001", "-s", path).stdout


def test_tables_and_comparisons_tell_scores(path):
    for run_id, score in (("run-000", "0.5"), ("run-001", "1")):
        run("annotate", run_id, "quality", "--score", score, "--label", "ok", "-s", path)
    listed = run("list", path, "--columns", "run,score.quality,label.quality").stdout
    assert "run-000 0.5 ok" in [" ".join(line.split()) for line in listed.splitlines()]
    compared = run("compare", "run-000", "run-001", "-s", path).stdout
    assert "score.quality" in compared
    assert "+0.5 (+100%)" in compared
    table = run("compare", "run-000", "run-001", "run-002", "-s", path).stdout
    (line,) = [line for line in table.splitlines() if line.startswith("score.quality")]
    assert line.split()[1:] == ["0.5", "1", "-"]


def test_statistics_tell_scores_and_labels(path):
    for number, score in ((0, -1), (1, 2)):
        words = ["--score", score, "--label", "bad" if score < 0 else "good"]
        assert run("annotate", f"run-00{number}", "quality", *words, "-s", path).returncode == 0
    done = run("stats", "--by", "day", "-s", path, COLUMNS="120")
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("quality")]
    assert line.split() == ["quality", "2", "0.5", "-1", "2", "bad", "1,", "good", "1"]
    told = json.loads(run("stats", "--by", "day", "--json", "-s", path).stdout)
    assert told["days"][0]["annotations"]["quality"]["score"]["mean"] == 0.5
    done = run("groups", "name", "--order-by", "score.quality", "-s", path)
    assert done.returncode in {0, 1}, done.stderr


def test_annotations_are_shown_and_removed(path):
    for score in (1, 2):
        run("annotate", "@1", "a", "--score", score, "-s", path, USER="ada")
    run("annotate", "@1", "b", "--label", "x", "--source", "code", "-s", path)
    shown = run("annotations", "-s", path)
    assert (shown.returncode, len(shown.stdout.splitlines())) == (0, 3)
    told = json.loads(run("annotations", "@1", "--json", "-s", path).stdout)["annotations"]
    assert [one["name"] for one in told] == ["a", "a", "b"]
    done = run("annotations", "@1", "--remove-id", told[0]["id"], "-s", path)
    assert (done.returncode, done.stderr) == (0, "1 removed\n")
    assert run("annotations", "@1", "--remove", "a", "-s", path).stderr == "1 removed\n"
    assert run("annotations", "@1", "--remove", "a", "-s", path).returncode == 1
    assert [one.name for one in said(path)] == ["b"]
    nothing = run("annotations", "@2", "-s", path)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "run-001" in nothing.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["@1", "a"], "is empty"),
        (["@1", "a", "--score", "nan"], "finite"),
        (["@1", "a", "--label", "x", "--step", "9"], "no step 9"),
        (["@1", "a", "--label", "x", "--source", "dog"], "dog"),
    ],
)
def test_what_cannot_be_said_is_a_usage_error(path, words, told):
    done = run("annotate", *words, "-s", path)
    assert done.returncode == 2
    assert told in done.stderr
    assert said(path) == []
