"""The observers under the real selectools: each way a run begins, and each way it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("selectools", reason="selectools is not installed")

from selectools import CancellationToken, tool
from selectools.orchestration import AgentGraph
from selectools_agents import FLAKY, Gate, agent
from trouble_stores import AsyncRefusing, Noting, Refusing

from selectools_observe import (
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    StepType,
    TraceFilter,
)
from selectools_observe.integrations.selectools import AsyncTraceSavingObserver, TraceSavingObserver
from selectools_observe.model.trace import STEP_FIELDS

ADDED = {
    "retries", "fallbacks", "cache_read_tokens", "cache_write_tokens", "wall_ms", "tool_call_id",
}  # fmt: skip


def assert_same(stored, theirs):
    """Every field that selectools reported, as it reported it: but for what it gets wrong."""
    assert (stored.run_id, stored.start_time) == (theirs.run_id, theirs.start_time)
    assert theirs.parent_run_id in {None, stored.parent_run_id}
    assert stored.metadata == theirs.metadata
    assert len(stored.steps) == len(theirs.steps)
    for ours, its in zip(stored.steps, theirs.steps, strict=True):
        reported = {name: getattr(its, name, None) for name in STEP_FIELDS}
        if its.type.value == "graph_node_end":
            assert (ours.extra or {}).get("wall_ms", ours.duration_ms) == its.duration_ms
            reported["duration_ms"] = ours.duration_ms
        else:  # stamped when it was over
            reported["timestamp"] = its.timestamp - max(its.duration_ms, 0.0) / 1000
        assert {n: getattr(ours, n) for n, v in reported.items() if v is not None} == {
            n: v for n, v in reported.items() if v is not None
        }
        assert set(ours.extra or {}) <= ADDED


def assert_flaky(trace):
    """What selectools' own trace leaves out: the retry, and the cached tokens."""
    first, last = trace.filter(type="llm_call")
    (retry,) = first.extra["retries"]
    assert retry == {"attempt": 1, "error": "ProviderError: 429, try again", "backoff_seconds": 0.0}
    assert (first.prompt_tokens, first.completion_tokens) == (100, 20)
    assert (last.prompt_tokens, last.cost_usd) == (101, 0.0025)
    assert first.extra["cache_read_tokens"] == last.extra["cache_read_tokens"] == 64
    assert "retries" not in last.extra
    assert [step.tool_name for step in trace.filter(type="tool_execution")] == ["weather"]
    (error,) = trace.filter(type="error")
    assert error.tool_name == "broken"
    assert "no spare gear" in error.error


@pytest.fixture(params=["blocking store", "async store"])
def store(request, tmp_path):
    """An async and a blocking store over one file; the tests read it through the blocking one."""
    with SQLiteTraceStore(tmp_path / "traces.db") as reader:
        if request.param == "blocking store":
            reader.under_test = reader
            yield reader
        else:
            reader.under_test = AsyncSQLiteTraceStore(tmp_path / "traces.db")
            yield reader
            asyncio.run(reader.under_test.aclose())


@pytest.fixture(params=[TraceSavingObserver, AsyncTraceSavingObserver])
def observer(request, store):
    return request.param(store.under_test)


def settled(observer):
    """The observer, with nothing left to do in the background."""
    gc.collect()
    done = observer.flush(30)
    assert asyncio.run(done) if asyncio.iscoroutine(done) else done
    return observer


class TestRunsThatEndWell:
    def test_run(self, observer, store):
        result = agent(FLAKY, observer).run("How is it?")
        trace = store.load(result.trace.run_id)
        assert_same(trace, result.trace)
        assert_flaky(trace)
        assert (observer.saved, observer.failed) == (1, 0)

    def test_arun(self, observer, store):
        result = asyncio.run(agent(FLAKY, observer).arun("How is it?"))
        trace = store.load(result.trace.run_id)
        assert_same(trace, result.trace)
        assert_flaky(trace)
        assert (observer.saved, observer.failed) == (1, 0)

    @pytest.mark.parametrize("streaming", [True, False])
    def test_astream(self, observer, store, streaming):
        async def last():
            stream = agent(FLAKY[1:], observer, streaming=streaming).astream("How is it?")
            return [item async for item in stream][-1]

        result = asyncio.run(last())
        assert_same(store.load(result.trace.run_id), result.trace)
        assert observer.saved == 1

    def test_tokens_that_selectools_counted_but_did_not_trace_are_kept(self, observer, store):
        async def last():
            stream = agent(FLAKY[1:], observer).astream("How is it?")
            return [item async for item in stream][-1]

        result = asyncio.run(last())
        assert [step.prompt_tokens for step in result.trace.filter(type="llm_call")] == [None] * 2
        stored = store.load(result.trace.run_id).filter(type="llm_call")
        assert sum(step.prompt_tokens for step in stored) == result.usage.total_prompt_tokens
        assert sum(step.completion_tokens for step in stored) == (
            result.usage.total_completion_tokens
        )
        assert sum(step.cost_usd for step in stored) == result.usage.total_cost_usd

    def test_model_calls_that_selectools_did_not_trace_are_there(self, observer, store):
        streaming = agent(FLAKY[1:], observer, streaming=True, stream=True)
        result = streaming.run("How is it?")
        assert result.trace.filter(type="llm_call") == []
        kinds = [step.type.value for step in store.load(result.trace.run_id)]
        assert kinds == [
            "llm_call",
            *("tool_selection",) * 2,
            "tool_execution",
            "error",
            "llm_call",
        ]

    def test_batch(self, observer, store):
        results = agent(FLAKY[1:], observer).batch([f"How is {n}?" for n in range(12)])
        assert store.count() == observer.saved == 12
        for result in results:
            assert_same(store.load(result.trace.run_id), result.trace)

    def test_abatch(self, observer, store):
        runner = agent(FLAKY[1:], observer)
        results = asyncio.run(runner.abatch([f"How is {n}?" for n in range(12)]))
        assert store.count() == observer.saved == 12
        for result in results:
            assert_same(store.load(result.trace.run_id), result.trace)

    def test_one_observer_in_many_event_loops_one_after_another(self, observer, store):
        runner = agent(["Fine."], observer)
        for _ in range(5):
            asyncio.run(runner.arun("How is it?"))
        assert store.count() == observer.saved == 5

    def test_one_observer_in_many_threads_and_loops_at_once(self, observer, store):
        def work():
            runner = agent(FLAKY[1:], observer)
            runner.run("How is it?")
            asyncio.run(runner.arun("And now?"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.count() == observer.saved == 8

    def test_a_blocking_run_within_a_loop(self, observer, store):
        async def main():
            return agent(["Fine."], observer).run("How is it?")

        result = asyncio.run(main())
        assert_same(store.load(result.trace.run_id), result.trace)
        assert observer.saved == 1

    def test_child_runs_name_their_parent(self, observer, store):
        inner = agent(["Eight."], observer)

        @tool()
        def ask_a_colleague(question: str) -> str:
            """Ask."""
            return inner.run(question, parent_run_id=outer_id()).content

        def outer_id():
            return next(iter(observer._open))

        outer = agent(
            [[("ask_a_colleague", {"question": "When?"})], "At eight."],
            observer,
            tools=[ask_a_colleague],
        )
        result = outer.run("When?")
        (child,) = store.query(TraceFilter(parent_run_id=result.trace.run_id))
        assert store.load(child.run_id).parent_run_id == result.trace.run_id
        assert observer.saved == 2

    def test_a_clock_that_runs_backwards(self, observer, store, monkeypatch):
        ticks = itertools.count()
        monkeypatch.setattr(time, "time", lambda: 1e9 - next(ticks))
        result = agent(FLAKY, observer).run("How is it?")
        monkeypatch.undo()
        trace = store.load(result.trace.run_id)
        assert_same(trace, result.trace)
        assert_flaky(trace)

    def test_cached_answers_are_not_paid_twice(self, observer, store):
        from selectools.cache import InMemoryCache

        runner = agent(["Fine."], observer, cache=InMemoryCache())
        runner.clone_for_isolation().run("How is it?")
        result = runner.clone_for_isolation().run("How is it?")
        trace = store.load(result.trace.run_id)
        assert [step.type for step in trace] == [StepType.CACHE_HIT]
        assert trace.steps[0].cost_usd is None


class TestRunsThatEndOtherwise:
    def test_an_error(self, observer, store):
        with pytest.raises(ValueError, match="boom"):
            agent([FLAKY[1], ValueError("boom")], observer).run("How is it?")
        assert_failed(store, observer)

    def test_an_error_in_arun(self, observer, store):
        with pytest.raises(ValueError, match="boom"):
            asyncio.run(agent([FLAKY[1], ValueError("boom")], observer).arun("How is it?"))
        assert_failed(store, observer)

    def test_an_error_in_astream(self, observer, store):
        async def all_of_it():
            async for _ in agent([FLAKY[1], ValueError("boom")], observer).astream("How is it?"):
                pass

        with pytest.raises(ValueError, match="boom"):
            asyncio.run(all_of_it())
        assert_failed(store, observer)

    def test_errors_in_a_batch(self, observer, store):
        agent([ValueError("boom")], observer).batch(["How is it?"] * 4)
        assert store.count(TraceFilter(has_error=True)) == observer.saved == 4

    def test_a_budget_that_is_exceeded(self, observer, store):
        result = agent(FLAKY[1:], observer, max_total_tokens=50).run("How is it?")
        trace = store.load(result.trace.run_id)
        assert_same(trace, result.trace)
        assert trace.filter(type="budget_exceeded")

    def test_too_many_iterations(self, observer, store):
        result = agent(FLAKY[1:], observer, max_iterations=1).run("How is it?")
        assert "Maximum iterations" in result.content
        assert_same(store.load(result.trace.run_id), result.trace)

    def test_a_cancellation_token(self, observer, store):
        token = CancellationToken()
        token.cancel()
        result = asyncio.run(agent(["Fine."], observer, cancellation_token=token).arun("How?"))
        trace = store.load(result.trace.run_id)
        assert_same(trace, result.trace)
        assert trace.filter(type="cancelled")
        assert observer.saved == 1

    def test_a_cancelled_task(self, observer, store):
        async def main():
            gate = Gate()
            turns = [FLAKY[1], [("gate", {"name": "ada"})], "Through."]
            task = asyncio.create_task(agent(turns, observer, tools=[gate.tool]).arun("Go."))
            await gate.entered.wait()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert settled(observer).saved == 1
        trace = store.load(store.list()[0].run_id)
        assert trace.metadata == {"user": "ada"}
        kinds = Counter(step.type.value for step in trace)
        assert kinds["llm_call"] == 2
        assert trace.steps[-1].type == StepType.CANCELLED
        waiting = trace.steps[-2]
        assert (waiting.tool_name, waiting.tool_args) == ("gate", {"name": "ada"})
        assert waiting.extra == {"unfinished": True}

    def test_a_timeout_within_a_task_that_lives_on(self, observer, store):
        async def end_when_entered(gate, limit):
            await gate.entered.wait()
            limit.reschedule(asyncio.get_running_loop().time())

        async def main():
            gate = Gate()
            runner = agent([[("gate", {"name": "ada"})], "Through."], observer, tools=[gate.tool])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    ending = asyncio.create_task(end_when_entered(gate, limit))
                    await runner.arun("Go.")
            await ending
            async with asyncio.timeout(60):  # what is left of the run goes when the loop lets go
                while not observer.saved:
                    await asyncio.to_thread(settled, observer)

        asyncio.run(main())
        assert store.load(store.list()[0].run_id).filter(type="cancelled")
        assert observer.saved == 1

    def test_a_stream_that_nobody_reads_to_its_end(self, observer, store):
        async def main():
            stream = agent(FLAKY[1:], observer, streaming=True).astream("How is it?")
            await anext(stream)
            await stream.aclose()

        asyncio.run(main())
        assert settled(observer).saved == 1
        assert store.load(store.list()[0].run_id).filter(type="cancelled")

    def test_a_keyboard_interrupt(self, observer, store):
        @tool()
        def interrupted(name: str) -> str:
            """Interrupt."""
            raise KeyboardInterrupt

        turns = [[("interrupted", {"name": "ada"})], "Through."]
        with contextlib.suppress(KeyboardInterrupt):
            agent(turns, observer, tools=[interrupted], tool_timeout_seconds=None).run("Go.")
        assert settled(observer).saved == 1
        assert store.load(store.list()[0].run_id).filter(type="llm_call")

    def test_nothing_is_kept_of_runs_that_ended(self, observer):
        runner = agent(FLAKY[1:], observer)
        runner.batch(["How is it?"] * 3)
        asyncio.run(runner.abatch(["How is it?"] * 3))
        assert observer._open == {}

    @pytest.mark.slow
    def test_a_program_that_ends_in_the_midst_of_a_run(self, tmp_path):
        program = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from selectools import tool
from selectools_agents import agent
from selectools_observe import SQLiteTraceStore
from selectools_observe.integrations.selectools import TraceSavingObserver

entered = threading.Event()

@tool()
def wait(name: str) -> str:
    "Wait."
    entered.set()
    threading.Event().wait()

observer = TraceSavingObserver(SQLiteTraceStore(sys.argv[2]))
runner = agent([[("wait", {"name": "ada"})]], observer, tools=[wait], tool_timeout_seconds=None)
threading.Thread(target=runner.run, args=("Go.",), daemon=True).start()
entered.wait()
"""
        path = tmp_path / "traces.db"
        folder = str(Path(__file__).parent)
        subprocess.run([sys.executable, "-c", program, folder, path], check=True, timeout=60)
        with SQLiteTraceStore(path) as store:
            (summary,) = store.list()
            assert summary.metadata == {"user": "ada", "unfinished": True}
            assert store.load(summary.run_id).filter(type="tool_execution")[0].tool_name == "wait"


def assert_failed(store, observer):
    """A run of which the second model call failed."""
    assert (observer.saved, observer.failed) == (1, 0)
    (summary,) = store.query(TraceFilter(has_error=True, metadata_match={"user": "ada"}))
    trace = store.load(summary.run_id)
    assert [step.tool_name for step in trace.filter(type="tool_execution")] == ["weather"]
    assert trace.steps[-1].type == StepType.ERROR
    assert trace.steps[-1].error == "ValueError: boom"
    first, second = trace.filter(type="llm_call")
    assert (first.error, second.error) == (None, "ValueError: boom")


class TestGraphs:
    def graph(self, observer, **options):
        graph = AgentGraph(name="desk", observers=[observer], **options)
        graph.add_node("triage", agent(FLAKY[1:], observer))
        graph.add_node("answer", agent(["Here you are."], observer))
        graph.add_edge("triage", "answer")
        graph.add_edge("answer", AgentGraph.END)
        graph.set_entry("triage")
        return graph

    def assert_stored(self, store, result):
        trace = store.load(result.trace.run_id)
        assert_same(trace, result.trace)
        assert [step.node_name for step in trace.filter(type="graph_node_start")] == [
            "desk",
            "triage",
            "answer",
        ]
        children = store.query(TraceFilter(parent_run_id=trace.run_id))
        theirs = [result.trace for results in result.node_results.values() for result in results]
        assert {child.run_id for child in children} == {child.run_id for child in theirs}

    def test_run(self, observer, store):
        result = self.graph(observer).run("Where is it?")
        self.assert_stored(store, settled_result(observer, result))
        assert observer.saved == 3

    def test_arun(self, observer, store):
        result = asyncio.run(self.graph(observer).arun("Where is it?"))
        self.assert_stored(store, settled_result(observer, result))

    def test_astream(self, observer, store):
        async def last():
            events = [event async for event in self.graph(observer).astream("Where is it?")]
            return events[-1]

        event = asyncio.run(last())
        self.assert_stored(store, settled_result(observer, event.result))

    def test_a_node_that_fails(self, observer, store):
        graph = AgentGraph(name="desk", observers=[observer])
        graph.add_node("triage", agent([ValueError("boom")], observer))
        graph.set_entry("triage")
        graph.add_edge("triage", AgentGraph.END)
        with contextlib.suppress(Exception):
            graph.run("Where is it?")
        settled(observer)
        failed = store.query(TraceFilter(has_error=True))
        assert len(failed) == 2
        (whole,) = [store.load(s.run_id) for s in failed if "graph_name" in s.metadata]
        (error,) = whole.filter(type="error")
        assert (error.node_name, error.error) == ("triage", "ValueError: boom")

    def test_a_failed_graph_is_stored_though_its_error_is_kept(self, store):
        """An error holds on to all that its functions knew, selectools' own trace included."""
        observer = TraceSavingObserver(store.under_test)
        graph = AgentGraph(name="desk", observers=[observer])
        graph.add_node("triage", agent([ValueError("boom")]))
        graph.set_entry("triage")
        with pytest.raises(Exception, match="boom"):
            graph.run("Where is it?")
        assert store.count(TraceFilter(has_error=True)) == 1

    def test_a_node_that_is_skipped(self, observer, store):
        graph = AgentGraph(name="desk", observers=[observer], error_policy="skip")
        graph.add_node("triage", agent([ValueError("boom")], observer))
        graph.add_node("answer", agent(["Here you are."], observer))
        graph.add_edge("triage", "answer")
        graph.add_edge("answer", AgentGraph.END)
        graph.set_entry("triage")
        result = settled_result(observer, graph.run("Where is it?"))
        trace = store.load(result.trace.run_id)
        kept = [step for step in trace if step.type != StepType.ERROR]
        assert [step.type.value for step in kept] == [step.type.value for step in result.trace]
        assert [step.node_name for step in trace.filter(type="error")] == ["triage"]
        assert trace.filter(type="cancelled") == []

    def test_nodes_in_parallel(self, observer, store):
        graph = AgentGraph(name="desk", observers=[observer])
        graph.add_node("left", agent(["L"], observer))
        graph.add_node("right", agent(["R"], observer))
        graph.add_parallel_nodes("both", ["left", "right"])
        graph.set_entry("both")
        graph.add_edge("both", AgentGraph.END)
        result = settled_result(observer, graph.run("Where is it?"))
        trace = store.load(result.trace.run_id)
        assert_same(trace, result.trace)
        assert trace.filter(type="graph_parallel_start")[0].children == ["left", "right"]
        assert len(store.query(TraceFilter(parent_run_id=trace.run_id))) == 2


def settled_result(observer, result):
    settled(observer)
    return result


class TestTheHook:
    @pytest.mark.parametrize("observer_type", [TraceSavingObserver, AsyncTraceSavingObserver])
    def test_takes_two_arguments_or_the_page_s_three(self, observer_type):
        result = agent(["Fine."]).run("How is it?")
        with InMemoryTraceStore() as store:
            observer_type(store).on_run_end(result.trace.run_id, result)
            observer_type(store).on_run_end(result.trace.run_id, result, 12.5)
            assert_same(store.load(result.trace.run_id), result.trace)

    def test_the_page_s_subclass_works(self):
        class Mine(TraceSavingObserver):
            def on_run_end(self, run_id, result):
                super().on_run_end(run_id, result, 1.0)

        with InMemoryTraceStore() as store:
            agent(["Fine."], Mine(store)).run("How is it?")
            assert store.count() == 1

    async def test_the_async_one_awaits_the_store(self):
        async with Noting() as store:
            await agent(["Fine."], AsyncTraceSavingObserver(store)).arun("How is it?")
            assert store.threads == [threading.current_thread()]


@pytest.mark.parametrize("observer_type", [TraceSavingObserver, AsyncTraceSavingObserver])
@pytest.mark.parametrize("refusing", [Refusing(), AsyncRefusing()], ids=["blocking", "async"])
def test_a_store_that_fails_breaks_no_agent_and_is_heard(observer_type, refusing, caplog):
    handed = []
    observer = observer_type(refusing, on_error=lambda error, trace: handed.append(trace.run_id))
    runner = agent(["Fine."], observer)
    results = [runner.run("How is it?"), asyncio.run(runner.arun("And now?"))]
    assert [result.content for result in results] == ["Fine."] * 2
    assert handed == [result.trace.run_id for result in results]
    assert (observer.saved, observer.failed) == (0, 2)
    assert caplog.text.count("is not saved: StorageError: disk: it is full") == 2


class TestRunsThatNeverEnd:
    def test_the_oldest_is_saved_unfinished_and_again_when_it_ends(self):
        with InMemoryTraceStore() as store:
            observer = TraceSavingObserver(store, max_open_runs=2)

            async def main():
                gate = Gate()
                turns = [[("gate", {"name": "ada"})], "Through."]
                runners = [agent(turns, observer, tools=[gate.tool]) for _ in range(3)]
                tasks = [asyncio.create_task(runner.arun("Go.")) for runner in runners]
                await gate.entered.wait()
                await asyncio.to_thread(settled, observer)
                (early,) = store.list()
                assert early.metadata == {"user": "ada", "unfinished": True}
                gate.open.set()
                results = await asyncio.gather(*tasks)
                assert results[0].trace.run_id == early.run_id
                return results

            for result in asyncio.run(main()):
                assert_same(store.load(result.trace.run_id), result.trace)
            assert len(observer._open) == 0

    def test_the_limit_must_leave_room_for_one(self):
        with pytest.raises(ValueError, match="max_open_runs"):
            TraceSavingObserver(InMemoryTraceStore(), max_open_runs=0)


def test_what_an_observer_cannot_find_it_reconstructs(monkeypatch):
    """As under a selectools that keeps its trace elsewhere."""
    from selectools_observe.integrations.selectools import runs as _selectools_runs

    monkeypatch.setattr(_selectools_runs, "caller_variables", lambda *_: {})
    with InMemoryTraceStore() as store:
        observer = TraceSavingObserver(store)
        turns = [*FLAKY[:2], ValueError("boom")]
        with pytest.raises(ValueError, match="boom"):
            agent(turns, observer, parallel_tool_execution=False).run("How is it?")
        trace = store.load(store.list()[0].run_id)
        kinds = [step.type.value for step in trace]
        assert kinds == ["llm_call", "tool_execution", "tool_execution", "llm_call", "error"]
        first, weather, broken, second, error = trace
        assert (first.model, first.prompt_tokens, first.cost_usd) == ("scripted-1", 100, 0.0025)
        assert first.extra["retries"][0]["error"] == "ProviderError: 429, try again"
        assert (weather.tool_args, weather.tool_result) == ({"city": "Oslo"}, "rain in Oslo")
        assert "no spare gear" in broken.error
        assert second.error == error.error == "ValueError: boom"
