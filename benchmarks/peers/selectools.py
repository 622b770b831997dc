"""selectools' own trace stores, which are blocking.

Its SQLite store opens WAL and leaves SQLite's default, synchronous=FULL; its JSONL store appends
without fsync; its in-memory store keeps a reference to the caller's object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selectools import AgentTrace
from selectools.observe import (
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceFilter,
)

from benchmarks.data import TraceDict
from benchmarks.peers.base import MEMORY_SIZE


class Blocking:
    """A store of selectools'."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def native(self, trace: TraceDict) -> Any:
        return AgentTrace.from_dict(trace)

    def save(self, item: Any) -> None:
        self.store.save(item)

    def load(self, run_id: str) -> None:
        self.store.load(run_id)

    def newest(self, count: int) -> int:
        return len(self.store.list(limit=count))

    def by_metadata(self, key: str, value: object) -> int:
        return len(self.store.query(TraceFilter(metadata_match={key: value})))

    def close(self) -> None:
        """It has no close; its connections go with their threads."""


def blocking(kind: str, path: Path) -> Blocking:
    """``sqlite``, ``jsonl`` or ``memory``."""
    if kind == "memory":
        return Blocking(InMemoryTraceStore(max_size=MEMORY_SIZE))
    store = {"sqlite": SQLiteTraceStore, "jsonl": JSONLTraceStore}[kind]
    return Blocking(store(str(path)))


def asynchronous(_kind: str, _path: Path) -> Any:
    """There is none."""
    raise NotImplementedError("selectools has no async trace store")
