"""Saving for an agent: a save that fails never breaks it.

`SafeSaver` saves for the hooks of frameworks, `RunSaver` for a recorder. Both log a failure, count
it and hand it on, and save a run that holds a value which cannot be stored without that value.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeAlias, cast

import anyio
import anyio.to_thread
import msgspec

from ..backends.derived import given
from ..errors import CorruptTraceError, InvalidTraceError
from ..model.trace import AgentTrace
from ..protocols import AsyncTraceStore, Change, TraceStore, is_async_store
from ..runtime.interface import run_sync
from ..stores.blocking import SyncTraceStore
from ..stores.delegating import AnyStore, WrappingCore
from .background.background_store import AsyncBackgroundTraceStore, BackgroundTraceStore
from .background.queue import Outcome, Settled
from .error_text import error_text
from .processing.sanitize import salvaged

log = logging.getLogger(__name__)

OnError: TypeAlias = Callable[[Exception, AgentTrace], object]
"""Called with what went wrong and the trace that is not stored, where the save was called."""

_ATTEMPTS = 3  # in spite of being cancelled meanwhile


class _Saver:
    """A store to save into, and whom to tell of what is not saved."""

    def __init__(self, store: AnyStore, on_error: OnError | None) -> None:
        self.store = store
        self.is_async = is_async_store(store)
        self._on_error = on_error
        self._counting = threading.Lock()

    def tell(self, error: Exception, trace: AgentTrace, what: str) -> None:
        """Log an error, and hand it on."""
        log.error(f"{what}: %s", trace.run_id, error_text(error))  # noqa: G004 - a constant
        if self._on_error is not None:
            try:
                self._on_error(error, trace)
            except Exception:
                log.exception("on_error failed for run %r", trace.run_id)


def _storable(trace: AgentTrace, error: InvalidTraceError) -> AgentTrace:
    """The run without what cannot be stored."""
    log.warning("%s: saved without it", error)
    return salvaged(trace)


class SafeSaver(_Saver):
    """Saves to a store of either kind. A failed save is logged, counted and handed on, not raised.

    `save` with an async store runs that on a background loop and waits, as `SyncTraceStore` does;
    it fails on that loop's own thread, where it would wait for itself. `asave` with a blocking
    store saves in a thread.

    Args:
        store: Where traces go; stays the caller's to close.
        on_error: Called with the error and the trace after each failure; an error of its own is
            logged.

    Attributes:
        store: As given.
        saved: How many traces were stored.
        failed: How many were not.

    Raises:
        TypeError: The store has no ``save``, or ``on_error`` is a coroutine function.
    """

    def __init__(
        self, store: TraceStore | AsyncTraceStore, on_error: OnError | None = None
    ) -> None:
        if not callable(getattr(store, "save", None)):
            raise TypeError(f"not a trace store, it has no save(): {store!r}")
        if inspect.iscoroutinefunction(on_error):
            raise TypeError("on_error must be a plain function, not a coroutine function")
        super().__init__(store, on_error)
        self.saved = 0
        self.failed = 0
        self._store = None if self.is_async else cast("TraceStore", store)
        self._updating: WrappingCore | None = None

    def save(self, trace: AgentTrace) -> bool:
        """Save, blocking; return whether it is stored."""
        try:
            self._save_blocking(trace)
        except Exception as error:  # noqa: BLE001 - a third party's store may raise anything
            return self.lost(error, trace)
        return self._saved()

    def update(
        self,
        run_id: str,
        change: Change,
        created_at: datetime | None = None,
        shown: Callable[[], AgentTrace] | None = None,
    ) -> bool | None:
        """Update a run; return whether it is stored now, None if nothing was to do.

        Args:
            run_id: The run.
            change: See `QueryableTraceStore.update`.
            created_at: Likewise.
            shown: What makes the trace that ``on_error`` is given after a failure.
        """
        try:
            changed = self._update(run_id, change, created_at)
        except Exception as error:  # noqa: BLE001 - a third party's store may raise anything
            return self.lost(error, shown() if shown else AgentTrace(run_id=run_id))
        return self._saved() if changed else None

    async def asave(self, trace: AgentTrace) -> bool:
        """Save without blocking the loop; return whether it is stored.

        A run that is being cancelled is saved too: the cancellation goes on after the save.
        """
        try:
            try:
                await self._save(trace)
            except asyncio.CancelledError:
                # Whole or absent now: once more, in a task that this cancellation does not reach.
                await _end_of(asyncio.ensure_future(self._counted(trace)))
                raise
        except Exception as error:  # noqa: BLE001 - as above
            return self.lost(error, trace)
        return self._saved()

    async def _counted(self, trace: AgentTrace) -> None:
        try:
            await self._save(trace)
        except Exception as error:  # noqa: BLE001 - as above
            self.lost(error, trace)
        except asyncio.CancelledError:
            self.lost(TimeoutError("the save was cancelled again"), trace)
        else:
            self._saved()

    async def _save(self, trace: AgentTrace) -> None:
        if not self.is_async:
            await asyncio.to_thread(self._save_blocking, trace)
            return
        store = cast("AsyncTraceStore", self.store)
        try:
            await store.save(trace)
        except InvalidTraceError as error:
            await store.save(_storable(trace, error))

    def _save_blocking(self, trace: AgentTrace) -> None:
        store = self._blocking()
        try:
            store.save(trace)
        except InvalidTraceError as error:
            store.save(_storable(trace, error))

    def _update(self, run_id: str, change: Change, created_at: datetime | None) -> bool:
        """Update a run, also one whose stored form cannot be read: then without that."""
        store = self._blocking()
        if self._updating is None:
            self._updating = WrappingCore(store)
        try:
            # A third party's store need not know of the option before somebody uses it.
            options = {} if created_at is None else {"created_at": created_at}
            return run_sync(self._updating.update(run_id, change, **options))
        except CorruptTraceError as error:
            log.warning("run %r is saved without the steps stored earlier: %s", run_id, error)
        changed = change(None)
        if changed is not None:
            store.save(changed)
        return changed is not None

    def _blocking(self) -> TraceStore:
        if self._store is not None:
            return self._store
        with self._counting:
            if self._store is None:
                self._store = SyncTraceStore(cast("AsyncTraceStore", self.store))
            return self._store

    def _saved(self) -> bool:
        with self._counting:
            self.saved += 1
        return True

    def lost(self, error: Exception, trace: AgentTrace) -> bool:
        """Count a run that is not stored, log it, and hand it to ``on_error``; False."""
        with self._counting:
            self.failed += 1
        self.tell(error, trace, "run %r is not saved")
        return False


class RecorderCounts(msgspec.Struct, frozen=True):
    """What became of the runs of a `Recorder`.

    Attributes:
        saved: Runs that the store has taken.
        failed: Runs that it has not; with a run journal they are kept there.
        dropped: Runs that a background store dropped, its queue being full.
        unwritten: What could not be written while runs went on: their beginnings, and steps in the
            run journal.
        late_steps: Steps of runs that had ended already; they are not stored.
    """

    saved: int = 0
    failed: int = 0
    dropped: int = 0
    unwritten: int = 0
    late_steps: int = 0


class WatchesRuns:
    """What handlers that follow several open runs at once have in common."""

    def __init__(
        self,
        store: AnyStore,
        *,
        contents: bool = True,
        on_error: OnError | None = None,
        max_open_runs: int = 1000,
    ) -> None:
        if max_open_runs < 1:
            raise ValueError(f"max_open_runs must be at least 1, not {max_open_runs}")
        self._saver = SafeSaver(store, on_error)
        self._contents = contents
        self._watch(max_open_runs)

    def _watch(self, max_open_runs: int) -> None:
        """Begin to follow runs, this many at once."""
        raise NotImplementedError

    @property
    def store(self) -> AnyStore:
        """Where runs go."""
        return self._saver.store

    @property
    def saved(self) -> int:
        """How many runs were stored."""
        return self._saver.saved

    @property
    def failed(self) -> int:
        """How many could not be."""
        return self._saver.failed


class RunSaver(_Saver):
    """Gives runs to a store of either kind."""

    def __init__(self, store: AnyStore, on_error: OnError | None) -> None:
        super().__init__(store, on_error)
        self._counts = dict.fromkeys(RecorderCounts.__struct_fields__, 0)

    @property
    def counts(self) -> RecorderCounts:
        """What became of the runs so far."""
        with self._counting:
            return RecorderCounts(**self._counts)

    def count(self, what: str) -> None:
        """Count one more of something."""
        with self._counting:
            self._counts[what] += 1

    async def save(self, trace: AgentTrace, settled: Settled) -> None:
        """Save a run that has ended; its outcome is counted, and told to ``settled``."""

        def note(outcome: Outcome) -> None:
            self.count(outcome)
            settled(outcome)

        try:
            try:
                await self._give(trace, note)
            except InvalidTraceError as error:
                await self._give(_storable(trace, error), note)
        except Exception as error:  # noqa: BLE001 - the agent goes on
            self.tell(error, trace, "run %r is not saved")
            note("failed")

    async def _give(self, trace: AgentTrace, settled: Settled) -> None:
        if isinstance(self.store, AsyncBackgroundTraceStore):
            await self.store.save(trace, when_settled=settled)
        elif isinstance(self.store, BackgroundTraceStore):
            self.store.save(trace, when_settled=settled)
        else:
            await given(self.store.save(trace))
            settled("saved")

    async def save_beginning(self, trace: AgentTrace) -> None:
        """Show a run in the store that has only begun."""
        try:
            await given(self.store.save(trace))
        except Exception as error:  # noqa: BLE001 - the agent goes on
            self.note_unwritten(error, trace)

    def note_unwritten(self, error: Exception, trace: AgentTrace) -> None:
        """Something of a run that goes on could not be written."""
        self.count("unwritten")
        self.tell(error, trace, "a part of run %r is not written to its journal")


async def despite_cancellation(work: Callable[[], Awaitable[None]]) -> None:
    """Do work to its end also while the task is being cancelled; only then is it cancelled."""
    cancelled: asyncio.CancelledError | None = None
    # The shield is for anyio's cancellation, which comes again at every await; asyncio's comes once
    # for each cancel(), so the work is begun again. All of it may be done twice.
    with anyio.CancelScope(shield=True):
        for _ in range(_ATTEMPTS):
            try:
                await work()
                break
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


async def in_thread(work: Callable[[], Awaitable[None]]) -> None:
    """Drive a coroutine that blocks, next to the event loop."""
    await anyio.to_thread.run_sync(lambda: run_sync(work()))


async def _end_of(task: asyncio.Future[None]) -> None:
    """Wait for it also while being cancelled."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,))
