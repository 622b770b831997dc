"""The thread that saves queued runs in batches, in order, with retries."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # its own exit handler must be registered before ours
import logging
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVar

from ...backends.base import StoreCore
from ...errors import InvalidTraceError, StorageError, StoreClosedError
from ...model.codec import LARGE, decode, decode_in_pieces
from ...model.trace import AgentTrace
from ...protocols import AsyncTraceStore, TraceStore
from ...runtime.fork import rest_during_forks
from ...stores.blocking import SyncTraceStore
from ...stores.delegating import innermost
from .queue import Item, RunQueue

log = logging.getLogger(__name__)

T = TypeVar("T")

OnError: TypeAlias = Callable[[Exception, AgentTrace], object]
"""What is told of a run that could not be saved."""

_LINGER = 0.05  # seconds that the first run waits for company
_IDLE = 60.0  # seconds without work after which the thread ends
_LONGEST_DELAY = 5.0  # seconds between two attempts
_LARGEST_BATCH = 128
_IN_A_ROW = 3  # failures after which the rest of a batch is not tried any more


Moments: TypeAlias = Sequence[datetime | None]


class Target(Protocol):
    """Saves traces where a thread waits for it."""

    def save_many(self, traces: list[AgentTrace], created_at: Moments) -> int:
        """Save from the front, in order; how many were saved until one failed.

        Args:
            traces: The traces.
            created_at: When each is to have been saved; None for now.

        Raises:
            Exception: None was saved.
        """


class BlockingTarget:
    """A blocking store."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._many = getattr(store, "save_many", None)

    def save_many(self, traces: list[AgentTrace], created_at: Moments) -> int:
        if self._many is not None:
            self._many(traces, **_reported(created_at))
            return len(traces)
        for number, trace in enumerate(traces):
            try:
                self._store.save(trace)
            except Exception:
                if number == 0:
                    raise
                return number
        return len(traces)


class AsyncTarget(BlockingTarget):
    """An async store, on an event loop in a thread of its own.

    A store that is not of this package may bear only the loop it is used in: its saves run there,
    as long as that loop runs.
    """

    def __init__(self, store: AsyncTraceStore) -> None:
        self._sync = SyncTraceStore(store)
        super().__init__(self._sync)
        self._async = store
        if not hasattr(store, "save_many"):
            self._many = None
        self.bears_many_loops = isinstance(innermost(store), StoreCore)
        self.loop: asyncio.AbstractEventLoop | None = None

    def save_many(self, traces: list[AgentTrace], created_at: Moments) -> int:
        loop = self.loop
        if self.bears_many_loops or loop is None or not loop.is_running():
            return super().save_many(traces, created_at)
        return _run_in(loop, self._save_in_loop(traces, created_at))

    def let_go(self) -> None:
        """End the loop in a thread; the store is closed already."""
        self._sync.close()

    async def _save_in_loop(self, traces: list[AgentTrace], created_at: Moments) -> int:
        if self._many is not None:
            await self._async.save_many(traces, **_reported(created_at))  # type: ignore[attr-defined]
            return len(traces)
        for number, trace in enumerate(traces):
            try:
                await self._async.save(trace)
            except Exception:
                if number == 0:
                    raise
                return number
        return len(traces)


def _reported(created_at: Moments) -> dict[str, Any]:
    """The option, where there is something to say: not every store knows it."""
    return {"created_at": created_at} if any(created_at) else {}


def _run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives in a loop that runs in another thread, and that may end."""
    future = asyncio.run_coroutine_threadsafe(work, loop)
    while True:
        try:
            return future.result(0.5)
        except concurrent.futures.CancelledError as error:
            problem = "its event loop ended during a save"
            raise StorageError("the store", problem, "The save is retried") from error
        except TimeoutError:
            if future.done():
                raise
            if not loop.is_running():
                future.cancel()


class Sender:
    """Saves what is queued in a thread of its own, which is there while there is something to do.

    A batch that fails is tried again, after delays that double, up to ``retries`` times; then its
    runs are tried one by one, so that one which the store refuses takes no other with it.
    """

    def __init__(
        self,
        queue: RunQueue,
        target: Target,
        *,
        retries: int,
        retry_delay: float,
        close_timeout: float,
        on_error: OnError | None,
    ) -> None:
        self.queue = queue
        self.target = target
        self.is_exiting = False
        self.close_timeout = close_timeout
        self._retries = retries
        self._retry_delay = retry_delay
        self._on_error = on_error
        self._batch = min(_LARGEST_BATCH, max(1, queue.largest // 2))
        self._begin_again()
        rest_during_forks(self, holds_others=True)
        _senders.add(self)

    def _begin_again(self) -> None:
        self.thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._hurry = threading.Event()

    def start(self) -> None:
        """Have a thread that saves what is queued."""
        if self._has_thread():
            return
        with self._starting:
            if self._has_thread():  # another made it meanwhile
                return
            # A daemon, so that a store that hangs cannot keep the program from ending.
            name = f"save to {self.queue.name}"
            self.thread = threading.Thread(target=self._run, name=name, daemon=True)
            try:
                self.thread.start()
            except RuntimeError:  # no more threads, as at the end of a program
                self.thread = None
                self._run_here()

    def _has_thread(self) -> bool:
        return self.thread is not None

    def is_me(self) -> bool:
        """Whether this is called from the thread that saves."""
        return self.thread is threading.current_thread()

    def _run_here(self) -> None:
        while batch := self.queue.take(self._batch, 0, 0):
            self._send_all(batch)

    def _run(self) -> None:
        while True:
            batch = self.queue.take(self._batch, _LINGER, _IDLE)
            if batch:
                self._send_all(batch)
            elif self._leave():
                return

    def _leave(self) -> bool:
        """Whether the thread may end; from then on the next save starts another."""
        with self._starting:
            # First this, then the look: a save that came before it is seen, one after it starts.
            self.thread = None
            if self.queue.counts.queued:
                self.thread = threading.current_thread()
            return self.thread is None

    def _send_all(self, batch: list[Item]) -> None:
        try:
            self._send(batch)
        except Exception:  # the thread must not end, or all who wait would wait for ever
            log.exception("%s: gave up on %d runs", self.queue.name, len(batch))
            self.queue.abandon()

    def _send(self, batch: list[Item]) -> None:
        left = [(item, _unpacked(item)) for item in batch]
        delay = self._retry_delay
        for attempt in range(self._retries + 1):
            problem = self._attempt(left)
            if not left or problem is None or not _may_pass(problem):
                break
            log.warning("%s: %d runs not saved yet: %s", self.queue.name, len(left), problem)
            if attempt < self._retries:
                self._hurry.wait(delay)
                delay = min(2 * delay, _LONGEST_DELAY)
        self._one_by_one(left)

    def _attempt(self, left: list[tuple[Item, AgentTrace]]) -> Exception | None:
        """Save what is left of a batch; what went wrong."""
        while left:
            try:
                moments = [item.snapshot.created_at for item, _ in left]
                saved = self.target.save_many([trace for _, trace in left], moments)
            except Exception as error:  # noqa: BLE001 - a store may raise anything
                return error
            done = [item for item, _ in left[:saved]]
            del left[:saved]
            self.queue.settle(done, "saved")
        return None

    def _one_by_one(self, left: Sequence[tuple[Item, AgentTrace]]) -> None:
        in_a_row = 0
        problem: Exception | None = None
        for item, trace in left:
            if problem is None or in_a_row < _IN_A_ROW:
                problem = self._attempt([(item, trace)])
                in_a_row = 0 if problem is None else in_a_row + 1
            if problem is not None:
                self._fail(item, trace, problem)

    def _fail(self, item: Item, trace: AgentTrace, problem: Exception) -> None:
        log.error("%s: run %r is not saved: %s", self.queue.name, trace.run_id, problem)
        if self._on_error is not None:
            try:
                self._on_error(problem, trace)
            except Exception:
                log.exception("on_error failed")
        self.queue.settle([item], "failed")

    def finish(self) -> None:
        """Save what is queued, for as long as closing may take; count the rest as failed."""
        deadline = time.monotonic() + self.close_timeout
        done = threading.Event()
        self.queue.when_done(done.set)
        if not done.is_set():
            self.start()
            done.wait(self.close_timeout)
        self._hurry.set()
        left = self.queue.give_up()
        if left:
            log.error("%s: closed before %d runs were saved", self.queue.name, left)
        thread = self.thread
        if self.queue.closed and thread is not None and not self.is_me():
            thread.join(max(0.1, deadline - time.monotonic()))

    def before_fork(self) -> None:
        self._starting.acquire()
        self.queue.lock.acquire()

    def after_fork_in_parent(self) -> None:
        self.queue.lock.release()
        self._starting.release()

    def after_fork_in_child(self) -> None:
        closed = self.queue.closed
        self.queue.begin_again()
        self.queue.closed = closed
        self._begin_again()


_senders: weakref.WeakSet[Sender] = weakref.WeakSet()


def _unpacked(item: Item) -> AgentTrace:
    data = item.snapshot.trace()
    trace: AgentTrace = decode_in_pieces(data) if len(data) > LARGE else decode(data)
    return trace


def _may_pass(problem: Exception) -> bool:
    """Whether it may go better next time."""
    return not isinstance(problem, InvalidTraceError | StoreClosedError | TypeError)


def _finish_all() -> None:
    for sender in list(_senders):
        sender.is_exiting = True
        sender.finish()


# Before the interpreter waits for its threads: afterwards asyncio's and aiofiles' take no more
# work. The end of a multiprocessing child calls these too, and does not call atexit's.
getattr(threading, "_register_atexit", atexit.register)(_finish_all)
