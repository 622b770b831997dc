"""Runs of the OpenAI Agents SDK, saved by themselves; needs the extra ``openai-agents``."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

import msgspec

from ...capture.error_text import error_text, is_cancellation
from ...capture.foreign_values import plain_attribute
from ...capture.saver import OnError, SafeSaver
from ...errors import TraceNotFoundError
from ...extras import needs
from ...model.trace import DETAIL_FIELDS, AgentTrace, StepType, TraceStep
from ...protocols import AsyncTraceStore, TraceStore
from ...runtime.fork import rest_during_forks
from ...stores.adapters import as_blocking
from .steps import KEPT, EndedSpan, asked_and_answered, ended_span, key_of, steps_of

with needs("openai-agents", "TraceStoreProcessor"):
    from agents.tracing import TracingProcessor

__all__ = ["TraceStoreProcessor"]

log = logging.getLogger(__name__)


_REMEMBERED = 4096


Hook: TypeAlias = Callable[["TraceStoreProcessor", Any], None]


def _never_silent(hook: Hook) -> Hook:
    """The hook: if what it looks at raises, the run is stored all the same, or counted as failed.

    The SDK swallows what a processor raises, so nothing here may.
    """

    @wraps(hook)
    def safe(self: TraceStoreProcessor, reported: Any) -> None:
        try:
            hook(self, reported)
        except Exception as error:  # noqa: BLE001 - as it says
            self._lost(hook.__name__, reported, error)

    return safe


class _Run(msgspec.Struct):
    """What is known of a trace that has not ended, or that has spans which have not."""

    start: float
    end: float | None = None
    said: dict[str, Any] = {}
    traces: int = 0
    open: dict[str, Any] = {}
    spans: list[EndedSpan] = []
    lost: list[dict[str, str]] = []
    around: int = 0  # the id of an error that was being handled already when it began
    cancelled: set[str] = set()
    is_cancelled: bool = False

    @property
    def is_whole(self) -> bool:
        return not self.traces and not self.open

    def copy(self) -> _Run:
        """The run as it is now."""
        return msgspec.structs.replace(
            self,
            open=dict(self.open),
            spans=list(self.spans),
            lost=list(self.lost),
            cancelled=set(self.cancelled),
        )


class TraceStoreProcessor(TracingProcessor):  # type: ignore[misc, unused-ignore]
    """Keeps every trace of the SDK as a run, whose id is the trace id.

    For ``agents.add_trace_processor``, next to the SDK's own, or ``agents.set_trace_processors``,
    in place of it. A run is saved when its trace ends, and again when spans end that were open
    then, in the thread that ended it: in an event loop, give it a store that saves in the
    background. A trace that is taken up again is put to what is stored of it. A save that fails is
    logged and counted, never raised.

    Args:
        store: Where runs go, blocking or async; stays the caller's to close.
        max_runs: How many traces may be open at once. With more, the oldest is saved unfinished
            (``metadata["unfinished"]``).
        resume: Ask the store whether another process has saved a part of the trace. A store that
            saves in the background must finish its saves to answer: without traces that are taken
            up elsewhere, turn it off for one.
        on_error: Called with the error and the run after a save that failed, and for what the SDK
            reports of a run that nothing is known of and that cannot be read.

    Raises:
        TypeError: It is not a store.
        ValueError: ``max_runs`` is not positive.
    """

    def __init__(
        self,
        store: TraceStore | AsyncTraceStore,
        *,
        max_runs: int = 10_000,
        resume: bool = True,
        on_error: OnError | None = None,
    ) -> None:
        if max_runs <= 0:
            raise ValueError("max_runs must be greater than 0")
        self._store = as_blocking(store, close=False)
        self._saver = SafeSaver(self._store, on_error)
        self._max_runs = max_runs
        self._resume = resume
        self._known: dict[str, None] = {}  # the oldest first
        self._runs: dict[str, _Run] = {}
        self._lock = threading.RLock()
        rest_during_forks(self, holds_others=True)

    @property
    def saved(self) -> int:
        """How many saves were good."""
        return self._saver.saved

    @property
    def failed(self) -> int:
        """How many saves failed, and how many reports could be put to no run."""
        return self._saver.failed

    @_never_silent
    def on_trace_start(self, trace: Any) -> None:
        """Take note that a trace began."""
        trace_id, said = trace.trace_id, _said(trace)
        with self._lock:
            run = self._run(trace_id)
            run.traces += 1
            run.said = said
            run.around = _cancellation()
            oldest = next(iter(self._runs)) if len(self._runs) > self._max_runs else None
            left = None if oldest is None else self._runs.pop(oldest)
        if oldest is not None and left is not None:
            self._save(oldest, left)

    @_never_silent
    def on_trace_end(self, trace: Any) -> None:
        """Save the run."""
        trace_id, said = trace.trace_id, _said(trace)
        with self._lock:
            run = self._run(trace_id)
            run.said = run.said and said  # what was put to its metadata meanwhile
            run.traces = max(run.traces - 1, 0)
            run.is_cancelled |= _cancellation() not in {0, run.around}
            if run.traces:
                return
            run.end = time.time()
            if run.is_whole:
                del self._runs[trace_id]
            ended = run.copy()
        self._save(trace_id, ended)

    @_never_silent
    def on_span_start(self, span: Any) -> None:
        """Take note that a span began."""
        with self._lock:
            self._run(span.trace_id).open[span.span_id] = span

    @_never_silent
    def on_span_end(self, span: Any) -> None:
        """Take the span; save the run if it was the last one open after the trace's end."""
        ended = ended_span(span)
        with self._lock:
            run = self._run(span.trace_id)
            run.open.pop(span.span_id, None)
            run.spans.append(ended)
            is_cancelled = _cancellation() not in {0, run.around}
            if is_cancelled:
                run.cancelled.add(ended.span_id)
            if ended.parent_id is None:
                run.is_cancelled = is_cancelled
            if not run.is_whole:
                return
            del self._runs[span.trace_id]
        self._save(span.trace_id, run)

    def force_flush(self) -> None:
        """Save all that has not ended, as unfinished runs; they are saved again at their end."""
        with self._lock:
            runs = {trace_id: run.copy() for trace_id, run in self._runs.items()}
        for trace_id, run in runs.items():
            self._save(trace_id, run)

    def shutdown(self) -> None:
        """`force_flush`; nothing can be saved after it."""
        self.force_flush()
        self._store.close()

    def before_fork(self) -> None:
        """Take nothing meanwhile."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget what is open: the parent saves it."""
        self._lock = threading.RLock()
        self._runs = {}

    def _run(self, trace_id: str) -> _Run:
        return self._runs.setdefault(trace_id, _Run(time.time()))

    def _save(self, trace_id: str, run: _Run) -> None:
        # One whose start was not told was begun elsewhere.
        may_be_stored = self._resume or trace_id in self._known or not run.said
        stored = self._stored(trace_id) if may_be_stored else None
        try:
            trace = _trace(trace_id, run)
            trace = trace if stored is None else _joined(stored, trace)
        except Exception as error:  # noqa: BLE001 - what was reported may be anything
            self._saver.lost(error, AgentTrace(run_id=trace_id))
            return
        self._saver.save(trace)
        with self._lock:
            self._known.pop(trace_id, None)
            self._known[trace_id] = None
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]

    def _lost(self, event: str, reported: Any, error: Exception) -> None:
        """A report that cannot be read: its run says so, or it is counted as failed."""
        log.error("OpenAI Agents: what %s reported is lost", event, exc_info=error)
        trace_id = _id_in(reported, "trace_id")
        with self._lock:
            of = (name for name, known in self._runs.items() if _is_open(reported, known))
            trace_id = next(of, trace_id)
            run = None if trace_id is None else self._runs.get(trace_id)
            if run is not None:
                run.lost.append({"event": event, "error": error_text(error)})
                # A span that nobody can read would be waited for in vain.
                run.open = {name: span for name, span in run.open.items() if span is not reported}
        if trace_id is None or run is None:
            self._saver.lost(error, AgentTrace(run_id=trace_id or "unknown"))
        elif run.is_whole and self._runs.pop(trace_id, None) is run:
            self._save(trace_id, run)

    def _stored(self, run_id: str) -> AgentTrace | None:
        """What is stored of a trace that was taken up again, or was saved before its end."""
        try:
            stored = self._store.load(run_id)
        except TraceNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 - a third party's store may raise anything
            log.warning("run %r is saved without the steps stored earlier: %s", run_id, error)
            return None
        return stored if KEPT in (stored.extra or {}) else None


def _cancellation() -> int:
    """The id of what makes the code around us stop, if that is no failure; else 0.

    The SDK tells nobody of it, but ends its spans on the way out.
    """
    error = sys.exc_info()[1]
    return id(error) if is_cancellation(error) else 0


def _said(trace: Any) -> dict[str, Any]:
    """What the SDK says of a trace."""
    return {
        "workflow_name": plain_attribute(trace, "name"),
        "group_id": plain_attribute(trace, "group_id"),
        "metadata": plain_attribute(trace, "metadata"),
    }


def _is_open(reported: Any, run: _Run) -> bool:
    return any(span is reported for span in run.open.values())


def _id_in(reported: Any, name: str) -> str | None:
    try:
        found = getattr(reported, name)
    except Exception:  # noqa: BLE001 - nothing is known of it
        return None
    return found if isinstance(found, str) else None


def _trace(trace_id: str, run: _Run) -> AgentTrace:
    still_open = []
    for span in run.open.values():
        try:
            still_open.append(ended_span(span))
        except Exception as error:  # noqa: BLE001 - it may be anything
            run.lost.append({"event": "open span", "error": error_text(error)})
    steps, beside = steps_of(run.spans, still_open)
    _mark_cancelled(trace_id, run, steps)
    given = run.said.get("metadata")
    metadata = {
        name: run.said[name] for name in ("workflow_name", "group_id") if run.said.get(name)
    }
    metadata |= given if isinstance(given, dict) else {}
    if not run.is_whole:
        metadata["unfinished"] = True
    asked, answered = asked_and_answered(steps)
    return AgentTrace(
        steps=steps,
        start_time=min([run.start, *(span.start for span in run.spans)]),
        run_id=trace_id,
        metadata=metadata,
        name=_first(run.said.get("workflow_name")),
        input=asked,
        output=answered,
        session_id=_first(run.said.get("group_id"), metadata.get("session_id")),
        user_id=_first(metadata.get("user_id"), metadata.get("user.id")),
        agent=_agent(steps),
        end_time=max([run.end, *(span.end for span in run.spans)]) if run.end else None,
        extra={KEPT: {"spans": beside} | ({"lost_events": run.lost} if run.lost else {})},
    )


def _mark_cancelled(trace_id: str, run: _Run, steps: list[TraceStep]) -> None:
    """Mark the steps in which a cancellation came, and the run that it ended."""
    for step in steps:
        span_id, _ = key_of(step)
        if span_id in run.cancelled and step.extra is not None:
            step.extra["unfinished"] = True
    if run.is_cancelled:
        end = max([run.start, *(span.end for span in run.spans)])
        kept = {KEPT: {"span_id": trace_id, "end": True}}
        steps.append(TraceStep(StepType.CANCELLED, timestamp=end, extra=kept))


def _agent(steps: list[TraceStep]) -> str | None:
    """The agent that the run began with."""
    types = ((step.extra or {}).get(KEPT, {}).get("type") for step in steps)
    pairs = zip(steps, types, strict=True)
    return next((step.node_name for step, kind in pairs if kind == "agent"), None)


def _first(*values: object) -> str | None:
    """The first that is set, as text."""
    return next((str(value) for value in values if value), None)


def _joined(stored: AgentTrace, new: AgentTrace) -> AgentTrace:
    """One run of what is stored and of what came after it."""
    metadata = {**stored.metadata, **new.metadata}
    if "unfinished" not in new.metadata:
        metadata.pop("unfinished", None)
    steps = {key_of(step): step for step in [*stored.steps, *new.steps]}
    before, after = (stored.extra or {})[KEPT], (new.extra or {})[KEPT]
    spans = {span["span_id"]: span for span in [*before.get("spans", []), *after["spans"]]}
    said = {name: getattr(new, name) or getattr(stored, name) for name in DETAIL_FIELDS}
    in_order = sorted(steps.values(), key=lambda step: step.timestamp)
    said["end_time"] = max(filter(None, [stored.end_time, new.end_time]), default=None)
    said["input"], said["output"] = asked_and_answered(in_order)
    return AgentTrace(
        steps=in_order,
        start_time=min(stored.start_time, new.start_time),
        run_id=new.run_id,
        parent_run_id=stored.parent_run_id,
        metadata=metadata,
        **said,
        extra={**(stored.extra or {}), KEPT: {**before, **after, "spans": [*spans.values()]}},
    )
