"""Stores in ClickHouse, blocking and async; need the extra ``clickhouse``."""

from __future__ import annotations

from ..backends.clickhouse.rows import TraceRow
from ..backends.clickhouse.store import ClickHouseStore
from ..model.codec import TraceType
from ..model.retention import Retention
from ..model.trace import AgentTrace
from ..runtime.interface import BlockingRuntime
from .async_ import AsyncStore, asyncio_runtime
from .blocking import BlockingStore

__all__ = ["AsyncClickHouseTraceStore", "ClickHouseTraceStore"]


class AsyncClickHouseTraceStore(ClickHouseStore, AsyncStore[TraceRow]):
    """Traces in ClickHouse, for analytics over more than one server holds. Opens at first use, or
    at ``async with``.

    What it promises less than other stores stands in ``docs/clickhouse.md``: the order of saving is
    that of a clock, and a run that is saved again is for a moment there twice. Save many at a time.

    Args:
        url: ``clickhouse://user@host:8123/database``; see `parse_address`.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self, url: str, *, trace_type: TraceType = AgentTrace, retention: Retention | None = None
    ) -> None:
        super().__init__(asyncio_runtime(), url, trace_type)
        self._keep_to(retention)


class ClickHouseTraceStore(BlockingStore[ClickHouseStore]):
    """`AsyncClickHouseTraceStore` for code that blocks; safe to share between threads and to use in
    a child after a fork. Opens when it is made, so that a bad URL fails there.

    Args:
        url: ``clickhouse://user@host:8123/database``; see `parse_address`.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self, url: str, *, trace_type: TraceType = AgentTrace, retention: Retention | None = None
    ) -> None:
        super().__init__(ClickHouseStore(BlockingRuntime(), url, trace_type), retention)
