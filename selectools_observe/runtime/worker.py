"""Those who do blocking work, one piece after another; here, where the caller stands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from ..errors import StoreClosedError
from .fork import rest_during_forks

log = logging.getLogger("selectools_observe")

T = TypeVar("T")
ResourceT = TypeVar("ResourceT")
HeldT_co = TypeVar("HeldT_co", covariant=True)


class Worker(Protocol[HeldT_co]):
    """Owns a resource (a database connection) and runs functions on it, one after another.

    What was begun is always finished: a cancelled caller waits for it, then is cancelled.

    Attributes:
        queues: Whether callers need not wait for each other before they call.
    """

    queues: bool

    async def run(self, function: Callable[[HeldT_co], T]) -> T: ...
    async def close(self) -> None: ...
    def abandon(self) -> None:
        """Close without waiting, from anywhere."""

    @property
    def is_holding(self) -> bool:
        """Whether there is something to release."""


class LazyResource(Generic[ResourceT]):
    """A resource acquired at first use, in the thread that uses it, and released once.

    One that is no longer current is released, and acquired anew.
    """

    def __init__(
        self,
        where: str,
        acquire: Callable[[], ResourceT],
        release: Callable[[ResourceT], None],
        is_current: Callable[[ResourceT], bool],
    ) -> None:
        self.where = where
        self._acquire = acquire
        self._release = release
        self._is_current = is_current
        self._resource: ResourceT | None = None
        self._released = False

    def run(self, function: Callable[[ResourceT], T]) -> T:
        if self._released:
            raise StoreClosedError(self.where)
        if self._resource is not None and not self._is_current(self._resource):
            log.warning("%s: was removed or replaced; going on with what is there now", self.where)
            self.let_go()
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

    queues = False

    def __init__(self, hold: LazyResource[ResourceT]) -> None:
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


class CallWorker(Generic[ResourceT]):
    """Runs functions on something that all threads may use, as the runtime runs any function."""

    queues = False

    def __init__(self, runtime: CallingRuntime, held: ResourceT) -> None:
        self._runtime = runtime
        self._held = held

    async def run(self, function: Callable[[ResourceT], T]) -> T:
        return await self._runtime.call(partial(function, self._held))


class CallingRuntime(Protocol):
    """The part of a runtime that runs functions."""

    async def call(self, function: Callable[[], T]) -> T: ...
