"""Programs that annotate, delete and prune until an end is put to them, and what is left then."""

from __future__ import annotations

import subprocess
import sys

from selectools_observe import FileTraceStore, TraceNotFoundError
from selectools_observe.stores.open import open_store
from selectools_observe.testing.samples import make_trace

CHILD = """
import sys
from selectools_observe.stores.open import open_store
from selectools_observe.testing.samples import make_trace

name, role, first = sys.argv[1:]
store = open_store(name)
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


def kill_it(child: subprocess.Popen[str]) -> None:
    child.kill()


def acknowledged(name, role, first, many, end) -> list[list[str]]:
    """What a program said before an end was put to it, after so many words or soon after them."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, name, role, str(first)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    said = []
    with child:
        for line in child.stdout:
            said.append(line.split())
            if len(said) > many:
                end(child)
                break
        said += [line.split() for line in child.stdout if line.endswith("\n")]
    assert len(said) > many, "the program ended by itself"
    return said[1:]


def rounds(name, role, number, chance, most, end=kill_it):
    """Ends of so many programs: what each had said, and the store as it is afterwards."""
    for n in range(number):
        said = acknowledged(name, role, n * 1000, chance.randrange(1, most), end)
        with open_store(name) as store:
            yield said, store
            if isinstance(store, FileTraceStore):
                assert store.verify().ok


def check_annotating(name, number, chance, end=kill_it):
    """Programs end while they annotate: every acknowledged annotation is there, or was removed."""
    kept: dict[str, set[str]] = {}
    removed: set[str] = set()
    doubtful: set[str] = set()  # the last one: its removal may have begun
    for said, store in rounds(name, "annotate", number, chance, 60, end):
        for what, run_id, annotation_id in said:
            if what == "kept":
                kept.setdefault(run_id, set()).add(annotation_id)
            else:
                removed.add(annotation_id)
        if said and said[-1][0] == "kept":
            doubtful.add(said[-1][2])
        for run_id, ids in kept.items():
            found = {one.id for one in store.annotations(run_id)}
            assert ids - removed - doubtful <= found
            assert not found & (removed - doubtful)
            latest = store.annotations(run_id)[-1:]
            (summary,) = [s for s in store.list(10) if s.run_id == run_id]
            assert [one.score for one in summary.annotations.values()] == [
                one.score for one in latest
            ]


def check_deleting(name, number, chance, end=kill_it):
    """Programs end while they delete annotated runs: no annotation outlives its run."""
    for said, store in rounds(name, "delete", number, chance, 40, end):
        last: dict[str, list[str]] = {words[1]: words for words in said}
        for run_id, words in last.items():
            try:
                found = [one.id for one in store.annotations(run_id)]
            except TraceNotFoundError:
                store.save(make_trace(run_id))
                assert store.annotations(run_id) == [], "an annotation outlived its run"
                continue
            if words[0] == "kept":
                assert found[-1:] == [words[2]]
            else:  # saved again when it ended, and perhaps annotated already
                assert len(found) <= 1
        store.delete_many([summary.run_id for summary in store.list(10)])


def check_pruning(name, number, chance, end=kill_it):
    """Programs end while they prune: what is to stay is there, no run is there in part."""
    saved: list[str] = []
    for said, store in rounds(name, "prune", number, chance, 40, end):
        saved += [run_id for words in said if words[0] == "saved" for run_id in words[1:]]
        kept = {words[1]: words[2] for words in said if words[0] == "kept"}
        found = [summary.run_id for summary in store.list(10_000)]
        expected = saved[-60:]
        begun = [run_id for run_id in found if run_id not in set(saved)]
        # A batch that was not acknowledged may be there, whole, and the oldest be gone for it.
        assert set(expected[20 if begun else 0 :]) <= set(found)
        assert all(len(store.load(run_id)) in {1, 2} for run_id in found)
        for run_id, annotation_id in kept.items():
            if run_id in found:
                assert [one.id for one in store.annotations(run_id)] == [annotation_id]
