"""Observers that save every run of a selectools agent or graph, however it ends.

Give one to ``AgentConfig(observers=[...])`` or ``AgentGraph(observers=[...])``. One observer serves
any number of agents, threads and event loops at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVarTuple

from ...capture.error_text import error_text
from ...capture.saver import WatchesRuns
from ...capture.saver_thread import is_ending, saver_thread
from ...extras import needs
from ...model.trace import AgentTrace
from .runs import WatchedRun, caller_variables, own_trace, runs_begun

with needs("selectools", "The selectools observers"):
    from selectools import AgentObserver, AsyncAgentObserver

__all__ = ["AsyncTraceSavingObserver", "TraceSavingObserver"]

log = logging.getLogger(__name__)

Told = TypeVarTuple("Told")


class _Watching(WatchesRuns):
    """Follows runs from their begin; what both observers share.

    selectools swallows what an observer raises, so nothing here may.
    """

    def _watch(self, max_open_runs: int) -> None:
        self._max_open_runs = max_open_runs
        self._open: dict[str, WatchedRun] = {}

    # What selectools tells

    def on_run_start(self, run_id: str, messages: Any, system_prompt: str) -> None:
        self._begin(run_id)
        self._tell(run_id, WatchedRun.is_requested, self._kept(messages), system_prompt)

    def on_graph_start(self, run_id: str, graph_name: str, entry_node: str, state: Any) -> None:
        self._begin(run_id)
        self._tell(run_id, WatchedRun.is_graph, graph_name, self._kept(state))

    def on_graph_error(
        self,
        run_id: str,
        graph_name: str,
        node_name: str,
        error: Exception,
    ) -> None:
        self._tell(run_id, WatchedRun.fails, error, node_name)
        run = self._open.get(run_id)
        if run is not None:  # the last that is told of a run that breaks off
            trace = self._trace_of(run)
            run.stored_steps = len(trace.steps)
            self._save_graph(trace)

    def on_graph_end(self, run_id: str, *what: Any) -> None:
        if self._contents:
            variables = caller_variables(run_id)
            self._tell(run_id, WatchedRun.graph_answers, variables.get("state"))
        self._save_graph(self._end(run_id))

    def on_llm_start(self, run_id: str, messages: Any, model: str, system_prompt: str) -> None:
        given = self._kept(messages)
        self._tell(run_id, WatchedRun.model_call_begins, model, given, system_prompt)

    def on_llm_end(self, run_id: str, response: str, usage: Any) -> None:
        answer = response if self._contents else None
        self._tell(run_id, WatchedRun.model_call_ends, answer)

    def on_usage(self, run_id: str, usage: Any) -> None:
        self._tell(run_id, WatchedRun.is_used, usage)

    def on_llm_retry(
        self,
        run_id: str,
        attempt: int,
        max_retries: int,
        error: Exception,
        backoff: float,
    ) -> None:
        self._tell(run_id, WatchedRun.model_call_fails, attempt, error, backoff)

    def on_provider_fallback(
        self, run_id: str, failed: str, next_provider: str, error: Exception
    ) -> None:
        self._tell(run_id, WatchedRun.falls_back, failed, next_provider, error)

    def on_tool_start(self, run_id: str, call_id: str, tool_name: str, tool_args: Any) -> None:
        self._tell(run_id, WatchedRun.tool_begins, call_id, tool_name, tool_args)

    def on_tool_end(
        self,
        run_id: str,
        call_id: str,
        tool_name: str,
        result: str,
        duration_ms: float,
    ) -> None:
        self._tell(run_id, WatchedRun.tool_ends, call_id, duration_ms, result)

    def on_tool_error(
        self,
        run_id: str,
        call_id: str,
        tool_name: str,
        error: Exception,
        tool_args: Any,
        duration_ms: float,
    ) -> None:
        self._tell(run_id, WatchedRun.tool_ends, call_id, duration_ms, None, error_text(error))

    # What becomes of it

    def _kept(self, messages: Any) -> Any:
        return messages if self._contents else None

    def _begin(self, run_id: str) -> None:
        try:
            self._follow(run_id)
        except Exception as error:  # noqa: BLE001 - a caller's variables may do anything
            self._saver.lost(error, AgentTrace(run_id=str(run_id)))

    def _follow(self, run_id: str) -> None:
        saver_thread.ready()
        begun = runs_begun.get()
        if begun is not None:
            begun.append(run_id)
        self._open[run_id] = WatchedRun(run_id, self._abandoned)
        if len(self._open) > self._max_open_runs:
            self._give_up_oldest()

    def _tell(
        self,
        run_id: str,
        event: Callable[[WatchedRun, *Told], object],
        *args: *Told,
    ) -> None:
        run = self._open.get(run_id)
        if run is not None:
            try:
                event(run, *args)
            except Exception as error:
                log.exception("run %r: an event is lost", run_id)
                run.lost.append(error_text(error))

    def _end(self, run_id: str, result: Any = None) -> Any:
        """What to save of a run that ends; None if there is nothing."""
        trace = _trace_in(result)
        run = self._open.pop(run_id, None)
        if run is None:
            return None if trace is None else self._trace_given(trace)
        run.close()
        return self._trace_of(run, trace)

    def _trace_given(self, trace: object) -> object:
        """The trace of a run whose begin was not told."""
        try:
            return own_trace(trace)
        except Exception:
            log.exception("run %r is saved as selectools gave it", getattr(trace, "run_id", None))
            return trace

    def _answered(self, run_id: str, result: Any) -> None:
        if self._contents:
            self._tell(run_id, WatchedRun.answers, result)

    def _trace_of(self, run: WatchedRun, trace: object | None = None) -> Any:
        try:
            return run.trace(trace)
        except Exception as error:
            kept = run.as_selectools_kept_it if trace is None else trace
            if not hasattr(kept, "run_id"):
                self._saver.lost(error, AgentTrace(run_id=run.run_id))
                return None
            log.exception("run %r is saved as selectools gave it", kept.run_id)
            return kept

    def _save(self, trace: Any) -> None:
        if trace is not None:
            self._saver.save(trace)

    def _save_graph(self, trace: Any) -> None:
        raise NotImplementedError

    def _abandoned(self, run_id: str) -> None:
        # In a finalizer: no lock, no waiting.
        run = self._open.pop(run_id, None)
        if run is not None:
            run.close()
            make = run.unfinished_trace if is_ending() else run.abandoned_trace
            saver_thread.put(lambda: self._save(make()))

    def _give_up_oldest(self) -> None:
        try:
            run_id = next(iter(self._open))
            run = self._open.pop(run_id)
        except (StopIteration, KeyError, RuntimeError):  # another thread did
            return
        run.close()
        log.warning("run %r is still open after %d others", run_id, self._max_open_runs)
        saver_thread.put(lambda: self._save(run.unfinished_trace()))


def _trace_in(result: Any) -> object | None:
    try:
        return getattr(result, "trace", None)
    except Exception:
        log.exception("a result's trace cannot be read: what was seen of the run is saved")
        return None


class TraceSavingObserver(_Watching, AgentObserver):
    """Saves each run when it ends, before the agent's ``run`` returns.

    Runs that fail, are cancelled, exceed a budget or reach the iteration limit are saved too, with
    all steps until then. Runs of an `AgentGraph` are saved under the graph's run id; those of its
    agents name it as their parent. A run whose end selectools tells nobody (its task was cancelled,
    its stream closed) is saved from a thread of its own right after: `flush` waits for that.

    Under ``arun`` and ``astream`` the event loop stands still while a run is saved: use
    `AsyncTraceSavingObserver` there.

    Args:
        store: Where runs go, blocking or async; stays the caller's to close.
        contents: Whether messages, system prompts and answers are kept. Arguments and results of
            tools always are.
        on_error: Called with the error and the trace when a run could not be saved.
        max_open_runs: How many runs are followed at once. Beyond it the oldest is saved as it is,
            with ``"unfinished": True`` in its metadata, and again when it does end.

    Attributes:
        saved: How many saves went well: one a run, and one more for each node of a graph that
            fails.
        failed: How many did not; each is logged.
    """

    def on_run_end(self, run_id: str, result: Any, duration_ms: float | None = None) -> None:
        self._answered(run_id, result)
        self._save(self._end(run_id, result))

    def on_error(self, run_id: str, error: Exception, context: Any) -> None:
        self._tell(run_id, WatchedRun.fails, error)
        self._save(self._end(run_id))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait for runs being saved in the background; whether that took under ``timeout`` s."""
        return saver_thread.wait(timeout)

    def _save_graph(self, trace: Any) -> None:
        self._save(trace)


class AsyncTraceSavingObserver(_Watching, AsyncAgentObserver):
    """Saves each run when it ends, without blocking the event loop.

    ``arun`` and ``astream`` go on once the run is stored. Under the blocking ``run``, where
    selectools calls no coroutine, the run is saved blocking. The run of an `AgentGraph`, whose end
    selectools tells no coroutine either, is saved from a thread of its own: `flush` waits for that.

    Otherwise, its arguments and attributes included, it is `TraceSavingObserver`.
    """

    blocking = True

    def on_run_end(self, run_id: str, result: Any, duration_ms: float | None = None) -> None:
        self._answered(run_id, result)
        if not self._calls_coroutines(run_id):
            self._save(self._end(run_id, result))

    def on_error(self, run_id: str, error: Exception, context: Any) -> None:
        self._tell(run_id, WatchedRun.fails, error)
        if not self._calls_coroutines(run_id):
            self._save(self._end(run_id))

    async def a_on_run_start(self, run_id: str, messages: Any, system_prompt: str) -> None:
        self._tell(run_id, WatchedRun.is_awaited)

    async def a_on_run_end(
        self,
        run_id: str,
        result: Any,
        duration_ms: float | None = None,
    ) -> None:
        if run_id in self._open:  # or else `on_run_end` saved it
            await self._asave(self._end(run_id, result))

    async def a_on_error(self, run_id: str, error: Exception, context: Any) -> None:
        await self._asave(self._end(run_id))

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Wait for runs being saved in the background; whether that took under ``timeout`` s."""
        return await asyncio.to_thread(saver_thread.wait, timeout)

    def _calls_coroutines(self, run_id: str) -> bool:
        run = self._open.get(run_id)
        if run is None or not run.is_async:
            return False
        run.is_over = True
        return True

    def _save_graph(self, trace: Any) -> None:
        if trace is not None:
            saver_thread.put(partial(self._saver.save, trace))

    async def _asave(self, trace: Any) -> None:
        if trace is not None:
            await self._saver.asave(trace)
