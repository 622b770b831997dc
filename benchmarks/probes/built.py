"""Big stores, built once a run and shared by the probes that need them.

Ours is filled through ``save_many``; selectools has no bulk save, so its table is filled by SQL
with the rows that its own ``save`` would write. A build runs in a process of its own, which leaves
the memory of the measured process alone, and a bigger store starts as a copy of a smaller one.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.data import TraceDict, small_traces
from benchmarks.probes.base import Bench

Numbered = Iterator[tuple[int, TraceDict]]

_CHUNK = 2_000
_FIRST_SAVE = datetime(2026, 3, 27, 10, tzinfo=UTC)


def our_store(bench: Bench, size: int) -> Path:
    """A SQLite store of ours with ``size`` small traces."""
    return _once(bench.shared, "ours", _steps_to(bench, size))


def selectools_store(bench: Bench, size: int) -> Path:
    """A SQLite store of selectools' with the same traces."""
    return _once(bench.shared, "selectools", _steps_to(bench, size))


def archive(bench: Bench, lines: int) -> Path:
    """A JSONL file in the line format that both read, with ``lines`` small traces."""
    return _once(bench.shared, "archive", [lines])


def _steps_to(bench: Bench, size: int) -> list[int]:
    known = {*bench.settings.sizes, bench.settings.medium}
    return [*(smaller for smaller in sorted(known) if smaller < size), size]


def _once(folder: Path, kind: str, sizes: list[int]) -> Path:
    if not _done(folder, kind, sizes[-1]).exists():
        command = [sys.executable, "-m", "benchmarks.probes.built", str(folder), kind]
        subprocess.run([*command, *map(str, sizes)], check=True)
        _done(folder, kind, sizes[-1]).touch()
    return _path(folder, kind, sizes[-1])


def _path(folder: Path, kind: str, size: int) -> Path:
    return folder / f"{kind}-{size}"


def _done(folder: Path, kind: str, size: int) -> Path:
    return folder / f"{kind}-{size}.done"


def _build(folder: Path, kind: str, sizes: list[int]) -> None:
    fill = {"ours": _fill_ours, "selectools": _fill_selectools, "archive": _fill_archive}[kind]
    path = _path(folder, kind, sizes[-1])
    start = _copy_of_smaller(folder, kind, sizes)
    for first, last in itertools.pairwise([0, *sizes]):
        if first >= start:
            fill(path, enumerate(small_traces(first, last), first))


def _copy_of_smaller(folder: Path, kind: str, sizes: list[int]) -> int:
    """Begin with the biggest store already built; the traces are the same row for row."""
    for size in reversed(sizes[:-1]):
        if _done(folder, kind, size).exists():
            shutil.copyfile(_path(folder, kind, size), _path(folder, kind, sizes[-1]))
            return size
    return 0


def _fill_ours(path: Path, traces: Numbered) -> None:
    from selectools_observe import AgentTrace, SQLiteTraceStore

    with SQLiteTraceStore(path) as store:
        for chunk in _chunks(traces):
            store.save_many([AgentTrace.from_dict(trace) for _, trace in chunk])


def _fill_selectools(path: Path, traces: Numbered) -> None:
    from selectools.observe import SQLiteTraceStore

    SQLiteTraceStore(str(path))
    with closing(sqlite3.connect(path)) as db:
        rows = (_selectools_row(trace, moment) for moment, trace in traces)
        db.executemany("INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _selectools_row(trace: TraceDict, moment: int) -> tuple[object, ...]:
    numbers = (trace["step_count"], trace["total_duration_ms"], _saved_at(moment))
    return (trace["run_id"], *numbers, json.dumps(trace["metadata"]), json.dumps(trace))


def _fill_archive(path: Path, traces: Numbered) -> None:
    with path.open("w", encoding="utf-8") as out:
        for moment, trace in traces:
            out.write(json.dumps(_entry(trace, moment)) + "\n")


def _entry(trace: TraceDict, moment: int) -> dict[str, Any]:
    return {
        "run_id": trace["run_id"],
        "steps": trace["step_count"],
        "total_ms": trace["total_duration_ms"],
        "created_at": _saved_at(moment),
        "metadata": trace["metadata"],
        "trace": trace,
    }


def _saved_at(moment: int) -> str:
    return (_FIRST_SAVE + timedelta(microseconds=1 + moment)).isoformat()


def _chunks(traces: Numbered) -> Iterator[list[tuple[int, TraceDict]]]:
    while chunk := list(itertools.islice(traces, _CHUNK)):
        yield chunk


if __name__ == "__main__":
    _build(Path(sys.argv[1]), sys.argv[2], [int(size) for size in sys.argv[3:]])
