"""The async stores."""

from __future__ import annotations

import os
from typing import Self

from ..backends.base import PreparedT, StoreCore
from ..backends.jsonl import JSONLStore
from ..backends.memory import MemoryStore
from ..backends.sqlite import SQLiteStore
from ..backends.sqlite.rows import WrittenTrace
from ..model.codec import EncodedTrace, TraceType
from ..model.reports import Progress
from ..model.retention import Retention
from ..model.snapshot import Snapshot
from ..model.trace import AgentTrace
from ..protocols import Durability
from ..runtime.asyncio_ import AsyncioRuntime, load_file_work


class _Closing(StoreCore[PreparedT]):
    """``async with``: open, and close at the end."""

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.aclose()  # nobody else will: what was begun is finished, also when cancelled
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class AsyncInMemoryTraceStore(MemoryStore, _Closing[Snapshot]):
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
        super().__init__(AsyncioRuntime(), max_size, trace_type)
        self._keep_to(retention)


class AsyncSQLiteTraceStore(SQLiteStore, _Closing[WrittenTrace]):
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
        super().__init__(AsyncioRuntime(), db_path, durability, trace_type)
        self._keep_to(retention)


class AsyncJSONLTraceStore(JSONLStore, _Closing[EncodedTrace]):
    """Traces as lines of a JSONL file that grows. Opens at first use, or at ``async with``.

    Args:
        path: The file; made, with its folders, if it does not exist.
        durability: ``"normal"``: a save that returned survives a crash of the program. ``"full"``:
            it survives power loss.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
        progress: Called while the file is read for the first time, with the bytes read and the
            bytes in all, in a worker's thread.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "normal",
        trace_type: TraceType = AgentTrace,
        retention: Retention | None = None,
        progress: Progress | None = None,
    ) -> None:
        load_file_work()
        super().__init__(AsyncioRuntime(), path, durability, trace_type, progress)
        self._keep_to(retention)
