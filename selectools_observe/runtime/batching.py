"""Group commit: what is requested at the same time is done at once.

The first request opens a batch and hands it to the worker; those that come before the worker is
free join the batch. When the worker begins, it closes the batch and does all of it in one go. There
is no background task, so nothing has to be flushed and nothing is lost at exit.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from ..errors import TraceStoreError
from .interface import Event, Runtime

T = TypeVar("T")
HeldT = TypeVar("HeldT")
RequestT = TypeVar("RequestT")
ResultT = TypeVar("ResultT")
HeldT_contra = TypeVar("HeldT_contra", contravariant=True)
HeldT_co = TypeVar("HeldT_co", covariant=True)
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)

# Requests in a batch. Beyond this a batch gains little, and while one is done the next can form.
_LARGEST = 128

# Callers who are woken in one turn of an event loop, where batches overlap. Each does much before
# its next request: were all woken at once, the batch under way would wait for them.
_WOKEN_AT_ONCE = 4

# Callers who are worth two batches: while one is done, the other gets ready.
_WORTH_HALVING = 16


class BatchFunction(Protocol[HeldT_contra, RequestT_contra, ResultT_co]):
    """Does a batch on what a worker holds: a result or an error for each request, in their order.

    If it raises, each of the requests has failed with that.
    """

    def __call__(
        self, held: HeldT_contra, requests: Sequence[RequestT_contra], /
    ) -> Sequence[ResultT_co | Exception]: ...


class BatchWorker(Protocol[HeldT_co]):
    """The part of a `Worker` that a batcher needs.

    Attributes:
        queues: Whether it takes one function after another by itself.
    """

    @property
    def queues(self) -> bool: ...
    def run(self, function: Callable[[HeldT_co], T]) -> Awaitable[T]:
        """Run a function to its end; what was begun is finished before a cancellation goes on."""


class _Request(Generic[RequestT, ResultT]):
    """One request, and its result once there is one."""

    __slots__ = ("is_done", "result", "value", "woken")

    result: ResultT | Exception
    woken: Event  # of those who do not lead

    def __init__(self, value: RequestT) -> None:
        self.value = value
        self.is_done = False


class _Batch(Generic[RequestT, ResultT]):
    """Requests that will be done together."""

    __slots__ = ("_woken_at_once", "events", "requests")

    def __init__(self, woken_at_once: int) -> None:
        self._woken_at_once = woken_at_once
        self.requests: list[_Request[RequestT, ResultT]] = []
        self.events: list[Event] = []  # each for some of those who wait

    def add(self, request: _Request[RequestT, ResultT], runtime: Runtime) -> None:
        """Note the request of one who waits for the leader."""
        if len(self.requests) > self._woken_at_once * len(self.events):
            self.events.append(runtime.event())
        request.woken = self.events[-1]
        self.requests.append(request)


class _Batching(ABC, Generic[RequestT, ResultT]):
    """Requests of one kind, joined into batches; a subclass does them."""

    def __init__(self, runtime: Runtime, *, queues: bool, largest: int = _LARGEST) -> None:
        self._runtime = runtime
        self._largest = largest
        self._queues = queues
        self._lock = runtime.lock()  # where nobody queues batches
        self._guard = threading.Lock()
        self._open: _Batch[RequestT, ResultT] | None = None
        self._enough = 1
        self._woken_at_once = largest

    async def submit(self, value: RequestT) -> ResultT:
        """The result of one request."""
        request: _Request[RequestT, ResultT] = _Request(value)
        while not request.is_done:
            batch, leads = self._join(request)
            await (self._lead(batch) if leads else self._follow(batch, request))
        if isinstance(request.result, Exception):
            raise _own_copy(request.result)
        return request.result

    def _join(self, request: _Request[RequestT, ResultT]) -> tuple[_Batch[RequestT, ResultT], bool]:
        with self._guard:
            leads = self._open is None or len(self._open.requests) >= self._largest
            if leads or self._open is None:
                self._open = _Batch(self._woken_at_once)
                self._open.requests.append(request)
            else:
                self._open.add(request, self._runtime)
            return self._open, leads

    async def _lead(self, batch: _Batch[RequestT, ResultT]) -> None:
        try:
            if self._queues:
                await self._do(batch)
            else:
                await self._runtime.with_lock(self._lock, partial(self._gather_and_run, batch))
        finally:
            # After an interruption some requests have no result; their callers submit them again.
            if self._open is batch:
                self._close(batch)
            self._enough = self._worth_waiting_for(len(batch.requests))
            self._runtime.wake(batch.events)

    async def _gather_and_run(self, batch: _Batch[RequestT, ResultT]) -> None:
        """Let those join who were in the last batch: just released, they are about to come.

        So many as are worth waiting for, and only as long as some come in each turn.
        """
        present = 0
        while present < len(batch.requests) < self._enough:
            present = len(batch.requests)
            await self._runtime.checkpoint()
        await self._do(batch)

    def _worth_waiting_for(self, done: int) -> int:
        """How many requests the next batch waits for, those that were done having come back."""
        return done

    @abstractmethod
    def _do(self, batch: _Batch[RequestT, ResultT]) -> Awaitable[None]:
        """Do a batch to its end, whoever is cancelled meanwhile."""

    async def _follow(
        self, batch: _Batch[RequestT, ResultT], request: _Request[RequestT, ResultT]
    ) -> None:
        try:
            is_done = await request.woken.wait()
        except BaseException:
            with self._guard:
                if self._open is batch:
                    batch.requests.remove(request)
            raise
        if not is_done:
            # Is the leader slow? Then we wait for the lock behind it, and find our result. Or did
            # a signal handler raise in its thread before it could lead? Then we do it.
            await self._lead(batch)

    def _begin(self, batch: _Batch[RequestT, ResultT]) -> list[_Request[RequestT, ResultT]]:
        """Close the batch; the requests to be done."""
        self._close(batch)
        # Some are done if the one who led them was interrupted, and another does the rest.
        return [request for request in batch.requests if not request.is_done]

    def _close(self, batch: _Batch[RequestT, ResultT]) -> None:
        with self._guard:
            if self._open is batch:
                self._open = None


class Batcher(_Batching[RequestT, ResultT], Generic[HeldT, RequestT, ResultT]):
    """Does requests of one kind in batches, in a worker."""

    def __init__(
        self,
        runtime: Runtime,
        worker: BatchWorker[HeldT],
        function: BatchFunction[HeldT, RequestT, ResultT],
    ) -> None:
        super().__init__(runtime, queues=worker.queues)
        self._worker = worker
        self._function = function

    def _do(self, batch: _Batch[RequestT, ResultT]) -> Awaitable[None]:
        return self._worker.run(partial(self._run, batch))

    def _run(self, batch: _Batch[RequestT, ResultT], held: HeldT) -> None:
        """In the worker: do the batch and note the results, before anything can interrupt."""
        left = self._begin(batch)
        results: Sequence[ResultT | Exception]
        try:
            results = self._function(held, [request.value for request in left]) if left else []
        except Exception as error:  # noqa: BLE001 - each caller raises it
            results = [error] * len(left)
        _note(left, results)


class AwaitedBatcher(_Batching[RequestT, ResultT]):
    """Does requests of one kind in batches, by a coroutine.

    Args:
        runtime: The store's.
        function: Gives a result or an error for each request, in their order.
        repeatable: Whether a batch may be cancelled half way, and be done again for the others.
        largest: Requests in a batch.
        overlaps: Whether the function mostly waits for others, so that many callers are better done
            half and half: the program is at work on one batch while somebody else is on the other.
    """

    def __init__(
        self,
        runtime: Runtime,
        function: Callable[[Sequence[RequestT]], Awaitable[Sequence[ResultT | Exception]]],
        *,
        repeatable: bool = False,
        largest: int = _LARGEST,
        overlaps: bool = False,
    ) -> None:
        super().__init__(runtime, queues=False, largest=largest)
        self._overlaps = overlaps and runtime.hops
        if self._overlaps:
            self._woken_at_once = _WOKEN_AT_ONCE
        self._function = function
        self._repeatable = repeatable

    def _do(self, batch: _Batch[RequestT, ResultT]) -> Awaitable[None]:
        if self._repeatable:
            return self._run(batch)
        return self._runtime.finish(partial(self._run, batch))

    def _worth_waiting_for(self, done: int) -> int:
        waiting = self._open
        callers = done + (0 if waiting is None else len(waiting.requests))
        is_halved = self._overlaps and callers >= _WORTH_HALVING
        return callers // 2 if is_halved else done

    async def _run(self, batch: _Batch[RequestT, ResultT]) -> None:
        left = self._begin(batch)
        results: Sequence[ResultT | Exception]
        try:
            values = [request.value for request in left]
            results = await self._function(values) if left else []
        except Exception as error:  # noqa: BLE001 - each caller raises it
            results = [error] * len(left)
        _note(left, results)


def _note(
    requests: Sequence[_Request[RequestT, ResultT]], results: Sequence[ResultT | Exception]
) -> None:
    for request, result in zip(requests, results, strict=True):
        request.result = result
        request.is_done = True


def _own_copy(error: Exception) -> Exception:
    """The error for one of its several receivers, who each add their own traceback."""
    if not isinstance(error, TraceStoreError):
        return error
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
