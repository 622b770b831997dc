"""Our own package: its backends, async and blocking, with their default durability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.data import TraceDict
from benchmarks.engine_servers import ENGINES
from benchmarks.peers.base import MEMORY_SIZE
from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    AsyncJSONLTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceFilter,
)
from selectools_observe.stores.open import open_async_store, open_store


class Blocking:
    """A blocking store of ours."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def native(self, trace: TraceDict) -> Any:
        return AgentTrace.from_dict(trace)

    def save(self, item: Any) -> None:
        self.store.save(item)

    def save_many(self, items: list[Any]) -> None:
        self.store.save_many(items)

    def load(self, run_id: str) -> None:
        self.store.load(run_id)

    def newest(self, count: int) -> int:
        return len(self.store.list(limit=count))

    def newest_with_steps(self, count: int) -> int:
        return len(self.store.query(TraceFilter(min_steps=1, limit=count)))

    def by_metadata(self, key: str, value: object) -> int:
        return len(self.store.query(TraceFilter(metadata_match={key: value})))

    def by_text(self, text: str) -> int:
        return len(self.store.query(TraceFilter(text=f'"{text}"', limit=50)))

    def by_metadata_first(self, key: str, value: object, limit: int) -> int:
        match = TraceFilter(metadata_match={key: value}, limit=limit)
        return len(self.store.query(match))

    def page(self, count: int, cursor: str | None) -> Any:
        return self.store.list(limit=count, cursor=cursor)

    def close(self) -> None:
        self.store.close()


class Asynchronous:
    """An async store of ours."""

    def __init__(self, store: Any) -> None:
        self.store = store

    async def start(self) -> None:
        await self.store.__aenter__()

    def native(self, trace: TraceDict) -> Any:
        return AgentTrace.from_dict(trace)

    async def save(self, item: Any) -> None:
        await self.store.save(item)

    async def save_many(self, items: list[Any]) -> None:
        await self.store.save_many(items)

    async def load(self, run_id: str) -> None:
        await self.store.load(run_id)

    async def load_many(self, run_ids: list[str]) -> None:
        await self.store.load_many(run_ids)

    async def newest(self, count: int) -> int:
        return len(await self.store.list(limit=count))

    async def by_metadata(self, key: str, value: object) -> int:
        return len(await self.store.query(TraceFilter(metadata_match={key: value})))

    async def close(self) -> None:
        await self.store.aclose()


def blocking(kind: str, path: Path) -> Blocking:
    """``sqlite`` (durability full), ``jsonl`` (durability normal), ``memory``, or a server's."""
    if kind == "memory":
        return Blocking(InMemoryTraceStore(max_size=MEMORY_SIZE))
    if kind in ENGINES:
        return Blocking(open_store(str(path)))
    store = {"sqlite": SQLiteTraceStore, "jsonl": JSONLTraceStore}[kind]
    return Blocking(store(path))


def asynchronous(kind: str, path: Path) -> Asynchronous:
    """The same kinds, with the same durability."""
    if kind == "memory":
        return Asynchronous(AsyncInMemoryTraceStore(max_size=MEMORY_SIZE))
    if kind in ENGINES:
        return Asynchronous(open_async_store(str(path)))
    store = {"sqlite": AsyncSQLiteTraceStore, "jsonl": AsyncJSONLTraceStore}[kind]
    return Asynchronous(store(path))
