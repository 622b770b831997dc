"""What LangChain tells of runs, turned into traces; the handlers say it, and save what it gives."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from ...capture.error_text import error_text
from ...capture.saver import SafeSaver, WatchesRuns
from ...capture.saver_thread import saver_thread
from ...extras import needs
from ...model.trace import AgentTrace, StepType, TraceStep
from .runs import Kind, Run, Runs, route
from .values import (
    candidates,
    goes_on_to,
    input_of,
    messages_in,
    plain,
    reasoning,
    reply,
    resumed_with,
    text,
    tool_calls,
    usage,
)

with needs("langchain", "The LangChain callback handlers"):
    from langchain_core.outputs import LLMResult

_PAUSED_REMEMBERED = 1000

log = logging.getLogger(__name__)


Hook = TypeVar("Hook", bound=Callable[..., "AgentTrace | None"])

_ENDS = frozenset({"_model_ends", "_tool_ends", "_runnable_ends", "_fails"})


def _never_silent(hook: Hook) -> Hook:
    """The hook: if user code that it looks at raises, its run is stored all the same.

    LangChain swallows what a handler raises, so nothing here may.
    """

    @wraps(hook)
    def safe(self: Watching, *args: Any, **kwargs: Any) -> AgentTrace | None:
        run_id = _run_id_in(args, kwargs)
        before = self._runs.get(run_id) if run_id else None
        try:
            return hook(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - as it says
            run = before or (self._runs.get(run_id) if run_id else None)
            return self._lost(hook.__name__, error, run, run_id)

    return cast("Hook", safe)


def _run_id_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> UUID | None:
    for value in (*args, *kwargs.values()):
        found = value.get("run_id") if type(value) is dict else value
        if issubclass(type(found), UUID):  # isinstance() would look at what users raise and return
            return cast("UUID", found)
    return None


def _save_rest(runs: Runs, saver: SafeSaver) -> None:
    for trace in runs.rest():
        saver_thread.put(partial(saver.save, trace))


class Watching(WatchesRuns):
    """Follows runs; what both handlers share. What to save is given back."""

    run_inline = True  # in the order of what happens, and without a thread

    def _watch(self, max_open_runs: int) -> None:
        self._runs = Runs(max_open_runs)
        self._paused: dict[str, tuple[str, str]] = {}
        saver_thread.ready()
        # When the program ends, or the handler is let go.
        weakref.finalize(self, _save_rest, self._runs, self._saver)

    @_never_silent
    def _model_begins(
        self, serialized: Mapping[str, Any] | None, messages: Any, reported: dict[str, Any]
    ) -> AgentTrace | None:
        run = self._begin("model", serialized, reported)
        parameters = reported.get("invocation_params") or {}
        metadata = reported.get("metadata") or {}
        if run.step is not None:
            run.step.model = (
                metadata.get("ls_model_name") or parameters.get("model_name")
                or parameters.get("model")
            )  # fmt: skip
        run.keep(parameters=plain(parameters), name=run.name)
        self._keep_messages(run, "input", messages, "user")
        return self._runs.given_up()

    @_never_silent
    def _model_ends(
        self, result: LLMResult | None, run_id: UUID, error: BaseException | None = None
    ) -> AgentTrace | None:
        run, is_root = self._runs.end(run_id, error)
        if run is None:
            return None
        if result is not None:
            try:
                self._describe_answer(run, result)
            except Exception:
                log.exception("run %r: an event of its model is lost", run.root.trace.run_id)
        return run.root.finish() if is_root else None

    def _describe_answer(self, run: Run, result: LLMResult) -> None:
        step, answer, reported = run.step, reply(result), usage(result)
        if step is None:
            return
        step.prompt_tokens = reported.pop("prompt_tokens", None)
        step.completion_tokens = reported.pop("completion_tokens", None)
        step.cost_usd = reported.pop("cost_usd", None)
        told = messages_in(answer, "assistant")
        step.reasoning = reasoning(told)
        asked, answered = step.model, reported.pop("response_model", None)
        if isinstance(answered, str) and answered:
            step.model = answered
            if asked and asked != answered:
                reported["request_model"] = asked
        run.keep(**reported)
        if self._contents:
            run.keep(output=told)
        others = candidates(result)
        if others:
            self._keep(run, "candidates", others)
        for name, arguments, call_id in tool_calls(answer):
            selection = TraceStep(
                StepType.TOOL_SELECTION, tool_name=name, tool_args=plain(arguments)
            )
            selection.node_name, selection.step_number = step.node_name, step.step_number
            selection.extra = {"tool_call_id": call_id} if call_id else None
            run.root.trace.steps.append(selection)

    @_never_silent
    def _tool_begins(
        self,
        serialized: Mapping[str, Any] | None,
        arguments: Mapping[str, Any],
        reported: dict[str, Any],
    ) -> AgentTrace | None:
        run = self._begin("tool", serialized, reported)
        if run.step is not None:
            run.step.tool_name = run.name
            run.step.tool_args = plain(arguments)
        run.keep(tool_call_id=reported.get("tool_call_id"))
        return self._runs.given_up()

    @_never_silent
    def _tool_ends(self, output: Any, run_id: UUID) -> AgentTrace | None:
        run, is_root = self._runs.end(run_id)
        if run is None:
            return None
        if run.step is not None:
            run.step.tool_result = text(output)
            if getattr(output, "status", None) == "error":
                run.step.error = run.step.tool_result
        run.keep(artifact=plain(getattr(output, "artifact", None)))
        return run.root.finish() if is_root else None

    @_never_silent
    def _retriever_begins(
        self, serialized: Mapping[str, Any] | None, query: str, reported: dict[str, Any]
    ) -> AgentTrace | None:
        given_up = self._tool_begins(serialized, {"query": query}, reported)
        run = self._runs.get(reported["run_id"])
        if run is not None:
            run.keep(kind="retriever")
        return given_up

    @_never_silent
    def _runnable_begins(
        self, serialized: Mapping[str, Any] | None, inputs: Any, reported: dict[str, Any]
    ) -> AgentTrace | None:
        run = self._begin("runnable", serialized, reported)
        if run.root.run is run:
            self._root_begins(run, inputs)
        return self._runs.given_up()

    def _root_begins(self, run: Run, inputs: Any) -> None:
        trace = run.root.trace
        if self._contents:
            trace.input = input_of(inputs)
        answers = resumed_with(inputs)
        before, asked = self._paused.pop(trace.session_id or "", (None, None))
        if answers and before is not None:
            trace.metadata.setdefault("resumes_run_id", before)
        for key, answer in answers:
            step = TraceStep(StepType.GRAPH_RESUME, timestamp=run.began_at)
            step.interrupt_key = key or asked
            step.extra = {"run_id": str(run.run_id)}
            if before is not None:
                step.extra["resumes"] = before
            if self._contents:
                step.output = plain(answer)
            trace.steps.append(step)

    def _note_pause(self, trace: AgentTrace) -> AgentTrace:
        """Remember a run that waits for an answer, by its session, for the run that brings it."""
        if trace.session_id:
            key = next((s.interrupt_key for s in reversed(trace.steps) if s.interrupt_key), None)
            if key is not None:
                self._paused[trace.session_id] = trace.run_id, key
                while len(self._paused) > _PAUSED_REMEMBERED:
                    self._paused.pop(next(iter(self._paused)), None)
        return trace

    @_never_silent
    def _runnable_ends(self, outputs: Any, run_id: UUID) -> AgentTrace | None:
        run, is_root = self._runs.end(run_id)
        if run is None:
            return None
        if run.kind == "node":
            self._keep(run, "output", outputs)
            route(run, goes_on_to(outputs))
        if not is_root:
            return None
        if self._contents:
            run.root.trace.output = plain(outputs)
        return self._note_pause(run.root.finish())

    @_never_silent
    def _fails(self, error: BaseException, run_id: UUID) -> AgentTrace | None:
        run, is_root = self._runs.end(run_id, error)
        return self._note_pause(run.root.finish()) if run is not None and is_root else None

    @_never_silent
    def _streams(self, run_id: UUID) -> AgentTrace | None:
        run = self._runs.get(run_id)
        if run is not None:
            run.chunks += 1
            if run.first_token is None:
                run.first_token = time.perf_counter()
        return None

    @_never_silent
    def _retries(self, state: Any, run_id: UUID) -> AgentTrace | None:
        run = self._runs.get(run_id)
        if run is not None and run.step is not None:
            failure = state.outcome.exception() if state.outcome else None
            retry = {
                "attempt": state.attempt_number,
                "error": error_text(failure) if failure else None,
                "backoff_seconds": getattr(state.next_action, "sleep", None),
            }
            extra = run.step.extra = run.step.extra or {}
            extra.setdefault("retries", []).append(retry)
        return None

    @_never_silent
    def _event(self, name: str, data: Any, run_id: UUID) -> AgentTrace | None:
        run = self._runs.get(run_id)
        if run is not None and self._contents:
            event = {"name": name, "data": plain(data), "timestamp": time.time()}
            run.root.kept.setdefault("events", []).append(event)
        return None

    def _lost(
        self, event: str, error: Exception, run: Run | None, run_id: UUID | None
    ) -> AgentTrace | None:
        """What to save after an event of a run could not be read."""
        log.error("run %s: an event is lost", run_id, exc_info=error)
        if run is None:
            self._saver.lost(error, AgentTrace(run_id=str(run_id)))
            return None
        lost = {"event": event.strip("_"), "error": error_text(error)}
        run.root.kept.setdefault("lost_events", []).append(lost)
        if event not in _ENDS or run.root.run is not run:
            return None
        self._runs.end(run.run_id)
        return run.root.finish()

    def _begin(
        self, kind: Kind, serialized: Mapping[str, Any] | None, reported: dict[str, Any]
    ) -> Run:
        name = reported.get("name") or (serialized or {}).get("name") or _class_name(serialized)
        return self._runs.begin(
            kind,
            reported["run_id"],
            reported.get("parent_run_id"),
            name,
            reported.get("tags"),
            reported.get("metadata"),
        )

    def _keep_messages(self, run: Run, name: str, value: Any, role: str) -> None:
        if self._contents:
            run.keep(**{name: messages_in(value, role)})

    def _keep(self, run: Run, name: str, value: Any) -> None:
        if self._contents:
            run.keep(**{name: plain(value)})


def _class_name(serialized: Mapping[str, Any] | None) -> str | None:
    path = (serialized or {}).get("id")
    return str(path[-1]) if path else None
