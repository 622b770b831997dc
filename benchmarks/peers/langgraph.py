"""LangGraph's ``AsyncSqliteSaver``: one checkpoint a trace, the trace in its channel values.

It opens WAL itself and leaves SQLite's default, synchronous=FULL. Loads name the checkpoint id,
which is its exact-key path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.data import TraceDict

_CHECKPOINT_ID = "1ef4f797-8335-6428-8001-8a1503f9b875"


class Saver:
    """``aput`` and ``aget_tuple``, each run a thread with one checkpoint."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saver: Any = None

    async def start(self) -> None:
        self._saver = AsyncSqliteSaver(await aiosqlite.connect(self._path))
        await self._saver.setup()

    def native(self, trace: TraceDict) -> Any:
        checkpoint = {
            "v": 4,
            "id": _CHECKPOINT_ID,
            "ts": "2026-03-27T10:00:00+00:00",
            "channel_values": {"trace": trace},
            "channel_versions": {"trace": "1"},
            "versions_seen": {},
            "updated_channels": None,
        }
        metadata = {"source": "loop", "step": 1, "parents": {}, "user": trace["metadata"]}
        return _config(trace["run_id"]), checkpoint, metadata, {"trace": "1"}

    async def save(self, item: Any) -> None:
        await self._saver.aput(*item)

    async def load(self, run_id: str) -> None:
        config = _config(run_id)
        config["configurable"]["checkpoint_id"] = _CHECKPOINT_ID
        if await self._saver.aget_tuple(config) is None:
            raise LookupError(run_id)

    async def close(self) -> None:
        await self._saver.conn.close()


def _config(run_id: str) -> dict[str, dict[str, str]]:
    return {"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}


def blocking(_kind: str, _path: Path) -> Any:
    """Not compared: its blocking saver is a class of its own."""
    raise NotImplementedError("only the async saver is compared")


def asynchronous(_kind: str, path: Path) -> Saver:
    """Only ``sqlite``."""
    return Saver(path)
