"""Capture never fails in silence: whatever user code raises inside a hook, the agent goes on, and
its run is stored, or counted as failed and handed to ``on_error``."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import pytest
from hostile import profile
from hostile_objects import ERRORS, hostile_type, hostile_values
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, AsyncInMemoryTraceStore, InMemoryTraceStore
from selectools_observe.capture import Recorder
from selectools_observe.capture.foreign_values import plain_of
from selectools_observe.model.codec import encode


class Told:
    """A store, and what ``on_error`` was told."""

    def __init__(self) -> None:
        self.store = InMemoryTraceStore()
        self.errors: list[tuple[Exception, str]] = []

    def on_error(self, error, trace):
        self.errors.append((error, trace.run_id))

    def is_accounted_for(self, runs: int, failed: int) -> bool:
        """Whether each of so many runs is stored, or was told."""
        stored = self.store.count()
        return stored + len({run_id for _, run_id in self.errors}) >= runs and failed == len(
            self.errors
        )


@profile(400)
@given(hostile_values)
def test_a_copy_of_any_value_can_be_stored(value):
    value = value.it
    encode(AgentTrace(run_id="run", input=plain_of(value)))


class TestRecorder:
    @profile(200)
    @given(hostile_values, hostile_values, st.sampled_from([*ERRORS, None]))
    def test_steps_and_runs(self, value, result, error):
        value, result = value.it, result.it
        told = Told()
        recorder = Recorder(told.store, on_error=told.on_error)
        expected = pytest.raises(error) if error else contextlib.nullcontext()
        with expected, recorder.run(input=value) as run:
            run.metadata["value"] = value
            with run.step("graph_node_start"), run.tool("look", {"value": value}) as step:
                step.tool_result = result
            if error:
                raise error("keep out")
        assert told.is_accounted_for(1, recorder.counts.failed)
        assert told.store.count() == 1

    @profile(100)
    @given(hostile_values)
    def test_decorators(self, value):
        value = value.it
        told = Told()
        recorder = Recorder(told.store, on_error=told.on_error)

        @recorder.tool
        def look(given, *more, **named):
            return given

        @recorder.agent
        def work(given):
            return look(given, given, other=given)

        assert work(value) is value
        assert told.is_accounted_for(1, recorder.counts.failed)
        assert told.store.count() == 1

    def test_an_error_that_cannot_be_compared(self):
        told = Told()
        error = hostile_type(ValueError, "__eq__", RuntimeError)

        def work():
            with Recorder(told.store).run(run_id="run") as run:
                with contextlib.suppress(ValueError), run.tool("a"):
                    raise ValueError("first")
                raise error("second")

        with pytest.raises(error):
            work()
        assert told.store.load("run").steps[-1].error == "Hostile: second"


class TestLangChain:
    @profile(60)
    @given(hostile_values, hostile_values)
    def test_runs(self, given_value, answer):
        given_value, answer = given_value.it, answer.it
        core = pytest.importorskip("langchain_core", reason="langchain is not installed")
        assert core
        from langchain_core.runnables import RunnableLambda

        from selectools_observe.integrations.langchain import TraceCallbackHandler

        told = Told()
        handler = TraceCallbackHandler(told.store, on_error=told.on_error)
        run = RunnableLambda(lambda _: [answer])
        with contextlib.suppress(Exception):  # LangChain itself looks at what it is given
            run.invoke(given_value, {"callbacks": [handler], "metadata": {"value": 1}})
        assert told.is_accounted_for(1, handler.failed) or not told.store.count()

    @profile(60)
    @given(hostile_values, hostile_values, st.sampled_from(ERRORS))
    def test_hooks(self, value, other, error):
        """The hooks themselves, with what LangChain would not let through."""
        value, other = value.it, other.it
        pytest.importorskip("langchain_core", reason="langchain is not installed")
        from selectools_observe.integrations.langchain import TraceCallbackHandler

        told = Told()
        handler = TraceCallbackHandler(told.store, on_error=told.on_error)
        root, tool, node, model = (uuid.uuid4() for _ in range(4))
        handler.on_chain_start(None, value, run_id=root, metadata={"a": value}, name="root")
        handler.on_tool_start({"name": value}, "x", run_id=tool, parent_run_id=root, inputs=value)
        handler.on_tool_end(other, run_id=tool)
        handler.on_chain_start(
            value, value, run_id=node, parent_run_id=root, metadata={"langgraph_node": "n"}
        )
        handler.on_custom_event("told", other, run_id=node)
        handler.on_chain_error(error("keep out"), run_id=node)
        handler.on_llm_start(value, other, run_id=model, parent_run_id=root)
        handler.on_llm_end(other, run_id=model)
        handler.on_chain_error(hostile_type(error, "__str__", error)("x"), run_id=root)
        assert told.is_accounted_for(1, handler.failed)
        for summary in told.store.list():
            assert summary.outcome == "error"


class TestSelectools:
    @profile(60)
    @given(hostile_values, hostile_values, st.sampled_from(ERRORS))
    def test_hooks(self, value, other, error):
        value, other = value.it, other.it
        pytest.importorskip("selectools", reason="selectools is not installed")
        from selectools_observe.integrations.selectools import TraceSavingObserver

        told = Told()
        observer = TraceSavingObserver(told.store, on_error=told.on_error)
        observer.on_run_start("run", value, other)
        observer.on_llm_start("run", value, "gpt-4o", other)
        observer.on_llm_end("run", other, value)
        observer.on_usage("run", other)
        observer.on_tool_start("run", "c1", "look", value)
        observer.on_tool_end("run", "c1", "look", other, 1.0)
        observer.on_tool_start("run", "c2", "look", value)
        observer.on_tool_error("run", "c2", "look", error("keep out"), value, 1.0)
        result = hostile_type(object, "trace" if error is KeyError else "message", error)()
        observer.on_run_end("run", result)
        assert told.is_accounted_for(1, observer.failed)

    @profile(40)
    @given(hostile_values)
    def test_tools(self, value):
        value = value.it
        pytest.importorskip("selectools", reason="selectools is not installed")
        from selectools import tool
        from selectools_agents import agent

        from selectools_observe.integrations.selectools import TraceSavingObserver

        @tool()
        def give(city: str) -> str:
            """Give."""
            return value

        told = Told()
        observer = TraceSavingObserver(told.store, on_error=told.on_error)
        runner = agent([[("give", {"city": "Oslo"})], "Done."], observer, tools=[give])
        with contextlib.suppress(Exception):  # selectools itself looks at what a tool gives
            runner.run("Go.")
        assert told.is_accounted_for(1, observer.failed)
        assert told.store.count() == 1


def test_what_contains_itself_is_not_copied_thousands_of_times():
    class Told:
        looked = 0

        def model_dump(self, **_):
            Told.looked += 1
            return {"it": 1}

    loop = {"within": Told()}
    loop["itself"] = [loop]
    copy = plain_of(loop)
    assert copy["within"] == {"it": 1}
    assert "contains itself" in copy["itself"][0]
    assert Told.looked < 1500


class TestOpenAIAgents:
    @profile(100)
    @given(hostile_values, hostile_values)
    def test_spans(self, value, other):
        value, other = value.it, other.it
        pytest.importorskip("agents", reason="openai-agents is not installed")
        from agents import (
            custom_span,
            function_span,
            generation_span,
            set_trace_processors,
            trace,
        )
        from agents.tracing import response_span

        from selectools_observe.integrations.openai_agents import TraceStoreProcessor

        told = Told()
        processor = TraceStoreProcessor(told.store, on_error=told.on_error)
        set_trace_processors([processor])
        try:
            with (
                trace("refunds", group_id="g", metadata={"value": value}) as current,
                custom_span("look", {"value": value}),
            ):
                with function_span("find", input=value, output=other) as span:
                    span.set_error({"message": "failed", "data": {"error": other}})
                with generation_span(input=value, output=other, usage=value, model="m"):
                    pass
                with response_span(response=other) as span:
                    span.span_data.input = value
        finally:
            set_trace_processors([])
        assert told.is_accounted_for(1, processor.failed)
        run = told.store.load(current.trace_id)
        assert [step.type.value for step in run] == [
            "graph_node_start", "tool_execution", "llm_call", "llm_call", "graph_node_end",
        ]  # fmt: skip
        assert (run.name, run.session_id) == ("refunds", "g")

    @profile(60)
    @given(
        st.sampled_from(["trace_id", "span_id", "span_data", "error", "started_at", "parent_id"]),
        st.sampled_from(ERRORS),
        st.booleans(),
    )
    def test_spans_and_traces_that_cannot_be_read(self, name, error, is_open):
        pytest.importorskip("agents", reason="openai-agents is not installed")
        from agents.tracing import FunctionSpanData

        from selectools_observe.integrations.openai_agents import TraceStoreProcessor

        class Trace:
            trace_id = "trace_1"
            name = "refunds"

        class Span:
            trace_id = "trace_1"
            span_id = "span_1"
            parent_id = None
            started_at = ended_at = "2026-01-01T00:00:00+00:00"
            error = None
            span_data = FunctionSpanData("find", "{}", "found")

        class Failing(Span):
            span_id = "span_2"
            broken = False

            def __getattribute__(self, asked):
                if asked == name and type(self).broken:
                    raise error("keep out")
                return super().__getattribute__(asked)

        told = Told()
        processor = TraceStoreProcessor(told.store, on_error=told.on_error)
        processor.on_trace_start(Trace())
        good, bad = Span(), Failing()
        processor.on_span_start(good)
        processor.on_span_end(good)
        processor.on_span_start(bad)
        Failing.broken = True
        if not is_open:
            processor.on_span_end(bad)
        processor.on_trace_end(Trace())
        processor.shutdown()
        run = told.store.load("trace_1")
        assert run.steps[0].tool_name == "find"
        assert processor.failed == len(told.errors)

    @pytest.mark.parametrize("error", ERRORS)
    def test_a_trace_that_nobody_can_read(self, error):
        pytest.importorskip("agents", reason="openai-agents is not installed")
        from selectools_observe.integrations.openai_agents import TraceStoreProcessor

        told = Told()
        processor = TraceStoreProcessor(told.store, on_error=told.on_error)
        processor.on_trace_end(hostile_type(object, "__getattribute__", error)())
        assert (processor.failed, len(told.errors), told.store.count()) == (1, 1, 0)


class TestOpenTelemetry:
    @pytest.mark.slow
    @profile(40)
    @given(hostile_values, hostile_values)
    def test_attributes(self, value, other):
        value, other = value.it, other.it
        pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter

        told = Told()
        exporter = TraceStoreSpanExporter(told.store, on_error=told.on_error)
        provider = TracerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("invoke_agent a") as root:
            root.set_attribute("gen_ai.operation.name", "invoke_agent")
            # Past what the SDK cleans.
            for name in ("gen_ai.input.messages", "metadata", "session.id", "gen_ai.agent.name"):
                dict.__setitem__(root._attributes._dict, name, value)
            with tracer.start_as_current_span("chat m") as call:
                call.set_attribute("gen_ai.operation.name", "chat")
                for name in (
                    "gen_ai.output.messages", "gen_ai.usage.input_tokens", "gen_ai.usage.cost",
                    "gen_ai.response.model", "gen_ai.system_instructions",
                    "gen_ai.response.finish_reasons", "llm.invocation_parameters",
                ):  # fmt: skip
                    dict.__setitem__(call._attributes._dict, name, other)
        provider.shutdown()
        assert told.store.count() == 1 or exporter.failed >= len(told.errors) > 0

    @pytest.mark.parametrize("error", ERRORS)
    def test_a_span_that_nobody_can_read(self, error):
        pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
        from opentelemetry.sdk.trace.export import SpanExportResult

        from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter

        told = Told()
        exporter = TraceStoreSpanExporter(told.store, on_error=told.on_error)
        span = hostile_type(object, "__getattribute__", error)()
        assert exporter.export([span]) is SpanExportResult.FAILURE
        assert (exporter.failed, len(told.errors)) == (1, 1)


def test_the_recorder_in_an_event_loop():
    async def main():
        loop = {}
        loop["itself"] = loop
        told = []
        store = AsyncInMemoryTraceStore()
        recorder = Recorder(store, on_error=lambda error, trace: told.append(error))
        hostile = hostile_type(object, "__str__", ValueError)()
        async with recorder.run(input=hostile) as run, run.tool("look", loop):
            pass
        assert (await store.count(), told, recorder.counts.saved) == (1, [], 1)

    asyncio.run(main())
