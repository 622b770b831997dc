"""One meaning, many names: what instrumentations report under names and in forms of their own."""

from __future__ import annotations

import json
import random

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from span_records import AGENT, MODEL, kinds, root, run_of, span, tool

from selectools_observe import InMemoryTraceStore
from selectools_observe.integrations.opentelemetry import runs_of_spans
from selectools_observe.integrations.opentelemetry.assembler import SpanAssembler
from selectools_observe.model.facets import usage_of
from selectools_observe.model.messages import messages_of

J = json.dumps


def call(attributes, **fields):
    return run_of(root(), span("chat m", 1, 2, MODEL | attributes, **fields)).steps[0]


USAGE = {
    "prompt_tokens": [
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
        "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens",
        "llm.usage.prompt_tokens", "llm.usage.input_tokens", "gen_ai.usage.input_token_count",
    ],
    "completion_tokens": [
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
        "llm.token_count.completion", "ai.usage.outputTokens", "ai.usage.completionTokens",
        "llm.usage.completion_tokens", "llm.usage.output_tokens",
    ],
    "cache_read_tokens": [
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens", "gen_ai.usage.cached_tokens",
        "gen_ai.usage.cached_input_tokens", "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens",
        "gen_ai.usage.prompt_tokens_details.cached_tokens",
        "gen_ai.usage.input_tokens_details.cached_tokens", "llm.usage.cache_read_input_tokens",
    ],
    "cache_write_tokens": [
        "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_tokens", "ai.usage.inputTokenDetails.cacheWriteTokens",
        "llm.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
    ],
    "reasoning_tokens": [
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.reasoning_output_tokens", "gen_ai.usage.thinking_tokens",
        "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens",
        "ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens",
        "gen_ai.usage.output_tokens_details.reasoning_tokens",
        "gen_ai.usage.completion_tokens_details.reasoning_tokens",
    ],
    "audio_input_tokens": [
        "gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio",
        "gen_ai.usage.input_audio_tokens", "gen_ai.usage.prompt_tokens_details.audio_tokens",
    ],
}  # fmt: skip
WHOLE = {
    "gen_ai.usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 5}},
    "llm.usage": {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 5}},
    "usage": {"prompt_tokens": 7, "cache_read_input_tokens": 5},
    "langfuse.observation.usage_details": {"input": 7, "input_cached_tokens": 5, "total": 9},
    "mlflow.chat.tokenUsage": {"input_tokens": 7, "cache_read_tokens": 5},
}


@pytest.mark.parametrize(
    ("meaning", "name"), [(meaning, name) for meaning in USAGE for name in USAGE[meaning]]
)
@pytest.mark.parametrize("value", [7, 7.0, "7", "7.0"])
def test_tokens_under_every_name(meaning, name, value):
    step = call({name: value})
    assert (step.extra.get(meaning) or getattr(step, meaning, None)) == 7


@pytest.mark.parametrize("value", [True, "n/a", -7, 7.5, "", "seven", [7], {"a": 7}])
@pytest.mark.parametrize("name", ["gen_ai.usage.input_tokens", "llm.usage.input_tokens"])
def test_what_is_no_number_of_tokens_is_none(name, value):
    assert call({name: value}).prompt_tokens is None


@pytest.mark.parametrize("form", [J, dict])
@pytest.mark.parametrize("name", WHOLE)
def test_usage_as_an_object(name, form):
    step = call({name: form(WHOLE[name])})
    assert (step.prompt_tokens, step.extra["cache_read_tokens"]) == (7, 5)


@pytest.mark.parametrize("name", [*WHOLE, *USAGE["prompt_tokens"]])
def test_usage_that_only_the_root_reports_counts_once(name):
    told = {name: J(WHOLE[name]) if name in WHOLE else 7}
    run = run_of(root(attributes=AGENT | told), span("m", 1, 2, MODEL))
    assert usage_of(run.steps).prompt_tokens == 7
    both = run_of(root(attributes=AGENT | told), span("m", 1, 2, MODEL | told))
    assert usage_of(both.steps).prompt_tokens == 7
    nested = run_of(
        root(attributes=AGENT | told),
        span("agent", 0, 9, AGENT | told),
        span("m", 1, 2, MODEL | told, "agent"),
        span("inner", 1, 2, MODEL | told, "m"),
    )
    assert usage_of(nested.steps).prompt_tokens == 7


COSTS = [
    "gen_ai.usage.cost", "gen_ai.usage.total_cost", "gen_ai.usage.cost.total", "gen_ai.cost",
    "gen_ai.cost.total", "gen_ai.cost.total_cost", "gen_ai.client.cost", "llm.cost",
    "llm.cost.total", "llm.total_cost", "llm.usage.cost", "llm.usage.cost_usd", "operation.cost",
    "litellm.cost.total", "litellm.response_cost", "ai.cost", "cost", "total_cost", "cost_usd",
    "mlflow.llm.cost", "langfuse.observation.cost_details",
]  # fmt: skip
AMOUNTS = [
    0.0123, "0.0123", "1.23e-2", "$0.0123", "0.0123 USD", " 0.0123 ", {"total": 0.0123},
    {"total_cost": "0.0123"}, {"input": 0.01, "output": 0.0023}, {"input": 0.01, "total": 0.0123},
]  # fmt: skip


@pytest.mark.parametrize("amount", AMOUNTS, ids=str)
@pytest.mark.parametrize("name", COSTS)
def test_costs_under_every_name_in_every_form(name, amount):
    for told in (amount, J(amount)) if isinstance(amount, dict) else (amount,):
        assert call({name: told}).cost_usd == pytest.approx(0.0123)


@pytest.mark.parametrize("amount", ["-1", -1, "unknown", "", {}, [], "0,0123", True, {"a": "b"}])
@pytest.mark.parametrize("name", COSTS[:8])
def test_what_is_no_cost_is_unknown(name, amount):
    assert call({name: amount}).cost_usd is None


@pytest.mark.parametrize("amount", [0, "0", 0.0, {"total": 0}])
def test_a_cost_of_0_is_known(amount):
    assert call({"gen_ai.usage.cost": amount}).cost_usd == 0


ERRORS = {
    "status": ({}, {"status": "error", "status_message": "boom"}, "boom"),
    "status alone": ({}, {"status": "error"}, "error"),
    "type alone": ({"error.type": "timeout"}, {}, "timeout"),
    "type and message": ({"error.type": "t", "error.message": "boom"}, {}, "boom"),
    "a flag": ({"error": True, "error.message": "boom"}, {}, "boom"),
    "a text": ({"error": "boom"}, {}, "boom"),
    "a flag as text": ({"error": "true", "error.message": "boom"}, {}, "boom"),
    "attributes of an exception": (
        {"exception.type": "a.ValueError", "exception.message": "boom"}, {}, "ValueError: boom",
    ),
    "an event": (
        {}, {"events": [("exception", {"exception.type": "E", "exception.message": "boom"})]},
        "E: boom",
    ),
    "a traceback": (
        {}, {"events": [("exception", {"exception.stacktrace": "Traceback:\n  x\nE: boom\n"})]},
        "E: boom",
    ),
    "another event": (
        {}, {"events": [("error", {"message": "boom"})], "status": "error"}, "boom",
    ),
    "OpenTelemetry's in attributes": (
        {"otel.status_code": "ERROR", "otel.status_description": "boom"}, {}, "boom",
    ),
    "Langfuse": (
        {"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "boom"},
        {}, "boom",
    ),
    "ok is ok": ({"error.type": "x"}, {"status": "ok"}, None),
    "no error": ({"error": False}, {}, None),
    "no error as text": ({"error": "false"}, {}, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["model", "tool", "agent"])
@pytest.mark.parametrize(("attributes", "fields", "error"), ERRORS.values(), ids=ERRORS)
def test_errors_wherever_they_are_reported(kind, attributes, fields, error):
    bases = {"model": MODEL, "tool": tool("x"), "agent": AGENT}
    run = run_of(root(), span("s", 1, 2, bases[kind] | attributes, **fields))
    assert run.steps[-1].error == error


GIVEN = (
    "", "gen_ai.", "langfuse.", "langfuse.trace.metadata.", "langsmith.metadata.",
    "langsmith.trace.", "traceloop.association.properties.", "ai.telemetry.metadata.", "metadata.",
)  # fmt: skip
SESSIONS = [
    "gen_ai.conversation.id", "session.id", "group_id", "mlflow.trace.session",
    "gen_ai.openai.thread.id", "gcp.vertex.agent.session_id", "conversation.id",
    *[f"{given}{name}" for given in GIVEN for name in ("session_id", "thread_id", "sessionId",
      "threadId", "conversation_id", "conversationId", "chat_id", "chatId")],
]  # fmt: skip
USERS = [
    "user.id", "enduser.id", "enduser.pseudo.id", "mlflow.trace.user",
    *[f"{given}{name}" for given in GIVEN for name in ("user_id", "userId")],
]  # fmt: skip


@pytest.mark.parametrize("value", ["s1", 7, 0])
@pytest.mark.parametrize(
    ("field", "name"),
    [*(("session_id", name) for name in SESSIONS), *(("user_id", name) for name in USERS)],
)
def test_whose_a_run_is_under_every_name(field, name, value):
    outer = run_of(root(attributes=AGENT | {name: value}), span("m", 1, 2, MODEL))
    inner = run_of(root(), span("m", 1, 2, MODEL | {name: value}))
    given = run_of(root(attributes=AGENT | {"metadata": J({name: value})}), span("m", 1, 2, MODEL))
    assert getattr(outer, field) == getattr(inner, field) == getattr(given, field) == str(value)


def test_a_thread_of_the_operating_system_is_no_session():
    run = run_of(root(attributes=AGENT | {"thread.id": 140_123}), span("m", 1, 2, MODEL))
    assert run.session_id is None


KINDS = {
    "langfuse.observation.type": {
        "generation": "llm_call", "embedding": "llm_call", "tool": "tool_execution",
        "retriever": "tool_execution", "agent": "graph_node_start", "chain": "graph_node_start",
        "guardrail": "guardrail",
    },
    "mlflow.spanType": {
        '"CHAT_MODEL"': "llm_call", "LLM": "llm_call", '"EMBEDDING"': "llm_call",
        "TOOL": "tool_execution", '"RETRIEVER"': "tool_execution", "AGENT": "graph_node_start",
    },
    "langsmith.span.kind": {
        "llm": "llm_call", "tool": "tool_execution", "retriever": "tool_execution",
        "chain": "graph_node_start",
    },
    "traceloop.span.kind": {
        "tool": "tool_execution", "workflow": "graph_node_start", "agent": "graph_node_start",
    },
    "openinference.span.kind": {
        "LLM": "llm_call", "TOOL": "tool_execution", "CHAIN": "graph_node_start",
        "RETRIEVER": "tool_execution", "GUARDRAIL": "guardrail",
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [(name, value, kind) for name, values in KINDS.items() for value, kind in values.items()],
)
def test_kinds_of_spans(name, value, kind):
    assert kinds(run_of(root(), span("x", 1, 2, {name: value})))[0] == kind


def test_a_generation_of_langfuse():
    told = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.input": J([{"role": "user", "content": "hi"}]),
        "langfuse.observation.output": "yes",
        "langfuse.observation.model.name": "m",
        "langfuse.observation.cost_details": J({"input": 0.5, "output": 0.25}),
    }
    outer = AGENT | {"langfuse.trace.name": "refunds", "langfuse.trace.tags": ["eu"]}
    run = run_of(root(attributes=outer), span("x", 1, 2, told))
    (step,) = run.steps
    asked, answered = messages_of(step)
    assert [each.text for each in (*asked, *answered)] == ["hi", "yes"]
    assert (step.model, step.cost_usd) == ("m", 0.75)
    assert (run.name, run.metadata["tags"]) == ("refunds", ["eu"])


def test_the_vercel_ai_sdk():
    asked = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    calls = [
        {"type": "tool-call", "toolCallId": "c1", "toolName": "find", "args": '{"n":7}'},
        {"toolCallType": "function", "toolCallId": "c2", "toolName": "find", "input": {"n": 8}},
    ]
    usage = {"ai.usage.promptTokens": 7, "ai.usage.completionTokens": 3}
    whole = {
        "ai.operationId": "ai.generateText",
        "ai.prompt": J({"prompt": "hi"}),
        "ai.response.text": "yes",
        "ai.telemetry.functionId": "support",
    }
    one = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "m",
        "ai.prompt.messages": J(asked),
        "ai.response.toolCalls": J(calls),
        "ai.response.finishReason": "tool-calls",
    }
    found = {
        "ai.operationId": "ai.toolCall",
        "ai.toolCall.name": "find",
        "ai.toolCall.id": "c1",
        "ai.toolCall.args": '{"n":7}',
        "ai.toolCall.result": '"found"',
    }
    run = run_of(
        root(attributes=whole | usage),
        span("ai.generateText.doGenerate", 1, 2, one | usage),
        span("ai.toolCall", 2, 3, found),
    )
    model, called = run.steps
    assert (run.name, run.input, run.output) == ("support", {"prompt": "hi"}, "yes")
    assert usage_of(run.steps).prompt_tokens == 7
    assert [(c.name, c.arguments, c.id) for c in messages_of(model).output[0].tool_calls] == [
        ("find", {"n": 7}, "c1"), ("find", {"n": 8}, "c2"),
    ]  # fmt: skip
    assert (called.tool_args, called.tool_result) == ({"n": 7}, "found")


@pytest.mark.parametrize(
    ("told", "arguments"),
    [
        ('{"n":7}', {"n": 7}), ({"n": 7}, {"n": 7}), (J(J({"n": 7})), {"n": 7}), ("{}", {}),
        (J({"args": [], "kwargs": {"n": 7}}), {"n": 7}), ("", None), ("plain", {"input": "plain"}),
        (J({"input_str": "{'n': 7}", "inputs": {"n": 7}}), {"n": 7}), ("[7]", {"input": [7]}),
        ("7", {"input": "7"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["gen_ai.tool.call.arguments", "input.value", "traceloop.entity.input"]
)
def test_arguments_in_every_form(name, told, arguments):
    (step,) = run_of(root(), span("t", 1, 2, tool("x") | {name: told})).steps
    assert step.tool_args == arguments


@pytest.mark.parametrize(
    "told",
    [
        "found", J("found"), J({"output": "found", "kwargs": {}}),
        J({"content": [{"type": "text", "text": "found"}], "isError": False}),
        J({"content": "found", "type": "tool", "status": "success"}),
        J([{"type": "text", "text": "found"}]),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["gen_ai.tool.call.result", "output.value", "traceloop.entity.output"]
)
def test_results_in_every_form(name, told):
    (step,) = run_of(root(), span("t", 1, 2, tool("x") | {name: told})).steps
    assert (step.tool_result, step.error) == ("found", None)


TIMES = st.floats(0, 20, allow_nan=False).map(lambda at: round(at, 3))
SPANS = st.lists(st.tuples(TIMES, TIMES, st.integers(0, 6), st.booleans()), max_size=7)


def tree(told):
    """Spans with any times, inside of any earlier one: also before it, after it, of no length."""
    records = [root(20)]
    for number, (start, end, parent, is_tool) in enumerate(told):
        inside = "root" if parent >= number else f"s{parent}"
        attributes = tool(f"t{number}") if is_tool else MODEL | {"gen_ai.usage.input_tokens": 1}
        records.append(span(f"s{number}", start, end, attributes, inside))
    return records


@given(SPANS)
@profile(400)
def test_no_moment_counts_twice_however_spans_lie(told):
    """Spans inside one another share their time; only what is side by side may take it twice."""
    records = tree(told)
    (run,) = runs_of_spans(records)
    assert all(step.duration_ms >= 0 for step in run)
    chain = [(0.0, 20.0, n - 1, True) for n in range(len(told))]
    (nested,) = runs_of_spans(tree(chain))
    assert nested.total_duration_ms == pytest.approx(20_000 if chain else 0)


@given(SPANS, st.randoms(use_true_random=False))
@profile(120)
def test_order_parts_and_repeats_make_no_difference(told, chance: random.Random):
    records = tree(told)
    (whole,) = runs_of_spans(records)
    store = InMemoryTraceStore()
    receivers = [SpanAssembler(store), SpanAssembler(store)]
    sent = records + chance.sample(records, chance.randint(0, len(records)))
    chance.shuffle(sent)
    for record in sent:
        chance.choice(receivers).add([record])
        if chance.random() < 0.2:
            chance.choice(receivers).flush()
    for receiver in receivers:
        receiver.close()
    (summary,) = store.list()
    stored = store.load(summary.run_id)
    assert sorted(map(repr, stored.steps)) == sorted(map(repr, whole.steps))
    assert (stored.metadata, stored.outcome) == (whole.metadata, whole.outcome)
