"""The runtime of code that runs in an event loop: asyncio's locks, and threads beside the loop.

aiosqlite's threads do the work on databases, aiofiles' that on files.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

import aiosqlite
from aiosqlite.core import _STOP_RUNNING_SENTINEL

from ..errors import StoreClosedError
from .fork import rest_during_forks
from .worker import LazyResource

_LOOK_AGAIN = 0.005  # seconds after which a cancelled task looks again whether its work is over

T = TypeVar("T")
ResourceT = TypeVar("ResourceT")


class AsyncioRuntime:
    """For code that runs in an event loop; all objects belong to the loop that made them."""

    hops = True

    def lock(self) -> asyncio.Lock:
        return asyncio.Lock()

    async def with_lock(self, lock: asyncio.Lock, work: Callable[[], Awaitable[T]]) -> T:
        async with lock:
            return await work()

    def event(self) -> asyncio.Event:
        return asyncio.Event()

    def scope_key(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def is_gone(self, scope_key: object) -> bool:
        return isinstance(scope_key, asyncio.AbstractEventLoop) and scope_key.is_closed()

    def worker(
        self,
        where: str,
        acquire: Callable[[], ResourceT],
        release: Callable[[ResourceT], None],
        is_current: Callable[[ResourceT], bool],
    ) -> ThreadWorker[ResourceT]:
        return ThreadWorker(LazyResource(where, acquire, release, is_current))

    async def call(self, function: Callable[[], T]) -> T:
        item = WorkItem(function)
        return await item.outcome(_in_thread(item.run))

    async def finish(self, work: Callable[[], Awaitable[T]]) -> T:
        task = asyncio.ensure_future(work())
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])  # which never cancels what it waits for
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            if not task.cancelled():
                task.exception()  # seen: asyncio need not report it
            raise cancelled
        return task.result()

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)


class ThreadWorker(aiosqlite.Connection, Generic[ResourceT]):
    """A worker that works in the thread of an aiosqlite connection.

    aiosqlite completes each call by itself, on a future which cancellation can take away and in a
    thread that dies with the loop it reports to. This one hands it functions that report for
    themselves, so that a caller can wait for the end of what it began, and the thread goes on.
    """

    queues = True

    def __init__(self, hold: LazyResource[ResourceT]) -> None:
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

    def _start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError as error:
            raise _no_thread(error) from error

    async def _submit(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        item, over = WorkItem(work), loop.create_future()
        with self._turn:
            if not self._running:
                raise StoreClosedError(self._hold.where)
            if self._thread.ident is None:
                self._start()
            self._tx.put_nowait((None, partial(_run_and_tell, item, loop, over)))
        return await item.outcome(over)

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
        # Its thread is not here, and nobody will use it: loop-local state begins anew too.
        self._turn = threading.Lock()
        self._running = False

    def __del__(self) -> None:
        # The store warns of what was left open; here the thread only has to end.
        self.abandon()


def _nothing_to_connect() -> sqlite3.Connection:
    raise RuntimeError("a worker acquires its resource itself")


def _no_thread(error: BaseException) -> OSError:
    """What a store says in words of its own: an error of the operating system."""
    no_thread = OSError(errno.EAGAIN, f"no thread could be started: {error}")
    no_thread.__cause__ = error
    return no_thread


class WorkItem(Generic[T]):
    """A function that another thread runs, for a task that waits for the end of what it began."""

    __slots__ = ("_begun", "_error", "_function", "_is_over", "_result")

    _result: T

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._begun = threading.Lock()  # had by the thread that runs it, or a task that gives up
        self._error: BaseException | None = None
        self._is_over = False

    def run(self) -> None:
        """In the thread."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - all of it belongs to the caller
            self._error = error
        self._is_over = True

    async def outcome(self, over: Awaitable[None]) -> T:
        """What the function returned or raised, once ``over`` tells that it ended.

        Cancelled before the function began, it never will; cancelled later, the task looks for its
        end by itself, since with the exception of a signal handler the news of it can get lost in
        the event loop, and only then is cancelled.
        """
        cancelled: asyncio.CancelledError | None = None
        try:
            await over
        except asyncio.CancelledError as error:
            if self._begun.acquire(blocking=False):
                raise
            cancelled = error
        while not self._is_over:
            try:
                await asyncio.sleep(_LOOK_AGAIN)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback leads here
        return self._result


def _run_and_tell(
    item: WorkItem[T], loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]
) -> None:
    """In a worker's thread: run, and tell the loop, if it is still there."""
    item.run()
    with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits any more
        loop.call_soon_threadsafe(_wake, over)


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def load_file_work() -> None:
    """Import what file work needs, while nobody works.

    A fork while another thread imports leaves the child with a module's lock that nobody releases.
    """
    import concurrent.futures.thread  # noqa: F401, PLC0415 - asyncio loads it at first use

    import aiofiles.os  # noqa: F401, PLC0415 - slow to import, and not needed for a database


async def _in_thread(function: Callable[[], None]) -> None:
    import aiofiles.os  # noqa: PLC0415 - slow to import, and not needed for a database

    try:
        await aiofiles.os.wrap(function)()
    except RuntimeError as error:
        raise _no_thread(error) from error
