"""OpenAI Agents' ``AsyncSQLiteSession``: a trace is one ``add_items`` of its steps.

It opens WAL itself and leaves SQLite's default, synchronous=FULL. One session object serves every
task: a session of its own for each run would open a connection and a thread a trace. It has no
load by id, so only saves are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.extensions.memory import AsyncSQLiteSession

from benchmarks.data import TraceDict


class Session:
    """``add_items``, one call and one commit a trace."""

    def __init__(self, path: Path) -> None:
        self._session = AsyncSQLiteSession("benchmark", db_path=path)

    async def start(self) -> None:
        await self._session.get_items(limit=1)

    def native(self, trace: TraceDict) -> Any:
        return trace["steps"]

    async def save(self, item: Any) -> None:
        await self._session.add_items(item)

    async def load(self, run_id: str) -> None:
        raise NotImplementedError("a session has no load by id")

    async def close(self) -> None:
        await self._session.close()


def blocking(_kind: str, _path: Path) -> Any:
    """Not compared."""
    raise NotImplementedError("only the async session is compared")


def asynchronous(_kind: str, path: Path) -> Session:
    """Only ``sqlite``."""
    return Session(path)
