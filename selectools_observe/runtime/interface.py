"""The two runtimes of a backend, async and blocking, and all that differs between them.

A backend is written once, as coroutines. Under `asyncio_.AsyncioRuntime` they wait on asyncio's
locks and hand blocking work to threads. Under `BlockingRuntime` the same coroutines take thread
locks, do the work in the calling thread, and so never suspend: `run_sync` runs one to its end
without an event loop, and without importing asyncio.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar

from .worker import ConnectionSource, DirectWorker, Worker

T = TypeVar("T")
HeldT = TypeVar("HeldT")

_PATIENCE = 1.0  # seconds after which one who waits for another thread looks for itself


Lock: TypeAlias = object
"""A lock that `Runtime.with_lock` takes."""


class Event(Protocol):
    """A flag that coroutines wait for."""

    def set(self) -> None: ...
    async def wait(self) -> bool:
        """Whether it was set; False after a while in which it was not."""


class Runtime(Protocol):
    """The primitives a backend is made of.

    Attributes:
        hops: Whether work is done in another thread, so that it pays to do much of it at once.
    """

    hops: bool

    def lock(self) -> Lock: ...
    async def with_lock(self, lock: Any, work: Callable[[], Awaitable[T]]) -> T:
        """Do work while nobody else has the lock."""

    def event(self) -> Event: ...
    def wake(self, events: Iterable[Event]) -> None:
        """Set events in their order; in an event loop each in a turn of its own."""

    def scope_key(self) -> object:
        """What loop-local state belongs to: the running event loop, or None for all threads."""

    def is_gone(self, scope_key: object) -> bool: ...
    def worker(self, source: ConnectionSource[HeldT]) -> Worker[HeldT]:
        """A worker with a database connection of its own."""

    async def call(self, function: Callable[[], T]) -> T:
        """Run blocking file work to its end."""

    async def finish(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await work to its end before a cancellation goes on."""

    async def checkpoint(self) -> None:
        """Let others run."""


class BlockingRuntime:
    """For code that blocks: nothing here ever suspends a coroutine."""

    hops = False

    def lock(self) -> threading.Lock:
        return threading.Lock()

    async def with_lock(self, lock: threading.Lock, work: Callable[[], Awaitable[T]]) -> T:
        # As it stands here, with a lock written in C, no signal can come between taking the lock
        # and the block that gives it back. A context manager in Python could be left half way.
        with lock:
            return await work()

    def event(self) -> BlockingEvent:
        return BlockingEvent()

    def wake(self, events: Iterable[Event]) -> None:
        for event in events:
            event.set()

    def scope_key(self) -> None:
        return None

    def is_gone(self, scope_key: object) -> bool:  # noqa: ARG002
        return False

    def worker(self, source: ConnectionSource[HeldT]) -> DirectWorker[HeldT]:
        return DirectWorker(source)

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def finish(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()

    async def checkpoint(self) -> None:
        time.sleep(0)  # noqa: ASYNC251 - gives the interpreter to another thread


def run_sync(coroutine: Awaitable[T]) -> T:
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
    raise RuntimeError("a coroutine of a blocking store suspended")


def iterate_sync(items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an asynchronous generator that never suspends."""
    while True:
        try:
            item = run_sync(items.__anext__())
        except StopAsyncIteration:
            return
        yield item


class BlockingEvent:
    """A thread's event, as coroutines wait for it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> bool:
        return self._event.wait(_PATIENCE)
