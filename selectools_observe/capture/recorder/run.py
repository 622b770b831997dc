"""A run that is being recorded."""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from ...model.trace import AgentTrace, StepType, TraceStep, step_type
from ...runtime.interface import run_sync
from ..error_text import error_text
from ..journal.run_journal import LiveRun
from ..processing.processor import ROOT_RUN_ID
from .step import Scope, TimedStep, current_scope, is_cancellation

if TYPE_CHECKING:
    from .recorder import Recorder

log = logging.getLogger("selectools_observe")

T = TypeVar("T")
Args = ParamSpec("Args")


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

    def __init__(self, recorder: Recorder, trace: AgentTrace) -> None:
        self.trace = trace
        self._recorder = recorder
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
        self.trace.input = value

    @property
    def output(self) -> Any:
        """What the run answers: text, messages, or any other JSON value."""
        return self.trace.output

    @output.setter
    def output(self, value: Any) -> None:
        self.trace.output = value

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
        return self.note_done(self.reserve(step))

    def reserve(self, step: TraceStep) -> int:
        """The place of a new step."""
        with self._lock:
            if self._ended:
                self._recorder.note_late_step(self.trace, step)
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
        self._recorder.check_blocking()
        self._begin()
        try:
            run_sync(self._recorder.show(self.trace, self._live))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(error)
        run_sync(self._recorder.finish(self.trace, self._live))

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            await self._recorder.async_show(self.trace, self._live)
        except BaseException as error:  # it was cancelled so soon
            await self.__aexit__(type(error), error, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(error)
        await self._recorder.async_finish(self.trace, self._live)

    def _begin(self) -> None:
        if self._begun:
            raise RuntimeError("a run can be entered only once: make another with recorder.run()")
        self._begun = True
        self._outer = current_scope.get()
        if self._outer is not None and self.trace.parent_run_id is None:
            self._nest_in(self._outer.run.trace)
        current_scope.set(Scope(self))
        self._live = self._recorder.begin(self.trace)

    def _nest_in(self, outer: AgentTrace) -> None:
        self.trace.parent_run_id = outer.run_id
        if outer.parent_run_id is not None:
            root = outer.metadata.get(ROOT_RUN_ID, outer.parent_run_id)
            self.trace.metadata.setdefault(ROOT_RUN_ID, root)

    def _end(self, error: BaseException | None) -> None:
        current = current_scope.get()
        if current is not None and current.run is self:  # a generator may end in another context
            current_scope.set(self._outer)
        if error is not None and error not in self._seen:
            self._add_end(error)
        self._seen.clear()
        with self._lock:
            self._ended = True

    def _add_end(self, error: BaseException) -> None:
        """Show what ended the run, where no step does."""
        if is_cancellation(error):
            self._add(TraceStep(StepType.CANCELLED, summary=error_text(error)))
        elif not isinstance(error, GeneratorExit):  # a stream that was left early
            self._add(TraceStep(StepType.ERROR, error=error_text(error)))

    def __repr__(self) -> str:
        return f"Run({self.run_id!r})"
