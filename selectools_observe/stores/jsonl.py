"""Stores in a JSONL file, blocking and async."""

from __future__ import annotations

import os

from ..backends.jsonl import JSONLStore
from ..model.codec import EncodedTrace, TraceType
from ..model.reports import Progress
from ..model.retention import Retention
from ..model.trace import AgentTrace
from ..protocols import Durability
from ..runtime.interface import BlockingRuntime
from .async_ import AsyncStore, asyncio_runtime
from .blocking import BlockingFileStore


class AsyncJSONLTraceStore(JSONLStore, AsyncStore[EncodedTrace]):
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
        super().__init__(
            asyncio_runtime(works_on_files=True), path, durability, trace_type, progress
        )
        self._keep_to(retention)


class JSONLTraceStore(BlockingFileStore[JSONLStore]):
    """`AsyncJSONLTraceStore` for code that blocks; safe to share between threads and to use in a
    child after a fork. Opens when it is made, so that a bad path fails there.

    Args:
        path: The file; made, with its folders, if it does not exist.
        durability: ``"normal"``: a save that returned survives a crash of the program. ``"full"``:
            it survives power loss.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        retention: Which runs to keep: see `Retention`. Kept to by itself, in small steps
            between saves.
        progress: Called while the file is read for the first time, with the bytes read and the
            bytes in all.
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
        super().__init__(
            JSONLStore(BlockingRuntime(), path, durability, trace_type, progress), retention
        )
