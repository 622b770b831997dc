"""What a step and a run are found by: models, tools, nodes, sessions; and what tools gave back."""

from __future__ import annotations

import json

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from span_records import AGENT, CHAIN, LLM, MODEL, TRACE, ident, root, run_of, span, tool

from selectools_observe import InMemoryTraceStore, SQLiteTraceStore, TraceFilter
from selectools_observe.integrations.opentelemetry import (
    TraceStoreSpanExporter,
    otlp_of_runs,
    runs_of_otlp,
)
from selectools_observe.integrations.opentelemetry.otlp_proto import protobuf_of_spans
from selectools_observe.model.messages import messages_of


def model_step(attributes, **more):
    (step,) = run_of(root(), span("m", 0, 1, attributes, **more)).steps
    return step


def tool_step(attributes, name="execute_tool x", **more):
    (step,) = run_of(root(), span(name, 0, 1, attributes, **more)).steps
    return step


class TestModels:
    @pytest.mark.parametrize("made", ["memory", "sqlite"])
    def test_a_run_is_found_by_what_was_asked_for_and_by_what_answered(self, made, tmp_path):
        store = InMemoryTraceStore() if made == "memory" else SQLiteTraceStore(tmp_path / "t.db")
        answered = MODEL | {
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
        }
        with store:
            run = run_of(root(), span("m", 0, 1, answered))
            store.save(run)
            for name in ("gpt-4o", "gpt-4o-2024-08-06"):
                assert [each.run_id for each in store.query(TraceFilter(model=name))] == [TRACE]
            assert store.query(TraceFilter(model="gpt-4")) == []
        (step,) = run.steps
        assert (step.model, step.extra["request_model"]) == ("gpt-4o-2024-08-06", "gpt-4o")

    @pytest.mark.parametrize("key", ["model", "model_name", "modelId"])
    def test_the_model_of_a_failed_call(self, key):
        said = LLM | {"llm.invocation_parameters": json.dumps({key: "gpt-4o", "temperature": 0})}
        step = model_step(said, status="error", status_message="timeout")
        assert (step.model, step.error) == ("gpt-4o", "timeout")

    def test_the_model_of_a_failed_call_that_tells_its_request(self):
        request = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "?"}]})
        step = model_step(LLM | {"input.value": request}, status="error")
        assert step.model == "gpt-4o"

    def test_a_model_without_a_name(self):
        assert model_step(MODEL | {"gen_ai.request.model": ""}).model is None

    @pytest.mark.parametrize(
        "response",
        [
            {"choices": [{"finish_reason": "stop", "message": {"content": "?"}}]},
            {"stop_reason": "stop", "role": "assistant", "content": "?"},
            {"candidates": [{"finishReason": "stop", "content": {"parts": [{"text": "?"}]}}]},
        ],
        ids=["OpenAI", "Anthropic", "Gemini"],
    )
    @pytest.mark.parametrize(
        "beside",
        [{}, {"llm.output_messages.0.message.content": "?"}],
        ids=["alone", "beside messages"],
    )
    def test_a_finish_reason_in_the_response(self, response, beside):
        told = {"model": "m", "usage": {"total_tokens": 3}, **response}
        step = model_step(LLM | beside | {"output.value": json.dumps(told)})
        assert step.extra["finish_reason"] == "stop"

    def test_time_to_the_first_chunk_and_finish_reasons(self):
        step = model_step(
            MODEL
            | {
                "gen_ai.response.time_to_first_chunk": 0.25,
                "gen_ai.response.finish_reasons": ["stop"],
            }
        )
        assert step.extra["time_to_first_token_ms"] == 250
        assert step.extra["finish_reason"] == "stop"

    def test_a_finish_reason_in_the_messages(self):
        said = [{"role": "assistant", "parts": [], "finish_reason": "length"}]
        step = model_step(MODEL | {"gen_ai.output.messages": json.dumps(said)})
        assert step.extra["finish_reason"] == "length"


class TestMessages:
    def test_the_sdks_limit_drops_the_first(self):
        store = InMemoryTraceStore()
        exporter = TraceStoreSpanExporter(store)
        provider = TracerProvider(span_limits=SpanLimits(max_attributes=20))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        messages = {
            f"llm.input_messages.{n}.message.{key}": value
            for n in range(30)
            for key, value in (("role", "user"), ("content", str(n)))
        }
        with provider.get_tracer("t").start_as_current_span("m") as started:
            for name, value in messages.items():
                started.set_attribute(name, value)
            started.set_attributes(LLM)
        (summary,) = store.list()
        (step,) = store.load(summary.run_id).steps
        contents = [each.text for each in messages_of(step).input]
        assert contents == sorted(contents, key=int)
        assert contents[-1] == "29"
        provider.shutdown()

    def test_the_systems_text_comes_first(self):
        system = json.dumps([{"type": "text", "content": "be nice"}])
        user = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}])
        step = model_step(
            MODEL | {"gen_ai.system_instructions": system, "gen_ai.input.messages": user}
        )
        assert [each["role"] for each in step.input] == ["system", "user"]
        assert step.input[0]["parts"][0]["content"] == "be nice"

    @pytest.mark.parametrize(
        "output",
        [
            [{"role": "assistant", "parts": [{"type": "reasoning", "content": "hmm"}]}],
            [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hmm"}]}],
            {"candidates": [{"content": {"parts": [{"thought": True, "text": "hmm"}]}}]},
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "hmm"}]}],
            {"output": [{"type": "reasoning", "summary": [{"text": "hmm"}]}, {"type": "message"}]},
        ],
    )
    def test_reasoning(self, output):
        step = model_step(MODEL | {"gen_ai.output.messages": json.dumps(output)})
        assert step.reasoning == "hmm"

    def test_reasoning_of_openinference(self):
        at = "llm.output_messages.0.message.contents"
        step = model_step(
            LLM
            | {
                f"{at}.0.message_content.type": "reasoning",
                f"{at}.0.message_content.text": "hmm",
                f"{at}.1.message_content.type": "text",
                f"{at}.1.message_content.text": "hi",
            }
        )
        assert step.reasoning == "hmm"


class TestTools:
    def test_arguments_and_result_told_as_events(self):
        step = tool_step(
            tool("x"),
            events=[
                ("gen_ai.tool.message", {"role": "tool", "content": '{"n": 7}', "id": "c1"}),
                ("gen_ai.choice", {"message": '[{"text": "found"}]', "id": "c1"}),
            ],
        )
        assert (step.tool_args, step.extra["tool_call_id"]) == ({"n": 7}, "c1")
        assert "found" in step.tool_result

    def test_arguments_and_result_told_as_messages(self):
        call = {"type": "tool_call", "name": "x", "id": "c1", "arguments": {"n": 7}}
        answer = {"type": "tool_call_response", "id": "c1", "response": "found"}
        said = {
            "gen_ai.input.messages": json.dumps([{"role": "tool", "parts": [call]}]),
            "gen_ai.output.messages": json.dumps([{"role": "tool", "parts": [answer]}]),
        }
        event = "gen_ai.client.inference.operation.details"
        for step in (tool_step(tool("x") | said), tool_step(tool("x"), events=[(event, said)])):
            assert (step.tool_args, step.tool_result) == ({"n": 7}, "found")

    @pytest.mark.parametrize(
        ("result", "text", "failed"),
        [
            ({"tool_name": "x", "content": "no such order", "is_error": True}, "no such order", 1),
            (
                {
                    "blocks": [{"block_type": "text", "text": "no such order"}],
                    "tool_name": "x",
                    "raw_input": {},
                    "raw_output": "no such order",
                    "is_error": True,
                },
                "no such order",
                1,
            ),
            ({"tool_name": "x", "raw_output": "found", "is_error": False}, "found", 0),
            (
                {"content": "locked", "type": "tool", "status": "error", "tool_call_id": "c"},
                "locked",
                1,
            ),
            (
                {"content": "found", "type": "tool", "status": "success", "tool_call_id": "c"},
                "found",
                0,
            ),
            ({"content": [{"type": "text", "text": "locked"}], "isError": True}, "locked", 1),
            (
                {"toolUseId": "c", "status": "error", "content": [{"text": "locked"}]},
                "locked",
                1,
            ),
            ([{"role": "tool", "content": "locked", "status": "error"}], "locked", 1),
            ({"tool_call_id": "c", "content": "found"}, "found", 0),
            ({"type": "error-text", "value": "locked"}, "locked", 1),
            ({"type": "tool-error", "toolName": "x", "error": "locked"}, "locked", 1),
            ({"type": "json", "value": {"error": "locked"}}, '{"error":"locked"}', 1),
            ({"type": "text", "value": "found"}, "found", 0),
            ({"type": "text", "value": "a", "n": 1}, '{"type":"text","value":"a","n":1}', 0),
            ({"part_kind": "retry-prompt", "content": "locked", "tool_name": "x"}, "locked", 1),
            ({"success": False, "error": "locked"}, '{"success":false,"error":"locked"}', 1),
            ({"success": True, "error": "none"}, '{"success":true,"error":"none"}', 0),
            ([{"order": 1}], '[{"order": 1}]', 0),
            ({"error": "locked"}, '{"error":"locked"}', 1),
            ({"content": "as it is"}, '{"content":"as it is"}', 0),
        ],
    )
    def test_results(self, result, text, failed):
        step = tool_step(
            {
                "openinference.span.kind": "TOOL",
                "tool.name": "x",
                "output.value": json.dumps(result),
            }
        )
        assert json.loads(step.tool_result) == json.loads(text) if text[0] == "{" else True
        assert text[0] == "{" or step.tool_result == text
        said = "locked" if text[0] == "{" else text
        assert step.error == (said if failed else None)

    def test_an_error_in_the_tools_own_words(self):
        step = tool_step(
            tool("x")
            | {
                "error.type": "TOOL_ERROR",
                "gcp.vertex.agent.tool_response": '{"error": "database is locked"}',
            },
            status="error",
        )
        assert step.error == "database is locked"

    @pytest.mark.parametrize(
        ("name", "attributes"),
        [
            ("find_order.__call__", {"openinference.span.kind": "TOOL"}),
            ("Tool", {"openinference.span.kind": "TOOL", "tool.name": "find_order.__call__"}),
            ("execute_tool find_order", {"gen_ai.operation.name": "execute_tool"}),
            ("tools/call find_order", {"gen_ai.operation.name": "execute_tool"}),
            ("running tool: find_order", {"gen_ai.operation.name": "execute_tool"}),
        ],
    )
    def test_names(self, name, attributes):
        assert tool_step(attributes, name).tool_name == "find_order"


class TestNodes:
    def test_a_turn_of_a_loop_is_no_node(self):
        run = run_of(
            span("invoke_agent a", 0, 10, AGENT, None, id="root"),
            span("execute_event_loop_cycle", 0, 9, {"gen_ai.event.start_time": "x"}, id="cycle"),
            span("chat", 1, 2, MODEL, "cycle"),
        )
        (step,) = run.steps
        assert step.node_name == "a"

    @pytest.mark.parametrize(
        ("attributes", "name"),
        [
            ({"openinference.span.kind": "AGENT"}, "refunds"),
            ({"openinference.span.kind": "AGENT", "agent.name": "refunds"}, "LangGraph"),
            (CHAIN | {"metadata": {"lc_agent_name": "refunds"}}, "refunds"),
        ],
    )
    def test_an_agent_inside_a_node_of_a_graph(self, attributes, name):
        metadata = {"langgraph_node": "tools", **attributes.get("metadata", {})}
        attributes = attributes | {"metadata": json.dumps(metadata)}
        run = run_of(root(), span(name, 0, 5, attributes, id="sub"), span("m", 1, 2, MODEL, "sub"))
        assert [step.node_name for step in run] == ["refunds"] * 3

    def test_a_chain_inside_a_node_of_a_graph(self):
        metadata = json.dumps({"langgraph_node": "tools", "lc_agent_name": "support"})
        run = run_of(root(), span("RunnableSequence", 0, 5, CHAIN | {"metadata": metadata}))
        assert {step.node_name for step in run} == {"tools"}


class TestSpansWithoutAttributes:
    """As of calls that failed before a framework had set them."""

    @pytest.mark.parametrize("name", ["agent_run [support]", "invoke_agent support"])
    def test_agents_and_tools_are_known_by_their_names(self, name):
        run = run_of(
            span("invocation", 0, 10, {}, None, id="root"),
            span(name, 0, 9, {}, id="agent", status="error", status_message="closed"),
            span("chat", 1, 2, MODEL, "agent"),
            span("execute_tool refund", 2, 3, {}, "agent", status="error", status_message="closed"),
        )
        assert {step.node_name for step in run} == {"support"}
        (step,) = run.filter(type="tool_execution")
        assert (step.tool_name, step.error) == ("refund", "closed")


class TestWhose:
    @pytest.mark.parametrize(
        ("key", "names"),
        [
            (
                "gen_ai.conversation.id",
                ["gen_ai.conversation.id", "session.id", "thread_id", "group_id", "session_id"],
            ),
            ("user.id", ["user.id", "user_id", "enduser.id"]),
        ],
    )
    def test_one_name_for_each(self, key, names):
        for name in names:
            said = run_of(root(10, AGENT | {name: "7"}), span("m", 0, 1, MODEL))
            given = run_of(
                root(10, CHAIN | {"metadata": json.dumps({name: "7"})}), span("m", 0, 1, MODEL)
            )
            assert said.metadata[key] == given.metadata[key] == "7"
            assert given.metadata[name] == "7"  # as it came, too


class TestRoots:
    @pytest.mark.parametrize("parent", ["0" * 16, ident("m"), ident("m").upper()])
    def test_a_parent_of_zeros_is_none_and_none_is_its_own(self, parent):
        record = span("m", 0, 1, MODEL, None)
        sent = {
            "traceId": TRACE,
            "spanId": ident("m"),
            "parentSpanId": parent,
            "name": "m",
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            ],
        }
        (run,) = runs_of_otlp({"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]})
        assert "unfinished" not in run.metadata
        assert "parent_span_id" not in run.steps[0].extra["otel"]
        record.parent_span_id = parent
        (run,) = runs_of_otlp(protobuf_of_spans([record]))
        assert "unfinished" not in run.metadata
        assert "parent_span_id" not in run.steps[0].extra["otel"]


class TestMoreForms:
    """What the closing hunt through other kinds found."""

    @pytest.mark.parametrize(
        "result",
        [
            {"status": "error", "error_message": "database is locked"},
            {"status": "failed", "error": {"message": "database is locked"}},
            {"status": "error", "message": "database is locked"},
        ],
    )
    def test_a_tool_that_says_it_failed(self, result):
        (step,) = run_of(root(), span("t", 0, 1, tool("x", **{RESULT: json.dumps(result)})))
        assert step.error == "database is locked"

    @pytest.mark.parametrize(
        "result", [{"status": "error", "rows": 3}, {"status": "ok", "message": "database"}, "error"]
    )
    def test_one_that_does_not(self, result):
        (step,) = run_of(root(), span("t", 0, 1, tool("x", **{RESULT: json.dumps(result)})))
        assert step.error is None

    def test_parameters_as_python_shows_them(self):
        attributes = LLM | {"llm.invocation_parameters": "{'n': 1, 'model': 'gpt-4o'}"}
        (step,) = run_of(root(), span("m", 0, 1, attributes, status="error"))
        assert step.model == "gpt-4o"

    @pytest.mark.parametrize(
        ("name", "field"),
        [
            ("gen_ai.usage.details.cache_creation_input_tokens", "cache_write_tokens"),
            ("gen_ai.usage.details.cache_read_input_tokens", "cache_read_tokens"),
            ("llm.token_count.prompt_details.cache_input", "cache_read_tokens"),
        ],
    )
    def test_details_of_tokens(self, name, field):
        (step,) = run_of(root(), span("m", 0, 1, MODEL | {name: 7}))
        assert step.extra[field] == 7

    def test_an_agent_named_after_its_async_method(self):
        run = run_of(root(), span("support.arun", 0, 1, {"openinference.span.kind": "AGENT"}))
        assert {step.node_name for step in run} == {"support"}


RESULT = "gen_ai.tool.call.result"


class TestCancelled:
    @pytest.mark.parametrize(
        "kind",
        [
            "asyncio.exceptions.CancelledError", "KeyboardInterrupt", "GeneratorExit",
            "System.Threading.Tasks.TaskCanceledException", "AbortError", "trio.Cancelled",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("told", ["attribute", "event"])
    def test_a_run_that_a_cancellation_ends(self, kind, told):
        events = [("exception", {"exception.type": kind})] if told == "event" else []
        attributes = AGENT | ({"error.type": kind} if told == "attribute" else {})
        run = run_of(root(attributes=attributes, status="error", events=events))
        assert run.outcome == "cancelled"
        (again,) = runs_of_otlp(otlp_of_runs([run]))
        assert again == run

    def test_one_that_goes_on_after_it(self):
        failed = {"error.type": "CancelledError"}
        run = run_of(root(), span("t", 1, 2, tool("x", **failed), status="error"))
        assert run.outcome is None


class TestWhatFrameworksWriteOtherwise:
    """Found by playing a script with each of them: ``tests/frameworks``."""

    def test_an_agent_that_is_named_by_its_span_alone(self):
        agent = {"openinference.span.kind": "AGENT"}
        run = run_of(span("clerk.run", 0, 5, agent, None, id="root"), span("call", 1, 2, MODEL))
        assert run.agent == "clerk"
        assert run.filter(type="llm_call")[0].node_name == "clerk"

    @pytest.mark.parametrize(
        ("result", "text"),
        [
            ('[{"text": "found"}, {"text": "it"}]', "found\nit"),
            ('[{"type": "text", "text": "found"}]', "found"),
            ('"found"', "found"),
            ('[{"text": "found", "score": 1}]', '[{"text": "found", "score": 1}]'),
            ("[]", "[]"),
        ],
    )
    def test_results_in_their_wrappings(self, result, text):
        run = run_of(
            root(), span("find", 1, 2, tool("find", **{"gen_ai.tool.call.result": result}))
        )
        assert run.filter(type="tool_execution")[0].tool_result == text

    def test_what_google_adk_puts_around_results_that_are_no_objects(self):
        told = {"gcp.vertex.agent.event_id": "e", "gen_ai.tool.call.result": '{"result": "found"}'}
        run = run_of(root(), span("find", 1, 2, tool("find", **told)))
        assert run.filter(type="tool_execution")[0].tool_result == "found"

    def test_a_failure_that_a_plugin_handled(self):
        result = '{"error_type": "ValueError", "error_details": "not so", "retry_count": 1}'
        run = run_of(
            root(), span("find", 1, 2, tool("find", **{"gen_ai.tool.call.result": result}))
        )
        assert run.filter(type="tool_execution")[0].error == "ValueError: not so"

    def test_what_only_the_response_says_of_a_call(self):
        response = {
            "model": "gpt-4o-2024-08-06",
            "choices": [],
            "usage": {
                "prompt_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 64},
                "completion_tokens": 20,
                "completion_tokens_details": {"reasoning_tokens": 8},
            },
        }
        told = LLM | {"llm.model_name": "openai/gpt-4o", "llm.token_count.prompt": 99}
        told["output.value"] = json.dumps(response)
        run = run_of(root(), span("completion", 1, 2, told))
        (step,) = run.filter(type="llm_call")
        assert (step.model, step.extra["request_model"]) == ("gpt-4o-2024-08-06", "openai/gpt-4o")
        assert (step.prompt_tokens, step.completion_tokens) == (99, 20)
        assert step.extra["cache_read_tokens"] == 64
        assert step.extra["reasoning_tokens"] == 8
