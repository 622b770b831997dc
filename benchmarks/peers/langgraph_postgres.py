"""LangGraph's ``AsyncPostgresSaver`` with a pool of eight connections: one checkpoint a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers import langgraph
from benchmarks.peers.langgraph import blocking

__all__ = ["asynchronous", "blocking"]

_OPTIONS = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}


class Saver(langgraph.Saver):
    """The same calls, on a server."""

    def __init__(self, url: str) -> None:
        super().__init__(Path())
        self._url = url

    async def start(self) -> None:
        self._pool = AsyncConnectionPool(self._url, max_size=8, open=False, kwargs=_OPTIONS)
        await self._pool.open()
        self._saver = AsyncPostgresSaver(self._pool)
        await self._saver.setup()

    async def close(self) -> None:
        await self._pool.close()


def asynchronous(_kind: str, place: Any) -> Saver:
    """Only ``postgres``, whose place is a URL."""
    return Saver(place)
