"""The recorder: saves the runs of code with no framework."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, cast, overload

import msgspec

from ...backends.journal_file import UNFINISHED
from ...model.trace import AgentTrace, TraceStep
from ...protocols import AsyncTraceStore, Durability, TraceStore
from ...stores.delegating import AnyStore, behind
from ...stores.methods import ClosedAtEnd
from ..background.queue import Outcome, Settled
from ..background.stores import AsyncBackgroundTraceStore, BackgroundTraceStore
from ..background.worker import OnError
from ..journal.recovery import arecover, folder_of, recover
from ..journal.run_journal import LiveRun, RunJournal
from ..processing.processor import TraceProcessor
from ..processing.stores import AsyncProcessingTraceStore, ProcessingTraceStore
from ..saver import RecorderCounts, RunSaver, despite_cancellation, in_thread
from .decorators import Function, recorded_agent, recorded_tool
from .run import Run

log = logging.getLogger("selectools_observe")

_MOST_KEPT = 64 * 1024 * 1024  # bytes of runs in the run journal that the store would not take


class Recorder(ClosedAtEnd):
    """Records runs, step by step, into a store.

    ``async with recorder.run() as run`` works with any store (one that blocks is used in a
    thread), ``with recorder.run() as run`` with one that blocks. Whatever goes wrong with the store
    or the run journal breaks nothing: it is logged, counted, and given to ``on_error``.

    Args:
        store: Where runs are saved; stays open when the recorder is closed.
        live: Keep a run journal too, so that a run whose program is killed is found in the store
            with all of its steps. True: next to the store's file. A folder: there, for a
            store in no file; every store needs a folder of its own.
        durability: What a step of the run journal survives: ``"normal"``, a crash of the program;
            ``"full"``, power loss.
        on_error: Called with the error and the trace when a run, or something of it, is not saved.

    Raises:
        TypeError: It is not a trace store.
        ValueError: A run journal is wanted, and the store is in no file; or a store that prepares
            stands in front of one that saves in the background.
    """

    def __init__(
        self,
        store: AsyncTraceStore | TraceStore,
        *,
        live: bool | str | os.PathLike[str] = False,
        durability: Durability = "normal",
        on_error: OnError | None = None,
    ) -> None:
        if not callable(getattr(store, "save", None)):
            raise TypeError(f"not a trace store: {store!r}")
        if durability not in ("full", "normal"):
            raise ValueError(f"durability must be 'full' or 'normal', not {durability!r}")
        self._saver = RunSaver(store, on_error)
        self._flight: RunJournal | None = None
        self._folder = None if isinstance(live, bool) else os.fspath(live)
        self._to_recover = False
        self._shows_beginnings = False
        if live is not False:
            self._fly(store, durability)

    def _fly(self, store: AnyStore, durability: Durability) -> None:
        records = folder_of(store, self._folder)
        preparations = _preparations(store)
        # Where some runs may be left out in the end, their beginnings must not stay in the store.
        self._shows_beginnings = not any(preparation.samples for preparation in preparations)
        self._flight = RunJournal(records, durability, preparations, self._saver.note_unwritten)
        if self._saver.is_async:
            self._to_recover = True  # at the first run: that needs an event loop
        else:
            recover(cast("TraceStore", store), self._folder)

    @property
    def counts(self) -> RecorderCounts:
        """What became of the runs so far."""
        return self._saver.counts

    def run(
        self,
        name: str | None = None,
        *,
        input: Any = None,  # noqa: A002 - the field's name
        session_id: str | None = None,
        user_id: str | None = None,
        agent: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        parent_run_id: str | None = None,
    ) -> Run:
        """A run, to be entered by ``with`` or ``async with``.

        What it answers is set on the run: ``run.output = answer``.

        Args:
            name: What kind of run it is.
            input: What is asked of it: text, messages, or any other JSON value.
            session_id: The conversation that it is part of.
            user_id: Whom it is made for.
            agent: The agent's name.
            tags: Words to find it by.
            metadata: What else to find the run by.
            run_id: The run's id; a random one unless given.
            parent_run_id: The run that this one is part of; the one it is started in unless given.
        """
        trace = AgentTrace(
            parent_run_id=parent_run_id,
            metadata=dict(metadata or {}),
            name=name,
            input=input,
            session_id=session_id,
            user_id=user_id,
            agent=agent,
            tags=None if tags is None else [*tags],
        )
        if run_id is not None:
            trace.run_id = run_id
        return Run(self, trace)

    @overload
    def agent(self, function: Function, /) -> Function: ...

    @overload
    def agent(
        self, *, name: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Callable[[Function], Function]: ...

    def agent(
        self,
        function: Any = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Any:
        """A decorator, with or without arguments: each call of the function is a run.

        For functions, coroutines and generators of both kinds; a generator's run lasts until it is
        exhausted or closed.

        Args:
            function: The function, where the decorator has no arguments.
            name: What ``metadata["agent"]`` says; the function's name unless given.
            metadata: More of the runs' metadata.

        Raises:
            TypeError: The function blocks and the store is async.
        """
        if function is not None:
            return recorded_agent(self, function, name, metadata or {})
        return lambda function: recorded_agent(self, function, name, metadata or {})

    @overload
    def tool(self, function: Function, /) -> Function: ...

    @overload
    def tool(self, *, name: str | None = None) -> Callable[[Function], Function]: ...

    def tool(self, function: Any = None, *, name: str | None = None) -> Any:
        """A decorator, with or without arguments: each call of the function is a tool step.

        It is a step of the run that the call happens in.

        Its arguments and its result are recorded. Outside of a run it is just called.

        Args:
            function: The function, where the decorator has no arguments.
            name: The tool's name; the function's unless given.
        """
        if function is not None:
            return recorded_tool(function, name)
        return lambda function: recorded_tool(function, name)

    def close(self) -> None:
        """Let go of the run journal. The store stays open; runs that go on are still saved."""
        if self._flight is not None:
            self._flight.record.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Recorder({self._saver.store!r})"

    # What runs and decorators ask of their recorder.

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
        return None if self._flight is None else self._flight.begin(trace)

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


def _preparations(store: AnyStore) -> list[TraceProcessor]:
    """What is done to a run on its way to the innermost store.

    Raises:
        ValueError: A store that prepares stands in front of one that saves in the background.
    """
    found: list[TraceProcessor] = []
    for one in behind(store):
        if isinstance(one, ProcessingTraceStore | AsyncProcessingTraceStore):
            found.append(one.preparation)
        elif found and isinstance(one, BackgroundTraceStore | AsyncBackgroundTraceStore):
            raise ValueError(
                "with live=True the background store must be the outermost one: "
                "BackgroundTraceStore(ProcessingTraceStore(store))"
            )
    return found
