"""LangChain and LangGraph: whatever user code raises, hand-offs, interrupts, parts of replies."""

from __future__ import annotations

import contextlib
import threading
from typing import TypedDict

import pytest

pytest.importorskip("langchain_core", reason="langchain-core is not installed")
pytest.importorskip("langgraph", reason="langgraph is not installed")

from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_models import Scripted
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import ParentCommand
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from selectools_observe import InMemoryTraceStore, TraceFilter
from selectools_observe.analytics.step_tree import parents
from selectools_observe.integrations.langchain import (
    AsyncTraceCallbackHandler,
    TraceCallbackHandler,
)
from selectools_observe.model.messages import (
    BlobPart,
    FilePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    messages_from,
    messages_of,
)


class BadError(Exception):
    def __str__(self):
        return {"not": "a text"}  # noqa: PLE0307 - that is the point


class WorseError(Exception):
    def __str__(self):
        raise RuntimeError("keep out")

    __repr__ = __str__


class WorstError(Exception):
    def __getattribute__(self, name):
        raise ValueError(name)


@pytest.fixture
def store():
    return InMemoryTraceStore()


@pytest.fixture
def handler(store):
    return TraceCallbackHandler(store)


def config(handler, **more):
    return {"callbacks": [handler], **more}


def only(store):
    (summary,) = store.list()
    return store.load(summary.run_id)


def kinds(run):
    return [step.type.value for step in run]


class TestWhateverUserCodeRaises:
    @pytest.mark.parametrize("error", [BadError, WorseError, WorstError])
    def test_in_a_runnable(self, error, store, handler):
        def fail(_):
            raise error

        with contextlib.suppress(error, ValueError):  # pytest too looks at what is raised
            RunnableLambda(fail).invoke(1, config(handler))
        run = only(store)
        assert run.steps[-1].error == error.__name__
        assert (handler.saved, handler.failed) == (1, 0)

    @pytest.mark.parametrize("error", [BadError, WorseError])
    async def test_in_a_tool_in_an_event_loop(self, error, store):
        handler = AsyncTraceCallbackHandler(store)

        @tool
        def broken(x: int) -> str:
            """Fail."""
            raise error

        with pytest.raises(error):
            await broken.ainvoke({"x": 1}, config(handler))
        (step,) = only(store).steps
        assert (step.tool_name, step.error) == ("broken", error.__name__)

    def test_while_an_event_is_read(self, store, handler, monkeypatch):
        monkeypatch.setattr(handler._runs, "end", _once(handler._runs.end, RuntimeError("boom")))
        RunnableLambda(lambda x: x).invoke(1, config(handler))
        lost = only(store).extra["langchain"]["lost_events"]
        assert lost == [{"event": "runnable_ends", "error": "RuntimeError: boom"}]

    def test_when_nothing_is_known_of_the_run(self, store, monkeypatch):
        told = []
        handler = TraceCallbackHandler(store, on_error=lambda error, run: told.append(str(error)))
        monkeypatch.setattr(
            handler._runs, "begin", _once(handler._runs.begin, RuntimeError("boom"))
        )
        RunnableLambda(lambda x: x).invoke(1, config(handler))
        assert (handler.failed, told) == (1, ["boom"])


def _once(function, error):
    """The function, which fails the first time."""
    failed = []

    def call(*args, **kwargs):
        if not failed:
            failed.append(error)
            raise error
        return function(*args, **kwargs)

    return call


class TestReplies:
    def test_a_malformed_call_and_a_refusal_are_kept(self, store, handler):
        bad = {"name": "f", "args": "{", "id": "1", "error": "no JSON", "type": "invalid_tool_call"}
        reply = AIMessage(
            "", invalid_tool_calls=[bad], additional_kwargs={"refusal": "I cannot do that."}
        )
        FakeMessagesListChatModel(responses=[reply]).invoke("Go.", config(handler))
        (step,) = only(store).steps
        (answered,) = messages_of(step).output
        (call,) = answered.tool_calls
        assert (call.arguments, call.extra) == ("{", {"error": "no JSON"})
        assert answered.parts[0] == TextPart(content="I cannot do that.", extra={"refusal": True})

    @pytest.mark.parametrize(
        ("message", "parts", "shown"),
        [
            (
                AIMessage("", additional_kwargs={"audio": {"data": "aGk=", "transcript": "Hello"}}),
                [
                    TextPart(content="Hello", extra={"transcript": True}),
                    BlobPart(content="aGk=", modality="audio"),
                ],
                "Hello",
            ),
            (
                AIMessage("", additional_kwargs={"audio": {"id": "audio_1"}}),
                [FilePart(file_id="audio_1", modality="audio")],
                None,
            ),
            (
                AIMessage(
                    "", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1}'}}
                ),
                [ToolCallPart(name="f", arguments={"a": 1})],
                None,
            ),
            (
                AIMessage(
                    [{"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"u": 1}]}]
                ),
                [ToolResultPart(response=[{"u": 1}], id="s")],
                None,
            ),
            (
                AIMessage([{"type": "refusal", "refusal": "No.", "id": "m"}]),
                [TextPart(content="No.", extra={"refusal": True, "id": "m"})],
                "No.",
            ),
            (
                AIMessage("", response_metadata={"refusal": "No.", "model_name": "m"}),
                [TextPart(content="No.", extra={"refusal": True})],
                "No.",
            ),
            (
                AIMessage(
                    [
                        "Here: ",
                        {"type": "executable_code", "executable_code": "1/0", "language": "PYTHON"},
                        {
                            "type": "code_execution_result",
                            "code_execution_result": "?",
                            "outcome": 2,
                        },
                    ]
                ),
                [
                    TextPart(content="Here: "),
                    ToolCallPart(
                        name="code_execution", arguments={"language": "PYTHON", "code": "1/0"}
                    ),
                    ToolResultPart(
                        response="?", name="code_execution", is_error=True, extra={"outcome": 2}
                    ),
                ],
                "Here: ",
            ),
            (
                AIMessage(
                    "Found.",
                    additional_kwargs={
                        "tool_outputs": [
                            {"type": "web_search_call", "id": "w", "action": {"query": "q"}}
                        ]
                    },
                ),
                [
                    TextPart(content="Found."),
                    ToolCallPart(name="web_search", arguments={"action": {"query": "q"}}, id="w"),
                ],
                "Found.",
            ),
        ],
    )
    def test_what_is_no_text(self, message, parts, shown, store, handler):
        class Model(Scripted):
            def _generate(self, *_, **__):
                return ChatResult(generations=[ChatGeneration(message=message)])

        Model(turns=[]).invoke("Say it.", config(handler))
        (step,) = only(store).filter(type="llm_call")
        assert messages_of(step).output[0].parts == parts
        assert store.list()[0].output == shown

    @pytest.mark.parametrize(
        ("content", "beside"),
        [
            ("Hi.", {"reasoning_content": "Think."}),
            ("Hi.", {"reasoning": "Think."}),
            ("Hi.", {"reasoning": {"id": "r", "summary": [{"type": "t", "text": "Think."}]}}),
            ("Hi.", {"reasoning": {"type": "reasoning", "content": [{"text": "Think."}]}}),
            ("Hi.", {"reasoning_details": [{"type": "reasoning.text", "text": "Think."}]}),
            ("Hi.", {"thinking_blocks": [{"type": "thinking", "thinking": "Think."}]}),
            ([{"type": "thinking", "thinking": "Think.", "signature": "s"}, "Hi."], {}),
            ([{"type": "reasoning", "reasoning": "Think."}, "Hi."], {"reasoning": "Think."}),
        ],
    )
    def test_reasoning_stands_in_the_answer_and_in_the_next_question(
        self, content, beside, store, handler
    ):
        answer = AIMessage(content, additional_kwargs={"refusal": None, **beside, "mine": 1})
        FakeMessagesListChatModel(responses=[answer]).invoke([answer], config(handler))
        (step,) = only(store).steps
        for (told,) in (messages_of(step).input, messages_of(step).output):
            thought, said = told.parts
            assert (thought.content, said) == ("Think.", TextPart(content="Hi."))
            assert told.extra == {"mine": 1}
        assert step.reasoning == "Think."

    def test_candidates_and_shares_of_tokens(self, store, handler):
        usage = {
            "input_tokens": 12_100,
            "output_tokens": 5,
            "total_tokens": 12_105,
            "input_token_details": {
                "cache_creation": 0,
                "ephemeral_5m_input_tokens": 12_000,
                "audio": 7,
            },
        }
        first = ChatGeneration(message=AIMessage("one", usage_metadata=usage))
        second = ChatGeneration(message=AIMessage("two"))

        class Several(FakeMessagesListChatModel):
            def _generate(self, *args, **kwargs):
                return ChatResult(generations=[first, second])

        Several(responses=[]).invoke("Go.", config(handler))
        (step,) = only(store).steps
        assert step.extra["cache_write_tokens"] == step.extra["cache_write_5m_tokens"] == 12_000
        assert step.extra["audio_input_tokens"] == 7
        assert messages_of(step).output[0].text == "one"
        assert messages_from(step.extra["candidates"])[0].text == "two"


class State(TypedDict, total=False):
    said: str


def graph_of(**nodes):
    graph = StateGraph(State)
    for name, node in nodes.items():
        graph.add_node(name, node)
    return graph


class TestGraphs:
    def test_a_hand_off_to_the_parent_graph(self, store, handler):
        inner = graph_of(triage=lambda _: Command(graph=Command.PARENT, goto="billing"))
        inner.add_edge(START, "triage")
        outer = graph_of(support=inner.compile(), billing=lambda _: {"said": "paid"})
        outer.add_edge(START, "support")
        outer.add_edge("billing", END)
        assert outer.compile().invoke({}, config(handler)) == {"said": "paid"}
        run = only(store)
        assert "graph_interrupt" not in kinds(run)
        (routing,) = run.filter(type="graph_routing")
        assert (routing.from_node, routing.to_node) == ("triage", "billing")
        assert not any(step.error for step in run)
        ends = [step.node_name for step in run.filter(type="graph_node_end")]
        assert ends == ["triage", "support", "billing"]

    @pytest.mark.parametrize("is_inside", [False, True])
    def test_a_hand_off_that_leaves_the_root(self, is_inside, store, handler):
        inner = graph_of(triage=lambda _: Command(graph=Command.PARENT, goto="billing"))
        inner.add_edge(START, "triage")
        given = config(handler)
        if is_inside:  # of another graph, whose own run is not captured
            agent = inner.compile()
            outer = graph_of(support=lambda state: agent.invoke(state, given))
            outer.add_node("billing", lambda _: {"said": "paid"})
            outer.add_edge(START, "support")
            assert outer.compile().invoke({}) == {"said": "paid"}
        else:  # nobody takes it, and the caller has it as an error
            with pytest.raises(ParentCommand):
                inner.compile().invoke({}, given)
        run = only(store)
        (routing,) = run.filter(type="graph_routing")
        assert (routing.from_node, routing.to_node) == ("triage", "billing")
        (summary,) = store.list()
        assert summary.outcome == ("ok" if is_inside else "error")
        assert [bool(step.error) for step in run][-1] is not is_inside

    @pytest.mark.parametrize("goto", [Send("billing", {}), [Send("billing", {"said": "x"})]])
    def test_a_hand_off_with_something_to_take_along(self, goto, store, handler):
        inner = graph_of(triage=lambda _: Command(graph=Command.PARENT, goto=goto))
        inner.add_edge(START, "triage")
        outer = graph_of(support=inner.compile(), billing=lambda _: {"said": "paid"})
        outer.add_edge(START, "support")
        outer.compile().invoke({}, config(handler))
        run = only(store)
        assert "lost_events" not in run.extra["langchain"]
        (routing,) = run.filter(type="graph_routing")
        assert (routing.from_node, routing.to_node) == ("triage", "billing")

    @pytest.mark.parametrize(
        ("command", "places"),
        [
            (Command(goto="billing"), ["billing"]),
            (Command(goto=["billing", "stock"], update={}), ["billing", "stock"]),
            (Command(goto=Send("billing", {"said": "x"})), ["billing"]),
            ([Command(goto="billing"), Command(update={})], ["billing"]),
            (Command(update={}), []),
        ],
    )
    def test_a_command_that_names_the_next_node(self, command, places, store, handler):
        graph = graph_of(triage=lambda _: command, billing=lambda _: {}, stock=lambda _: {})
        graph.add_edge(START, "triage")
        graph.compile().invoke({"said": "x"}, config(handler))
        routings = only(store).filter(type="graph_routing")
        assert [(each.from_node, each.to_node) for each in routings] == [
            ("triage", place) for place in places
        ]

    def test_an_interrupt_in_a_subgraph_and_its_answer(self, store, handler):
        inner = graph_of(ask=lambda _: {"said": interrupt("Really?")})
        inner.add_edge(START, "ask")
        outer = graph_of(sub=inner.compile())
        outer.add_edge(START, "sub")
        compiled = outer.compile(checkpointer=InMemorySaver())
        thread = {"configurable": {"thread_id": "t1"}}
        compiled.invoke({}, config(handler, **thread))
        paused = only(store)
        (step,) = paused.filter(type="graph_interrupt")
        assert (step.node_name, step.extra["interrupts"][0]["value"]) == ("ask", "Really?")
        result = compiled.invoke(Command(resume="yes"), config(handler, **thread))
        assert result == {"said": "yes"}
        resumed = store.load(store.list()[0].run_id)
        (answer,) = resumed.filter(type="graph_resume")
        assert (answer.output, answer.interrupt_key) == ("yes", step.interrupt_key)
        assert resumed.metadata["resumes_run_id"] == paused.run_id
        assert (resumed.input, store.list()[0].input) == ({"resume": "yes"}, "yes")
        assert {paused.session_id, resumed.session_id} == {"t1"}
        assert "graph_interrupt" not in kinds(resumed)

    def test_several_questions_are_answered_by_their_ids(self, store, handler):
        graph = graph_of(a=lambda _: {"said": interrupt("a?")}, b=lambda _: interrupt("b?") and {})
        graph.add_edge(START, "a")
        graph.add_edge(START, "b")
        compiled = graph.compile(checkpointer=InMemorySaver())
        thread = config(handler, configurable={"thread_id": "t1"})
        asked = compiled.invoke({}, thread)["__interrupt__"]
        compiled.invoke(Command(resume={each.id: f"{each.value} yes" for each in asked}), thread)
        resumed = store.load(store.list()[0].run_id)
        answers = {s.interrupt_key: s.output for s in resumed.filter(type="graph_resume")}
        assert answers == {each.id: f"{each.value} yes" for each in asked}
        assert resumed.metadata["resumes_run_id"] == store.list()[1].run_id

    def test_ends_of_nodes_at_once_name_their_runs(self, store, handler):
        graph = graph_of(a=lambda _: {}, b=lambda _: {})
        graph.add_edge(START, "a")
        graph.add_edge(START, "b")
        graph.compile().invoke({"said": "x"}, config(handler))
        run = only(store)
        starts = {step.extra["run_id"] for step in run.filter(type="graph_node_start")}
        ends = {step.extra["run_id"] for step in run.filter(type="graph_node_end")}
        assert starts == ends
        assert len(ends) == 2

    def test_nodes_of_one_name_at_once_hold_what_is_theirs(self, store, handler):
        both = threading.Barrier(2, timeout=30)
        model = FakeMessagesListChatModel(responses=[AIMessage("yes")])

        def node(state):
            both.wait()  # both have begun
            model.invoke(state["said"])
            both.wait()  # neither has ended
            return {}

        graph = graph_of(first=lambda _: {}, node=node)
        graph.add_edge(START, "first")
        branches = [Send("node", {"said": one}) for one in ("one", "two")]
        graph.add_conditional_edges("first", lambda _: branches, ["node"])
        graph.compile().invoke({"said": "x"}, config(handler))
        run = only(store)
        found = parents(run)
        starts = [at for at, step in enumerate(run.steps) if step.type == "graph_node_start"]
        assert [found[at] for at in starts] == [None] * 3
        holding = {
            found[at]: run.steps[at].extra["parent_run_id"]
            for at, step in enumerate(run.steps) if step.type == "llm_call"
        }  # fmt: skip
        assert holding == {at: run.steps[at].extra["run_id"] for at in starts[1:]}

    def test_session_user_and_name(self, store, handler):
        graph = graph_of(a=lambda _: {"said": "hi"})
        graph.add_edge(START, "a")
        metadata = {"thread_id": "t1", "user_id": "u1"}
        named = config(handler, metadata=metadata, run_name="refund", tags=["x"])
        graph.compile().invoke({"said": "x"}, named)
        run = only(store)
        assert (run.name, run.session_id, run.user_id, run.tags) == ("refund", "t1", "u1", ["x"])
        assert (run.input, run.output) == ({"said": "x"}, {"said": "hi"})
        assert len(store.query(TraceFilter(session_id="t1"))) == 1
