"""A function that another thread runs, for a task that waits for the end of what it began."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_LOOK_AGAIN = 0.005  # seconds after which a cancelled task looks again whether its work is over


class WorkItem(Generic[T]):
    """A function that another thread runs, for a task that waits for the end of what it began.

    It lets go of the function, and of what that returned, as soon as they are not needed: a thread
    keeps its last item until the next one comes.
    """

    __slots__ = ("_begun", "_error", "_function", "_is_over", "_result")

    _function: Callable[[], T]
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
        finally:
            del self._function
        self._is_over = True

    async def outcome(self, over: Awaitable[None]) -> T:
        """What the function returned or raised, once ``over`` tells that it ended.

        Cancelled before the function began, it never will; cancelled later, the task looks for its
        end by itself, since with the exception of a signal handler the news of it can get lost in
        the event loop, and only then is cancelled.
        """
        try:
            await over
        except asyncio.CancelledError:
            if self._begun.acquire(blocking=False):
                del self._function
            else:
                await look_until(lambda: self._is_over)
            raise
        if not self._is_over:
            await look_until(lambda: self._is_over)
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback leads here
        result = self._result
        del self._result
        return result


async def look_until(is_over: Callable[[], bool]) -> None:
    """Wait for what another thread does, also if cancelled meanwhile; then be cancelled."""
    cancelled: asyncio.CancelledError | None = None
    while not is_over():
        try:
            await asyncio.sleep(_LOOK_AGAIN)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
