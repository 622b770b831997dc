"""What others write: names old and new, events, flattened lists; nothing of it is lost."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry.trace import Status, StatusCode
from otel_spans import AGENT, Spans

from selectools_observe.integrations import opentelemetry
from selectools_observe.integrations.opentelemetry import runs_of_spans
from selectools_observe.integrations.opentelemetry.semconv import FIELDS, SECONDS, Kind
from selectools_observe.integrations.opentelemetry.span_exporter import record_of
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run
from selectools_observe.model.messages import messages_from, messages_of

USER = [{"role": "user", "content": "hello"}]
CALLS = {
    "current": {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "asked",
        "gen_ai.response.model": "m",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "gen_ai.input.messages": json.dumps(USER),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": "hi"}]),
    },
    "deprecated": {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.prompt_tokens": 12,
        "gen_ai.usage.completion_tokens": 3,
        "gen_ai.usage.cache_read_input_tokens": 4,
        "gen_ai.usage.reasoning_tokens": 2,
        "gen_ai.prompt": json.dumps(USER),
        "gen_ai.completion": json.dumps([{"role": "assistant", "content": "hi"}]),
    },
    "openinference": {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.token_count.prompt": 12,
        "llm.token_count.completion": 3,
        "llm.token_count.prompt_details.cache_read": 4,
        "llm.token_count.completion_details.reasoning": 2,
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": "hello",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "hi",
        "input.value": "hello",
    },
    "openllmetry": {
        "llm.request.type": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.usage.prompt_tokens": 12,
        "gen_ai.usage.completion_tokens": 3,
        "gen_ai.usage.cache_read_input_tokens": 4,
        "gen_ai.usage.reasoning_tokens": 2,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hello",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "hi",
    },
    "vercel": {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "m",
        "ai.usage.inputTokens": 12,
        "ai.usage.outputTokens": 3,
        "ai.usage.cachedInputTokens": 4,
        "ai.usage.reasoningTokens": 2,
        "ai.prompt.messages": json.dumps(USER),
        "ai.response.text": "hi",
    },
}
TOOLS = {
    "current": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "find",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.call.arguments": '{"n": 7}',
        "gen_ai.tool.call.result": "found",
    },
    "openinference": {
        "openinference.span.kind": "TOOL",
        "tool.name": "find",
        "tool.id": "c1",
        "input.value": '{"n": 7}',
        "output.value": "found",
    },
    "google adk": {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "find",
        "gen_ai.tool.call.id": "c1",
        "gcp.vertex.agent.tool_call_args": '{"n": 7}',
        "gcp.vertex.agent.tool_response": "found",
    },
    "pydantic-ai 1": {
        "gen_ai.tool.name": "find",
        "gen_ai.tool.call.id": "c1",
        "tool_arguments": '{"n": 7}',
        "tool_response": "found",
    },
    "vercel": {
        "ai.operationId": "ai.toolCall",
        "ai.toolCall.name": "find",
        "ai.toolCall.id": "c1",
        "ai.toolCall.args": '{"n": 7}',
        "ai.toolCall.result": "found",
    },
}


def step_of(attributes, *, events=(), name="span", status=None):
    """The only step of a run whose agent did this, and that run."""
    spans = Spans()
    root = spans.start("root", AGENT)
    span = spans.start(name, attributes, root)
    for event, said in events:
        span.add_event(event, said)
    if status is not None:
        span.set_status(status)
    span.end()
    root.end()
    records = [record_of(each) for each in spans.finished()]
    (run,) = runs_of_spans(records)
    # Whatever it was, it goes out as it came, and comes back.
    sent = {record.span_id: record.attributes for record in spans_of_run(run)}
    for record in records:
        for key, value in record.attributes.items():
            assert as_value(sent[record.span_id][key]) == as_value(value), key
    assert runs_of_spans(spans_of_run(run)) == [run]
    return run.steps[0]


def as_value(value):
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


@pytest.mark.parametrize("attributes", CALLS.values(), ids=CALLS)
def test_a_model_call(attributes):
    step = step_of(attributes)
    assert (step.type.value, step.model) == ("llm_call", "m")
    assert (step.prompt_tokens, step.completion_tokens) == (12, 3)
    assert (step.extra["cache_read_tokens"], step.extra["reasoning_tokens"]) == (4, 2)
    assert json.dumps(step.input).count("hello") == 1
    assert "hi" in json.dumps(step.output)


@pytest.mark.parametrize("attributes", TOOLS.values(), ids=TOOLS)
def test_a_tool_call(attributes):
    step = step_of(attributes)
    assert (step.type.value, step.tool_name) == ("tool_execution", "find")
    assert (step.tool_args, step.tool_result) == ({"n": 7}, "found")
    assert step.extra["tool_call_id"] == "c1"


@pytest.mark.parametrize(
    "name", [name for names in FIELDS[Kind.MODEL].values() for name in names if name[-1] != "."]
)
def test_every_name_of_the_tables_is_read(name):
    meaning = next(m for m, names in FIELDS[Kind.MODEL].items() if name in names)
    value = 7 if meaning.endswith(("tokens", "usd", "ms")) else "said"
    step = step_of({"gen_ai.operation.name": "chat", name: value})
    told = step.extra.get(meaning, getattr(step, meaning, None))
    if meaning in {"input", "output"}:
        (message,) = messages_from(told)
        told = message.text
    assert told == (7000 if name in SECONDS else value)


@pytest.mark.parametrize("name", ["llm.cost.total", "operation.cost", "gen_ai.usage.cost"])
def test_cost(name):
    assert step_of({"gen_ai.operation.name": "chat", name: 0.25}).cost_usd == 0.25


def test_messages_told_as_events():
    step = step_of(
        {"gen_ai.operation.name": "chat"},
        events=[
            ("gen_ai.system.message", {"content": "be nice"}),
            ("gen_ai.user.message", {"content": "hello"}),
            ("gen_ai.choice", {"index": 0, "message": '{"content": "hi"}'}),
            ("other", {"k": "v"}),
        ],
    )
    asked, answered = messages_of(step)
    assert [(each.role, each.text) for each in asked] == [("system", "be nice"), ("user", "hello")]
    assert [(each.role, each.text) for each in answered] == [("assistant", "hi")]
    assert [event["name"] for event in step.extra["otel"]["events"]] == ["other"]


def test_messages_told_by_a_details_event():
    said = {"gen_ai.input.messages": json.dumps(USER)}
    step = step_of(
        {"gen_ai.operation.name": "chat"},
        events=[("gen_ai.client.inference.operation.details", said)],
    )
    assert step.input == [message.to_dict() for message in messages_from(USER)]


def test_flattened_lists_are_nested_whatever_their_order():
    step = step_of(
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.tool_calls.0.tool_call.function.name": "f",
        }
    )
    assert step.input == [
        {"role": "system", "parts": [{"type": "tool_call", "name": "f"}]},
        {"role": "user", "parts": []},
    ]
    assert "attributes" not in step.extra["otel"] or not any(
        name.startswith("llm.input_messages.") for name in step.extra["otel"]["attributes"]
    )


@pytest.mark.parametrize(
    ("gap", "roles"),
    [
        ({"llm.input_messages.2.message.role": "tool"}, ["user", "tool"]),
        ({"llm.input_messages.0": "x"}, ["user"]),
    ],
)
def test_a_list_with_gaps_is_what_is_there_in_order(gap, roles):
    attributes = {"openinference.span.kind": "LLM", "llm.input_messages.0.message.role": "user"}
    step = step_of(attributes | gap)
    assert [each["role"] for each in step.input] == roles
    assert step.extra["otel"]["attributes"].items() >= gap.items()


def test_a_retriever_and_an_embedding():
    found = step_of(
        {
            "openinference.span.kind": "RETRIEVER",
            "input.value": "where",
            "retrieval.documents.0.document.content": "here",
        },
        name="VectorStore",
    )
    assert (found.type.value, found.tool_name) == ("tool_execution", "VectorStore")
    assert found.tool_args == {"input": "where"}
    assert json.loads(found.tool_result) == [{"document": {"content": "here"}}]
    embedded = step_of(
        {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e", "input.value": "x"}
    )
    assert (embedded.type.value, embedded.model) == ("llm_call", "e")


def test_a_node_of_langgraph():
    metadata = json.dumps({"langgraph_node": "plan", "langgraph_step": 3})
    step = step_of({"openinference.span.kind": "CHAIN", "metadata": metadata})
    assert (step.type.value, step.node_name, step.step_number) == ("graph_node_start", "plan", 3)


@pytest.mark.parametrize(
    ("events", "status", "error"),
    [
        ([], Status(StatusCode.ERROR, "it broke"), "it broke"),
        ([], Status(StatusCode.ERROR), "timeout"),
        (
            [("exception", {"exception.type": "a.b.Oops", "exception.message": "no"})],
            Status(StatusCode.ERROR, "x"),
            "Oops: no",
        ),
        ([("exception", {"exception.type": "Oops"})], None, "Oops"),
        ([("exception", {"exception.type": "Oops"})], Status(StatusCode.OK), None),
        ([], None, "timeout"),  # the conventions set `error.type` if the operation failed
        ([], Status(StatusCode.OK), None),
    ],
)
def test_errors(events, status, error):
    attributes = {"gen_ai.operation.name": "chat", "error.type": "timeout"}
    assert step_of(attributes, events=events, status=status).error == error


@pytest.mark.parametrize(
    "odd",
    [
        {"gen_ai.usage.input_tokens": "many"},
        {"gen_ai.usage.input_tokens": True},
        {"gen_ai.operation.name": "something new"},
        {"openinference.span.kind": 7},
        {"gen_ai.tool.call.arguments": "not { JSON"},
        {"gen_ai.input.messages": "[not JSON"},
        {"metadata": "langgraph_ no JSON"},
    ],
)
def test_odd_values_are_kept(odd):
    step = step_of({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **odd})
    assert step.type.value == "llm_call"


def test_the_front_door_has_what_it_promises():
    for name in opentelemetry.__all__:
        assert getattr(opentelemetry, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = opentelemetry.nothing
