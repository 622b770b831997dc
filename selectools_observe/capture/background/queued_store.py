"""What both background stores do: queue what is saved, and before anything else catch up."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias

import msgspec

from ...model.snapshot import snapshot
from ...model.timestamps import stated
from ...protocols import AsyncTraceStore, RunIds, TraceStore
from ...stores.delegating import WrappingCore
from .queue import BackgroundCounts, Item, RunQueue, Settled
from .queue_worker import Sender, Target

log = logging.getLogger(__name__)

Register: TypeAlias = Callable[[Callable[[], object]], None]


class FlushResult(msgspec.Struct, frozen=True):
    """What a flush came to; true if all is saved.

    Attributes:
        status: ``"saved"``: all that was queued is in the store behind. ``"failed"``: the store
            refused some of it, or of what was queued since the flush before. ``"timeout"``: some of
            it still waits; it goes on being saved.
        failed: How many the store refused since the flush before.
        dropped: How many were dropped since the flush before, the queue being full.
        queued: How many wait now, those sent meanwhile included.
    """

    status: Literal["saved", "failed", "timeout"]
    failed: int
    dropped: int
    queued: int

    def __bool__(self) -> bool:
        return self.status == "saved"


class BackgroundCore(WrappingCore):
    """Queues what is saved; before any other method, what was queued is saved."""

    def __init__(self, store: AsyncTraceStore | TraceStore, target: Target, **options: Any) -> None:
        super().__init__(store)
        bounds = {name: options.pop(name) for name in ("max_queue", "max_bytes", "on_full")}
        self._queue = RunQueue(repr(store), **bounds)
        self._sender = Sender(self._queue, target, **options)

    async def _until(self, register: Register, timeout: float | None) -> bool:  # noqa: ASYNC109
        """Wait until called back; False if that took too long."""
        raise NotImplementedError

    @property
    def counts(self) -> BackgroundCounts:
        """What became of the runs; ``sent = saved + dropped + failed + queued``, exactly."""
        return self._queue.counts

    async def save(self, trace: Any, *, when_settled: Settled | None = None) -> str:
        """Queue a trace as it is now; return its run id.

        Args:
            trace: As for `AsyncTraceStore.save`.
            when_settled: Called with ``"saved"``, ``"dropped"`` or ``"failed"`` once that is known,
                in any thread.

        Raises:
            InvalidTraceError: The trace cannot be stored; nothing is queued.
            StoreClosedError: This store was closed.
        """
        item = Item(snapshot(trace), when_settled)
        await self._send(item)
        return item.snapshot.run_id

    async def save_many(
        self,
        traces: Iterable[Any],
        *,
        created_at: Iterable[datetime | None] | None = None,
    ) -> RunIds:
        """Queue traces in their order; return their run ids.

        Args:
            traces: As for `AsyncQueryableTraceStore.save_many`.
            created_at: Likewise.

        Raises:
            InvalidTraceError: One of them cannot be stored; none is queued.
            StoreClosedError: This store was closed.
            ValueError: As there.
        """
        taken = [snapshot(trace) for trace in traces]
        if created_at is not None:
            pairs = zip(taken, stated(created_at, len(taken)), strict=True)
            taken = [msgspec.structs.replace(one, created_at=moment) for one, moment in pairs]
        items = [Item(one, None) for one in taken]
        self._queue.check_open()
        for item in items:
            await self._send(item)
        return [item.snapshot.run_id for item in items]

    async def _send(self, item: Item) -> None:
        if not self._put(item):
            await self._insist(item)

    def _put(self, item: Item) -> bool:
        """Queue a run, as is ordinarily done at once; False if there is something to wait for."""
        if not self._queue.offer(item):
            return False
        if self._sender.thread is None:
            self._sender.start()
        return not self._sender.is_exiting

    async def _insist(self, item: Item) -> None:
        """Queue a run, waiting for what there is to wait for."""
        while not (item.is_sent or self._queue.offer(item)):
            await self._until(partial(self._queue.when_room, item), None)
        self._sender.start()
        if self._sender.is_exiting:  # nobody would wait for it
            await self._until(self._queue.when_done, self._sender.close_timeout)

    async def flush(self, timeout: float = 30.0) -> FlushResult:  # noqa: ASYNC109 - says what came of it
        """Wait until all that was sent is saved, dropped or failed; say what it came to.

        Args:
            timeout: Seconds to wait; it always returns in that time.
        """
        before = self._queue.reported
        done = await self._until(self._queue.when_done, timeout)
        now = self._queue.reported = self._queue.counts
        failed = now.failed - before.failed
        dropped = now.dropped - before.dropped
        status: Literal["saved", "failed", "timeout"] = "failed" if failed else "saved"
        return FlushResult(status if done else "timeout", failed, dropped, now.queued)

    async def _catch_up(self) -> None:
        """Save what was sent, so that the next method sees it."""
        if self._sender.is_me():
            return  # a callback of ours: it would wait for itself
        if not await self._until(self._queue.when_done, self._sender.close_timeout):
            log.warning("%r: the newest saves have not reached the wrapped store yet", self)

    # In the store behind, once all that was queued is there.
    update = WrappingCore.update

    async def _forward(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        await self._catch_up()
        return await super()._forward(name, *args, **kwargs)

    async def _forward_stream(self, name: str, /, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        await self._catch_up()
        async for item in super()._forward_stream(name, *args, **kwargs):
            yield item

    def _finish(self) -> bool:
        """Take no more and save what is queued; whether the store behind may be closed now."""
        self._queue.close()
        self._sender.finish()
        if self._queue.counts.queued:
            log.error("%r is left open: a save into it has not finished", self.store)
            return False
        return True


class BlockingCore(BackgroundCore):
    async def _until(self, register: Register, timeout: float | None) -> bool:  # noqa: ASYNC109
        event = threading.Event()
        callback = event.set
        register(callback)
        try:
            return event.wait(timeout)
        finally:
            self._queue.forget(callback)

    async def aclose(self) -> None:
        if self._finish():
            await super().aclose()
