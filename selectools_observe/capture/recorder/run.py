"""A run that is being recorded, and its steps: timed, and ended by whatever ends them."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar

from ...model.json_values import SCALARS, replace_foreign
from ...model.trace import AgentTrace, StepType, TraceStep, span_of, step_type
from ...runtime.interface import run_sync
from ..error_text import error_text
from ..foreign_values import as_text, plain_of
from ..journal.run_journal import LiveRun
from ..processing.processor import ROOT_RUN_ID
from .lifecycle import RunLifecycle

T = TypeVar("T")
Args = ParamSpec("Args")


class Scope(NamedTuple):
    """Where code runs: in which run, and in which step of it."""

    run: Run
    step: TraceStep | None = None


current_scope: contextvars.ContextVar[Scope | None] = contextvars.ContextVar(
    "selectools_observe_run", default=None
)


def as_it_is(value: Any) -> Any:
    """A copy, which does not change when an agent goes on with what it was made of."""
    return value if value is None or type(value) in SCALARS else plain_of(value, replace_foreign)


def _settle(step: TraceStep) -> None:
    """Keep what a step holds as it is now."""
    if step.tool_result is not None:
        step.tool_result = as_text(step.tool_result)
    for name in _HELD:
        value = getattr(step, name)
        if value is not None:
            setattr(step, name, as_it_is(value))


_HELD = ("tool_args", "input", "output", "extra")


class TimedStep:
    """A step that is timed by ``with`` or ``async with``, which give the `TraceStep` to fill in.

    Its place among the run's steps is that of its beginning. An exception sets its ``error`` and
    goes on; a cancellation leaves it marked as unfinished. Never entered, it stays in the run as it
    was given.
    """

    def __init__(self, run: Run, step: TraceStep) -> None:
        self._run = run
        self._step = step
        step.tool_args = as_it_is(step.tool_args)  # a tool may change what it is called with
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
            # By identity: to compare steps is to compare what a caller put into them.
            places = (n for n, step in enumerate(self._run.trace.steps, 1) if step is outer)
            outer.step_number = next(places, None)
        self._step.extra = {**(self._step.extra or {}), "parent_step": outer.step_number}

    def _end(self, error: BaseException | None) -> int:
        self._step.duration_ms = (time.perf_counter() - self._since) * 1000
        current = current_scope.get()
        if current is not None and current.step is self._step:
            current_scope.set(self._outer)
        if error is not None and is_cancellation(error):
            self._step.extra = {**(self._step.extra or {}), "unfinished": True}
        elif error is not None and not isinstance(error, GeneratorExit):  # a stream left early
            self._run.note_error(error)
            if self._step.error is None:
                self._step.error = error_text(error)
        _settle(self._step)
        return self._run.note_done(self._place)

    def __enter__(self) -> TraceStep:
        return self._begin()

    def __exit__(self, _kind: object, error: BaseException | None, _: object) -> None:
        self._run.sync(self._end(error))

    async def __aenter__(self) -> TraceStep:
        return self._begin()

    async def __aexit__(self, _kind: object, error: BaseException | None, _: object) -> None:
        await self._run.async_sync(self._end(error))


def is_cancellation(error: BaseException) -> bool:
    """Whether the run was told to stop, rather than failing."""
    return isinstance(error, asyncio.CancelledError | KeyboardInterrupt)


def current_run() -> Run | None:
    """The run that this code is part of, in this task and in threads it started; None outside."""
    place = current_scope.get()
    return None if place is None else place.run


def propagate_context(function: Callable[Args, T]) -> Callable[Args, T]:
    """The function, to be called in a bare thread or a pool as part of the present run.

    Tasks, `asyncio.to_thread` and `anyio.to_thread` carry the run along by themselves; a
    `threading.Thread` and a pool's ``submit`` do not.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def carried(*args: Args.args, **kwargs: Args.kwargs) -> T:
        # A copy for each call: one context cannot be entered by two threads.
        return context.copy().run(function, *args, **kwargs)

    return carried


class Run:
    """One run of an agent while it goes on: ``with recorder.run() as run`` or ``async with``.

    At its end it is saved, however it ended: an exception becomes an error step, a cancellation a
    cancelled step, and both go on.

    Attributes:
        trace: The run so far, as an `AgentTrace`.
    """

    def __init__(self, lifecycle: RunLifecycle, trace: AgentTrace) -> None:
        self.trace = trace
        self.input = trace.input
        self._began = trace.start_time, time.perf_counter()
        self._lifecycle = lifecycle
        self._live: LiveRun | None = None
        self._lock = threading.Lock()
        self._outer: Scope | None = None
        self._begun = False
        self._ended = False
        self._seen: list[BaseException] = []
        self._unwritten: dict[int, TraceStep] = {}

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.trace.run_id

    @property
    def parent_run_id(self) -> str | None:
        """The id of the run that this one is part of."""
        return self.trace.parent_run_id

    @property
    def metadata(self) -> dict[str, Any]:
        """The run's metadata; what is added before the end is saved."""
        return self.trace.metadata

    @property
    def input(self) -> Any:
        """What is asked of the run."""
        return self.trace.input

    @input.setter  # noqa: A003
    def input(self, value: Any) -> None:
        self.trace.input = as_it_is(value)

    @property
    def output(self) -> Any:
        """What the run answers: text, messages, or any other JSON value."""
        return self.trace.output

    @output.setter
    def output(self, value: Any) -> None:
        self.trace.output = as_it_is(value)

    def step(self, type: StepType | str, **fields: Any) -> TimedStep:  # noqa: A002
        """A step, to be timed: ``with run.step("guardrail") as step`` or ``async with``.

        Args:
            type: What the step does.
            fields: Other fields of `TraceStep`; more can be set on what ``as`` gives.

        Raises:
            TypeError: An unknown field, or a type that is not a string.
        """
        return TimedStep(self, TraceStep(step_type(type), **fields))

    def llm_call(self, model: str | None = None, **fields: Any) -> TimedStep:
        """A call of a model: ``with run.llm_call("gpt-4o") as call: call.prompt_tokens = 12``.

        Raises:
            TypeError: An unknown field.
        """
        return self.step(StepType.LLM_CALL, model=model, **fields)

    def tool(self, name: str, args: dict[str, Any] | None = None, **fields: Any) -> TimedStep:
        """A call of a tool: ``with run.tool("search", {"q": q}) as call: call.tool_result = ...``.

        A result that is not text is kept as JSON.

        Raises:
            TypeError: An unknown field.
        """
        return self.step(StepType.TOOL_EXECUTION, tool_name=name, tool_args=args, **fields)

    def add(self, step: TraceStep) -> None:
        """Add a step that is over.

        Raises:
            TypeError: The step's ``type`` is not a string.
        """
        self.sync(self._add(step))

    async def aadd(self, step: TraceStep) -> None:
        """`add`, without holding up the event loop where a run journal is to survive power loss."""
        await self.async_sync(self._add(step))

    def _add(self, step: TraceStep) -> int:
        step.type = step_type(step.type)
        _settle(step)
        return self.note_done(self.reserve(step))

    def reserve(self, step: TraceStep) -> int:
        """The place of a new step."""
        with self._lock:
            if self._ended:
                self._lifecycle.note_late_step(self.trace, step)
            place = len(self.trace.steps)
            self.trace.steps.append(step)
            self._unwritten[place] = step
            return place

    def note_begun(self, place: int) -> None:
        """A step has begun."""
        step = self._unwritten.pop(place, None)
        if self._live is not None and step is not None:
            self._write_waiting(self._live)
            self._live.doing(place, step)

    def note_done(self, place: int) -> int:
        """A step is over; up to where the run journal must be synced for it."""
        self._unwritten.pop(place, None)
        if self._live is None:
            return 0
        self._write_waiting(self._live)
        return self._live.step(place, self.trace.steps[place])

    def _write_waiting(self, live: LiveRun) -> None:
        """Write steps that were given whole and never timed."""
        while self._unwritten:
            live.step(*self._unwritten.popitem())

    def sync(self, upto: int) -> None:
        """Make the run journal survive power loss, if it is to."""
        if self._live is not None:
            self._live.sync(upto)

    async def async_sync(self, upto: int) -> None:
        """`sync` in another thread."""
        if self._live is not None:
            await self._live.async_sync(upto)

    def note_error(self, error: BaseException) -> None:
        """A step shows this exception already."""
        self._seen.append(error)

    def __enter__(self) -> Self:
        self._lifecycle.check_blocking()
        self._begin()
        try:
            run_sync(self._lifecycle.show(self.trace, self._live))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _: object) -> None:
        self._end(error)
        run_sync(self._lifecycle.finish(self.trace, self._live))

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            await self._lifecycle.async_show(self.trace, self._live)
        except BaseException as error:  # it was cancelled so soon
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _: object) -> None:
        self._end(error)
        await self._lifecycle.async_finish(self.trace, self._live)

    def _begin(self) -> None:
        if self._begun:
            raise RuntimeError("a run can be entered only once: make another with recorder.run()")
        self._begun = True
        self._outer = current_scope.get()
        if self._outer is not None and self.trace.parent_run_id is None:
            self._nest_in(self._outer.run.trace)
        current_scope.set(Scope(self))
        self._live = self._lifecycle.begin(self.trace)

    def _nest_in(self, outer: AgentTrace) -> None:
        self.trace.parent_run_id = outer.run_id
        if outer.parent_run_id is not None:
            root = outer.metadata.get(ROOT_RUN_ID, outer.parent_run_id)
            self.trace.metadata.setdefault(ROOT_RUN_ID, root)

    def _end(self, error: BaseException | None) -> None:
        current = current_scope.get()
        if current is not None and current.run is self:  # a generator may end in another context
            current_scope.set(self._outer)
        if error is not None and not any(error is each for each in self._seen):
            self._add_end(error)
        self._seen.clear()
        with self._lock:
            self._ended = True
        self._note_when()

    def _note_when(self) -> None:
        """Note when it ended, unless somebody said when it, or a step of it, was."""
        began, at = self._began
        trace = self.trace
        if trace.end_time is None and span_of(trace.start_time, trace.steps)[0] == began:
            trace.end_time = began + (time.perf_counter() - at)

    def _add_end(self, error: BaseException) -> None:
        """Show what ended the run, where no step does."""
        if is_cancellation(error):
            self._add(TraceStep(StepType.CANCELLED, summary=error_text(error)))
        elif not isinstance(error, GeneratorExit):  # a stream that was left early
            self._add(TraceStep(StepType.ERROR, error=error_text(error)))

    def __repr__(self) -> str:
        return f"Run({self.run_id!r})"
