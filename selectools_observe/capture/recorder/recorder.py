"""The recorder: saves the runs of code with no framework."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, overload

from ...model.trace import AgentTrace
from ...protocols import AsyncTraceStore, Durability, TraceStore
from ...stores.methods import ClosedAtEnd
from ..background.queue_worker import OnError
from ..saver import RecorderCounts, RunSaver
from .decorators import Function, recorded_agent, recorded_tool
from .lifecycle import RunLifecycle
from .run import Run


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
        folder = None if isinstance(live, bool) else os.fspath(live)
        self._lifecycle = RunLifecycle(self._saver, folder)
        if live is not False:
            self._lifecycle.keep_journal(store, durability)

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
        return Run(self._lifecycle, trace)

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
            return recorded_agent(
                self.run, self._lifecycle.check_blocking, function, name, metadata or {}
            )
        return lambda function: recorded_agent(
            self.run, self._lifecycle.check_blocking, function, name, metadata or {}
        )

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
        self._lifecycle.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Recorder({self._saver.store!r})"
