"""Callers that await both kinds of store, so that each check is written once."""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from ..backends.method_table import AsyncFileMethodTable, AsyncMethodTable
from ..model.filters import TraceFilter
from ..protocols import RunIds
from ..runtime.interface import run_sync

Call: TypeAlias = Callable[[], Coroutine[Any, Any, Any]]
Outcomes: TypeAlias = list[Any]

_THREADS = 16


class StoreCaller(AsyncMethodTable, AsyncFileMethodTable):
    """A store's methods as coroutines, whether the store is async or blocking.

    Over a blocking store they never suspend, so that a check can be driven without an event loop.

    Attributes:
        store: The store itself.
    """

    def __init__(self, store: Any) -> None:
        self.store = store

    async def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        result = getattr(self.store, name)(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        return _stream(getattr(self.store, name)(*args, **kwargs))

    async def ids(self, filters: TraceFilter | None = None) -> RunIds:
        """The run ids that a query gives, or all of them, newest first."""
        __tracebackhide__ = True
        found = await self.query(TraceFilter() if filters is None else filters)
        return [summary.run_id for summary in found]

    @abstractmethod
    async def close(self) -> None:
        """Close the store."""

    @abstractmethod
    async def used_as_context(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do work inside the store's own ``with``."""

    @abstractmethod
    async def together(self, calls: Sequence[Call]) -> Outcomes:
        """Make all calls at once; each one's result or exception, in their order."""


class AsyncStoreCaller(StoreCaller):
    """The methods of an async store."""

    async def close(self) -> None:
        __tracebackhide__ = True
        await self.store.aclose()

    async def used_as_context(self, work: Callable[[], Awaitable[object]]) -> None:
        async with self.store:
            await work()

    async def together(self, calls: Sequence[Call]) -> Outcomes:
        return await asyncio.gather(*[call() for call in calls], return_exceptions=True)


class BlockingStoreCaller(StoreCaller):
    """The methods of a blocking store; many at once are many threads."""

    async def close(self) -> None:
        __tracebackhide__ = True
        self.store.close()

    async def used_as_context(self, work: Callable[[], Awaitable[object]]) -> None:
        with self.store:
            await work()

    async def together(self, calls: Sequence[Call]) -> Outcomes:
        with ThreadPoolExecutor(_THREADS) as threads:
            begun = [threads.submit(run_sync, call()) for call in calls]
        return [one.exception() or one.result() for one in begun]


async def _stream(items: Any) -> AsyncIterator[Any]:
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
