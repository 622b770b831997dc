"""A worker in an event loop: aiosqlite opens, owns and closes its connection, and has the thread.

What is one statement goes through aiosqlite's public calls. What they cannot do is in
`ConnectionThread`, with its reasons, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, cast

import aiosqlite

from ..errors import StoreClosedError
from .fork import rest_during_forks
from .work_item import WorkItem, look_until
from .worker import ConnectionSource, warn_of_replaced

T = TypeVar("T")
HeldT = TypeVar("HeldT")


class AiosqliteWorker(Generic[HeldT]):
    """A worker that works in the thread of an aiosqlite connection."""

    queues = True

    def __init__(self, source: ConnectionSource[HeldT]) -> None:
        self._source = source
        self._turn = asyncio.Lock()  # to open and to close
        self._thread: ConnectionThread | None = None
        self._held: HeldT | None = None  # what was made of the connection, once it is ready
        self._is_closed = False
        self._no_fork = threading.Lock()  # had while a thread is started
        self._rested: ConnectionThread | None = None
        rest_during_forks(self, holds_others=True)

    async def run(self, function: Callable[[HeldT], T]) -> T:
        while True:
            thread, held = self._thread, self._held
            if thread is None or held is None:
                thread, held = await self._current()
            try:
                return await thread.run(partial(self._on_current, held, function))
            except _LostError:
                await self._let_go(thread)

    def _on_current(self, held: HeldT, function: Callable[[HeldT], T]) -> T:
        """In the thread."""
        if not self._source.is_current(held):
            raise _LostError
        return function(held)

    async def fetch_all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        while True:
            thread, held = await self._current()
            try:
                if self._source.is_current(held):
                    return await thread.fetch_all(sql, parameters)
            except _LostError:
                pass
            await self._let_go(thread)

    async def close(self) -> None:
        self._is_closed = True
        async with self._turn:
            thread, self._thread, self._held = self._thread, None, None
            if thread is not None:
                await thread.close()

    def abandon(self) -> None:
        self._is_closed = True
        thread, self._thread, self._held = self._thread, None, None
        if thread is not None:
            thread.end()

    @property
    def is_holding(self) -> bool:
        return self._thread is not None

    async def _current(self) -> tuple[ConnectionThread, HeldT]:
        thread, held = self._thread, self._held
        if thread is not None and held is not None:
            return thread, held
        async with self._turn:
            while self._thread is None or self._held is None:
                self._check_open()
                with contextlib.suppress(_LostError):  # a fork came between
                    await self._open()
            return self._thread, self._held

    async def _open(self) -> None:
        with self._no_fork:
            self._thread = thread = ConnectionThread(self._source.file, self._source.options)
            opening = thread.begin()
        try:
            await opening
            self._held = await thread.run(partial(self._source.ready, thread.connection))
            self._check_open()  # others may have closed it meanwhile
        except BaseException:
            self._thread = self._held = None
            await thread.close()
            raise

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreClosedError(self._source.where)

    async def _let_go(self, lost: ConnectionThread) -> None:
        """Close a connection that leads to another file by now, or that a fork has closed."""
        async with self._turn:
            if self._thread is lost:
                if not lost.is_retired:
                    warn_of_replaced(self._source.where)
                self._thread = self._held = None
                await lost.close()

    def before_fork(self) -> None:
        self._no_fork.acquire()
        self._rested = self._thread
        if self._rested is not None:
            self._rested.rest()

    def after_fork_in_parent(self) -> None:
        if self._rested is not None:
            self._rested.go_on()
        self._no_fork.release()

    def after_fork_in_child(self) -> None:
        # Its thread is not here, and nobody will use it: loop-local state begins again too.
        if self._rested is not None:
            self._rested.forget()
        self._thread = self._held = None
        self._is_closed = True
        self._no_fork = threading.Lock()

    def __del__(self) -> None:
        # The store warns of what was left open; here the thread only has to end. Of garbage either
        # may be asked first: the store must still see what was open.
        self._is_closed = True
        if self._thread is not None:
            self._thread.end()


class _LostError(Exception):
    """The connection cannot be used any more, and nothing was begun on it."""


class ConnectionThread:
    """One aiosqlite connection, and what cannot be done by its public calls.

    They do one statement in one thread hop, and report to a future. A batch is several statements
    in one hop, and must be finished before its caller is cancelled; and a thread that reports to a
    loop which was closed meanwhile dies. So these private names are used, which have been the same
    since 0.20:

    * ``_tx``, the queue of the thread, of pairs of a future and a function: to hand it functions
      that report for themselves. (SQLAlchemy's dialect uses it too.)
    * ``_thread``, before 0.22 the connection itself: to make it a daemon, since a store left open
      must not keep the interpreter alive, and to see that it has ended.
    * ``_stop_running``, before 0.22, which has ``stop``: to end a connection that nobody awaits.
    * ``_connection``, to empty it where the thread is gone and cannot: its destructor would warn.
    """

    def __init__(self, file: str, options: Mapping[str, Any]) -> None:
        self._make: Callable[..., sqlite3.Connection] = options["factory"]
        self._proxy: Any = aiosqlite.connect(file, **{**options, "factory": self._made})
        self._thread: Any = getattr(self._proxy, "_thread", self._proxy)
        self._thread.daemon = True
        self.connection: sqlite3.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._owner = threading.get_ident()
        self._is_ending = False
        self._resting = threading.Event()
        self._may_go_on = threading.Event()
        self.is_retired = False

    def _made(self, *args: Any, **options: Any) -> sqlite3.Connection:
        """In the thread: note what is opened, for a task that is cancelled before it is told."""
        if self.is_retired:
            raise _LostError
        self.connection = self._make(*args, **options)
        return self.connection

    def begin(self) -> Awaitable[object]:
        """Start the thread; the connection is open once what this returns was awaited."""
        try:
            return _Begun(self._proxy.__await__())
        except RuntimeError as error:
            raise no_thread(error) from error

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function in the thread; a cancelled caller waits for its end, if it has begun."""
        if self._is_ending:
            raise _LostError
        item, over = WorkItem(partial(self._unless_retired, function)), self._loop.create_future()
        self._hand(item.run, _Report(self._loop, over))
        return await item.outcome(over)

    def _hand(self, function: Callable[[], object], report: _Report | None = None) -> None:
        """To the thread, after all that it was handed before."""
        self._proxy._tx.put_nowait((report or _NO_REPORT, function))  # noqa: SLF001 - see above

    def _unless_retired(self, function: Callable[[], T]) -> T:
        if self.is_retired:
            raise _LostError
        return function()

    async def fetch_all(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement that reads."""
        if self._is_ending:
            raise _LostError
        try:
            return cast(
                "list[tuple[Any, ...]]", await self._proxy.execute_fetchall(sql, parameters)
            )
        except asyncio.CancelledError:
            await self._idle()  # if the loop is closed next, the thread must not report to it
            raise
        except (sqlite3.ProgrammingError, ValueError):
            # Also where it was closed meanwhile: if that is cancelled, aiosqlite forgets the
            # connection before it does what waits in its queue.
            if self.is_retired or self._is_ending:
                raise _LostError from None
            raise

    async def _idle(self) -> None:
        """Wait until the thread has done what it was handed, also if cancelled again."""
        idle = threading.Event()
        self._hand(idle.set)
        await look_until(lambda: idle.is_set() or not self._thread.is_alive())

    async def close(self) -> None:
        """Close the connection once all is done that was begun, and end the thread."""
        closes, self._is_ending = not self._is_ending, True
        try:
            if closes:
                await self._proxy.close()
        finally:
            if closes and self._thread.is_alive():
                self._hand(self._end)  # cancelled while it was opened, 0.20 does not end it
            try:
                await look_until(lambda: not self._thread.is_alive())
            finally:
                self.forget()  # cancelled while it was opened, no version closes it

    def end(self) -> None:
        """`close` without waiting, from anywhere, and again."""
        if self._is_ending:
            return
        self._is_ending = True
        if not self._thread.is_alive():
            self.forget()
        elif not self._loop.is_running() or threading.get_ident() == self._owner:
            self._hand(self._end)
        else:
            # The loop's own thread might be about to hand something over, and nothing may come
            # after the end.
            try:
                self._loop.call_soon_threadsafe(self._hand, self._end)
            except RuntimeError:  # it was closed in this moment
                self._hand(self._end)

    def _end(self) -> None:
        """In the thread."""
        if self.connection is not None:
            self.connection.close()
        if hasattr(self._proxy, "stop"):
            self._proxy.stop()
        else:
            self._proxy._stop_running()  # noqa: SLF001 - see above

    def forget(self) -> None:
        """Close the connection of a thread that is gone."""
        self._proxy._connection = None  # noqa: SLF001 - see above
        if self.connection is not None:
            self.connection.close()

    def rest(self) -> None:
        """Before a fork: finish what was begun, close the connection for good, and wait."""
        if self._thread.is_alive():
            self._hand(self._rest)
            while not self._resting.wait(0.1) and self._thread.is_alive():
                pass

    def _rest(self) -> None:
        """In the thread."""
        self.is_retired = True
        if self.connection is not None:
            self.connection.close()
        self._resting.set()
        self._may_go_on.wait()

    def go_on(self) -> None:
        """After a fork: tell all who come that the connection is closed."""
        self._may_go_on.set()


class _Begun:
    """The rest of something that has begun."""

    def __init__(self, steps: Generator[Any, None, object]) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, None, object]:
        return self._steps


class _NoReport:
    """Stands where aiosqlite's thread expects a future, and a loop that it belongs to."""

    def get_loop(self) -> _NoReport:
        return self

    def call_soon_threadsafe(self, *_: object) -> None:
        """Nothing: nobody waits."""


class _Report(_NoReport):
    """Tells a loop that something is over, if the loop is still there."""

    def __init__(self, loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
        self._loop = loop
        self._over = over

    def call_soon_threadsafe(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed; nobody waits any more
            self._loop.call_soon_threadsafe(_wake, self._over)


_NO_REPORT = _NoReport()


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def no_thread(error: BaseException) -> OSError:
    """What a store says in words of its own: an error of the operating system."""
    no_thread = OSError(errno.EAGAIN, f"no thread could be started: {error}")
    no_thread.__cause__ = error
    return no_thread
