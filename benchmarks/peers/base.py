"""What a case asks of a participant.

``native`` turns a plain trace into what the participant saves; it runs before the clock starts.
Everything else is the participant's own documented call and nothing more.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.data import TraceDict

FULL = "SQLite WAL, synchronous=FULL, one durable commit before each save returns"
NO_FSYNC = "handed to the operating system, no fsync"
MEMORY_SIZE = 2_000
"""Traces an in-memory store keeps; every save after that evicts one."""


@dataclass(frozen=True)
class Peer:
    """A participant: how to name it, and which package has to be there."""

    key: str
    label: str
    module: str
    distribution: str | None
    adapter: str


class BlockingStore(Protocol):
    """A store called from plain code."""

    def native(self, trace: TraceDict) -> Any: ...

    def save(self, item: Any) -> None: ...

    def load(self, run_id: str) -> None: ...

    def close(self) -> None: ...


class QueryStore(BlockingStore, Protocol):
    """A blocking store that also lists, and finds traces by metadata."""

    def newest(self, count: int) -> int: ...

    def by_metadata(self, key: str, value: object) -> int: ...


class AsyncStore(Protocol):
    """A store called from a coroutine. ``start`` runs in the loop that will use the store."""

    async def start(self) -> None: ...

    def native(self, trace: TraceDict) -> Any: ...

    async def save(self, item: Any) -> None: ...

    async def load(self, run_id: str) -> None: ...

    async def close(self) -> None: ...


class Adapter(Protocol):
    """What each module in this package offers; what a participant does not have raises."""

    def blocking(self, kind: str, path: Path, /) -> QueryStore: ...

    def asynchronous(self, kind: str, path: Path, /) -> AsyncStore: ...


def adapter(peer: Peer) -> Adapter:
    """Import the module that speaks the participant's API, in the worker that needs it."""
    module: Any = importlib.import_module(peer.adapter)
    adapted: Adapter = module
    return adapted
