"""Group commit: what is asked at the same time is done at once.

The first to ask opens a batch and hands it to the worker; whoever comes before the worker is free
joins the batch. When the worker begins, it closes the batch and does all of it in one go. There is
no background task, so nothing has to be flushed and nothing is lost at exit.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar, cast

from ..errors import TraceStoreError
from .interface import Event, Runtime

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")
GivenT_contra = TypeVar("GivenT_contra", contravariant=True)
ReturnedT_co = TypeVar("ReturnedT_co", covariant=True)

_UNANSWERED = object()

# Requests in a batch. Beyond this a batch gains little, and while one is done the next can form.
_LARGEST = 128


class _Entry(Generic[AskedT, AnswerT]):
    """One request, and its answer once there is one."""

    __slots__ = ("answer", "asked")

    def __init__(self, asked: AskedT) -> None:
        self.asked = asked
        self.answer: AnswerT | Exception | object = _UNANSWERED

    def result(self) -> AnswerT:
        if isinstance(self.answer, Exception):
            raise _own_copy(self.answer)
        return self.answer  # type: ignore[return-value]


class _Batch(Generic[AskedT, AnswerT]):
    """Requests that will be answered together."""

    __slots__ = ("done", "entries")

    def __init__(self) -> None:
        self.entries: list[_Entry[AskedT, AnswerT]] = []
        self.done: Event | None = None  # made for the first who waits for it


class Work(Protocol[GivenT_contra, ReturnedT_co]):
    """Does a batch, in a worker: one answer, or error, for each request, in their order."""

    def __call__(self, asked: Sequence[GivenT_contra], /) -> Sequence[ReturnedT_co | Exception]: ...


class Batcher(Generic[AskedT, AnswerT]):
    """Does requests of one kind in batches.

    ``run`` must finish what it began before a cancellation goes on. With ``queues``, it does one
    batch after another by itself; without, a lock sees to that.
    """

    def __init__(
        self,
        runtime: Runtime,
        run: Callable[[Callable[[Work[AskedT, AnswerT]], None]], Awaitable[None]],
        *,
        queues: bool = False,
    ) -> None:
        self._queues = queues
        self._runtime = runtime
        self._run = run
        self._lock = runtime.lock()
        self._guard = threading.Lock()
        self._open: _Batch[AskedT, AnswerT] | None = None
        self._company = 1

    async def ask(self, asked: AskedT) -> AnswerT:
        """The answer to one request."""
        entry: _Entry[AskedT, AnswerT] = _Entry(asked)
        while entry.answer is _UNANSWERED:
            batch, leads = self._join(entry)
            await (self._lead(batch) if leads else self._follow(batch, entry))
        return entry.result()

    def _join(self, entry: _Entry[AskedT, AnswerT]) -> tuple[_Batch[AskedT, AnswerT], bool]:
        with self._guard:
            leads = self._open is None or len(self._open.entries) >= _LARGEST
            if leads or self._open is None:
                self._open = _Batch()
            elif self._open.done is None:
                self._open.done = self._runtime.event()
            self._open.entries.append(entry)
            return self._open, leads

    async def _lead(self, batch: _Batch[AskedT, AnswerT]) -> None:
        try:
            if self._queues:
                await self._run(partial(self._answer, batch))
            else:
                await self._runtime.under(self._lock, partial(self._do, batch))
        finally:
            # After an interruption some entries have no answer; their callers ask again.
            self._close(batch)
            if batch.done is not None:
                batch.done.set()

    async def _do(self, batch: _Batch[AskedT, AnswerT]) -> None:
        await self._await_company(batch)
        await self._run(partial(self._answer, batch))

    async def _await_company(self, batch: _Batch[AskedT, AnswerT]) -> None:
        """Let those join who came along last time: just released, they are about to ask again."""
        present = 0
        while present < len(batch.entries) < self._company:
            present = len(batch.entries)
            await self._runtime.checkpoint()

    async def _follow(self, batch: _Batch[AskedT, AnswerT], entry: _Entry[AskedT, AnswerT]) -> None:
        try:
            is_done = await cast("Event", batch.done).wait()
        except BaseException:
            with self._guard:
                if self._open is batch:
                    batch.entries.remove(entry)
            raise
        if not is_done:
            # Is the leader slow? Then we wait for the lock behind it, and find our answer. Or did
            # a signal handler raise in its thread before it could lead? Then we do it.
            await self._lead(batch)

    def _answer(self, batch: _Batch[AskedT, AnswerT], work: Work[AskedT, AnswerT]) -> None:
        """In a worker: do the batch and note the answers, before anything can interrupt."""
        self._close(batch)
        self._company = len(batch.entries)
        # Some have an answer if the one who led them was interrupted, and another does the rest.
        left = [entry for entry in batch.entries if entry.answer is _UNANSWERED]
        answers: Sequence[AnswerT | Exception]
        try:
            answers = work([entry.asked for entry in left]) if left else []
        except Exception as error:  # noqa: BLE001 - each caller raises it
            answers = [error] * len(left)
        for entry, answer in zip(left, answers, strict=True):
            entry.answer = answer

    def _close(self, batch: _Batch[AskedT, AnswerT]) -> None:
        with self._guard:
            if self._open is batch:
                self._open = None


def _own_copy(error: Exception) -> Exception:
    """The error for one of its several receivers, who each add their own traceback."""
    if not isinstance(error, TraceStoreError):
        return error
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
