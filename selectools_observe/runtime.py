"""The two worlds a backend runs in, and all that differs between them.

A backend is written once, as coroutines. Under `AsyncioRuntime` they wait on asyncio's locks and
hand blocking work to threads (aiosqlite's for a database, aiofiles' for a file). Under
`BlockingRuntime` the same coroutines take thread locks, do the work where they stand, and so never
suspend: `drive` runs one to its end without an event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import aiosqlite
from aiosqlite.core import _STOP_RUNNING_SENTINEL

from .errors import StoreClosedError
from .forking import rest_during_forks

T = TypeVar("T")
LaneT = TypeVar("LaneT")
ResourceT = TypeVar("ResourceT")
HeldT_co = TypeVar("HeldT_co", covariant=True)


Lock: TypeAlias = contextlib.AbstractAsyncContextManager[None]
"""A lock for coroutines."""


class Event(Protocol):
    """A flag that coroutines wait for."""

    def set(self) -> None: ...
    async def wait(self) -> Any: ...


class Worker(Protocol[HeldT_co]):
    """Owns a resource (a database connection) and runs functions on it, one after another.

    What was begun is always finished: a cancelled caller waits for it, then is cancelled.
    """

    async def run(self, function: Callable[[HeldT_co], T]) -> T: ...
    async def close(self) -> None: ...
    def abandon(self) -> None:
        """Close without waiting, from anywhere."""

    @property
    def is_holding(self) -> bool:
        """Whether there is something to release."""


class Runtime(Protocol):
    """The primitives a backend is made of.

    Attributes:
        hops: Whether work is done in another thread, so that it pays to do much of it at once.
    """

    hops: bool

    def lock(self) -> Lock: ...
    def event(self) -> Event: ...
    def here(self) -> object:
        """What a lane belongs to: the running event loop, or the one lane of all threads."""

    def is_gone(self, here: object) -> bool: ...
    def worker(
        self,
        where: str,
        acquire: Callable[[], ResourceT],
        release: Callable[[ResourceT], None],
    ) -> Worker[ResourceT]: ...
    async def call(self, function: Callable[[], T]) -> T:
        """Run blocking file work to its end."""

    async def breathe(self) -> None:
        """Let others run."""


class AsyncioRuntime:
    """For code that runs in an event loop; all objects belong to the loop that made them."""

    hops = True

    def lock(self) -> asyncio.Lock:
        return asyncio.Lock()

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    def here(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def is_gone(self, here: object) -> bool:
        return isinstance(here, asyncio.AbstractEventLoop) and here.is_closed()

    def worker(
        self,
        where: str,
        acquire: Callable[[], ResourceT],
        release: Callable[[ResourceT], None],
    ) -> ThreadWorker[ResourceT]:
        return ThreadWorker(_Hold(where, acquire, release))

    async def call(self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        begun: list[bool] = []

        def work() -> None:
            begun.append(True)
            _deliver(loop, future, function)

        def stop_waiting(carrier: asyncio.Task[None]) -> None:
            if carrier.cancelled() and not begun:
                future.cancel()

        # The task only carries the work to aiofiles' thread: a loop that shuts down cancels it like
        # every task, but what began goes on, and the bare future tells its end.
        loop.create_task(_in_thread(work)).add_done_callback(stop_waiting)
        return await _settle(future)

    async def breathe(self) -> None:
        await asyncio.sleep(0)


class BlockingRuntime:
    """For code that blocks: nothing here ever suspends a coroutine."""

    hops = False

    def lock(self) -> BlockingLock:
        return BlockingLock()

    def event(self) -> BlockingEvent:
        return BlockingEvent()

    def here(self) -> None:
        return None

    def is_gone(self, here: object) -> bool:  # noqa: ARG002
        return False

    def worker(
        self,
        where: str,
        acquire: Callable[[], ResourceT],
        release: Callable[[ResourceT], None],
    ) -> DirectWorker[ResourceT]:
        return DirectWorker(_Hold(where, acquire, release))

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def breathe(self) -> None:
        time.sleep(0)  # noqa: ASYNC251 - gives the interpreter to another thread


def drive(coroutine: Awaitable[T]) -> T:
    """The result of a coroutine that never suspends.

    Raises:
        RuntimeError: It suspended: it was not made for `BlockingRuntime`.
    """
    steps = coroutine.__await__()
    try:
        next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("a coroutine of the blocking face suspended")


def drive_iterator(items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an asynchronous generator that never suspends."""
    while True:
        try:
            item = drive(items.__anext__())
        except StopAsyncIteration:
            return
        yield item


class BlockingLock(contextlib.AbstractAsyncContextManager[None]):
    """A thread lock in a coroutine's clothes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()


class BlockingEvent:
    """A thread event in a coroutine's clothes."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        self._event.wait()


class _Hold(Generic[ResourceT]):
    """A resource acquired at first use, in the thread that uses it, and released once."""

    def __init__(
        self,
        where: str,
        acquire: Callable[[], ResourceT],
        release: Callable[[ResourceT], None],
    ) -> None:
        self.where = where
        self._acquire = acquire
        self._release = release
        self._resource: ResourceT | None = None
        self._released = False

    def run(self, function: Callable[[ResourceT], T]) -> T:
        if self._released:
            raise StoreClosedError(self.where)
        if self._resource is None:
            self._resource = self._acquire()
        return function(self._resource)

    @property
    def is_holding(self) -> bool:
        return self._resource is not None

    def release(self) -> None:
        self._released = True
        self.let_go()

    def let_go(self) -> None:
        """Release the resource, to acquire it again at the next use."""
        resource, self._resource = self._resource, None
        if resource is not None:
            self._release(resource)


class DirectWorker(Generic[ResourceT]):
    """A worker that works in the caller's thread, one caller at a time."""

    def __init__(self, hold: _Hold[ResourceT]) -> None:
        self._hold = hold
        self._lock = threading.Lock()
        rest_during_forks(self, holds_others=True)

    def before_fork(self) -> None:
        self._lock.acquire()
        self._hold.let_go()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    async def run(self, function: Callable[[ResourceT], T]) -> T:
        with self._lock:
            return self._hold.run(function)

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        with self._lock:
            self._hold.release()

    @property
    def is_holding(self) -> bool:
        return self._hold.is_holding


class ThreadWorker(aiosqlite.Connection, Generic[ResourceT]):
    """A worker that works in the thread of an aiosqlite connection.

    aiosqlite completes each call by itself, on a future which cancellation can take away and in a
    thread that dies with the loop it reports to. This one hands it functions that report for
    themselves, so that a caller can wait for the end of what it began, and the thread goes on.
    """

    def __init__(self, hold: _Hold[ResourceT]) -> None:
        super().__init__(_nothing_to_connect, iter_chunk_size=64)
        self._thread.daemon = True  # a store left open must not keep the interpreter alive
        self._hold = hold
        self._turn = threading.Lock()
        self._forked = threading.Event()
        rest_during_forks(self, holds_others=True)

    async def run(self, function: Callable[[ResourceT], T]) -> T:
        return await self._submit(partial(self._hold.run, function))

    async def close(self) -> None:
        try:
            if self._thread.ident is not None and self._running:
                await self._submit(self._hold.release)
        finally:
            self.abandon()

    def abandon(self) -> None:
        with self._turn:
            if self._running:
                self._tx.put_nowait((None, self._hold.release))
                self.stop()

    async def _submit(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._turn:
            if not self._running:
                raise StoreClosedError(self._hold.where)
            if self._thread.ident is None:
                self._thread.start()
            self._tx.put_nowait((None, partial(_deliver, loop, future, work)))
        return await _settle(future)

    @property
    def is_holding(self) -> bool:
        return self._hold.is_holding

    def stop(self) -> None:
        """End the thread once what was queued is done."""
        self._running = False
        self._tx.put_nowait((None, lambda: _STOP_RUNNING_SENTINEL))

    def before_fork(self) -> None:
        self._turn.acquire()
        if self._thread.is_alive() and self._running:
            resting = threading.Event()
            self._forked.clear()
            self._tx.put_nowait((None, partial(self._rest, resting)))
            resting.wait()

    def _rest(self, resting: threading.Event) -> None:
        self._hold.let_go()
        resting.set()
        self._forked.wait()

    def after_fork_in_parent(self) -> None:
        self._forked.set()
        self._turn.release()

    def after_fork_in_child(self) -> None:
        # Its thread is not here: nobody will use it, since lanes begin anew too.
        self._turn = threading.Lock()
        self._running = False

    def __del__(self) -> None:
        # The store warns of what was left open; here the thread only has to end.
        self.abandon()


def _nothing_to_connect() -> sqlite3.Connection:
    raise RuntimeError("a worker acquires its resource itself")


class Lanes(Generic[LaneT]):
    """One lane for each event loop (or one for all threads), made at first use.

    A lane whose loop is closed is discarded when the next one is made. After a fork the child
    begins with none.
    """

    def __init__(
        self, runtime: Runtime, make: Callable[[], LaneT], discard: Callable[[LaneT], None]
    ) -> None:
        self._runtime = runtime
        self._make = make
        self._discard = discard
        self._lanes: dict[object, LaneT] = {}
        self._lock = threading.Lock()
        rest_during_forks(self)

    def current(self) -> LaneT:
        here = self._runtime.here()
        lane = self._lanes.get(here)
        return lane if lane is not None else self._new(here)

    def _new(self, here: object) -> LaneT:
        with self._lock:
            for other in [key for key in self._lanes if self._runtime.is_gone(key)]:
                self._discard(self._lanes.pop(other))
            if here not in self._lanes:
                self._lanes[here] = self._make()
            return self._lanes[here]

    def take_all(self) -> tuple[LaneT | None, list[LaneT]]:
        """Empty: the current lane, if there is one, and all others."""
        with self._lock:
            lanes, self._lanes = self._lanes, {}
        try:
            mine = lanes.pop(self._runtime.here(), None)
        except RuntimeError:  # no event loop here
            mine = None
        return mine, list(lanes.values())

    def __iter__(self) -> Iterator[LaneT]:
        return iter(list(self._lanes.values()))

    def before_fork(self) -> None:
        pass

    def after_fork_in_parent(self) -> None:
        pass

    def after_fork_in_child(self) -> None:
        self._lanes = {}
        self._lock = threading.Lock()


def _deliver(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], function: Callable[[], T]
) -> None:
    """In a worker's thread: run, and tell the loop, if it is still there."""
    try:
        tell: Callable[[], None] = partial(_set_result, future, function())
    except BaseException as error:  # noqa: BLE001 - all of it belongs to the caller
        tell = partial(_set_exception, future, error)
    with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits any more
        loop.call_soon_threadsafe(tell)


def _set_result(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


async def _settle(future: asyncio.Future[T]) -> T:
    """The future's result, waiting for it also when cancelled, and only then being cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # seen: no warning that nobody looked
        raise cancelled
    return future.result()


def _run(function: Callable[[], T]) -> T:
    return function()


async def _in_thread(function: Callable[[], None]) -> None:
    import aiofiles.os  # noqa: PLC0415 - slow to import, and not needed for a database

    await aiofiles.os.wrap(_run)(function)
