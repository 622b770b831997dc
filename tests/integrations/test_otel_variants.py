"""One meaning, many names: what instrumentations report under names and in forms of their own."""

from __future__ import annotations

import json
import random

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st
from span_records import AGENT, MODEL, kinds, root, run_of, span, tool
from thinned import pairs

from selectools_observe import InMemoryTraceStore
from selectools_observe.integrations.opentelemetry import runs_of_spans
from selectools_observe.integrations.opentelemetry.assembler import SpanAssembler
from selectools_observe.model.facets import usage_of
from selectools_observe.model.message_text import text_of
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
    "braintrust.metrics": {"prompt_tokens": 7, "prompt_cached_tokens": 5, "tokens": 9},
}


@pytest.mark.parametrize(
    ("meaning", "name", "value"),
    pairs([(meaning, name) for meaning in USAGE for name in USAGE[meaning]], [7, 7.0, "7", "7.0"]),
)
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


@pytest.mark.parametrize(("name", "amount"), pairs(COSTS, AMOUNTS), ids=str)
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


@pytest.mark.parametrize(
    ("field", "name", "value"),
    pairs(
        [*(("session_id", name) for name in SESSIONS), *(("user_id", name) for name in USERS)],
        ["s1", 7, 0],
    ),
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
    "lmnr.span.type": {
        "LLM": "llm_call", "TOOL": "tool_execution", "DEFAULT": "graph_node_start",
    },
    "braintrust.span_attributes": {
        '{"type":"llm"}': "llm_call", '{"type": "function", "name": "x"}': "tool_execution",
        '{"type":"task"}': "graph_node_start",
    },
    "haystack.component.name": {"retriever": "graph_node_start"},
    "haystack.component.type": {
        "OpenAIChatGenerator": "llm_call", "Agent": "graph_node_start",
        "InMemoryBM25Retriever": "tool_execution", "OpenAITextEmbedder": "llm_call",
    },
    "lk.function_tool.name": {"find": "tool_execution"},
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


@pytest.mark.parametrize(
    ("kind", "input_name", "output_name"),
    [
        ({"lmnr.span.type": "LLM"}, "lmnr.span.input", "lmnr.span.output"),
        (
            {"braintrust.span_attributes": '{"type":"llm"}'},
            "braintrust.input_json",
            "braintrust.output_json",
        ),
        ({"gen_ai.request.model": "m"}, "lk.chat_ctx", "lk.response.text"),
    ],
)
def test_what_was_said_under_other_names(kind, input_name, output_name):
    asked = [{"role": "user", "content": "hi"}]
    told = kind | {input_name: J(asked), output_name: "yes"}
    (step,) = run_of(root(), span("x", 1, 2, told)).steps
    said = [each.text for part in messages_of(step) for each in part]
    assert (step.type, said) == ("llm_call", ["hi", "yes"])


def test_a_tool_of_livekit():
    told = {
        "lk.function_tool.name": "find",
        "lk.function_tool.id": "c1",
        "lk.function_tool.arguments": J({"n": 7}),
        "lk.function_tool.output": "nothing there",
        "lk.function_tool.is_error": True,
    }
    (step,) = run_of(root(), span("function_tool", 1, 2, told)).steps
    assert (step.tool_name, step.tool_args) == ("find", {"n": 7})
    assert (step.tool_result, step.extra["tool_call_id"]) == ("nothing there", "c1")
    assert step.error


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


ASKED = [{"role": "user", "content": "Where is 7?"}]
SAID = {"role": "assistant", "content": "Sent."}
ORDER = json.dumps({"n": 7})
COUNTED = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
LIBRARIES = {  # what stands around a model's call and a tool's, in each library's own attributes
    "mastra": (
        {
            "mastra.span.type": "agent_run",
            "mastra.agent_run.input": "Where is 7?",
            "mastra.agent_run.output": "Sent.",
            "mastra.metadata.sessionId": "s",
        },
        {
            "mastra.span.type": "model_generation",
            "gen_ai.request.model": "m",
            "mastra.model_generation.input": json.dumps({"messages": ASKED}),
            "mastra.model_generation.output": json.dumps([SAID]),
            **COUNTED,
        },
        {
            "mastra.span.type": "mcp_tool_call",
            "mastra.mcp_tool_call.input": ORDER,
            "mastra.mcp_tool_call.output": "sent",
        },
    ),
    "genkit": (
        {
            "genkit:metadata:subtype": "flow",
            "genkit:input": '"Where is 7?"',
            "genkit:output": '"Sent."',
            "genkit:sessionId": "s",
        },
        {
            "genkit:metadata:subtype": "model",
            "genkit:name": "m",
            "genkit:input": json.dumps(
                {"messages": [{"role": "user", "content": [{"text": "Where is 7?"}]}]}
            ),
            "genkit:output": json.dumps(
                {
                    "message": {"role": "model", "content": [{"text": "Sent."}]},
                    "usage": {"inputTokens": 10, "outputTokens": 5},
                }
            ),
        },
        {
            "genkit:metadata:subtype": "tool",
            "genkit:name": "find_order",
            "genkit:input": ORDER,
            "genkit:output": '"sent"',
        },
    ),
    "agentops": (
        {
            "agentops.span.kind": "agent",
            "agentops.entity.input": "Where is 7?",
            "agentops.entity.output": "Sent.",
            "session.id": "s",
        },
        {
            "agentops.span.kind": "llm",
            "gen_ai.request.model": "m",
            "agentops.entity.input": json.dumps(ASKED),
            "agentops.entity.output": json.dumps([SAID]),
            **COUNTED,
        },
        {"agentops.span.kind": "tool", "tool.parameters": ORDER, "tool.result": "sent"},
    ),
    "langsmith, openlit and logfire": (
        {
            "langsmith.span.kind": "chain",
            "gen_ai.prompt": "Where is 7?",
            "gen_ai.completion": "Sent.",
            "langsmith.trace.session_id": "s",
        },
        {
            "gen_ai.request.model": "m",
            "request_data": json.dumps({"model": "m", "messages": ASKED}),
            "gen_ai.content.completion": "Sent.",
            "gen_ai.response.prompt_tokens": 10,
            "gen_ai.response.completion_tokens": 5,
        },
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.args": ORDER,
            "gen_ai.tool.output": "sent",
        },
    ),
    "spring ai and langtrace": (
        {
            "gen_ai.operation.name": "framework",
            "spring.ai.kind": "chat_client",
            "gen_ai.prompt": "Where is 7?",
            "gen_ai.completion": "Sent.",
            "session.id": "s",
        },
        {
            "gen_ai.request.model": "m",
            "llm.prompts": json.dumps(ASKED),
            "llm.responses": json.dumps([SAID]),
            **COUNTED,
        },
        {
            "gen_ai.operation.name": "framework",
            "spring.ai.kind": "tool_call",
            "spring.ai.tool.definition.name": "find_order",
            "spring.ai.tool.call.arguments": ORDER,
            "spring.ai.tool.call.result": "sent",
        },
    ),
    "mlflow and braintrust": (
        {
            "mlflow.spanType": '"AGENT"',
            "mlflow.spanInputs": '"Where is 7?"',
            "mlflow.spanOutputs": '"Sent."',
            "mlflow.trace.session": "s",
        },
        {
            "braintrust.span_attributes": json.dumps({"type": "llm"}),
            "braintrust.metadata": json.dumps({"model": "m"}),
            "braintrust.input_json": json.dumps(ASKED),
            "braintrust.output_json": '"Sent."',
            **COUNTED,
        },
        {
            "mlflow.spanType": '"TOOL"',
            "mlflow.spanInputs": ORDER,
            "mlflow.spanOutputs": '"sent"',
        },
    ),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_with_attributes_of_their_own(library):
    agent, model, used = LIBRARIES[library]
    run = run_of(root(attributes=agent), span("call", 1, 2, model), span("find_order", 3, 4, used))
    assert (run.input, run.output, run.session_id) == ("Where is 7?", "Sent.", "s")
    asked, called = run.steps
    assert (asked.type, asked.model) == ("llm_call", "m")
    assert (asked.prompt_tokens, asked.completion_tokens) == (10, 5)
    texts = [[part["content"] for part in m["parts"]] for m in (*asked.input, *asked.output)]
    assert texts == [["Where is 7?"], ["Sent."]]
    assert (called.tool_name, called.tool_args) == ("find_order", {"n": 7})
    assert called.tool_result == "sent"


def haystacks(role, **part):
    """A message as Haystack 3.4 writes it into its spans."""
    meta = {"model": "m-1", "finish_reason": "stop", "usage": {"prompt_tokens": 3}}
    return {"role": role, "meta": meta if role == "assistant" else {}, "content": [part]}


def test_an_agent_of_haystack():
    """As haystack-ai 3.4 with opentelemetry-haystack 2.0 reports it."""
    call = {"tool_name": "find", "arguments": {"n": 7}, "id": "c1", "extra": None}
    asked, wanted = haystacks("user", text="Where is 7?"), haystacks("assistant", tool_call=call)
    found = haystacks("tool", tool_call_result={"result": "sent", "origin": call, "error": True})
    thought = haystacks("assistant", reasoning={"reasoning_text": "Hm.", "extra": {}})
    picture = haystacks("user", image={"base64_image": "aGk=", "mime_type": "image/png"})
    called = {
        "haystack.agent.step.llm.input": J({"messages": [asked, wanted, found, thought, picture]}),
        "haystack.agent.step.llm.output": J({"replies": [haystacks("assistant", text="Sent.")]}),
    }
    pipeline = {
        "haystack.pipeline.input_data": J({"clerk": {"messages": [asked]}}),
        "haystack.pipeline.output_data": J({"clerk": {"messages": [asked], "step_count": 1}}),
    }
    component = {"haystack.component.name": "clerk", "haystack.component.type": "Agent"}
    failed = {
        "haystack.tool.name": "find", "haystack.tool.error": True,
        "haystack.agent.step.tool.input": J(call["arguments"]),
        "haystack.agent.step.tool.output": J({"error": "no such order"}),
    }  # fmt: skip
    run = run_of(
        root(attributes=pipeline),
        span("haystack.component.run", 1, 9, component, id="clerk"),
        span("haystack.agent.step", 2, 8, {"haystack.agent.step": 0}, "clerk", id="step"),
        span("haystack.agent.step.llm", 3, 4, called, "step", id="llm"),
        span("haystack.agent.step.tool", 5, 6, failed, "step", id="tool"),
    )
    assert kinds(run) == ["graph_node_start", "llm_call", "tool_execution", "graph_node_end"]
    _, model, used, _ = run.steps
    assert (model.model, model.prompt_tokens, model.node_name) == ("m-1", 3, "clerk")
    assert (run.agent, model.extra["finish_reason"]) == ("clerk", "stop")
    assert [[part["type"] for part in each["parts"]] for each in model.input] == [
        ["text"], ["tool_call"], ["tool_call_response"], ["reasoning"], ["blob"]
    ]  # fmt: skip
    result = model.input[2]["parts"][0]
    assert (result["name"], result["id"], result["is_error"]) == ("find", "c1", True)
    assert (used.tool_name, used.tool_args, used.error) == ("find", {"n": 7}, "no such order")
    assert text_of(run.input, "user") == "Where is 7?"


def test_a_tool_of_agentops_and_the_call_that_its_model_asks_for():
    """As agentops 0.4 reports them: only one of the two was executed."""
    asked = {"agentops.span.kind": "AgentOpsSpanKindValues.TOOL", "tool.name": "find"}
    used = {
        "agentops.span.kind": "tool", "agentops.tool.output": "sent",
        "agentops.tool.input": J({"args": [], "kwargs": {"n": 7}}),
    }  # fmt: skip
    run = run_of(
        root(attributes={"agentops.span.kind": "session"}),
        span("clerk.agent", 1, 9, {"agentops.span.kind": "agent"}, id="clerk"),
        span("openai.chat.completion", 2, 3, {"gen_ai.request.model": "m"}, "clerk", id="llm"),
        span("tool_call.find", 2, 2, asked, "llm", id="asked"),
        span("find.tool", 4, 5, used, "clerk", id="used"),
    )
    assert kinds(run) == ["graph_node_start", "llm_call", "tool_execution", "graph_node_end"]
    _, model, tool, _ = run.steps
    assert (model.node_name, tool.tool_name, tool.tool_args) == ("clerk", "find", {"n": 7})
    assert tool.tool_result == "sent"
