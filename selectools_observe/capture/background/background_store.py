"""Stores that accept a run at once and save it a moment later, in another thread."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator
from typing import Any

from ...model.snapshot import snapshot
from ...protocols import AsyncTraceStore, TraceStore
from ...runtime.interface import run_sync
from ...stores.delegating import AsyncContext, BlockingWrapper, check_kind
from .queue import BackgroundCounts, Item, OnFull, Settled
from .queue_worker import AsyncTarget, BlockingTarget, OnError
from .queued_store import BackgroundCore, BlockingCore, FlushResult, Register


class AsyncBackgroundTraceStore(BackgroundCore, AsyncContext):
    """`BackgroundTraceStore` for code that runs in an event loop, in front of an async store.

    What is queued is also saved when an event loop ends that saved something.

    A store of this package is saved into on an event loop in another thread. One of another make
    may bear only one loop: it is used in the loop that saves.

    Args:
        store: The store behind; closed with this one.
        max_queue: As for `BackgroundTraceStore`.
        max_bytes: As for `BackgroundTraceStore`.
        on_full: As for `BackgroundTraceStore`; ``"wait"`` keeps only the task waiting.
        retries: As for `BackgroundTraceStore`.
        retry_delay: As for `BackgroundTraceStore`.
        close_timeout: As for `BackgroundTraceStore`.
        on_error: As for `BackgroundTraceStore`.

    Raises:
        TypeError: The store blocks.
    """

    def __init__(
        self,
        store: AsyncTraceStore,
        *,
        max_queue: int = 1000,
        max_bytes: int = 64 * 1024 * 1024,
        on_full: OnFull = "wait",
        retries: int = 5,
        retry_delay: float = 0.1,
        close_timeout: float = 30.0,
        on_error: OnError | None = None,
    ) -> None:
        check_kind(store, "AsyncBackgroundTraceStore", is_async=True)
        self._target = AsyncTarget(store)
        super().__init__(
            store,
            self._target,
            max_queue=max_queue,
            max_bytes=max_bytes,
            on_full=on_full,
            retries=retries,
            retry_delay=retry_delay,
            close_timeout=close_timeout,
            on_error=on_error,
        )
        self._ends: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, AsyncGenerator[None, None]
        ] = weakref.WeakKeyDictionary()

    async def _send(self, item: Item) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._target.loop:
            await self._meet(loop)
        if not self._put(item):
            await self._insist(item)

    async def _meet(self, loop: asyncio.AbstractEventLoop) -> None:
        self._target.loop = loop
        if loop not in self._ends:
            self._ends[loop] = self._end_of_loop()
            await anext(self._ends[loop])

    async def _end_of_loop(self) -> AsyncGenerator[None, None]:
        """Asyncio closes generators when a loop ends, after its last task: time to flush."""
        try:
            yield
        finally:
            await self._until(self._queue.when_done, self._sender.close_timeout)

    async def _until(self, register: Register, timeout: float | None) -> bool:  # noqa: ASYNC109
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def callback() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits any more
                loop.call_soon_threadsafe(event.set)

        register(callback)
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            return False
        finally:
            self._queue.forget(callback)
        return True

    async def aclose(self) -> None:
        """Save what is queued, then close the store behind."""
        if await asyncio.shield(asyncio.to_thread(self._finish)):
            await super().aclose()
            self._target.let_go()


class BackgroundTraceStore(BlockingWrapper[BackgroundCore]):
    """Takes a run at once and saves it a moment later, in a thread, in front of any store.

    `save` takes a snapshot, queues it and returns: what it costs the caller is some microseconds,
    and what a crash of the program costs are the runs still queued (the run journal of a
    `Recorder` keeps them). A thread saves them in batches, in order. A batch that fails is tried
    again, after delays that double; then its runs are tried one by one, and those that fail still
    are counted, logged and given to ``on_error``.

    Every other method first waits until what was sent is saved, so that it sees it. What is queued
    is saved at `flush`, at `close`, and when the program ends. After a fork the parent saves what
    was queued; the child begins with an empty queue.

    Args:
        store: The store behind; closed with this one.
        max_queue: Runs that may be queued, those included that are just being saved.
        max_bytes: Bytes that these may have; a run that is larger waits until it is alone.
        on_full: What a save does when the queue is full: ``"wait"`` for room, ``"drop_newest"``
            gives up the run it was given, ``"drop_oldest"`` those that waited longest.
        retries: How often a batch that failed is tried again.
        retry_delay: Seconds before the first time; twice that before the second, and so on, to 5.
        close_timeout: Seconds that closing, the end of the program, and a method that must see what
            was sent, wait for what is queued.
        on_error: Called with the error and the trace for each run that could not be saved.

    Raises:
        TypeError: The store is async.
        ValueError: A bound below 1, or an unknown ``on_full``.
    """

    def __init__(
        self,
        store: TraceStore,
        *,
        max_queue: int = 1000,
        max_bytes: int = 64 * 1024 * 1024,
        on_full: OnFull = "wait",
        retries: int = 5,
        retry_delay: float = 0.1,
        close_timeout: float = 30.0,
        on_error: OnError | None = None,
    ) -> None:
        check_kind(store, "BackgroundTraceStore", is_async=False)
        core = BlockingCore(
            store,
            BlockingTarget(store),
            max_queue=max_queue,
            max_bytes=max_bytes,
            on_full=on_full,
            retries=retries,
            retry_delay=retry_delay,
            close_timeout=close_timeout,
            on_error=on_error,
        )
        super().__init__(core)

    def save(self, trace: Any, *, when_settled: Settled | None = None) -> str:
        """Queue a trace as it is now; return its run id.

        Args:
            trace: As for `TraceStore.save`.
            when_settled: Called with ``"saved"``, ``"dropped"`` or ``"failed"`` once that is known,
                in any thread.

        Raises:
            InvalidTraceError: The trace cannot be stored; nothing is queued.
            StoreClosedError: This store was closed.
        """
        item = Item(snapshot(trace), when_settled)
        if not self._core._put(item):
            run_sync(self._core._insist(item))
        return item.snapshot.run_id

    update = BlockingWrapper.update  # see `BackgroundCore`

    @property
    def counts(self) -> BackgroundCounts:
        """What became of the runs; ``sent = saved + dropped + failed + queued``, exactly."""
        return self._core.counts

    def flush(self, timeout: float = 30.0) -> FlushResult:
        """Wait until all that was sent is saved, dropped or failed; say what it came to.

        Args:
            timeout: Seconds to wait; it always returns in that time.
        """
        return run_sync(self._core.flush(timeout))
