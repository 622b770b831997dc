"""Stores in an SQLite database, blocking and async."""

from __future__ import annotations

import os

from ..backends.sqlite import SQLiteStore
from ..backends.sqlite.rows import WrittenTrace
from ..model.codec import TraceType
from ..model.retention import Retention
from ..model.trace import AgentTrace
from ..protocols import Durability
from ..runtime.interface import BlockingRuntime
from .async_ import AsyncStore, asyncio_runtime
from .blocking import BlockingFileStore


class AsyncSQLiteTraceStore(SQLiteStore, AsyncStore[WrittenTrace]):
    """Traces in an SQLite database, in WAL mode. Opens at first use, or at ``async with``.

    One store serves any number of event loops, tasks and processes.

    Args:
        db_path: The file; made, with its folders, if it does not exist. ``":memory:"`` is one
            private database for the life of the store.
        durability: ``"full"``: a save that returned survives power loss. ``"normal"``: it survives
            a crash of the program; power loss may take the last moments.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        trace_type: TraceType = AgentTrace,
        retention: Retention | None = None,
    ) -> None:
        super().__init__(asyncio_runtime(), db_path, durability, trace_type)
        self._keep_to(retention)


class SQLiteTraceStore(BlockingFileStore[SQLiteStore]):
    """`AsyncSQLiteTraceStore` for code that blocks; safe to share between threads and to use in a
    child after a fork. Opens when it is made, so that a bad path fails there.

    Args:
        db_path: The file; made, with its folders, if it does not exist. ``":memory:"`` is one
            private database for the life of the store.
        durability: ``"full"``: a save that returned survives power loss. ``"normal"``: it survives
            a crash of the program; power loss may take the last moments.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        trace_type: TraceType = AgentTrace,
        retention: Retention | None = None,
    ) -> None:
        super().__init__(SQLiteStore(BlockingRuntime(), db_path, durability, trace_type), retention)
