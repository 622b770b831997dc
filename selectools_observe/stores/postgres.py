"""Stores in a PostgreSQL database, blocking and async; need the extra ``postgres``."""

from __future__ import annotations

from ..backends.postgres.rows import TraceRow
from ..backends.postgres.store import PostgresStore
from ..model.codec import TraceType
from ..model.retention import Retention
from ..model.trace import AgentTrace
from ..runtime.interface import BlockingRuntime
from .async_ import AsyncStore, asyncio_runtime
from .blocking import BlockingStore

__all__ = ["AsyncPostgresTraceStore", "PostgresTraceStore"]


class AsyncPostgresTraceStore(PostgresStore, AsyncStore[TraceRow]):
    """Traces in a PostgreSQL database. Opens at first use, or at ``async with``.

    One store serves any number of event loops and tasks; any number of processes and machines may
    use one database. PostgreSQL 14 or later.

    Args:
        url: ``postgresql://user@host1,host2/database?schema=traces``; see `parse_address`.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self, url: str, *, trace_type: TraceType = AgentTrace, retention: Retention | None = None
    ) -> None:
        super().__init__(asyncio_runtime(), url, trace_type)
        self._keep_to(retention)


class PostgresTraceStore(BlockingStore[PostgresStore]):
    """`AsyncPostgresTraceStore` for code that blocks; safe to share between threads and to use in a
    child after a fork. Opens when it is made, so that a bad URL fails there.

    Args:
        url: ``postgresql://user@host1,host2/database?schema=traces``; see `parse_address`.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self, url: str, *, trace_type: TraceType = AgentTrace, retention: Retention | None = None
    ) -> None:
        super().__init__(PostgresStore(BlockingRuntime(), url, trace_type), retention)
