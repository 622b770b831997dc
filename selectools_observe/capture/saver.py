"""Saving the runs of a recorder; errors are logged, counted and reported."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import msgspec

from ..backends.derived import given
from ..errors import InvalidTraceError
from ..model.trace import AgentTrace
from ..protocols import is_async_store
from ..runtime.interface import run_sync
from ..stores.delegating import AnyStore
from .background.queue import Outcome, Settled
from .background.stores import AsyncBackgroundTraceStore, BackgroundTraceStore
from .background.worker import OnError
from .processing.sanitize import salvaged

log = logging.getLogger(__name__)

_ATTEMPTS = 3  # in spite of being cancelled meanwhile


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


class RunSaver:
    """Gives runs to a store of either kind."""

    def __init__(self, store: AnyStore, on_error: OnError | None) -> None:
        self.store = store
        self.is_async = is_async_store(store)
        self._on_error = on_error
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(RecorderCounts.__struct_fields__, 0)

    @property
    def counts(self) -> RecorderCounts:
        """What became of the runs so far."""
        with self._lock:
            return RecorderCounts(**self._counts)

    def count(self, what: str) -> None:
        """Count one more of something."""
        with self._lock:
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
                log.warning("%s: saved without it", error)
                await self._give(salvaged(trace), note)
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

    def tell(self, error: Exception, trace: AgentTrace, what: str) -> None:
        """Log an error, and give it to whom it may concern."""
        log.error(f"{what}: %s", trace.run_id, error)  # noqa: G004 - a constant
        if self._on_error is not None:
            try:
                self._on_error(error, trace)
            except Exception:
                log.exception("on_error failed")


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
