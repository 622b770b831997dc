"""Stores in memory, blocking and async."""

from __future__ import annotations

from ..backends.memory import MemoryStore
from ..model.codec import TraceType
from ..model.retention import Retention
from ..model.snapshot import Snapshot
from ..model.trace import AgentTrace
from ..runtime.interface import BlockingRuntime
from .async_ import AsyncStore, asyncio_runtime
from .blocking import BlockingStore


class AsyncInMemoryTraceStore(MemoryStore, AsyncStore[Snapshot]):
    """Traces in memory, gone with the process.

    Args:
        max_size: How many to keep; the least recently saved or loaded goes first.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self,
        max_size: int = 1000,
        *,
        trace_type: TraceType = AgentTrace,
        retention: Retention | None = None,
    ) -> None:
        super().__init__(asyncio_runtime(), max_size, trace_type)
        self._keep_to(retention)


class InMemoryTraceStore(BlockingStore[MemoryStore]):
    """`AsyncInMemoryTraceStore` for code that blocks; safe to share between threads.

    Args:
        max_size: How many to keep; the least recently saved or loaded goes first.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self,
        max_size: int = 1000,
        *,
        trace_type: TraceType = AgentTrace,
        retention: Retention | None = None,
    ) -> None:
        super().__init__(MemoryStore(BlockingRuntime(), max_size, trace_type), retention)
