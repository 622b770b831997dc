"""What a run of selectools was asked, what it answered, by whom; and its times."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

pytest.importorskip("selectools", reason="selectools is not installed")

from selectools import ContentPart, Message, Role, ToolCall, tool
from selectools.exceptions import GraphExecutionError
from selectools.orchestration import AgentGraph
from selectools_agents import agent

from selectools_observe import InMemoryTraceStore
from selectools_observe.capture.saver_thread import saver_thread
from selectools_observe.integrations.selectools import AsyncTraceSavingObserver, TraceSavingObserver
from selectools_observe.integrations.selectools.messages import Conversation, Given
from selectools_observe.model.messages import (
    BlobPart,
    RawPart,
    TextPart,
    UriPart,
    messages_from,
    messages_of,
)

CALL = [[("weather", {"city": "Oslo"})], "Rain."]


@pytest.fixture
def store():
    return InMemoryTraceStore()


@pytest.fixture(params=[TraceSavingObserver, AsyncTraceSavingObserver])
def observer_type(request):
    return request.param


def texts(messages):
    return [
        (each.role, "".join(getattr(p, "content", "") or "" for p in each.parts))
        for each in messages
    ]


def test_question_answer_and_system_prompt(store, observer_type):
    runner = agent(CALL, observer_type(store), name="support", system_prompt="Be brief.")
    result = runner.run("How is it?")
    run = store.load(result.trace.run_id)
    assert (run.agent, run.output) == ("support", "Rain.")
    assert messages_from(run.input)[-1].text == "How is it?"
    first, last = run.filter(type="llm_call")
    asked = messages_of(first).input
    assert asked[0].role == "system"
    assert ("user", "How is it?") in texts(asked)
    assert texts(messages_of(last).output) == [("assistant", "Rain.")]
    assert "Rain." not in str(messages_of(first).output)


def test_messages_say_what_tools_were_called_with_and_what_came_of_it(store, observer_type):
    result = agent(CALL, observer_type(store)).run("How is it?")
    first, last = store.load(result.trace.run_id).filter(type="llm_call")
    (call,) = messages_of(first).output[0].tool_calls
    assert (call.name, call.arguments) == ("weather", {"city": "Oslo"})
    *_, asked, told = messages_of(last).input
    assert asked.parts == [call]
    (came,) = told.parts
    assert (told.role, came.name, came.id, told.extra) == ("tool", "weather", call.id, None)
    assert "Oslo" in came.response


def test_a_tool_that_changes_its_arguments(store, observer_type):
    @tool()
    def grow(items: list) -> str:
        """Grow."""
        items.append("b")
        return "grown"

    turns = [[("grow", {"items": ["a"]})], "Done."]
    result = agent(turns, observer_type(store), tools=[grow]).run("Go.")
    run = store.load(result.trace.run_id)
    called = {"items": ["a"]}
    assert [step.tool_args for step in run if step.tool_name] == [called, called]
    (call,) = messages_of(run.filter(type="llm_call")[0]).output[0].tool_calls
    assert call.arguments == called


def test_a_message_that_is_changed_between_calls_is_read_again():
    result = Message(role=Role.TOOL, content="rain", tool_call_id="c", tool_name="weather")
    conversation = Conversation({})
    first, again = (conversation.messages(Given.now([result])) for _ in range(2))
    assert first[0] is again[0]
    given = Given.now([result])
    result.content = "sun"
    changed, before = (conversation.messages(each) for each in (Given.now([result]), given))
    result.tool_calls = [ToolCall("weather", {}, id="d")]
    said = [told[0]["parts"][0]["response"] for told in (first, changed, before)]
    assert said == ["rain", "sun", "rain"]
    assert conversation.messages(Given.now([result])) == changed


def test_messages_with_pictures(store, observer_type):
    asked = [
        Message(
            Role.USER,
            content_parts=[
                ContentPart("text", text="What is it?"),
                ContentPart("image_url", image_url="https://example.org/a.png"),
                ContentPart("image_base64", image_base64="aGk=", media_type="image/png"),
                ContentPart("video"),
            ],
        )
    ]
    result = agent(["A kettle."], observer_type(store)).run(asked)
    (call,) = store.load(result.trace.run_id).filter(type="llm_call")
    text, address, picture, other = messages_of(call).input[-1].parts
    assert text == TextPart(content="What is it?")
    assert address == UriPart(uri="https://example.org/a.png", modality="image")
    assert picture == BlobPart(content="aGk=", modality="image", mime_type="image/png")
    assert isinstance(other, RawPart)


async def test_the_same_in_an_event_loop(store):
    runner = agent(["Fine."], AsyncTraceSavingObserver(store), name="support")
    result = await runner.arun("How is it?")
    run = store.load(result.trace.run_id)
    assert (run.agent, run.output, messages_from(run.input)[-1].text) == (
        "support",
        "Fine.",
        "How is it?",
    )
    (summary,) = store.list()
    assert (summary.agent, summary.output) == ("support", "Fine.")
    assert "How is it?" in summary.input


def test_a_graph_of_agents_says_what_it_was_asked_and_answered(store, observer_type):
    observer = observer_type(store)
    graph = AgentGraph(observers=[observer])
    graph.add_node("one", agent(["First."], observer, name="one"))
    graph.add_node("two", agent(["Second."], observer, name="two"))
    graph.add_edge("one", "two")
    graph.add_edge("two", AgentGraph.END)
    graph.set_entry("one")
    result = graph.run("Go.")
    while store.count() < 3:
        saver_thread.wait(60)
    (run,) = [each for each in store.list() if each.name == "graph"]
    assert (run.input, run.output) == ("Go.", result.content) == ("Go.", "Second.")


def test_contents_can_be_left_out(store, observer_type):
    result = agent(CALL, observer_type(store, contents=False)).run("My secret?")
    run = store.load(result.trace.run_id)
    assert "secret" not in str(run.to_dict())
    assert run.output is None


@pytest.mark.parametrize("parallel", [True, False])
def test_an_agent_inside_a_tool_of_another(store, observer_type, parallel):
    observer = observer_type(store)
    inner = agent(["Inner."], observer, name="inner")

    @tool()
    def ask(question: str) -> str:
        """Ask the other agent."""
        return inner.run(question).content

    turns = [[("ask", {"question": "a"}), ("ask", {"question": "b"})], "Outer."]
    outer = agent(turns, observer, tools=[ask], name="outer", parallel_tool_execution=parallel)
    result = outer.run("Go.")
    runs = [store.load(each.run_id) for each in store.list()]
    assert [(run.agent, run.parent_run_id) for run in runs if run.agent == "inner"] == [
        ("inner", result.trace.run_id)
    ] * 2
    outer.run("Once more.")  # what it was part of is over
    assert store.load(store.list()[0].run_id).parent_run_id is None


def test_steps_are_stamped_when_they_begin(store, observer_type):
    @tool()
    def slow(name: str) -> str:
        """Take a while."""
        time.sleep(0.2)
        return name

    result = agent([[("slow", {"name": "x"})], "Done."], observer_type(store), tools=[slow]).run(
        "Go."
    )
    run = store.load(result.trace.run_id)
    (step,) = run.filter(type="tool_execution")
    (its,) = [each for each in result.trace.steps if each.type.value == "tool_execution"]
    assert step.timestamp == pytest.approx(its.timestamp - its.duration_ms / 1000)
    assert step.timestamp < its.timestamp - 0.15


def test_a_graph_counts_no_moment_twice(store):
    observer = TraceSavingObserver(store)

    async def wait(state):
        await asyncio.sleep(0.1)
        return state

    graph = AgentGraph(observers=[observer])
    graph.add_node("one", wait)
    graph.add_node("two", wait)
    graph.add_edge("one", "two")
    graph.add_edge("two", AgentGraph.END)
    graph.set_entry("one")
    graph.run("Go.")
    observer.flush(30)
    (summary,) = store.list()
    run = store.load(summary.run_id)
    ends = run.filter(type="graph_node_end")
    whole = ends[-1].extra["wall_ms"]
    assert summary.wall_ms >= whole * 0.999  # it begins before the graph's own clock does
    assert (summary.input, summary.output) == ("Go.", None)
    assert run.total_duration_ms == pytest.approx(whole, abs=1)
    assert [step.duration_ms >= 90 for step in ends] == [True, True, False]


@pytest.mark.parametrize(
    ("route", "error"),
    [
        (lambda _: 1 / 0, "Router function raised"),
        (lambda _: "nowhere", "Node 'nowhere' not found"),
        (lambda _: "one", "Hard loop detected"),
        (None, "ValueError: no"),
    ],
)
def test_a_graph_that_fails_between_its_nodes(store, route, error):
    """selectools tells its observers nothing of it."""
    observer = TraceSavingObserver(store)

    async def wait(state):
        await asyncio.sleep(0.05)
        if route is None:
            raise ValueError("no")
        return state

    graph = AgentGraph(observers=[observer])
    graph.add_node("one", wait)
    graph.add_conditional_edge("one", route or (lambda _: AgentGraph.END))
    graph.set_entry("one")
    with pytest.raises(GraphExecutionError):
        graph.run("Go.")
    observer.flush(30)
    (summary,) = store.list()
    run = store.load(summary.run_id)
    (failed,) = [step for step in run if step.error]
    assert (summary.outcome, summary.input, run.steps[-1]) == ("error", "Go.", failed)
    assert error in failed.error
    assert run.total_duration_ms == pytest.approx(summary.wall_ms, abs=50)
    assert run.total_duration_ms >= 45


def test_what_the_last_call_asked_for_when_no_other_follows(store, observer_type):
    turns = [[("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})]] * 3
    result = agent(turns, observer_type(store), max_iterations=2).run("Go.")
    last = store.load(result.trace.run_id).filter(type="llm_call")[-1]
    calls = messages_of(last).output[0].tool_calls
    assert [call.arguments["city"] for call in calls] == ["Oslo", "Rome"]
    assert all(call.id for call in calls)


def test_an_error_that_cannot_be_told(store, observer_type):
    class BadError(Exception):
        def __str__(self):
            return {"not": "a text"}  # noqa: PLE0307 - that is the point

    @tool()
    def broken_tool(name: str) -> str:
        """Fail."""
        raise BadError

    turns = [[("broken_tool", {"name": "x"})], "Done."]
    observer = observer_type(store)
    with contextlib.suppress(TypeError):  # selectools itself stumbles over it
        agent(turns, observer, tools=[broken_tool]).run("Go.")
    if observer_type is TraceSavingObserver:
        observer.flush(30)
    else:
        asyncio.run(observer.flush(30))
    assert len(store.list()) == 1
