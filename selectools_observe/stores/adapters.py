"""Adapters: any store as a blocking or as an async one that has all methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread

from ..protocols import (
    AsyncQueryableTraceStore,
    AsyncTraceStore,
    QueryableTraceStore,
    is_async_store,
)
from ..runtime.loop_local import LoopLocal
from .blocking import SyncTraceStore
from .delegating import (
    AnyStore,
    AsyncContext,
    BlockingWrapper,
    WrappingCore,
    check_store,
    missing_methods,
)

T = TypeVar("T")

_THREADS = 16  # a blocking store's calls at a time
_AT_ONCE = 64


def as_blocking(store: AnyStore, *, close: bool = True) -> QueryableTraceStore:
    """Any store as a blocking one with all methods.

    What a store lacks is derived from its five methods; see `DerivedStore` for what that costs. An
    async store runs on an event loop in a thread, as in `SyncTraceStore`. A store that is a
    blocking one with all methods already is given back, unless it is to stay open.

    Args:
        store: The store.
        close: Whether closing what is returned closes the store too.

    Raises:
        TypeError: It is not a store.
    """
    check_store(store)
    if is_async_store(store):
        return SyncTraceStore(cast("AsyncTraceStore", store), close=close)
    if close and not missing_methods(store) and hasattr(store, "close"):
        return cast("QueryableTraceStore", store)
    return BlockingWrapper(WrappingCore(store, close=close))


def as_async(store: AnyStore, *, close: bool = True) -> AsyncQueryableTraceStore:
    """Any store as an async one with all methods.

    What a store lacks is derived from its five methods; see `DerivedStore` for what that costs. A
    blocking store is called in threads. A store that is an async one with all methods already is
    given back, unless it is to stay open.

    Args:
        store: The store.
        close: Whether closing what is returned closes the store too.

    Raises:
        TypeError: It is not a store.
    """
    check_store(store)
    if not is_async_store(store):
        return _InThreads(store, close=close)
    if close and not missing_methods(store) and hasattr(store, "aclose"):
        return cast("AsyncQueryableTraceStore", store)
    return AsyncContext(store, close=close)


class _InThreads(AsyncContext):
    """A blocking store, each call in a thread."""

    _is_async = True

    def __init__(self, store: AnyStore, *, close: bool) -> None:
        super().__init__(store, close=close)
        from ..runtime.asyncio_ import AsyncioRuntime  # noqa: PLC0415 - blocking code needs none

        self._limiters = LoopLocal(
            AsyncioRuntime(), lambda: anyio.CapacityLimiter(_THREADS), lambda _: None
        )

    async def _direct(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return await self._in_thread(partial(getattr(self.store, name), *args, **kwargs))

    async def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        if name in self._missing:
            async for item in getattr(self._derived, name)(*args, **kwargs):
                yield item
            return
        items: Iterator[Any] = getattr(self.store, name)(*args, **kwargs)
        while some := await self._in_thread(lambda: list(islice(items, _AT_ONCE))):
            for item in some:
                yield item

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiters.current())
