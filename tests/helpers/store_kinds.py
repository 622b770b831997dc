"""The six stores of the three backends, behind one blocking handle, so that one test drives all."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import selectools_observe as so

BACKENDS = ["memory", "sqlite", "jsonl"]
STORE_KINDS = [
    f"{backend}-{store_kind}" for backend in BACKENDS for store_kind in ("blocking", "async")
]
ON_DISK = [store_kind for store_kind in STORE_KINDS if not store_kind.startswith("memory")]

_CLASSES = {
    "memory-blocking": so.InMemoryTraceStore,
    "memory-async": so.AsyncInMemoryTraceStore,
    "sqlite-blocking": so.SQLiteTraceStore,
    "sqlite-async": so.AsyncSQLiteTraceStore,
    "jsonl-blocking": so.JSONLTraceStore,
    "jsonl-async": so.AsyncJSONLTraceStore,
}
_SUFFIX = {"sqlite": ".db", "jsonl": ".jsonl"}


def make(store_kind: str, path: str | Path | None = None, **options):
    """A store of this kind: in memory, or in the file."""
    if store_kind.startswith("memory"):
        return _CLASSES[store_kind](**{"max_size": 1_000_000, **options})
    return _CLASSES[store_kind](path, **options)


def file_of(store_kind: str, folder: Path) -> Path:
    """The file in a folder that a store on disk uses."""
    return folder / f"traces{_SUFFIX[store_kind.split('-', maxsplit=1)[0]]}"


class Handle:
    """A store of either kind, called as if it blocked; an async one on a loop of its own."""

    def __init__(self, store_kind: str, folder: Path | None = None, **options) -> None:
        self.store_kind = store_kind
        self.path = (
            file_of(store_kind, folder) if folder is not None and store_kind in ON_DISK else None
        )
        self.options = options
        self.loop = asyncio.new_event_loop() if store_kind.endswith("async") else None
        self.store = None
        try:
            self.open()
        except BaseException:
            if self.loop is not None:
                self.loop.close()
            raise

    def open(self) -> None:
        self.store = make(self.store_kind, self.path, **self.options)
        if self.loop is not None:
            self.loop.run_until_complete(self.store.__aenter__())

    def reopen(self) -> None:
        """Close, and open again what is on disk; a store in memory stays as it is."""
        if self.path is not None:
            self.close_store()
            self.open()

    def __getattr__(self, method: str):
        found = getattr(self.store, method)
        if self.loop is None:
            if method.startswith("iter_"):
                return lambda *args, **kwargs: list(found(*args, **kwargs))
            return found

        def call(*args, **kwargs):
            given = found(*args, **kwargs)
            return self.loop.run_until_complete(
                given if inspect.isawaitable(given) else _collect(given)
            )

        return call

    def close_store(self) -> None:
        if self.loop is None:
            self.store.close()
        else:
            self.loop.run_until_complete(self.store.aclose())

    def close(self) -> None:
        self.close_store()
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()


async def _collect(items) -> list:
    return [item async for item in items]


def trace(run_id: str, *, tool: str | None = None, **metadata) -> so.AgentTrace:
    """A small trace of one step."""
    step = so.TraceStep(
        type=so.StepType.TOOL_EXECUTION if tool else so.StepType.LLM_CALL,
        timestamp=1.0,
        duration_ms=2.5,
        tool_name=tool,
    )
    return so.AgentTrace(steps=[step], start_time=1.0, run_id=run_id, metadata=metadata)


def ids(summaries) -> list[str]:
    return [summary.run_id for summary in summaries]


@contextlib.contextmanager
def past_the_triggers(path: str | Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes a database as damage does: no trigger fires."""
    question = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        triggers = raw.execute(question).fetchall()
        raw.execute("BEGIN")
        for name, _ in triggers:
            raw.execute(f"DROP TRIGGER {name}")
        yield raw
        for _, sql in triggers:
            raw.execute(sql)
        raw.execute("COMMIT")


def open_files() -> set[str]:
    """What this process holds open."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            continue
    return found


def eventually(holds, seconds: float = 60.0) -> bool:
    """Whether a condition comes true, given generous time: threads end in their own time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
