"""Whether a file holds what its writers were told it holds, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from journal import ABSENT, Expected
from report import Report
from samples import make, version_of
from store_kinds import Handle, eventually, open_files

SLOW = 60.0  # seconds; no file of these tests may take so long to open, whatever else runs here


def check(store_kind: str, path: Path, journals: Iterable[Path], report: Report) -> Expected:
    """Open the file with a fresh store and compare all of it with what the journals allow."""
    expected = Expected(journals)
    report.journals.update(expected.counts)
    began = time.monotonic()
    with Handle(store_kind, path.parent) as store:
        first = store.list(10)
        took = time.monotonic() - began
        report.highest(most_milliseconds_to_open=round(took * 1000))
        assert took < SLOW
        found = {trace.run_id: trace for trace in _each_once(store.iter_traces(), report)}
        assert store.count() == len(found)
        assert [s.run_id for s in first] == [s.run_id for s in _pages(store)][:10]
    _compare(found, expected, report)
    (_check_database if store_kind.startswith("sqlite") else _check_lines)(path, report)
    assert_free(store_kind, path)
    return expected


def _each_once(traces: list, report: Report) -> list:
    repeated = sum(Counter(trace.run_id for trace in traces).values()) - len(
        {trace.run_id for trace in traces}
    )
    report.add(duplicated=repeated)
    assert not repeated
    return traces


def _pages(store: Handle) -> list:
    page = store.list(100)
    seen = list(page)
    while page.next_cursor:
        page = store.list(100, cursor=page.next_cursor)
        seen += page
    assert len({summary.run_id for summary in seen}) == len(seen) == store.count()
    return seen


def _compare(found: dict, expected: Expected, report: Report) -> None:
    lost = expected.certain - found.keys()
    report.add(lost=len(lost))
    assert not lost, f"acknowledged, and gone: {sorted(lost)[:20]}"
    for run_id, trace in found.items():
        assert version_of(trace) in expected.allowed.get(run_id, ()), run_id
        assert trace == make(run_id, version_of(trace)), run_id
    for run_ids in expected.together:
        there = [run_id for run_id in run_ids if run_id in found]
        assert len(there) in (0, len(run_ids)), f"half of {run_ids}: {there}"


def _check_database(path: Path, report: Report) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        without_facets = raw.execute(
            "SELECT count(*) FROM traces WHERE rowid NOT IN (SELECT id FROM trace_facets)"
            " AND rowid NOT IN (SELECT id FROM trace_pending)"
        ).fetchone()
        assert without_facets == (0,)
    wal = Path(f"{path}-wal")
    if wal.exists():
        report.highest(most_bytes_of_log=wal.stat().st_size)


def _check_lines(path: Path, report: Report) -> None:
    """No line holds two records, and no version of a run was written twice."""
    written = Counter()
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError):  # what a kill has torn is skipped, and was never told
            record = json.loads(line)
            written[record["run_id"], record["metadata"]["version"]] += 1
    repeated = {key: times for key, times in written.items() if times > 1}
    report.add(duplicated=len(repeated))
    assert not repeated


def assert_free(store_kind: str, path: Path) -> None:
    """No lock and no transaction is left behind by anybody."""
    if store_kind.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")
    else:
        import fcntl

        with open(path, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def leftovers(folder: Path) -> list[str]:
    """Files that a store did not clear away."""
    kinds = (".db", ".db-wal", ".db-shm", ".jsonl", ".journal")
    return sorted(name for name in os.listdir(folder) if not name.endswith(kinds))


@contextlib.contextmanager
def nothing_left(report: Report, stranded: int = 0) -> Iterator[None]:
    """Afterwards there are no more threads and open files than before; but for so many, at most."""
    threads, files = set(threading.enumerate()), open_files()
    yield
    eventually(lambda: set(threading.enumerate()) <= threads and open_files() <= files)
    more_threads = set(threading.enumerate()) - threads
    more_files = open_files() - files
    leaked = max(0, len(more_files) - stranded)
    report.add(leaked_threads=len(more_threads), leaked_handles=leaked)
    assert not more_threads
    assert not leaked, more_files


__all__ = ["ABSENT", "assert_free", "check", "leftovers", "nothing_left"]
