"""A step that is being recorded: timed, and ended by whatever ends it."""

from __future__ import annotations

import asyncio
import contextvars
import time
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from ...model.json_values import UnstorableValueError, dumps
from ...model.trace import TraceStep
from ..error_text import error_text

if TYPE_CHECKING:
    from .run import Run


class Scope(NamedTuple):
    """Where code runs: in which run, and in which step of it."""

    run: Run
    step: TraceStep | None = None


current_scope: contextvars.ContextVar[Scope | None] = contextvars.ContextVar(
    "selectools_observe_run", default=None
)


def as_text(value: object) -> str:
    """A tool's result as text: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return dumps(value).decode("utf-8", "surrogatepass")
    except UnstorableValueError:
        return f"<{type(value).__name__}>"


class TimedStep:
    """A step that is timed by ``with`` or ``async with``, which give the `TraceStep` to fill in.

    Its place among the run's steps is that of its beginning. An exception sets its ``error`` and
    goes on. Never entered, it stays in the run as it was given.
    """

    def __init__(self, run: Run, step: TraceStep) -> None:
        self._run = run
        self._step = step
        self._place = run.reserve(step)
        self._since = 0.0
        self._outer: Scope | None = None

    def _begin(self) -> TraceStep:
        if self._since:
            raise RuntimeError("a step can be entered only once: make a new one")
        self._outer = current_scope.get()
        if self._outer is not None and self._outer.run is self._run and self._outer.step:
            self._nest_in(self._outer.step)
        current_scope.set(Scope(self._run, self._step))
        self._step.timestamp = time.time()
        self._since = time.perf_counter()
        self._run.note_begun(self._place)
        return self._step

    def _nest_in(self, outer: TraceStep) -> None:
        if outer.step_number is None:
            outer.step_number = self._run.trace.steps.index(outer) + 1
        self._step.extra = {**(self._step.extra or {}), "parent_step": outer.step_number}

    def _end(self, error: BaseException | None) -> int:
        self._step.duration_ms = (time.perf_counter() - self._since) * 1000
        current = current_scope.get()
        if current is not None and current.step is self._step:
            current_scope.set(self._outer)
        if error is not None and not isinstance(
            error, GeneratorExit
        ):  # a stream left early is fine
            self._run.note_error(error)
            if self._step.error is None:
                self._step.error = error_text(error)
        if self._step.tool_result is not None:
            self._step.tool_result = as_text(self._step.tool_result)
        return self._run.note_done(self._place)

    def __enter__(self) -> TraceStep:
        return self._begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run.sync(self._end(error))

    async def __aenter__(self) -> TraceStep:
        return self._begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._run.async_sync(self._end(error))


def is_cancellation(error: BaseException) -> bool:
    """Whether the run was told to stop, rather than failing."""
    return isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
