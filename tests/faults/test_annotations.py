"""Programs killed while they annotate, delete and prune: nothing acknowledged is lost, or half."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys

import pytest

from selectools_observe import JSONLTraceStore, SQLiteTraceStore, TraceNotFoundError
from selectools_observe.testing.samples import make_trace

KINDS = {"sqlite": SQLiteTraceStore, "jsonl": JSONLTraceStore}

CHILD = """
import sys
from selectools_observe import JSONLTraceStore, SQLiteTraceStore
from selectools_observe.testing.samples import make_trace

kind, path, role, first = sys.argv[1:]
store = {"sqlite": SQLiteTraceStore, "jsonl": JSONLTraceStore}[kind](path, durability="normal")
say = lambda *words: print(*words, flush=True)

def annotate(n):
    if n % 7 == 0:
        store.save(make_trace(f"run-{n % 5}", n % 4))
    one = store.annotate(f"run-{n % 5}", "score", score=n, note="because " * 40)
    say("kept", one.run_id, one.id)
    if n % 5 == 4:
        removed = store.remove_annotation(one.run_id, annotation_id=one.id)
        say("removed", one.run_id, one.id)

def delete(n):
    run_id = f"run-{n % 3}"
    store.save(make_trace(run_id))
    one = store.annotate(run_id, "score", score=n)
    say("kept", run_id, one.id)
    store.delete(run_id)
    say("deleted", run_id)

def prune(n):
    ids = [f"run-{n:05}-{k:02}" for k in range(20)]
    store.save_many([make_trace(run_id, 2) for run_id in ids])
    say("saved", *ids)
    one = store.annotate(ids[0], "score", score=n)
    say("kept", ids[0], one.id)
    store.prune(keep_runs=60, keep_annotated=n % 2 == 0)
    say("pruned")

for n in range(5):
    store.save(make_trace(f"run-{n}"))
say("ready")
n = int(first)
while True:
    globals()[role](n)
    n += 1
"""


def acknowledged(kind, path, role, first, many) -> list[list[str]]:
    """What a program said before it was killed, after so many words or soon after them."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, kind, str(path), role, str(first)],
        stdout=subprocess.PIPE,
        text=True,
    )
    said = []
    with child:
        for line in child.stdout:
            said.append(line.split())
            if len(said) > many:
                child.kill()
                break
        said += [line.split() for line in child.stdout if line.endswith("\n")]
    return said[1:]


def orphans(kind, path) -> int:
    """Annotations of runs that are not there."""
    if kind == "jsonl":
        return 0
    with contextlib.closing(sqlite3.connect(path)) as made:
        sql = (
            "SELECT count(*) FROM trace_annotations WHERE run_id NOT IN (SELECT run_id FROM traces)"
        )
        return made.execute(sql).fetchone()[0]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_annotating(kind, chance, many, report, tmp_path):
    path = tmp_path / "x"
    kept: dict[str, set[str]] = {}
    removed: set[str] = set()
    doubtful: set[str] = set()  # the last one: its removal may have begun
    for number in range(many(4, 40)):
        said = acknowledged(kind, path, "annotate", number * 1000, chance.randrange(1, 60))
        for what, run_id, annotation_id in said:
            if what == "kept":
                kept.setdefault(run_id, set()).add(annotation_id)
            else:
                removed.add(annotation_id)
        if said and said[-1][0] == "kept":
            doubtful.add(said[-1][2])
        report.add(rounds=1, faults=1)
        with KINDS[kind](path, durability="normal") as store:
            for run_id, ids in kept.items():
                found = {one.id for one in store.annotations(run_id)}
                assert ids - removed - doubtful <= found
                assert not found & (removed - doubtful)
                latest = store.annotations(run_id)[-1:]
                (summary,) = [s for s in store.list(10) if s.run_id == run_id]
                assert [one.score for one in summary.annotations.values()] == [
                    one.score for one in latest
                ]
            assert store.verify().ok
    assert orphans(kind, path) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_deleting_annotated_runs(kind, chance, many, report, tmp_path):
    path = tmp_path / "x"
    for number in range(many(6, 60)):
        said = acknowledged(kind, path, "delete", number * 1000, chance.randrange(1, 40))
        last: dict[str, list[str]] = {words[1]: words for words in said}
        report.add(rounds=1, faults=1)
        with KINDS[kind](path, durability="normal") as store:
            for run_id, words in last.items():
                try:
                    found = [one.id for one in store.annotations(run_id)]
                except TraceNotFoundError:
                    store.save(make_trace(run_id))
                    assert store.annotations(run_id) == [], "an annotation outlived its run"
                    continue
                if words[0] == "kept":
                    assert found[-1:] == [words[2]]
                else:  # saved again when it was killed, and perhaps annotated already
                    assert len(found) <= 1
            assert store.verify().ok
            store.delete_many([summary.run_id for summary in store.list(10)])
    assert orphans(kind, path) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_killed_while_pruning(kind, chance, many, report, tmp_path):
    path = tmp_path / "x"
    saved: list[str] = []
    for number in range(many(4, 40)):
        said = acknowledged(kind, path, "prune", number * 1000, chance.randrange(1, 40))
        saved += [run_id for words in said if words[0] == "saved" for run_id in words[1:]]
        kept = {words[1]: words[2] for words in said if words[0] == "kept"}
        report.add(rounds=1, faults=1)
        with KINDS[kind](path, durability="normal") as store:
            found = [summary.run_id for summary in store.list(10_000)]
            expected = saved[-60:]
            begun = [run_id for run_id in found if run_id not in set(saved)]
            # A batch that was not acknowledged may be there, whole, and the oldest be gone for it.
            assert set(expected[20 if begun else 0 :]) <= set(found)
            assert all(len(store.load(run_id)) in {1, 2} for run_id in found)
            for run_id, annotation_id in kept.items():
                if run_id in found:
                    assert [one.id for one in store.annotations(run_id)] == [annotation_id]
            assert store.verify().ok
    assert orphans(kind, path) == 0
