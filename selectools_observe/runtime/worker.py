"""Those who do blocking work, one piece after another; here, in the caller's thread."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ..errors import StoreClosedError
from .fork import rest_during_forks

log = logging.getLogger(__name__)

T = TypeVar("T")
HeldT = TypeVar("HeldT")
HeldT_co = TypeVar("HeldT_co", covariant=True)


class ConnectionSource(Protocol[HeldT]):
    """Where a worker's connection leads, and what is made of it.

    Attributes:
        where: The file, as messages name it.
        file: What `sqlite3.connect` opens.
        options: With which options.
    """

    @property
    def where(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    def ready(self, connection: Any) -> HeldT:
        """Make a connection just opened ready for work; what the work is done on."""

    def is_current(self, held: HeldT) -> bool:
        """Whether the connection still leads to the file that has this name."""


class Worker(Protocol[HeldT_co]):
    """Owns a database connection and does work on it, one piece after another.

    It is opened at first use, and again if another file took the place of the one it leads to.
    What was begun is always finished: a cancelled caller waits for it, then is cancelled.

    Attributes:
        queues: Whether callers need not wait for each other before they call.
    """

    @property
    def queues(self) -> bool: ...
    async def run(self, function: Callable[[HeldT_co], T]) -> T: ...
    async def fetch_all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement that reads."""

    async def close(self) -> None: ...
    def abandon(self) -> None:
        """Close without waiting, from anywhere."""

    @property
    def is_holding(self) -> bool:
        """Whether there is something to release."""


def warn_of_replaced(where: str) -> None:
    """A line in the log: saves go to the file that is there now."""
    log.warning("%s: was removed or replaced; going on with what is there now", where)


class DirectWorker(Generic[HeldT]):
    """A worker that works in the caller's thread, one caller at a time."""

    queues = False

    def __init__(self, source: ConnectionSource[HeldT]) -> None:
        self._source = source
        self._opened: tuple[sqlite3.Connection, HeldT] | None = None
        self._is_closed = False
        self._lock = threading.Lock()
        rest_during_forks(self, holds_others=True)

    def before_fork(self) -> None:
        self._lock.acquire()
        self._let_go()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock = threading.Lock()

    async def run(self, function: Callable[[HeldT], T]) -> T:
        with self._lock:
            return function(self._current()[1])

    async def fetch_all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._current()[0].execute(sql, parameters).fetchall()

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        with self._lock:
            self._is_closed = True
            self._let_go()

    @property
    def is_holding(self) -> bool:
        return self._opened is not None

    def _current(self) -> tuple[sqlite3.Connection, HeldT]:
        if self._is_closed:
            raise StoreClosedError(self._source.where)
        if self._opened is not None and not self._source.is_current(self._opened[1]):
            warn_of_replaced(self._source.where)
            self._let_go()
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> tuple[sqlite3.Connection, HeldT]:
        connection = sqlite3.connect(self._source.file, **self._source.options)
        try:
            return connection, self._source.ready(connection)
        except BaseException:
            connection.close()
            raise

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].close()


class CallWorker(Generic[HeldT]):
    """Runs functions on something that all threads may use, as the runtime runs any function."""

    queues = False

    def __init__(self, runtime: CallingRuntime, held: HeldT) -> None:
        self._runtime = runtime
        self._held = held

    async def run(self, function: Callable[[HeldT], T]) -> T:
        return await self._runtime.call(partial(function, self._held))


class CallingRuntime(Protocol):
    """The part of a runtime that runs functions."""

    async def call(self, function: Callable[[], T]) -> T: ...
