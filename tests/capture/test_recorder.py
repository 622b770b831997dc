"""The recorder: runs and steps of code with no framework."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import anyio.to_thread
import pytest
from capture_stores import FiveMethods, OneLoop

from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    StepType,
    StorageError,
    SyncTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.capture import (
    AsyncBackgroundTraceStore,
    BackgroundTraceStore,
    Recorder,
    current_run,
    propagate_context,
)


@pytest.fixture
def store():
    with InMemoryTraceStore() as store:
        yield store


@pytest.fixture
def recorder(store):
    with Recorder(store) as recorder:
        yield recorder


class TestARun:
    def test_is_saved_with_its_steps(self, recorder, store):
        before = time.time()
        with recorder.run(metadata={"user": "ada"}, run_id="run-1") as run:
            with run.llm_call("gpt-4o", cost_usd=0.01) as call:
                call.prompt_tokens, call.completion_tokens = 12, 3
                time.sleep(0.02)
            with run.tool("search", {"q": "kettle"}) as call:
                call.tool_result = {"hits": ["é", 1]}
            with run.step("guardrail", summary="fine"):
                pass
            run.add(TraceStep("cache_hit", duration_ms=1.5))
            run.metadata["topic"] = "kettles"
        loaded = store.load("run-1")
        assert loaded.metadata == {"user": "ada", "topic": "kettles"}
        assert before <= loaded.start_time <= time.time()
        llm, tool, guardrail, cache = loaded.steps
        assert (llm.type, llm.model, llm.cost_usd) == (StepType.LLM_CALL, "gpt-4o", 0.01)
        assert (llm.prompt_tokens, llm.completion_tokens) == (12, 3)
        assert 20 <= llm.duration_ms < 600_000
        assert before <= llm.timestamp <= tool.timestamp <= time.time()
        assert (tool.type, tool.tool_name, tool.tool_args) == (
            StepType.TOOL_EXECUTION,
            "search",
            {"q": "kettle"},
        )
        assert json.loads(tool.tool_result) == {"hits": ["é", 1]}
        assert (guardrail.type, guardrail.summary) == (StepType.GUARDRAIL, "fine")
        assert (cache.type, cache.duration_ms) == (StepType.CACHE_HIT, 1.5)
        assert recorder.counts.saved == 1

    def test_takes_as_long_as_its_block(self, recorder, store):
        with recorder.run() as run:
            with run.llm_call("gpt-4o"):
                pass
            time.sleep(0.02)
        loaded = store.load(run.run_id)
        assert 20 <= loaded.wall_ms < 600_000
        assert loaded.end_time == pytest.approx(loaded.start_time + loaded.wall_ms / 1000)

    def test_that_somebody_replays_has_the_times_that_are_given(self, recorder, store):
        at = 1_700_000_000.0
        with recorder.run() as begun_before:
            begun_before.add(TraceStep("llm_call", at, 5_000))
        with recorder.run() as begun_then:
            begun_then.trace.start_time = at
            begun_then.add(TraceStep("llm_call", at + 1, 5_000))
        with recorder.run() as ended_then:
            ended_then.trace.start_time, ended_then.trace.end_time = at, at + 7
        runs = [begun_before, begun_then, ended_then]
        assert [store.load(run.run_id).wall_ms for run in runs] == [5_000, 6_000, 7_000]

    def test_durations_do_not_follow_the_clock(self, recorder, store, monkeypatch):
        with recorder.run() as run:
            with run.step("llm_call") as step:
                monkeypatch.setattr(time, "time", lambda: 0.0)
            assert 0 <= step.duration_ms < 600_000

    def test_a_step_that_is_never_entered_stays_as_it_was_given(self, recorder, store):
        with recorder.run() as run:
            run.llm_call("gpt-4o", prompt_tokens=5, duration_ms=812)
            with run.step("guardrail"):
                pass
        first, second = store.load(run.run_id).steps
        assert (first.model, first.duration_ms, second.type) == ("gpt-4o", 812, "guardrail")

    def test_steps_stand_in_the_order_of_their_beginnings_and_know_their_outer(
        self, recorder, store
    ):
        with recorder.run() as run:
            with run.step("graph_node_start", node_name="plan"):
                with run.llm_call("a"):
                    pass
                with run.tool("b"), run.step("cache_hit"):
                    pass
            with run.llm_call("c"):
                pass
        steps = store.load(run.run_id).steps
        assert [step.type.value for step in steps] == [
            "graph_node_start", "llm_call", "tool_execution", "cache_hit", "llm_call",
        ]  # fmt: skip
        outer = [(step.extra or {}).get("parent_step") for step in steps]
        assert outer == [None, 1, 1, 3, None]
        assert [step.step_number for step in steps] == [1, None, 3, None, None]
        for step, number in zip(steps, outer, strict=True):
            if number is not None:  # within its outer step: a waterfall can be drawn
                around = steps[number - 1]
                assert around.timestamp <= step.timestamp
                assert step.duration_ms <= around.duration_ms

    async def test_steps_of_tasks_at_once_are_siblings(self):
        async def tool(run, name):
            async with run.tool(name):
                await asyncio.sleep(0.01)

        with SyncTraceStore(AsyncInMemoryTraceStore()) as store:
            async with Recorder(store).run() as run, run.step("graph_parallel_start"):
                await asyncio.gather(tool(run, "a"), tool(run, "b"))
            outer, *tools = (await asyncio.to_thread(store.load, run.run_id)).steps
        assert sorted(step.tool_name for step in tools) == ["a", "b"]
        assert [step.extra for step in tools] == [{"parent_step": 1}] * 2
        assert outer.step_number == 1

    def test_is_entered_once(self, recorder):
        with recorder.run() as run, run.step("llm_call"):
            step = run.step("llm_call")
            with step:
                pass
        for once in (run, step):
            with pytest.raises(RuntimeError, match="can be entered only once"), once:
                pass

    def test_unknown_fields_are_refused(self, recorder):
        with recorder.run() as run:
            with pytest.raises(TypeError):
                run.step("llm_call", promt_tokens=1)
            with pytest.raises(TypeError):
                run.step(5)
            with run.llm_call() as call, pytest.raises(AttributeError):
                call.promt_tokens = 1

    def test_a_step_after_the_end_is_counted_and_logged(self, recorder, store, caplog):
        with recorder.run() as run:
            pass
        with run.step("llm_call"):
            pass
        assert recorder.counts.late_steps == 1
        assert "after the end of run" in caplog.text
        assert len(store.load(run.run_id)) == 0


class TestErrors:
    def test_an_exception_becomes_an_error_step_and_goes_on(self, recorder, store):
        def search():
            with recorder.run(run_id="run") as run, run.tool("search") as call:
                call.tool_result = "half"
                raise KeyError("kettle")

        with pytest.raises(KeyError):
            search()
        (step,) = store.load("run").steps
        assert (step.type, step.tool_result) == ("tool_execution", "half")
        assert step.error == "KeyError: 'kettle'"
        assert [s.run_id for s in store.query(TraceFilter(has_error=True))] == ["run"]

    def test_one_between_steps_is_a_step_of_its_own(self, recorder, store):
        with contextlib.suppress(ValueError), recorder.run() as run:
            with run.llm_call():
                pass
            raise ValueError("no")
        _, step = store.load(run.run_id).steps
        assert (step.type, step.error) == ("error", "ValueError: no")

    def test_one_that_the_agent_handles_leaves_only_its_step(self, recorder, store):
        with recorder.run() as run:
            with contextlib.suppress(ValueError), run.tool("a"):
                raise ValueError("no")
            with run.tool("a"):
                pass
        assert [step.error for step in store.load(run.run_id)] == ["ValueError: no", None]

    def test_an_error_that_was_set_stays(self, recorder, store):
        with contextlib.suppress(ValueError), recorder.run() as run, run.tool("a") as call:
            call.error = "in our words"
            raise ValueError("no")
        assert store.load(run.run_id).steps[0].error == "in our words"

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
    def test_an_interrupted_run_is_saved(self, recorder, store, error):
        def agent(run):
            with run.llm_call():
                pass
            raise error

        with pytest.raises(type(error)), recorder.run() as run:
            agent(run)
        _, step = store.load(run.run_id).steps
        assert step.type == ("cancelled" if isinstance(error, KeyboardInterrupt) else "error")

    def test_an_exception_without_text(self, recorder, store):
        class MuteError(Exception):
            def __str__(self):
                raise RuntimeError

        with contextlib.suppress(MuteError), recorder.run() as run:
            raise MuteError
        assert store.load(run.run_id).steps[0].error == "MuteError"


class TestCancellation:
    @pytest.fixture(params=["memory", "sqlite", "background", "blocking"])
    async def behind(self, request, tmp_path):
        if request.param == "blocking":
            with InMemoryTraceStore() as store:
                yield store
            return
        made = {
            "memory": AsyncInMemoryTraceStore,
            "sqlite": lambda: AsyncSQLiteTraceStore(tmp_path / "traces.db"),
            "background": lambda: AsyncBackgroundTraceStore(AsyncInMemoryTraceStore()),
        }[request.param]()
        async with made as store:
            yield store

    async def check(self, behind, run_id):
        loaded = behind.load(run_id)
        loaded = await loaded if asyncio.iscoroutine(loaded) else loaded
        assert [step.type.value for step in loaded] == ["llm_call", "cancelled"]

    async def agent(self, recorder, run_id, has_called):
        async with recorder.run(run_id=run_id) as run:
            async with run.llm_call():
                pass
            has_called.set()
            await asyncio.sleep(60)

    @pytest.mark.parametrize("times", [1, 2, 3])
    async def test_a_cancelled_run_is_saved_and_the_cancellation_goes_on(self, behind, times):
        has_called = asyncio.Event()
        task = asyncio.create_task(self.agent(Recorder(behind), "run", has_called))
        await has_called.wait()
        for _ in range(times):  # again while it is being saved
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await self.check(behind, "run")

    async def test_a_scope_that_is_cancelled(self, behind):
        async with anyio.create_task_group() as group:
            has_called = anyio.Event()
            group.start_soon(self.agent, Recorder(behind), "run", has_called)
            await has_called.wait()
            group.cancel_scope.cancel()
        await self.check(behind, "run")

    def test_a_loop_that_ends(self, tmp_path):
        store = AsyncSQLiteTraceStore(tmp_path / "traces.db")

        async def main():
            has_called = asyncio.Event()
            tasks.append(asyncio.create_task(self.agent(Recorder(store), "run", has_called)))
            await has_called.wait()

        tasks = []
        asyncio.run(main())
        asyncio.run(self.check(store, "run"))
        asyncio.run(store.aclose())


class TestNesting:
    def test_an_inner_run_knows_its_parent_and_its_root(self, recorder, store):
        with recorder.run() as outer, recorder.run() as middle, recorder.run() as inner:
            assert current_run() is inner
        assert current_run() is None
        assert store.load(outer.run_id).parent_run_id is None
        assert store.load(middle.run_id).parent_run_id == outer.run_id
        loaded = store.load(inner.run_id)
        assert loaded.parent_run_id == middle.run_id
        assert loaded.metadata["root_run_id"] == outer.run_id

    def test_a_parent_that_is_given_wins(self, recorder, store):
        with recorder.run(), recorder.run(parent_run_id="other") as inner:
            pass
        assert store.load(inner.run_id).parent_run_id == "other"

    async def test_across_tasks_and_threads(self, store):
        recorder = Recorder(store)

        def inner():
            with recorder.run() as run:
                return run.parent_run_id

        async def inner_task():
            async with recorder.run() as run:
                await asyncio.sleep(0)
                return run.parent_run_id

        async with recorder.run() as outer:
            assert await asyncio.gather(*[inner_task() for _ in range(4)]) == [outer.run_id] * 4
            assert await asyncio.to_thread(inner) == outer.run_id
            assert await anyio.to_thread.run_sync(inner) == outer.run_id
            with ThreadPoolExecutor(4) as pool:
                assert [*pool.map(propagate_context(inner), *[[]])] == []
                found = [pool.submit(propagate_context(inner)).result() for _ in range(8)]
            assert found == [outer.run_id] * 8
            told = []
            thread = threading.Thread(target=propagate_context(lambda: told.append(inner())))
            thread.start()
            thread.join()
            assert told == [outer.run_id]
        assert current_run() is None

    async def test_tasks_at_once_do_not_mix(self, store):
        recorder = Recorder(store)

        async def agent(n):
            async with recorder.run(metadata={"n": n}) as run:
                for _ in range(5):
                    async with run.tool(f"tool-{n}"):
                        await asyncio.sleep(0)
                    assert current_run() is run
            return run.run_id

        for n, run_id in enumerate(await asyncio.gather(*[agent(n) for n in range(20)])):
            loaded = store.load(run_id)
            assert loaded.parent_run_id is None
            assert {step.tool_name for step in loaded} == {f"tool-{n}"}
            assert len(loaded) == 5

    def test_threads_add_steps_to_one_run(self, recorder, store):
        with recorder.run() as run:

            def work(n):
                for _ in range(50):
                    with run.tool(f"{n}"):
                        pass

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(work, range(8)))
        assert len(store.load(run.run_id)) == 400


class TestFaces:
    async def test_an_async_store_refuses_a_blocking_run(self):
        recorder = Recorder(AsyncInMemoryTraceStore())
        with pytest.raises(TypeError, match="use 'async with'"), recorder.run():
            pass
        with pytest.raises(TypeError, match="SyncTraceStore"):

            @recorder.agent()
            def agent():
                pass

    async def test_a_blocking_store_is_used_in_a_thread(self, store):
        threads = []

        class Noting(FiveMethods):
            def save(self, trace):
                threads.append(threading.current_thread())
                return super().save(trace)

        async with Recorder(Noting()).run():
            pass
        assert threads
        assert threading.current_thread() not in threads

    @pytest.mark.parametrize("bad", ["traces.db", None, 5])
    def test_what_is_no_store_is_refused(self, bad):
        with pytest.raises(TypeError, match="not a trace store"):
            Recorder(bad)

    async def test_a_store_of_another_make(self):
        behind = OneLoop()
        async with Recorder(behind).run() as run:
            pass
        assert (await behind.load(run.run_id)).run_id == run.run_id


class Down:
    """A store that is down."""

    def save(self, trace):
        raise StorageError("the store", "it is down", "Wait")

    load = list = query = delete = save


class TestAFailingStore:
    def test_breaks_nothing_and_is_told(self, caplog):
        told = []
        recorder = Recorder(Down(), on_error=lambda *given: told.append(given))
        with recorder.run() as run, run.llm_call():
            pass
        ((error, trace),) = told
        assert isinstance(error, StorageError)
        assert (trace.run_id, len(trace)) == (run.run_id, 1)
        assert recorder.counts.failed == 1
        assert f"run {run.run_id!r} is not saved" in caplog.text.replace("'", "'")

    def test_does_not_hide_the_agents_own_error(self):
        with pytest.raises(ZeroDivisionError), Recorder(Down()).run():
            _ = 1 / 0

    def test_an_on_error_that_fails_breaks_nothing(self, caplog):
        def explode(*_):
            raise RuntimeError("callback")

        with Recorder(Down(), on_error=explode).run():
            pass
        assert "RuntimeError: callback" in caplog.text

    def test_a_background_store_tells_the_outcome(self):
        behind = FiveMethods(refuse=["bad"])
        with BackgroundTraceStore(behind, retries=0) as store:
            recorder = Recorder(store)
            for run_id in ("good", "bad"):
                with recorder.run(run_id=run_id):
                    pass
            store.flush()
            assert (recorder.counts.saved, recorder.counts.failed) == (1, 1)

    def test_a_value_that_cannot_be_stored_does_not_take_the_run_with_it(
        self, recorder, store, caplog
    ):
        class Mute:
            def __str__(self):
                raise RuntimeError

        loop = {}
        loop["self"] = loop
        deep = []
        for _ in range(1000):
            deep = [deep]
        with recorder.run(metadata={"loop": loop, "user": "ada"}) as run:
            with run.tool("a", {"q": loop, "n": 1, "deep": deep, "mute": Mute()}):
                pass
            with run.tool("b", {"q": 2}):
                pass
        loaded = store.load(run.run_id)
        assert loaded.metadata["user"] == "ada"
        assert loaded.steps[0].tool_args["n"] == 1
        for key in ("q", "deep", "mute"):
            assert "cannot be stored" in str(loaded.steps[0].tool_args[key])
        assert loaded.steps[1].tool_args == {"q": 2}
        assert "saved without it" in caplog.text


class TestDecorators:
    def test_functions(self, recorder, store):
        @recorder.tool
        def add(a: int, b: int = 2, *rest, scale=1) -> int:
            """Add."""
            return (a + b + sum(rest)) * scale

        @recorder.agent(metadata={"env": "test"})
        def answer(question):
            return f"{question}: {add(1)} {add(1, 2, 3, scale=4)}"

        assert answer("sum") == "sum: 3 24"
        assert (add.__name__, add.__doc__) == ("add", "Add.")
        assert add(5, 5) == 10  # outside of a run
        (summary,) = store.list()
        assert summary.metadata == {"agent": "answer", "env": "test"}
        first, second = store.load(summary.run_id).steps
        assert first.tool_args == {"a": 1, "b": 2, "rest": [], "scale": 1}
        assert second.tool_args == {"a": 1, "b": 2, "rest": [3], "scale": 4}
        assert (second.tool_name, second.tool_result) == ("add", "24")

    async def test_coroutines_and_methods(self, store):
        recorder = Recorder(store)

        class Shop:
            @recorder.tool(name="find")
            async def find_order(self, number):
                await asyncio.sleep(0)
                return {"order": number}

            @recorder.agent(name="shop")
            async def run(self, number):
                return await self.find_order(number)

        assert await Shop().run(7) == {"order": 7}
        (summary,) = store.list()
        (step,) = store.load(summary.run_id).steps
        assert summary.metadata == {"agent": "shop"}
        assert (step.tool_name, step.tool_args) == ("find", {"number": 7})
        assert step.tool_result == '{"order":7}'

    def test_generators(self, recorder, store):
        @recorder.tool()
        def words(text):
            yield from text.split()

        @recorder.agent
        def stream(text):
            for word in words(text):
                yield word.upper()

        seen = []
        for word in stream("a b c"):
            seen.append(word)
            assert current_run() is None  # between two items the caller is outside
        assert seen == ["A", "B", "C"]
        (summary,) = store.list()
        (step,) = store.load(summary.run_id).steps
        assert (step.tool_name, step.tool_result) == ("words", '["a","b","c"]')

    async def test_asynchronous_generators(self, store):
        recorder = Recorder(store)

        @recorder.agent()
        async def stream():
            for n in range(3):
                async with current_run().llm_call(f"{n}"):
                    await asyncio.sleep(0)
                yield n

        async for _ in stream():
            assert current_run() is None
        (summary,) = store.list()
        assert [step.model for step in store.load(summary.run_id)] == ["0", "1", "2"]

    async def test_a_stream_that_is_left_early_is_saved(self, store):
        recorder = Recorder(store)

        @recorder.agent()
        async def stream():
            async with current_run().llm_call("a"):
                yield 1
            yield 2

        async with contextlib.aclosing(stream()) as items:
            async for _ in items:
                break
        (summary,) = store.list()
        (step,) = store.load(summary.run_id).steps
        assert (step.model, step.error) == ("a", None)
        assert current_run() is None

    def test_errors_go_on(self, recorder, store):
        @recorder.tool()
        def fail():
            raise ValueError("no")

        @recorder.agent()
        def agent():
            fail()

        with pytest.raises(ValueError, match="no"):
            agent()
        (summary,) = store.list()
        (step,) = store.load(summary.run_id).steps
        assert (step.tool_name, step.error) == ("fail", "ValueError: no")

    def test_wrong_arguments_raise_what_they_always_raise(self, recorder):
        @recorder.tool()
        def add(a, b):
            return a + b

        with recorder.run(), pytest.raises(TypeError, match="missing 1 required"):
            add(1)

    def test_the_type_of_a_result_that_has_no_json_form(self, recorder, store):
        class Mute:
            def __str__(self):
                raise RuntimeError

        @recorder.tool()
        def give():
            return Mute()

        with recorder.run() as run:
            give()
        assert (
            store.load(run.run_id).steps[0].tool_result
            == '"[cannot be stored: Mute, RuntimeError]"'
        )


def test_the_trace_can_be_looked_at_while_it_grows(recorder):
    with recorder.run() as run:
        assert isinstance(run.trace, AgentTrace)
        with run.step("llm_call"):
            assert len(run.trace) == 1
        assert repr(run) == f"Run({run.run_id!r})"
