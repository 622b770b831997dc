"""What becomes of a run: begun in the journal, shown in the store, saved at its end."""

from __future__ import annotations

import logging
from functools import partial
from typing import cast

import msgspec

from ...backends.files.journal_file import UNFINISHED
from ...model.trace import AgentTrace, TraceStep
from ...protocols import AsyncTraceStore, Durability, TraceStore
from ...stores.delegating import AnyStore, behind
from ..background.background_store import AsyncBackgroundTraceStore, BackgroundTraceStore
from ..background.queue import Outcome, Settled
from ..journal.recovery import arecover, new_record, recover
from ..journal.run_journal import LiveRun, RunJournal
from ..processing.processing_store import AsyncProcessingTraceStore, ProcessingTraceStore
from ..processing.processor import TraceProcessor
from ..saver import RunSaver, despite_cancellation, in_thread

log = logging.getLogger(__name__)

_MOST_KEPT = 64 * 1024 * 1024  # bytes of runs in the journal that the store would not take


class RunLifecycle:
    """What a recorder's runs ask of the journal and of the store.

    Args:
        saver: Saves them.
        folder: Where the journal is; None for next to the store's file.
    """

    def __init__(self, saver: RunSaver, folder: str | None) -> None:
        self._saver = saver
        self._folder = folder
        self._journal: RunJournal | None = None
        self._to_recover = False
        self._shows_beginnings = False

    def keep_journal(self, store: AnyStore, durability: Durability) -> None:
        """Keep a journal of the runs, and take in what it holds of killed programs."""
        processors = _processors(store)
        # Where some runs may be left out in the end, their beginnings must not stay in the store.
        self._shows_beginnings = not any(processor.samples for processor in processors)
        self._journal = RunJournal(
            new_record(store, self._folder), durability, processors, self._saver.note_unwritten
        )
        if self._saver.is_async:
            self._to_recover = True  # at the first run: that needs an event loop
        else:
            recover(cast("TraceStore", store), self._folder)

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.record.close()

    def check_blocking(self) -> None:
        """Refuse code that blocks where the store is async.

        Raises:
            TypeError: It is.
        """
        if self._saver.is_async:
            raise TypeError(
                f"{self._saver.store!r} is async: use 'async with' and coroutines, or give the "
                "recorder a blocking store (SyncTraceStore makes one of any)"
            )

    def begin(self, trace: AgentTrace) -> LiveRun | None:
        """Begin a run in the run journal, if there is one."""
        return None if self._journal is None else self._journal.begin(trace)

    async def show(self, trace: AgentTrace, live: LiveRun | None) -> None:
        """Show a run in the store that has only begun, in code that blocks."""
        if live is not None and self._shows_beginnings:
            await self._saver.save_beginning(_beginning(trace))

    async def async_show(self, trace: AgentTrace, live: LiveRun | None) -> None:
        """`show` in an event loop."""
        if self._to_recover:
            self._to_recover = False
            await self._recover(trace)
        if self._saver.is_async:
            await self.show(trace, live)
        elif live is not None:
            await in_thread(partial(self.show, trace, live))

    async def _recover(self, trace: AgentTrace) -> None:
        try:
            await arecover(cast("AsyncTraceStore", self._saver.store), self._folder)
        except Exception as error:  # noqa: BLE001 - the agent goes on
            self._saver.note_unwritten(error, trace)

    async def finish(self, trace: AgentTrace, live: LiveRun | None) -> None:
        """Save a run that has ended, in code that blocks."""
        if live is not None:
            live.sync(live.end())
        await self._saver.save(trace, self._when_settled(live))

    async def async_finish(self, trace: AgentTrace, live: LiveRun | None) -> None:
        """Save a run that has ended, in an event loop, also while the task is being cancelled."""
        if not self._saver.is_async:
            await despite_cancellation(partial(in_thread, partial(self.finish, trace, live)))
            return

        async def finish() -> None:
            if live is not None:
                await live.async_sync(live.end())
            await self._saver.save(trace, self._when_settled(live))

        await despite_cancellation(finish)

    def _when_settled(self, live: LiveRun | None) -> Settled:
        """What happens to a run's run journal once the store has taken it, or will not."""

        def settled(outcome: Outcome) -> None:
            if live is None:
                return
            if outcome == "saved":
                live.forget()
            elif live.kept_bytes > _MOST_KEPT:
                log.error("The run journal is full: a run that was %s is not kept", outcome)
                live.forget()

        return settled

    def note_late_step(self, trace: AgentTrace, step: TraceStep) -> None:
        """A step came after its run had ended, and been saved."""
        self._saver.count("late_steps")
        log.warning("A %s step came after the end of run %r", step.type.value, trace.run_id)


def _beginning(trace: AgentTrace) -> AgentTrace:
    """A run that has only begun, as the store shows it."""
    metadata = {**trace.metadata, UNFINISHED: True}
    return msgspec.structs.replace(trace, steps=[], metadata=metadata, extra=None)


def _processors(store: AnyStore) -> list[TraceProcessor]:
    """What is done to a run on its way to the innermost store.

    Raises:
        ValueError: A store that prepares stands in front of one that saves in the background.
    """
    found: list[TraceProcessor] = []
    for one in behind(store):
        if isinstance(one, ProcessingTraceStore | AsyncProcessingTraceStore):
            found.append(one.processor)
        elif found and isinstance(one, BackgroundTraceStore | AsyncBackgroundTraceStore):
            raise ValueError(
                "with live=True the background store must be the outermost one: "
                "BackgroundTraceStore(ProcessingTraceStore(store))"
            )
    return found
