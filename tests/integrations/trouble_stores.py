"""Stores that frameworks' handlers meet: some that refuse, and one that notes who saves."""

from __future__ import annotations

import threading
from typing import Any

from selectools_observe import AsyncInMemoryTraceStore, StorageError


def refuse() -> str:
    raise StorageError("disk", "it is full", "Make room")


class Refusing:
    def save(self, trace: object) -> str:
        return refuse()


class AsyncRefusing:
    async def save(self, trace: object) -> str:
        return refuse()


class Noting(AsyncInMemoryTraceStore):
    """Notes in which threads it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []

    async def save(self, trace: Any) -> str:
        self.threads.append(threading.current_thread())
        return await super().save(trace)
