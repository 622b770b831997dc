"""Damaged files: never a crash, a hang, or something that nobody saved.

Bits flipped, files cut and bytes filled with NULs, in every class of position of a database, its
log and a JSONL file. A child opens each damaged file through a store, verifies it and repairs it.
"""

from __future__ import annotations

import json
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from damage_child import FILTERS
from damages import Damage, damages, places_of_database, places_of_lines, places_of_log

from selectools_observe import AgentTrace, JSONLTraceStore, SQLiteTraceStore, TraceStep
from selectools_observe.model.facets import facts_of
from selectools_observe.model.filters import matches

HERE = Path(__file__).parent
RUNS = 300


def make(number: int, version: int = 1) -> AgentTrace:
    """Runs of all sizes: on one page with others, on a page alone, over many pages."""
    size = (40, 700, 3_000, 9_000, 40_000)[number % 5 if number % 50 == 4 else number % 4]
    steps = [
        TraceStep(
            type="tool_execution" if n % 2 else "llm_call",
            timestamp=1.5,
            duration_ms=12.25,
            tool_name="search" if n % 2 else None,
            model=None if n % 2 else "gpt-4o",
            tool_result=f"{number} {n} " * (size // 10),
            prompt_tokens=number,
            cost_usd=0.25,
            error="timeout" if number % 11 == 0 else None,
        )
        for n in range(1 + number % 3)
    ]
    metadata = {"user": f"user-{number % 7}", "even": number % 2 == 0, "version": version}
    return AgentTrace(steps, 1.0, f"run-{number:03}", None, metadata)


class Base:
    """The files before they are damaged, and what was saved."""

    def __init__(self, folder: Path, kind: str, *, with_log: bool = False) -> None:
        self.folder = folder
        self.kind = kind
        self.path = folder / "base"
        store_type = SQLiteTraceStore if kind == "sqlite" else JSONLTraceStore
        self.runs: dict[str, list] = {}
        store = store_type(self.path)
        store.save_many(self.kept(store, make(n)) for n in range(RUNS))
        self.note(store)
        store.save_many(self.kept(store, make(n, 2)) for n in range(0, RUNS, 9))
        for n in range(5, RUNS, 13):
            store.delete(f"run-{n:03}")
        self.note(store)
        if with_log:
            store.compact()
            store.save_many(self.kept(store, make(n, 3)) for n in range(0, RUNS, 20))
            self.note(store)
            self.take_away(store)
        else:
            store.close()
        truth = {"runs": self.runs, "order": self.order, "new": make(7, 9)}
        truth["new"].run_id = "new"
        (folder / "truth").write_bytes(pickle.dumps(truth))

    def kept(self, store, trace: AgentTrace) -> AgentTrace:
        self.runs.setdefault(trace.run_id, []).append(trace)
        return trace

    def note(self, store) -> None:
        """What each run looks like now: its trace, its summary, the filters that it matches."""
        self.order = [summary.run_id for summary in store.list(10_000)]
        for summary in store.list(10_000):
            trace = self.runs[summary.run_id][-1]
            if isinstance(trace, AgentTrace):
                matching = [f for f in FILTERS if matches(f, summary, facts_of(trace))]
                self.runs[summary.run_id][-1] = (trace.to_dict(), summary, matching)
        for run_id, versions in self.runs.items():
            self.runs[run_id] = [v for v in versions if not isinstance(v, AgentTrace)]

    def take_away(self, store) -> None:
        """The files as they are while the store is open."""
        with_log = self.folder / "with-log"
        with_log.mkdir()
        for file in ("base", "base-wal"):
            shutil.copy(self.folder / file, with_log / file)
        store.close()
        for file in ("base", "base-wal"):
            shutil.move(with_log / file, self.folder / file)
        with_log.rmdir()


class Child:
    """A program that looks at damaged files; started anew when one kills it."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.program = None
        self.stderr = (base.folder / "stderr").open("w+")

    def look_at(self, damage: Damage) -> dict | None:
        """What it found; None if it crashed or hung."""
        if self.program is None:
            self.program = subprocess.Popen(
                [sys.executable, str(HERE / "damage_child.py"), self.base.folder, self.base.kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.stderr,
                text=True,
            )
        self.program.stdin.write(pickle.dumps(damage).hex() + "\n")
        self.program.stdin.flush()
        answer = self.program.stdout.readline()
        if answer:
            return json.loads(answer)
        self.close()
        return None

    @property
    def last_words(self) -> str:
        return (self.base.folder / "stderr").read_text()

    def end(self) -> None:
        self.close()
        self.stderr.close()

    def close(self) -> None:
        if self.program is not None:
            self.program.stdin.close()
            self.program.stdout.close()
            self.program.wait(60)
            self.program = None


def has_dbstat() -> bool:
    with closing(sqlite3.connect(":memory:")) as raw, raw:
        try:
            raw.execute("SELECT * FROM dbstat")
        except sqlite3.OperationalError:
            return False
    raw.close()
    return True


# How often each class of position is damaged, in the ordinary run and in the long one.
CASES = [
    pytest.param("sqlite", False, places_of_database, (2, 40), id="database"),
    pytest.param("sqlite", True, places_of_log, (12, 800), id="log"),
    pytest.param("jsonl", False, places_of_lines, (16, 800), id="lines"),
]


@pytest.mark.parametrize(("kind", "with_log", "places_of", "times"), CASES)
def test_nothing_wrong_is_given(kind, with_log, places_of, times, tmp_path, chance, many, report):
    if kind == "sqlite" and not has_dbstat():
        pytest.skip("this SQLite has no dbstat, which tells pages apart")
    base = Base(tmp_path, kind, with_log=with_log)
    places = places_of(base.path)
    child = Child(base)
    found, bad = Counter(), []
    for damage in damages(places, many(*times), chance):
        answer = child.look_at(damage)
        if answer is None:
            is_hang = "Timeout (" in child.last_words
            bad.append((damage, child.last_words))
            report.add(**{"hung" if is_hang else "crashed": 1})
        elif answer["wrong"]:
            bad.append((damage, answer["wrong"]))
            report.add(wrong=1)
        else:
            found.update(answer["outcomes"])
        report.add(faults=1)
    child.end()
    report.add(wrong=0, crashed=0)
    print(len(places), "classes of position", json.dumps(found, indent=1))
    assert not bad, "\n\n".join(f"{damage}\n{words}" for damage, words in bad[:10])
