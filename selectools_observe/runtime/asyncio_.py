"""The runtime of code that runs in an event loop: asyncio's locks, and threads next to the loop.

aiosqlite's threads do the work on databases, aiofiles' that on files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from .aiosqlite_ import AiosqliteWorker, no_thread
from .interface import Event
from .work_item import WorkItem
from .worker import ConnectionSource

T = TypeVar("T")
HeldT = TypeVar("HeldT")


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

    def wake(self, events: Iterable[Event]) -> None:
        waiting = iter(events)

        def wake_next() -> None:
            for event in waiting:
                event.set()
                loop.call_soon(wake_next)
                return

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the coroutine is thrown away
            for event in waiting:
                event.set()
            return
        wake_next()

    def scope_key(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def is_gone(self, scope_key: object) -> bool:
        return isinstance(scope_key, asyncio.AbstractEventLoop) and scope_key.is_closed()

    def worker(self, source: ConnectionSource[HeldT]) -> AiosqliteWorker[HeldT]:
        return AiosqliteWorker(source)

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
        raise no_thread(error) from error
