"""Answers about many runs, made once for all who ask at the same time; some are kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ..protocols import AsyncQueryableTraceStore

Key: TypeAlias = tuple[str, bytes]
Make: TypeAlias = Callable[[], Awaitable[Any]]

_ANSWERS_KEPT = 32


class SharedAnswers:
    """Makes answers, one at a time, however many clients ask.

    An answer is given to whoever asked before it was begun, so that it tells of every run that was
    saved when they asked; later ones share the next.

    Args:
        store: The store that they are about.
    """

    def __init__(self, store: AsyncQueryableTraceStore) -> None:
        self._store = store
        self._kept: OrderedDict[Key, tuple[object, Any]] = OrderedDict()
        self._waiting: dict[Key, asyncio.Task[Any]] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._turns: dict[Key, asyncio.Lock] = {}
        self._making = asyncio.Lock()

    async def get(self, route: str, query: bytes, make: Make, *, keep: bool = True) -> Any:
        """The answer to a query: one that is kept and still right, or one made now.

        Args:
            route: What is asked.
            query: How.
            make: Makes the answer.
            keep: Not what tells of annotations: those change while nothing is saved.
        """
        key = (route, query)
        task = self._waiting.get(key)
        if task is None:
            task = asyncio.create_task(self._answer(key, make, keep=keep))
            self._waiting[key] = task
            self._running.add(task)
            task.add_done_callback(self._done)
        return await asyncio.shield(task)  # others may wait for it too

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # those who asked may all be gone

    async def _answer(self, key: Key, make: Make, *, keep: bool) -> Any:
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                del self._waiting[key]  # who comes from now on shares the next
                if keep:
                    return await self._current(key, make)
                async with self._making:
                    return await make()
        finally:
            if not turn.locked() and key not in self._waiting:
                self._turns.pop(key, None)

    async def _current(self, key: Key, make: Make) -> Any:
        version = await _version_of(self._store)
        kept = self._kept.get(key)
        if kept is None or kept[0] != version:
            async with self._making:
                kept = version, await make()
            self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > _ANSWERS_KEPT:
            self._kept.popitem(last=False)
        return kept[1]


async def _version_of(store: AsyncQueryableTraceStore) -> object:
    """Something that differs when the store does."""
    newest = await store.list(1)
    count = await store.count()
    return (count, *[(summary.run_id, summary.created_at) for summary in newest])
