"""sqlite3 itself with rows made beforehand: what is left when a store costs nothing.

The table and its one index are the trace stores' own; WAL, synchronous=FULL. ``batch`` saves are
one ``executemany`` and one commit.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from benchmarks.data import TraceDict

SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (
    run_id TEXT PRIMARY KEY,
    steps INTEGER NOT NULL,
    total_ms REAL NOT NULL,
    created_at TEXT NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}',
    trace_json TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_traces_created ON traces(created_at DESC);
"""
NEWEST = """
SELECT run_id, steps, total_ms, created_at, metadata FROM traces ORDER BY created_at DESC LIMIT ?
"""
INSERT = "INSERT OR REPLACE INTO traces VALUES (?, ?, ?, ?, ?, ?)"


class Connection:
    """One connection, used from one thread."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(SCHEMA)
        self._clock = 0

    def native(self, trace: TraceDict) -> Any:
        self._clock += 1
        return row(trace, self._clock)

    def save(self, item: Any) -> None:
        self._db.execute(INSERT, item)
        self._db.commit()

    def save_many(self, items: list[Any]) -> None:
        self._db.executemany(INSERT, items)
        self._db.commit()

    def load(self, run_id: str) -> None:
        select = "SELECT trace_json FROM traces WHERE run_id = ?"
        if self._db.execute(select, (run_id,)).fetchone() is None:
            raise LookupError(run_id)

    def newest(self, count: int) -> int:
        return len(self._db.execute(NEWEST, (count,)).fetchall())

    def by_metadata(self, key: str, value: object) -> int:
        raise NotImplementedError

    def close(self) -> None:
        self._db.close()


def row(trace: TraceDict, moment: int) -> tuple[object, ...]:
    """The row of a trace saved ``moment`` microseconds after a fixed hour, as compact JSON."""
    seconds, micros = divmod(moment, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    return (
        trace["run_id"],
        trace["step_count"],
        trace["total_duration_ms"],
        f"2026-03-27T10:{minutes:02}:{seconds:02}.{micros:06}+00:00",
        _compact(trace["metadata"]),
        _compact(trace),
    )


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def blocking(_kind: str, path: Path) -> Connection:
    """Only ``sqlite``."""
    return Connection(path)


def asynchronous(_kind: str, _path: Path) -> Any:
    """There is none."""
    raise NotImplementedError("sqlite3 is blocking")
