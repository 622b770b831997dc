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
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import partial
from operator import itemgetter
from types import CodeType, SimpleNamespace
from typing import Any, NamedTuple, TypeGuard

import msgspec

from ...capture.error_text import error_text
from ...capture.foreign_values import plain_of
from ...model.trace import STEP_TYPES, AgentTrace, StepType, TraceStep, step_type
from ...model.validation import as_agent_trace
from .messages import Conversation, Given, said

outer_run: ContextVar[str | None] = ContextVar("selectools_observe_outer_run", default=None)
"""The run that code is part of: selectools carries the context into the threads of tools."""

runs_begun: ContextVar[list[str] | None] = ContextVar("runs_begun", default=None)
"""Where the ids of runs go as they begin, for whoever set it around them."""

_UNNAMED = "agent"
"""What selectools calls agents that nobody named."""

_FRAMES = 6
"""How many callers up selectools keeps a run's trace: two or three, and room for subclasses."""

_OUR_CALLERS = 4
"""Between selectools and the one that looks: the observer's methods."""


def caller_variables(run_id: str, ours: int = 1) -> dict[str, Any]:
    """The variables of that of our callers, of selectools' own code, that keeps the run's trace.

    Args:
        run_id: The run's id.
        ours: How many callers are our own.
    """
    frame = inspect.currentframe()
    for depth in range(ours + _FRAMES):
        frame = frame.f_back if frame else None
        # To look at a frame's variables is to copy them.
        if depth >= ours and frame and _may_keep_a_trace(frame.f_code):
            variables = frame.f_locals
            if _is_trace(variables.get("trace"), run_id):
                return variables
    return {}


def _may_keep_a_trace(code: CodeType) -> bool:
    known = _known_code.get(id(code))
    if known is None:
        if len(_known_code) >= _MOST_CODE:
            _known_code.clear()
        names = code.co_varnames + code.co_cellvars + code.co_freevars
        known = _known_code[id(code)] = code, "trace" in names
    return known[1]


_known_code: dict[int, tuple[CodeType, bool]] = {}  # which takes long to hash, and to ask
_MOST_CODE = 1024


def _is_trace(found: Any, run_id: str) -> bool:
    try:
        return bool(getattr(found, "run_id", None) == run_id) and hasattr(found, "steps")
    except Exception:  # noqa: BLE001 - it may be a caller's own variable of that name
        return False


def _agent_name(variables: dict[str, Any]) -> str | None:
    agent = variables.get("self")
    name = getattr(getattr(agent, "config", None), "name", None)
    return name if isinstance(name, str) and name not in {"", _UNNAMED} else None


class ModelCall(msgspec.Struct, eq=False):
    """A call of a model: its attempts, and what they used.

    Attributes:
        after: How many steps selectools' trace had when it began.
    """

    model: str
    after: int
    began: float = msgspec.field(default_factory=time.time)
    ended: float | None = None
    usage: Any | None = None
    retries: list[dict[str, Any]] = []
    fallbacks: list[dict[str, Any]] = []
    is_trying_again: bool = False
    given: Given | None = None
    answer: str | None = None
    input: list[dict[str, Any]] | None = None
    output: list[dict[str, Any]] | None = None

    def answered_before(self, next_call: ModelCall) -> None:
        """Take the whole answer from what the next call is given: the tools that it asks for."""
        given, asked = next_call.input, self.input
        if given is not None and asked is not None and len(given) > len(asked):
            answer = given[len(asked)]
            if answer.get("role") == "assistant" and given[: len(asked)] == asked:
                self.output = [answer]

    def complete(self, step: TraceStep) -> None:
        """Add to selectools' own step what it lacks."""
        extra: dict[str, Any] = {}
        # An answer from the cache used nothing, though selectools repeats what it used once.
        usage = self.usage if step.type is _LLM_CALL else None
        if usage is not None:
            if step.prompt_tokens is None:
                step.prompt_tokens = usage.prompt_tokens
                step.completion_tokens = usage.completion_tokens
                step.cost_usd = usage.cost_usd
            for name, theirs in _CACHED:
                if (tokens := getattr(usage, theirs, None)) is not None:
                    extra[name] = tokens
        if self.retries:
            extra["retries"] = self.retries
        if self.fallbacks:
            extra["fallbacks"] = self.fallbacks
        step.extra = extra or None
        step.input, step.output = self.input, self.output

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
        lost: The errors of events that could not be read.
        stored_steps: How many steps it had when it was last saved.
    """

    def __init__(self, run_id: str, abandoned: Callable[[str], None]) -> None:
        self.is_async = False
        self.is_over = False
        self.stored_steps = -1
        self.lost: list[str] = []
        self.model_calls: list[ModelCall] = []
        self._open_tools: dict[str, _ToolCall] = {}
        self._tool_calls: list[_ToolCall] = []
        self._noted: list[_Noted] = []
        self._asked: Given | None = None
        self.answer: Any = None
        self.graph: str | None = None
        self._outer = outer_run.get()
        outer_run.set(run_id)
        variables = caller_variables(run_id, _OUR_CALLERS)
        self._agent = _agent_name(variables)
        trace = variables.get("trace")
        self._sees_all = trace is not None
        self._end: weakref.finalize[..., Any] | None = None
        seen = {"run_id": run_id, "steps": [], "start_time": time.time(), "metadata": {}}
        if trace is not None:
            seen |= vars(trace)
            self._end = weakref.finalize(trace, abandoned, run_id)
        # Not the trace itself: that it goes is how we learn of a run that ends without a word.
        self._seen = SimpleNamespace(**seen)
        self._abandoned = partial(abandoned, run_id)
        self._task = _current_task()
        if self._task is not None:
            self._task.add_done_callback(self._task_ended)

    def close(self) -> None:
        if outer_run.get() == self._seen.run_id:  # else it ends in another context
            outer_run.set(self._outer)
        if self._end is not None:
            self._end.detach()
        if self._task is not None:
            self._task.remove_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        self._task = None  # it holds on to its error, and that to the trace
        # Sooner than the trace goes, which the error may hold on to. But a stream may be begun in
        # one task and read on in another.
        if task.cancelled():
            self._abandoned()
            return
        # Not `exception()`: asyncio would no longer say that nobody asked for it.
        error = getattr(task, "_exception", None)
        if isinstance(error, Exception) and type(error).__name__ == "GraphExecutionError":
            # Of a graph that failed between its nodes, selectools tells nobody else.
            if not any(_is_error(what) for _, what in self._noted):
                self.fails(getattr(error, "error", error), getattr(error, "node_name", None))
            self._abandoned()

    # Events

    def is_awaited(self) -> None:
        self.is_async = True

    def is_requested(self, messages: Any, system_prompt: Any) -> None:
        if messages is not None:
            self._asked = Given.now(messages, system_prompt)

    def is_graph(self, name: Any, state: Any = None) -> None:
        self.graph = name if isinstance(name, str) else None
        if isinstance(state, dict):
            self._asked = Given.now(state.get("messages") or ())

    def graph_answers(self, state: Any) -> None:
        """Take what the last node gave, which selectools tells in its result only."""
        self.answer = plain_of(getattr(state, "last_output", None)) or None

    def answers(self, result: Any) -> None:
        message = getattr(result, "message", None)
        reported = getattr(message, "content", None) or getattr(result, "content", None)
        self.answer = reported if isinstance(reported, str) else None

    def model_call_begins(self, model: str, messages: Any = None, system: Any = None) -> None:
        calls = self.model_calls
        if not (calls and calls[-1].is_trying_again):
            calls.append(ModelCall(model, len(self._seen.steps)))
            self._noted.append(_Noted(calls[-1].after, calls[-1]))
        call = calls[-1]
        call.is_trying_again = False
        if messages is not None:
            call.given = Given.now(messages, system)

    def model_call_fails(self, attempt: int, error: Exception, backoff: float) -> None:
        if self.model_calls:
            call = self.model_calls[-1]
            call.is_trying_again = True
            call.retries.append(
                {"attempt": attempt, "error": error_text(error), "backoff_seconds": backoff}
            )

    def is_used(self, usage: Any) -> None:
        self.model_calls[-1].usage = usage

    def falls_back(self, failed: str, following: str, error: Exception) -> None:
        fallback = {"from": failed, "to": following, "error": error_text(error)}
        self.model_calls[-1].fallbacks.append(fallback)

    def model_call_ends(self, answer: Any = None) -> None:
        if self.model_calls:
            call = self.model_calls[-1]
            call.ended = time.time()
            call.answer = answer if isinstance(answer, str) else None

    def tool_begins(self, call_id: str, name: str, arguments: dict[str, Any]) -> None:
        # A tool may change what it is called with.
        call = _ToolCall(call_id, name, arguments, plain_of(arguments))
        self._open_tools[call_id] = call
        self._tool_calls.append(call)
        if not self._sees_all:
            call.step = call.as_step()
            self._noted.append(_Noted(0, call.step))

    def tool_ends(
        self, call_id: str, milliseconds: float, result: Any = None, error: str | None = None
    ) -> None:
        call = self._open_tools.pop(call_id, None)
        if call is not None and (step := call.step) is not None:
            step.duration_ms, step.tool_result, step.error = milliseconds, result, error

    def fails(self, error: BaseException, node: str | None = None) -> None:
        step = TraceStep(StepType.ERROR, error=error_text(error), node_name=node)
        self._noted.append(_Noted(len(self._seen.steps), step))

    # The end

    @property
    def run_id(self) -> str:
        """Its id."""
        return str(self._seen.run_id)

    @property
    def as_selectools_kept_it(self) -> object:
        """Its trace without what we saw next to it."""
        return self._seen

    def trace(self, given: object | None = None) -> AgentTrace:
        """Our copy of selectools' trace (``given``, or the one it kept), and what else we saw.

        Raises:
            InvalidTraceError: It is not a trace.
        """
        own = own_trace(self._seen if given is None else given)
        self._describe(own, self._read_messages())
        reported = self._complete_model_calls(own.steps)
        failures = [what for _, what in self._noted if _is_error(what)]
        missing = []
        for after, what in self._noted:
            if isinstance(what, ModelCall):
                if what not in reported:
                    missing.append((after, what.as_step(failures[-1].error if failures else None)))
            elif _is_error(what) or given is None:
                missing.append((after, what))
        missing.sort(key=itemgetter(0))  # several threads may note at once
        for after, step in reversed(missing):
            own.steps.insert(after, step)
        _tell_calls(own.steps, self._tool_calls)
        _tell_what_was_asked_last(own.steps)
        for call in list(self._open_tools.values()):
            step = call.step or call.as_step()
            step.extra = {"unfinished": True}
            if self._sees_all:
                own.steps.append(step)
        _time_what_has_no_end(own.steps)
        return own

    def _read_messages(self) -> list[dict[str, Any]] | None:
        """Read what the calls were given and answered; return what the run was asked."""
        if self._asked is None and not any([call.given for call in self.model_calls]):
            return None  # they are not to be kept
        called = {id(call.given): (call.given, call.arguments) for call in self._tool_calls}
        conversation = Conversation(called)
        asked = None if self._asked is None else conversation.messages(self._asked)
        before: ModelCall | None = None
        for call in self.model_calls.copy():
            call.output = [said("assistant", call.answer)] if call.answer else None
            if call.given is not None:
                call.input = conversation.messages(call.given)
                if before is not None:
                    before.answered_before(call)
            before = call
        return asked

    def _describe(self, own: AgentTrace, asked: list[dict[str, Any]] | None) -> None:
        """Say what the run was asked, what it answered, and whose it is."""
        own.input = own.input or asked or None
        own.output = own.output or self.answer
        own.agent = own.agent or self._agent
        own.name = own.name or self.graph or self._agent
        own.parent_run_id = own.parent_run_id or self._outer
        if whose := own.metadata:
            own.session_id = own.session_id or _text(whose, "session_id", "thread_id")
            own.user_id = own.user_id or _text(whose, "user_id", "user.id")
        if self.lost:
            own.extra = {**(own.extra or {}), "lost_events": self.lost}

    def abandoned_trace(self) -> AgentTrace | None:
        """The trace of a run that ended without a word; None if it is stored so already."""
        own = self.trace()
        if len(own.steps) == self.stored_steps:
            return None
        if not self.is_over and not any(step.error for step in own.steps[-1:]):
            summary = "Ended early: cancelled, its stream closed, or refused"
            own.steps.append(TraceStep(StepType.CANCELLED, summary=summary))
            _time_what_has_no_end(own.steps)
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
        theirs = [
            n for n, step in enumerate(steps) if step.type is _LLM_CALL or step.type is _CACHE_HIT
        ]
        calls = self.model_calls.copy()
        reported = []
        at = 0
        for n, call in enumerate(calls, 1):
            until = calls[n].after if self._sees_all and n < len(calls) else len(steps)
            while at < len(theirs) and theirs[at] < call.after:
                at += 1
            if at < len(theirs) and theirs[at] < until:
                call.complete(steps[theirs[at]])
                reported.append(call)
                at += 1
        return reported


def _text(metadata: dict[str, Any], *names: str) -> str | None:
    return next((str(metadata[name]) for name in names if metadata.get(name)), None)


def own_trace(given: object) -> AgentTrace:
    """Our copy of a trace of selectools, with the times that it means.

    Raises:
        InvalidTraceError: It is not a trace.
    """
    own = as_agent_trace(given)
    if _begin_when_they_began(own.steps):
        _take_their_own_time(own.steps)
    return own


class _ToolCall(msgspec.Struct, eq=False):
    """A call of a tool, as selectools tells it when it begins.

    Attributes:
        step: What stands for it in a run whose own trace is not seen.
    """

    id: str
    name: str
    given: object
    arguments: dict[str, Any]
    step: TraceStep | None = None

    def as_step(self) -> TraceStep:
        return TraceStep(StepType.TOOL_EXECUTION, tool_name=self.name, tool_args=self.arguments)


def _tell_calls(steps: list[TraceStep], calls: Iterable[_ToolCall]) -> None:
    """Give steps of tools what selectools leaves out: ids, and the arguments of failed ones."""
    selected = list(calls)
    executed = selected.copy()
    for step in steps if selected else ():
        if step.tool_name:
            if step.type is _TOOL_SELECTION:
                _match(step, selected)
            elif step.type is _TOOL_EXECUTION or step.type is _ERROR:
                _match(step, executed)


def _tell_what_was_asked_last(steps: list[TraceStep]) -> None:
    """Give the last model call, which no other repeats, the tools that it asks for."""
    asked: list[dict[str, Any]] = []
    for step in reversed(steps):
        if step.type is _TOOL_SELECTION:
            call = {"type": "tool_call", "name": step.tool_name, "arguments": step.tool_args}
            call_id = (step.extra or {}).get("tool_call_id")
            asked.insert(0, call | ({"id": call_id} if call_id else {}))
        elif step.type is _LLM_CALL:
            if asked and step.input is not None:
                said_first = [part for message in step.output or () for part in message["parts"]]
                if not any([part["type"] == "tool_call" for part in said_first]):
                    step.output = [{"role": "assistant", "parts": [*said_first, *asked]}]
            return


_BREAKS_OFF = frozenset({StepType.ERROR, StepType.CANCELLED, StepType.GRAPH_INTERRUPT})


def _time_what_has_no_end(steps: list[TraceStep]) -> None:
    """Give the time of a graph's node that did not end to the step that says so."""
    last = steps[-1] if steps else None
    if last is None or last.type not in _BREAKS_OFF or last.duration_ms:
        return
    begun: list[int] = []
    for at, step in enumerate(steps):
        if step.type is StepType.GRAPH_NODE_START:
            begun.append(at)
        elif step.type is StepType.GRAPH_NODE_END and begun:
            begun.pop()
    if begun:
        inside = steps[begun[-1] :]
        whole = (last.timestamp - inside[0].timestamp) * 1000
        last.duration_ms = max(0.0, whole - sum([step.duration_ms or 0.0 for step in inside]))
        last.timestamp -= last.duration_ms / 1000  # stamps are beginnings


def _match(step: TraceStep, left: list[_ToolCall]) -> None:
    for at, call in enumerate(left):
        if call.name == step.tool_name and _may_be(step.tool_args, call):
            del left[at]
            step.tool_args = call.arguments
            told = {"tool_call_id": str(call.id)}
            step.extra = {**step.extra, **told} if step.extra else told
            break


def _may_be(known: object, call: _ToolCall) -> bool:
    """Whether these are the call's arguments, as far as they can be compared."""
    try:
        return known is None or known is call.given or bool(known == call.arguments)
    except Exception:  # noqa: BLE001 - they are a caller's, who may compare as they like
        return False


def _begin_when_they_began(steps: list[TraceStep]) -> bool:
    """Selectools stamps a step when it is over; a step's time is when it began.

    Returns whether a node of a graph ended.
    """
    nodes = False
    for step in steps:
        kind: Any = step.type
        if kind.__class__ is not StepType and isinstance(kind, str):
            # Theirs takes longer to compare, and to ask for its value.
            known = STEP_TYPES.get(getattr(kind, "_value_", kind))
            step.type = kind = step_type(kind) if known is None else known
        if kind is _NODE_END:
            nodes = True
        elif step.duration_ms > 0:
            step.timestamp -= step.duration_ms / 1000
    return nodes


# An enumeration takes long to look up a member of its own, and to look one up in a set.
_NODE_END = StepType.GRAPH_NODE_END
_LLM_CALL = StepType.LLM_CALL
_CACHE_HIT = StepType.CACHE_HIT
_TOOL_SELECTION = StepType.TOOL_SELECTION
_TOOL_EXECUTION = StepType.TOOL_EXECUTION
_ERROR = StepType.ERROR
_CACHED = (
    ("cache_read_tokens", "cache_read_input_tokens"),
    ("cache_write_tokens", "cache_creation_input_tokens"),
)


def _take_their_own_time(steps: list[TraceStep]) -> None:
    """A graph's end has the time of its nodes too: leave it the time of its own."""
    around: list[list[tuple[float, float]]] = []
    names: list[str | None] = []
    for step in steps:
        if step.type == StepType.GRAPH_NODE_START:
            around.append([])
            names.append(step.node_name)
        elif step.type == StepType.GRAPH_NODE_END and step.node_name in names:
            while names[-1] != step.node_name:  # one that never ended
                names.pop()
                inner = around.pop()
                around[-1] += inner
            names.pop()
            end, whole = step.timestamp, step.duration_ms
            inside = around.pop()
            step.duration_ms = max(0.0, whole - _covered(inside, end - whole / 1000, end) * 1000)
            if step.duration_ms != whole:
                step.extra = {**(step.extra or {}), "wall_ms": whole}
            if around:
                around[-1].append((end - whole / 1000, end))
        elif around and step.duration_ms > 0:
            around[-1].append((step.timestamp, step.timestamp + step.duration_ms / 1000))


def _covered(inside: list[tuple[float, float]], start: float, end: float) -> float:
    """For how many seconds of a time something inside went on."""
    total, at = 0.0, start
    for begin, until in sorted(inside):
        total += max(0.0, min(until, end) - max(begin, at))
        at = max(at, until)
    return total


class _Noted(NamedTuple):
    """What may be missing in selectools' trace, and how many steps that had then."""

    after: int
    what: ModelCall | TraceStep


def _is_error(what: ModelCall | TraceStep) -> TypeGuard[TraceStep]:
    return isinstance(what, TraceStep) and what.type is _ERROR


def _current_task() -> asyncio.Task[Any] | None:
    if asyncio._get_running_loop() is None:  # noqa: SLF001 - the public one raises, which takes long
        return None
    return asyncio.current_task()
