"""The callback handlers under the real LangChain and LangGraph, beside LangChain's own tracer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import threading
import time
import uuid

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed")
pytest.importorskip("langchain", reason="langchain is not installed")

from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, ToolRetryMiddleware
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langchain_models import FLAKY, Scripted, broken, weather
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from trouble_stores import AsyncRefusing, Noting, Refusing

from selectools_observe import (
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    StepType,
    TraceFilter,
)
from selectools_observe.capture.saver_thread import saver_thread
from selectools_observe.integrations.langchain import (
    AsyncTraceCallbackHandler,
    TraceCallbackHandler,
)
from selectools_observe.model.messages import messages_of

QUESTION = {"messages": [("user", "How is it?")]}


@pytest.fixture(params=["blocking store", "async store"])
def store(request, tmp_path):
    with SQLiteTraceStore(tmp_path / "traces.db") as reader:
        reader.under_test = reader
        if request.param == "async store":
            reader.under_test = AsyncSQLiteTraceStore(tmp_path / "traces.db")
        yield reader
        if reader.under_test is not reader:
            asyncio.run(reader.under_test.aclose())


@pytest.fixture(params=[TraceCallbackHandler, AsyncTraceCallbackHandler])
def handler(request, store):
    return request.param(store.under_test)


class Collector(BaseTracer):
    """LangChain's own tracer, as it feeds LangSmith; keeps the roots."""

    def __init__(self) -> None:
        super().__init__(_schema_format="original+chat")
        self.traced_runs = []

    def _persist_run(self, run):
        self.traced_runs.append(run)


@pytest.fixture
def collector():
    return Collector()


def flaky_agent(turns=FLAKY, **options):
    """An agent with two tools, of which one fails, and a model that is asked again."""
    middleware = [
        ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False),
        ToolRetryMiddleware(max_retries=0, on_failure="continue"),
    ]
    model = Scripted(turns=turns)
    return create_agent(model, [weather, broken], middleware=middleware, **options)


def config(*handlers, **more):
    return {"callbacks": list(handlers), "metadata": {"user": "ada"}, "tags": ["desk"], **more}


def stored(store):
    """The one trace in the store."""
    (summary,) = store.list()
    return store.load(summary.run_id)


def below(run):
    """All runs inside a run, as LangChain's tracer has them."""
    return [inner for child in run.child_runs for inner in [child, *below(child)]]


def is_near(timestamp, moment):
    """Whether both tell of one moment: they are taken one after the other, by two handlers."""
    return timestamp == pytest.approx(moment.timestamp(), abs=600)


def assert_same(trace, root):
    """Every run that LangChain's own tracer knows, field by field."""
    assert trace.run_id == str(root.id)
    assert is_near(trace.start_time, root.start_time)
    assert trace.metadata["name"] == root.name
    assert trace.metadata["tags"] == root.tags
    steps = {}
    for step in trace:
        if step.extra and "run_id" in step.extra and step.type != StepType.GRAPH_NODE_END:
            steps[step.extra["run_id"]] = step
    kept = (trace.extra or {}).get("langchain", {})
    beside = {entry["run_id"]: entry for entry in kept.get("runs", [])}
    for run in below(root):
        step = steps.pop(str(run.id), None)
        if step is None:
            entry = beside.pop(str(run.id))
            assert (entry["name"], entry.get("error") is None) == (run.name, run.error is None)
        elif run.run_type == "chat_model":
            assert_same_call(step, run)
        elif run.run_type == "tool":
            assert_same_tool(step, run)
        else:
            assert step.type == StepType.GRAPH_NODE_START
            assert step.node_name == run.name == run.metadata["langgraph_node"]
            assert step.step_number == run.metadata["langgraph_step"]
        assert step is None or is_near(step.timestamp, run.start_time)
    assert (steps, beside) == ({}, {})


def assert_same_call(step, run):
    assert step.type == StepType.LLM_CALL
    asked = (step.extra or {}).get("request_model", step.model)
    assert asked == run.metadata["ls_model_name"]
    assert (step.error is None) == (run.error is None)
    assert step.node_name == run.metadata["langgraph_node"]
    if run.error:
        assert step.error.split(":")[0] in run.error
        return
    message = run.outputs["generations"][0][0]["message"]["kwargs"]
    usage = message["usage_metadata"]
    assert (step.prompt_tokens, step.completion_tokens) == (
        usage["input_tokens"],
        usage["output_tokens"],
    )
    assert step.extra["cache_read_tokens"] == usage["input_token_details"]["cache_read"]
    (answered,) = messages_of(step).output
    assert answered.text == message["content"]
    assert len(answered.tool_calls) == len(message.get("tool_calls", []))
    assert len(step.input) == len(run.inputs["messages"][0])


def assert_same_tool(step, run):
    assert step.type == StepType.TOOL_EXECUTION
    assert step.tool_name == run.name
    assert run.inputs in (step.tool_args, {"input": str(step.tool_args)})  # the older LangChain
    assert (step.error is None) == (run.error is None)
    if run.error:
        assert step.error == "LookupError: no spare gear"
    else:
        assert step.tool_result == run.outputs["output"].content


def assert_flaky(trace):
    """What the fields say."""
    failed, first, last = trace.filter(type="llm_call")
    assert (failed.error, failed.prompt_tokens) == ("TimeoutError: try again", None)
    for step in (first, last):
        assert (step.model, step.error) == ("scripted-1-0101", None)
        assert (step.prompt_tokens, step.completion_tokens, step.cost_usd) == (100, 20, 0.0025)
        assert step.extra["cache_read_tokens"] == 64
        assert step.extra["cache_write_tokens"] == 8
        assert step.extra["reasoning_tokens"] == 5
        assert step.extra["request_model"] == "scripted-1"
        assert step.node_name == "model"
    assert [s.tool_name for s in trace.filter(type="tool_selection")] == ["weather", "broken"]
    tools = {step.tool_name: step for step in trace.filter(type="tool_execution")}
    assert tools["weather"].tool_args == {"city": "Oslo"}
    assert tools["weather"].tool_result == "rain in Oslo"
    assert tools["broken"].error == "LookupError: no spare gear"
    assert {step.node_name for step in tools.values()} == {"tools"}
    assert {step.extra["tool_call_id"] for step in tools.values()} == {"c1", "c2"}
    begun = trace.filter(type="graph_node_start")
    assert sorted(step.node_name for step in begun) == ["model", "model", "tools", "tools"]
    assert len(trace.filter(type="graph_node_end")) == 4
    assert trace.metadata["user"] == "ada"


class TestAgents:
    def test_invoke(self, handler, collector, store):
        flaky_agent().invoke(QUESTION, config(handler, collector))
        trace = stored(store)
        assert_same(trace, collector.traced_runs[0])
        assert_flaky(trace)
        assert (handler.saved, handler.failed) == (1, 0)

    async def test_ainvoke(self, handler, collector, store):
        await flaky_agent().ainvoke(QUESTION, config(handler, collector))
        trace = stored(store)
        assert_same(trace, collector.traced_runs[0])
        assert_flaky(trace)

    def test_stream(self, handler, collector, store):
        agent = flaky_agent()
        pieces = list(agent.stream(QUESTION, config(handler, collector), stream_mode="messages"))
        trace = stored(store)
        assert_same(trace, collector.traced_runs[0])
        assert_flaky(trace)
        answers = [piece for piece, _ in pieces if piece.type == "AIMessageChunk" and piece.content]
        last = trace.filter(type="llm_call")[-1]
        assert last.extra["chunks"] >= len(answers) == 6
        assert 0 < last.extra["time_to_first_token_ms"] <= last.duration_ms

    async def test_astream(self, handler, collector, store):
        agent = flaky_agent()
        stream = agent.astream(QUESTION, config(handler, collector), stream_mode="messages")
        assert [piece async for piece in stream]
        trace = stored(store)
        assert_same(trace, collector.traced_runs[0])
        assert_flaky(trace)

    async def test_beside_what_astream_events_reports(self, handler, store):
        stream = flaky_agent().astream_events(QUESTION, config(handler), version="v2")
        events = [event async for event in stream]
        trace = stored(store)
        begun = {event["run_id"]: event for event in events if event["event"].endswith("_start")}
        kinds = {"on_chat_model_start": StepType.LLM_CALL, "on_tool_start": StepType.TOOL_EXECUTION}
        for step in trace:
            if step.type in kinds.values():
                event = begun[step.extra["run_id"]]
                assert kinds[event["event"]] == step.type
                assert event["metadata"]["langgraph_node"] == step.node_name
        ends = [event for event in events if event["event"] == "on_tool_end"]
        results = [step.tool_result for step in trace.filter(type="tool_execution")]
        assert [e["data"]["output"].content for e in ends] == [r for r in results if r is not None]

    def test_batch(self, handler, collector, store):
        agent = flaky_agent(FLAKY[1:])
        agent.batch([QUESTION] * 12, config(handler, collector))
        roots = {str(run.id): run for run in collector.traced_runs}
        assert {summary.run_id for summary in store.list()} == set(roots)
        for run_id, root in roots.items():
            assert_same(store.load(run_id), root)

    async def test_many_at_once_through_one_handler(self, handler, collector, store):
        agent = flaky_agent(FLAKY[1:])
        many = [agent.ainvoke(QUESTION, config(handler, collector)) for _ in range(12)]
        await asyncio.gather(*many)
        roots = {str(run.id): run for run in collector.traced_runs}
        assert {summary.run_id for summary in store.list()} == set(roots)
        for run_id, root in roots.items():
            assert_same(store.load(run_id), root)
        assert len(handler._runs) == 0

    def test_threads_and_loops_at_once(self, handler, store):
        agent = flaky_agent(FLAKY[1:])

        def work():
            agent.invoke(QUESTION, config(handler))
            asyncio.run(agent.ainvoke(QUESTION, config(handler)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.count() == handler.saved == 8


class TestRunsThatFail:
    def test_a_tool(self, handler, collector, store):
        agent = create_agent(Scripted(turns=FLAKY[1:]), [weather, broken])
        with pytest.raises(LookupError):
            agent.invoke(QUESTION, config(handler, collector, max_concurrency=1))
        trace = stored(store)
        assert_same(trace, collector.traced_runs[0])
        assert [step.error for step in trace if step.error] == ["LookupError: no spare gear"] * 2
        assert trace.filter(type="error") == []  # the steps say it
        assert store.count(TraceFilter(has_error=True)) == 1

    def test_a_model(self, handler, store):
        with pytest.raises(TimeoutError):
            create_agent(Scripted(turns=FLAKY[:1]), [weather]).invoke(QUESTION, config(handler))
        trace = stored(store)
        assert trace.filter(type="llm_call")[0].error == "TimeoutError: try again"

    def test_a_root_that_works_on_after_its_last_step(self, handler, store):
        RunnableLambda(lambda _: time.sleep(0.02)).invoke(1, {"callbacks": [handler]})
        assert 20 <= stored(store).wall_ms < 600_000

    def test_something_that_is_no_step(self, handler, store):
        def fails(question):
            raise LookupError("nothing here")

        chain = ChatPromptTemplate.from_template("{question}") | RunnableLambda(fails)
        with pytest.raises(LookupError):
            chain.invoke({"question": "Where?"}, config(handler))
        trace = stored(store)
        assert [(step.type.value, step.error) for step in trace] == [
            ("error", "LookupError: nothing here")
        ]
        told = {entry["name"]: entry.get("error") for entry in trace.extra["langchain"]["runs"]}
        assert told == {"ChatPromptTemplate": None, "fails": "LookupError: nothing here"}

    async def test_a_cancelled_task(self, handler, store):
        entered = asyncio.Event()

        @tool
        async def gate(name: str) -> str:
            """Wait."""
            entered.set()
            await asyncio.Event().wait()
            return name

        calls = [{"name": "gate", "args": {"name": "ada"}, "id": "c1", "type": "tool_call"}]
        agent = create_agent(Scripted(turns=[calls, "Through."]), [gate])
        task = asyncio.create_task(agent.ainvoke(QUESTION, config(handler)))
        await entered.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        trace = stored(store)
        assert trace.steps[-1].type == StepType.CANCELLED
        (waiting,) = trace.filter(type="tool_execution")
        assert (waiting.tool_args, waiting.extra["unfinished"]) == ({"name": "ada"}, True)
        assert store.count(TraceFilter(has_error=True)) == 0
        assert len(handler._runs) == 0

    async def test_a_stream_that_nobody_reads_to_its_end(self, handler, store):
        stream = flaky_agent(FLAKY[1:]).astream(QUESTION, config(handler), stream_mode="messages")
        await anext(stream)
        await stream.aclose()
        assert handler.saved == 1
        assert stored(store).filter(type="llm_call")


class TestOtherRunnables:
    def test_a_chain_with_its_retries(self, handler, collector, store):
        model = Scripted(turns=[TimeoutError("try again"), "Fine."])
        prompt = ChatPromptTemplate.from_template("{question}")
        retried = model.with_retry(
            retry_if_exception_type=(TimeoutError,), wait_exponential_jitter=False
        )
        chain = prompt | retried | StrOutputParser()
        assert chain.invoke({"question": "How is it?"}, config(handler, collector)) == "Fine."
        trace = stored(store)
        failed, good = trace.filter(type="llm_call")
        assert (failed.error, good.error) == ("TimeoutError: try again", None)
        assert (failed.extra.get("attempt"), good.extra["attempt"]) == (None, 2)
        assert trace.input == {"question": "How is it?"}
        assert trace.output == "Fine."
        names = [entry["name"] for entry in trace.extra["langchain"]["runs"]]
        assert names == [
            run.name for run in collector.traced_runs[0].child_runs if run.run_type != "chat_model"
        ]

    def test_a_model_alone(self, handler, store):
        Scripted(turns=["Fine."]).invoke("How is it?", config(handler))
        trace = stored(store)
        (step,) = trace
        assert (step.type, step.prompt_tokens) == (StepType.LLM_CALL, 100)
        assert trace.metadata["name"] == "Scripted"

    def test_a_model_that_is_no_chat_model(self, handler, store):
        FakeListLLM(responses=["Fine."]).invoke("How is it?", config(handler))
        (step,) = stored(store)
        asked, answered = messages_of(step)
        assert [(each.role, each.text) for each in asked] == [("user", "How is it?")]
        assert [(each.role, each.text) for each in answered] == [("assistant", "Fine.")]

    def test_a_tool_alone(self, handler, store):
        weather.invoke({"city": "Oslo"}, config(handler))
        (step,) = stored(store)
        assert (step.tool_name, step.tool_result) == ("weather", "rain in Oslo")

    def test_a_retriever(self, handler, store):
        class Shelf(BaseRetriever):
            def _get_relevant_documents(self, query, *, run_manager):
                return [Document("Rain.", metadata={"page": 3})]

        Shelf().invoke("weather", config(handler))
        (step,) = stored(store)
        assert (step.tool_name, step.tool_args) == ("Shelf", {"query": "weather"})
        (document,) = json.loads(step.tool_result)
        assert (document["page_content"], document["metadata"]) == ("Rain.", {"page": 3})
        assert step.extra["kind"] == "retriever"

    def test_branches_at_once(self, handler, store):
        model = Scripted(turns=["Fine."])
        RunnableParallel(left=model, right=model).invoke("How is it?", config(handler))
        assert len(stored(store).filter(type="llm_call")) == 2

    def test_custom_events(self, handler, store):
        def work(question):
            dispatch_custom_event("found", {"pages": 3})
            return question

        RunnableLambda(work).invoke("Where?", config(handler))
        (event,) = stored(store).extra["langchain"]["events"]
        assert (event["name"], event["data"]) == ("found", {"pages": 3})

    def test_a_part_of_a_run_names_what_it_is_part_of(self, handler, collector, store):
        inner = RunnableLambda(lambda question: question).with_config(callbacks=[handler])
        outer = RunnableLambda(inner.invoke)
        outer.invoke("Where?", {"callbacks": [collector]})
        assert stored(store).parent_run_id == str(collector.traced_runs[0].id)

    def test_the_run_id_of_the_config(self, handler, store):
        run_id = uuid.uuid4()
        Scripted(turns=["Fine."]).invoke("How is it?", config(handler, run_id=run_id))
        assert stored(store).run_id == str(run_id)

    def test_tokens_as_older_models_report_them(self, handler, store):
        from langchain_core.language_models import FakeMessagesListChatModel
        from langchain_core.outputs import ChatGeneration, ChatResult

        class Older(FakeMessagesListChatModel):
            def _generate(self, *what, **more):
                usage = {
                    "prompt_tokens": 7,
                    "completion_tokens": 3,
                    "prompt_tokens_details": {"cached_tokens": 5},
                    "cost": 0.5,
                }
                generations = [ChatGeneration(message=AIMessage("Fine."))]
                output = {"token_usage": usage, "model_name": "older-1"}
                return ChatResult(generations=generations, llm_output=output)

        Older(responses=[]).invoke("How is it?", config(handler))
        (step,) = stored(store)
        assert (step.model, step.prompt_tokens, step.completion_tokens) == ("older-1", 7, 3)
        assert (step.cost_usd, step.extra["cache_read_tokens"]) == (0.5, 5)

    def test_contents_may_be_left_out(self, store):
        handler = TraceCallbackHandler(store, contents=False)
        flaky_agent().invoke(QUESTION, config(handler))
        trace = stored(store)
        assert "How is it?" not in json.dumps(trace.to_dict(), default=str)
        assert trace.filter(type="llm_call")[-1].prompt_tokens == 100
        results = [step.tool_result for step in trace.filter(type="tool_execution")]
        assert "rain in Oslo" in results


class TestGraphs:
    def graph(self, **options):
        def triage(state):
            return {"messages": [HumanMessage("To the desk.")]}

        inner = StateGraph(MessagesState)
        inner.add_node("answer", lambda state: {"messages": [Scripted(turns=["A."]).invoke("Q")]})
        inner.add_edge(START, "answer")
        outer = StateGraph(MessagesState)
        outer.add_node("triage", triage)
        outer.add_node("desk", inner.compile())
        outer.add_edge(START, "triage")
        outer.add_edge("triage", "desk")
        outer.add_edge("desk", END)
        return outer.compile(**options)

    def test_a_graph_within_a_graph(self, handler, collector, store):
        self.graph().invoke(QUESTION, config(handler, collector))
        trace = stored(store)
        assert_same(trace, collector.traced_runs[0])
        assert [
            (step.type.value, step.node_name, step.step_number)
            for step in trace
            if step.type != StepType.LLM_CALL
        ] == [
            ("graph_node_start", "triage", 1),
            ("graph_node_end", "triage", 1),
            ("graph_node_start", "desk", 2),
            ("graph_node_start", "answer", 1),
            ("graph_node_end", "answer", 1),
            ("graph_node_end", "desk", 2),
        ]

    def test_an_agent_within_a_tool_of_an_agent(self, handler, collector, store):
        colleague = create_agent(Scripted(turns=["Sun."]), [])

        @tool
        def ask(city: str) -> str:
            """Ask a colleague."""
            return colleague.invoke({"messages": [("user", city)]})["messages"][-1].content

        calls = [{"name": "ask", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}]
        agent = create_agent(Scripted(turns=[calls, "Done."]), [ask])
        agent.invoke(QUESTION, config(handler, collector))
        trace, root = stored(store), collector.traced_runs[0]
        assert_same(trace, root)
        (asked,) = trace.filter(type="tool_execution")
        assert (asked.tool_result, asked.node_name) == ("Sun.", "tools")
        assert [step.node_name for step in trace.filter(type="llm_call")] == ["model"] * 3
        assert trace.total_duration_ms <= trace.wall_ms + 1

    def test_nodes_at_once(self, handler, collector, store):
        graph = StateGraph(MessagesState)
        graph.add_node("plan", lambda state: {"messages": []})
        graph.add_node("work", lambda state: {"messages": [HumanMessage("Done.")]})
        graph.add_edge(START, "plan")
        graph.add_conditional_edges("plan", lambda state: [Send("work", state)] * 3, ["work"])
        graph.add_edge("work", END)
        graph.compile().invoke(QUESTION, config(handler, collector))
        trace = stored(store)
        assert_same(trace, collector.traced_runs[0])
        for kind in ("graph_node_start", "graph_node_end"):
            names = [step.node_name for step in trace.filter(type=kind)]
            assert names == ["plan", "work", "work", "work"]

    def test_no_moment_counts_twice(self, handler, collector, store):
        self.graph().invoke(QUESTION, config(handler, collector))
        trace = stored(store)
        assert 0 < trace.total_duration_ms <= trace.wall_ms + 1

    def test_an_interrupt_is_no_error(self, handler, store):
        def ask(state):
            return {"messages": [HumanMessage(interrupt({"may I": "go on?"}))]}

        graph = StateGraph(MessagesState)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        app = graph.compile(checkpointer=InMemorySaver())
        thread = config(handler, configurable={"thread_id": "t1"})
        paused = app.invoke(QUESTION, thread)["__interrupt__"][0]
        trace = stored(store)
        (step,) = trace.filter(type="graph_interrupt")
        assert (step.node_name, step.interrupt_key) == ("ask", paused.id)
        assert step.extra["interrupts"] == [{"id": paused.id, "value": {"may I": "go on?"}}]
        assert trace.metadata["thread_id"] == "t1"
        app.invoke(Command(resume="Yes."), thread)
        assert store.count() == 2
        assert store.count(TraceFilter(has_error=True)) == 0


@pytest.mark.parametrize("handler_type", [TraceCallbackHandler, AsyncTraceCallbackHandler])
@pytest.mark.parametrize("refusing", [Refusing(), AsyncRefusing()], ids=["blocking", "async"])
def test_a_store_that_fails_breaks_no_run_and_is_heard(handler_type, refusing, caplog):
    handed = []
    handler = handler_type(refusing, on_error=lambda error, trace: handed.append(trace.run_id))
    model = Scripted(turns=["Fine."])
    assert model.invoke("How is it?", config(handler)).content == "Fine."
    assert asyncio.run(model.ainvoke("And now?", config(handler))).content == "Fine."
    assert len(handed) == handler.failed == 2
    assert caplog.text.count("is not saved: StorageError: disk: it is full") == 2


async def test_the_async_one_awaits_the_store():
    async with Noting() as store:
        handler = AsyncTraceCallbackHandler(store)
        await Scripted(turns=["Fine."]).ainvoke("How is it?", config(handler))
        assert store.threads == [threading.current_thread()]


class TestRunsThatNeverEnd:
    def test_the_oldest_is_saved_unfinished(self):
        with InMemoryTraceStore() as store:
            handler = TraceCallbackHandler(store, max_open_runs=2)
            begun = [uuid.uuid4() for _ in range(5)]
            for run_id in begun:
                handler.on_chain_start({}, {}, run_id=run_id, name="endless")
                inside = uuid.uuid4()
                handler.on_tool_start({}, "{}", run_id=inside, parent_run_id=run_id, name="dig")
            assert {s.run_id for s in store.list()} == {str(run_id) for run_id in begun[:3]}
            for summary in store.list():
                assert summary.metadata["unfinished"] is True
                assert store.load(summary.run_id).steps[0].extra["unfinished"] is True
            assert len(handler._runs) == 4

    def test_the_limit_must_leave_room_for_one(self):
        with pytest.raises(ValueError, match="max_open_runs"):
            TraceCallbackHandler(InMemoryTraceStore(), max_open_runs=0)

    @pytest.mark.slow
    def test_a_program_that_ends_in_the_midst_of_a_run(self, tmp_path):
        program = """
import sys, threading
from langchain_core.runnables import RunnableLambda
from selectools_observe import SQLiteTraceStore
from selectools_observe.integrations.langchain import TraceCallbackHandler

entered = threading.Event()

def wait(question):
    entered.set()
    threading.Event().wait()

handler = TraceCallbackHandler(SQLiteTraceStore(sys.argv[1]))
arguments = ("Go.", {"callbacks": [handler]})
threading.Thread(target=RunnableLambda(wait).invoke, args=arguments, daemon=True).start()
entered.wait()
"""
        path = tmp_path / "traces.db"
        subprocess.run([sys.executable, "-c", program, path], check=True, timeout=60)
        with SQLiteTraceStore(path) as store:
            assert stored(store).metadata == {"name": "wait", "unfinished": True}

    def test_a_handler_that_is_dropped_saves_what_is_open(self):
        with InMemoryTraceStore() as store:
            handler = TraceCallbackHandler(store)
            handler.on_chain_start({}, {}, run_id=uuid.uuid4(), name="endless")
            del handler
            gc.collect()
            assert saver_thread.wait(60)
            assert stored(store).metadata == {"name": "endless", "unfinished": True}

    def test_an_end_without_a_begin_is_nothing(self):
        with InMemoryTraceStore() as store:
            handler = TraceCallbackHandler(store)
            handler.on_chain_end({}, run_id=uuid.uuid4())
            handler.on_tool_end("x", run_id=uuid.uuid4())
            handler.on_llm_error(ValueError(), run_id=uuid.uuid4())
            assert store.count() == 0


class TestValues:
    def test_what_cannot_be_read_does_not_lose_the_run(self, handler, store):
        class Hostile(dict):
            def items(self):
                raise RuntimeError("keep out")

        loop = []
        loop.append(loop)
        RunnableLambda(lambda _: {"loop": loop, "hostile": Hostile(a=1)}).invoke(1, config(handler))
        output = stored(store).output
        note = "[cannot be stored: it contains itself]"
        assert output == {"loop": [note], "hostile": {"a": 1}}
