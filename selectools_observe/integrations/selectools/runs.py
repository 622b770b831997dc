"""One run of selectools as its observer sees it.

selectools shows observers a run's trace only when the run ends well. Of a run that fails, is
cancelled, or is a graph's, they get to see events. The trace that selectools is keeping meanwhile
is the better witness: it alone has the metadata, the parent and every step. So it is looked up
where the run begins, and the events add what it lacks: retries, cached tokens, and the tokens of
streamed answers.
"""

from __future__ import annotations

import asyncio
import inspect
import time
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeGuard

from ...model.trace import AgentTrace, StepType, TraceStep
from ...model.validation import as_agent_trace

runs_begun: ContextVar[list[str] | None] = ContextVar("runs_begun", default=None)
"""Where the ids of runs go as they begin, for whoever set it around them."""

_FRAMES = 6
"""How many callers up selectools keeps a run's trace: two or three, and room for subclasses."""


def live_trace(run_id: str) -> Any | None:
    """The trace that selectools is keeping of a run that one of our callers has just begun."""
    frame = inspect.currentframe()
    for _ in range(_FRAMES):
        frame = frame.f_back if frame else None
        found = frame.f_locals.get("trace") if frame else None
        if getattr(found, "run_id", None) == run_id and hasattr(found, "steps"):
            return found
    return None


class ModelCall:
    """A call of a model: its attempts, and what they used.

    Attributes:
        after: How many steps selectools' trace had when it began.
    """

    def __init__(self, model: str, after: int) -> None:
        self.model = model
        self.after = after
        self.began = time.time()
        self.ended: float | None = None
        self.usage: Any | None = None
        self.retries: list[dict[str, Any]] = []
        self.fallbacks: list[dict[str, Any]] = []
        self.is_trying_again = False

    def complete(self, step: TraceStep) -> None:
        """Add to selectools' own step what it lacks."""
        # An answer from the cache used nothing, though selectools repeats what it used once.
        usage = self.usage if step.type == StepType.LLM_CALL else None
        if usage is not None and step.prompt_tokens is None:
            step.prompt_tokens = usage.prompt_tokens
            step.completion_tokens = usage.completion_tokens
            step.cost_usd = usage.cost_usd
        extra = {
            "cache_read_tokens": getattr(usage, "cache_read_input_tokens", None),
            "cache_write_tokens": getattr(usage, "cache_creation_input_tokens", None),
            "retries": self.retries or None,
            "fallbacks": self.fallbacks or None,
        }
        step.extra = {name: value for name, value in extra.items() if value is not None} or None

    def as_step(self, failure: str | None) -> TraceStep:
        """A step of its own, for a trace that has none for it; what failed, if it did not end."""
        ended = self.ended or time.time()
        step = TraceStep(
            StepType.LLM_CALL,
            timestamp=self.began,
            duration_ms=max(0.0, ended - self.began) * 1000,
            model=self.model,
        )
        self.complete(step)
        if self.ended is None and failure is not None:
            step.error = failure
        elif self.ended is None:
            step.extra = {**(step.extra or {}), "unfinished": True}
        return step


class WatchedRun:
    """A run that has begun and not ended.

    Attributes:
        is_async: Its end will be told to coroutines.
        is_over: selectools said that it ended, well or badly.
        stored_steps: How many steps it had when it was last saved.
    """

    def __init__(self, run_id: str, abandoned: Callable[[str], None]) -> None:
        self.is_async = False
        self.is_over = False
        self.stored_steps = -1
        self.model_calls: list[ModelCall] = []
        self._open_tools: dict[str, TraceStep] = {}
        self._noted: list[_Noted] = []
        trace = live_trace(run_id)
        # Not the trace itself: that it goes is how we learn of a run that ends without a word.
        self._seen = SimpleNamespace(run_id=run_id, steps=[], start_time=time.time(), metadata={})
        self._sees_all = trace is not None
        self._end: weakref.finalize[..., Any] | None = None
        if trace is not None:
            vars(self._seen).update(vars(trace))
            self._end = weakref.finalize(trace, abandoned, run_id)
        self._abandoned = partial(abandoned, run_id)
        self._task = _current_task()
        if self._task is not None:
            self._task.add_done_callback(self._task_ended)

    def close(self) -> None:
        if self._end is not None:
            self._end.detach()
        if self._task is not None:
            self._task.remove_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        # Sooner than the trace goes, which the error may hold on to. But a stream may be begun in
        # one task and read on in another.
        if task.cancelled():
            self._abandoned()

    # Events

    def model_call_begins(self, model: str) -> None:
        if not (self.model_calls and self.model_calls[-1].is_trying_again):
            self.model_calls.append(ModelCall(model, len(self._seen.steps)))
            self._noted.append(_Noted(len(self._seen.steps), self.model_calls[-1]))
        self.model_calls[-1].is_trying_again = False

    def model_call_fails(self, attempt: int, error: Exception, backoff: float) -> None:
        if self.model_calls:
            call = self.model_calls[-1]
            call.is_trying_again = True
            call.retries.append(
                {"attempt": attempt, "error": described(error), "backoff_seconds": backoff}
            )

    def model_call_ends(self) -> None:
        if self.model_calls:
            self.model_calls[-1].ended = time.time()

    def tool_begins(self, call_id: str, name: str, arguments: dict[str, Any]) -> None:
        step = TraceStep(StepType.TOOL_EXECUTION, tool_name=name, tool_args=arguments)
        self._open_tools[call_id] = step
        if not self._sees_all:
            self._noted.append(_Noted(0, step))

    def tool_ends(self, call_id: str, milliseconds: float, **outcome: Any) -> None:
        step = self._open_tools.pop(call_id, None)
        if step is not None:
            step.duration_ms = milliseconds
            for name, value in outcome.items():
                setattr(step, name, value)

    def fails(self, error: BaseException, node: str | None = None) -> None:
        step = TraceStep(StepType.ERROR, error=described(error), node_name=node)
        self._noted.append(_Noted(len(self._seen.steps), step))

    # The end

    @property
    def as_selectools_kept_it(self) -> object:
        """Its trace without what we saw beside it."""
        return self._seen

    def trace(self, given: object | None = None) -> AgentTrace:
        """Our copy of selectools' trace (``given``, or the one it kept), and what we saw beside.

        Raises:
            InvalidTraceError: It is no trace.
        """
        own = as_agent_trace(self._seen if given is None else given)
        told = self._complete_model_calls(own.steps)
        failures = [noted.what for noted in self._noted if _is_error(noted.what)]
        missing = []
        for after, what in self._noted:
            if isinstance(what, ModelCall):
                if what not in told:
                    missing.append((after, what.as_step(failures[-1].error if failures else None)))
            elif _is_error(what) or given is None:
                missing.append((after, what))
        missing.sort(key=itemgetter(0))  # several threads may note at once
        for after, step in reversed(missing):
            own.steps.insert(after, step)
        for step in list(self._open_tools.values()):
            step.extra = {"unfinished": True}
            if self._sees_all:
                own.steps.append(step)
        return own

    def abandoned_trace(self) -> AgentTrace | None:
        """The trace of a run that ended without a word; None if it is stored so already."""
        own = self.trace()
        if len(own.steps) == self.stored_steps:
            return None
        if not self.is_over and not any(step.error for step in own.steps[-1:]):
            summary = "Ended early: cancelled, its stream closed, or refused"
            own.steps.append(TraceStep(StepType.CANCELLED, summary=summary))
        return own

    def unfinished_trace(self) -> AgentTrace | None:
        """The trace so far of a run that may be going on; None if it is stored so already."""
        own = self.trace()
        if len(own.steps) == self.stored_steps:
            return None
        own.metadata = {**own.metadata, "unfinished": True}
        return own

    def _complete_model_calls(self, steps: list[TraceStep]) -> list[ModelCall]:
        """Complete the steps of model calls; return the calls that have one.

        selectools writes a call's step when it ends, and calls follow one another. So it is the
        first such step that was not there when the call began, if there is one by the next.
        """
        theirs = [n for n, step in enumerate(steps) if step.type in _MODEL_STEPS]
        calls = list(self.model_calls)
        told = []
        for n, call in enumerate(calls, 1):
            until = calls[n].after if self._sees_all and n < len(calls) else len(steps)
            place = next((at for at in theirs if call.after <= at < until), None)
            if place is not None:
                theirs = [at for at in theirs if at > place]
                call.complete(steps[place])
                told.append(call)
        return told


class _Noted(NamedTuple):
    """What may be missing in selectools' trace, and how many steps that had then."""

    after: int
    what: ModelCall | TraceStep


_MODEL_STEPS = {StepType.LLM_CALL, StepType.CACHE_HIT}


def _is_error(what: ModelCall | TraceStep) -> TypeGuard[TraceStep]:
    return isinstance(what, TraceStep) and what.type == StepType.ERROR


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop here
        return None


def described(error: BaseException) -> str:
    """An error as steps tell it: its type and its text."""
    return f"{type(error).__name__}: {error}"
