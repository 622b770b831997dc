"""A run adds up: no moment, no token and no call is counted twice, and none is missing."""

from __future__ import annotations

import msgspec
import pytest
from span_records import AGENT, CHAIN, LLM, MODEL, kinds, root, run_of, span, tool

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.integrations.opentelemetry import runs_of_spans
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run
from selectools_observe.model.facets import usage_of
from selectools_observe.model.messages import messages_of

USAGE = {"gen_ai.usage.input_tokens": 920, "gen_ai.usage.output_tokens": 30}
OPENINFERENCE_USAGE = {"llm.token_count.prompt": 920, "llm.token_count.completion": 30}


class TestTime:
    def test_a_tool_that_holds_a_model_call(self):
        run = run_of(root(), span("t", 0, 10, tool("t")), span("m", 0, 10, MODEL, "t"))
        assert run.total_duration_ms == 10_000
        outer, inner = run.steps
        assert (outer.duration_ms, inner.duration_ms) == (0, 10_000)
        assert outer.extra["wall_ms"] == 10_000
        assert "wall_ms" not in inner.extra

    def test_a_tool_inside_a_model_call(self):
        run = run_of(
            root(), span("call_llm", 0, 10, MODEL), span("t", 1, 10, tool("t"), "call_llm")
        )
        assert [step.duration_ms for step in run] == [1_000, 9_000]

    def test_calls_inside_one_another_through_spans_that_are_no_steps(self):
        run = run_of(
            root(),
            span("t", 0, 10, tool("t")),
            span("http", 0, 9, {"http.method": "POST"}, "t"),
            span("m", 1, 8, MODEL, "http"),
        )
        assert [step.duration_ms for step in run] == [3_000, 7_000]

    def test_a_chain_around_a_query_that_is_no_step(self):
        run = run_of(
            root(12), span("c", 0, 10, CHAIN), span("q", 0.1, 10, {"db.system": "sqlite"}, "c")
        )
        assert run.total_duration_ms == 10_000

    def test_a_query_that_is_a_step(self):
        records = root(), span("m", 0, 10, MODEL), span("http", 1, 9, {"http.method": "POST"}, "m")
        run = run_of(*records, other_spans="steps")
        assert run.total_duration_ms == 10_000

    def test_calls_at_the_same_time_each_take_their_time(self):
        run = run_of(
            root(),
            span("c", 0, 10, CHAIN),
            span("t1", 1, 9, tool("x"), "c"),
            span("t2", 1, 9, tool("y"), "c"),
        )
        assert [step.duration_ms for step in run if step.tool_name] == [8_000, 8_000]
        assert run.steps[-1].duration_ms == 2_000

    def test_what_outlasts_its_parent_takes_no_more_from_it_than_it_has(self):
        run = run_of(root(), span("t", 0, 2, tool("t")), span("m", 1, 9, MODEL, "t"))
        assert [step.duration_ms for step in run] == [1_000, 8_000]


class TestOneCallReportedTwice:
    def test_a_tool_directly_inside_the_same_tool(self):
        run = run_of(
            root(),
            span("execute_tool x", 0, 10, tool("x"), id="client"),
            span("rpc", 1, 9, {"rpc.system": "mcp"}, "client"),
            span(
                "execute_tool x",
                1,
                9,
                tool("x", **{"gen_ai.tool.call.arguments": '{"n":7}'}),
                "rpc",
                id="server",
                status="error",
                status_message="locked",
            ),
        )
        (step,) = run.steps
        assert (step.tool_name, step.duration_ms) == ("x", 10_000)
        # What only the inner one reports is not lost.
        assert (step.tool_args, step.error) == ({"n": 7}, "locked")
        assert [each["name"] for each in run.extra["otel"]["spans"]] == ["rpc", "execute_tool x"]

    def test_a_tool_inside_another_tool_is_two(self):
        run = run_of(root(), span("x", 0, 10, tool("x")), span("y", 1, 9, tool("y"), "x"))
        assert [step.tool_name for step in run] == ["x", "y"]

    def test_a_tool_that_calls_an_agent_that_calls_it_is_two(self):
        run = run_of(
            root(),
            span("x1", 0, 10, tool("x")),
            span("agent", 1, 9, AGENT, "x1"),
            span("x2", 2, 8, tool("x"), "agent"),
        )
        assert [step.tool_name for step in run if step.tool_name] == ["x", "x"]

    def test_the_server_of_a_tool_in_another_process(self):
        run = run_of(
            root(),
            span("tools/call x", 0, 10, tool("x"), id="client", kind="client"),
            span("tools/call x", 1, 9, tool("x"), "client", id="server", remote_parent=True),
        )
        assert (kinds(run), run.run_id) == (["tool_execution"], root().trace_id)

    def test_a_model_call_inside_one_that_reports_no_tokens(self):
        run = run_of(
            root(),
            span("LLM.chat_with_tools", 0, 10, LLM | {"llm.model_name": "m", "input.value": "hi"}),
            span("m", 1, 9, MODEL | USAGE, "LLM.chat_with_tools"),
        )
        (step,) = run.steps
        assert (step.prompt_tokens, step.model) == (920, "m")
        assert [each.text for each in messages_of(step).input] == ["hi"]

    def test_several_calls_inside_a_wrapper_that_reports_no_tokens(self):
        run = run_of(
            root(),
            span("with_retries", 0, 10, LLM),
            span("m1", 1, 4, MODEL | USAGE, "with_retries"),
            span("m2", 5, 9, MODEL | USAGE, "with_retries"),
        )
        assert kinds(run) == ["llm_call"] * 2
        assert run.total_duration_ms == 7_000

    def test_a_model_call_inside_one_that_reports_its_tokens(self):
        run = run_of(
            root(),
            span("outer", 0, 10, LLM | OPENINFERENCE_USAGE),
            span("m", 1, 9, MODEL | USAGE, "outer"),
        )
        assert usage_of(run.steps).prompt_tokens == 920

    @pytest.mark.parametrize("first", ["own", "openinference"])
    def test_siblings_that_overlap_from_two_instrumentations(self, first):
        own = span("chat m", 1, 9, MODEL | USAGE, scope="anthropic")
        other = span("Messages", 1.1, 9.2, LLM | OPENINFERENCE_USAGE, scope="openinference")
        calls = [own, other] if first == "own" else [other, own]
        run = run_of(root(), *calls, span("later", 9.5, 9.9, MODEL | USAGE, scope="anthropic"))
        assert usage_of(run.steps).prompt_tokens == 2 * 920
        assert kinds(run) == ["llm_call"] * 2

    def test_siblings_of_which_one_reports_nothing(self):
        run = run_of(
            root(),
            span("chat m", 1, 9, MODEL, scope="anthropic"),
            span("Messages", 1.1, 8, LLM | OPENINFERENCE_USAGE | {"llm.model_name": "m-2025"}),
        )
        (step,) = run.steps
        assert (step.prompt_tokens, step.completion_tokens) == (920, 30)

    def test_parallel_calls_each_reported_twice(self):
        records = [root()]
        for n in range(3):
            usage = {"gen_ai.usage.input_tokens": 100 + n}
            other = {"llm.token_count.prompt": 100 + n}
            records += [
                span(f"own{n}", 1 + n / 10, 9, MODEL | usage, scope="anthropic"),
                span(f"oi{n}", 1.05 + n / 10, 9, LLM | other, scope="openinference"),
            ]
        assert usage_of(run_of(*records).steps).prompt_tokens == 303

    def test_parallel_calls_of_one_instrumentation_are_what_they_are(self):
        records = [span(f"m{n}", 1, 9, MODEL | USAGE, scope="anthropic") for n in range(3)]
        assert usage_of(run_of(root(), *records).steps).prompt_tokens == 3 * 920

    def test_parallel_calls_of_different_models(self):
        one = span("one", 1, 9, MODEL | {"gen_ai.request.model": "a"}, scope="x")
        other = span("other", 1, 9, LLM | {"llm.model_name": "b"}, scope="y")
        assert len(run_of(root(), one, other)) == 2

    def test_a_tool_reported_by_two_instrumentations_side_by_side(self):
        run = run_of(
            root(),
            span("execute_tool x", 1, 9, tool("x"), scope="framework"),
            span("x", 1.1, 8.9, {"openinference.span.kind": "TOOL", "tool.name": "x"}, scope="oi"),
        )
        assert [step.tool_name for step in run] == ["x"]


class TestUsageReportedByTheOuterSpanOnly:
    ROOT = AGENT | {
        "llm.token_count.prompt": 2760,
        "llm.token_count.completion": 90,
        "llm.cost.total": 0.006,
        "llm.model_name": "claude",
        "input.value": "hi",
        "output.value": "hello",
    }

    def test_of_a_root_without_model_calls(self):
        run = run_of(root(10, self.ROOT), span("t", 1, 4, tool("t")))
        assert (usage_of(run.steps).prompt_tokens, usage_of(run.steps).cost_usd) == (2760, 0.006)
        call = run.steps[0]
        assert (call.type.value, call.model, call.completion_tokens) == ("llm_call", "claude", 90)
        assert (call.duration_ms, call.extra["wall_ms"]) == (7_000, 10_000)
        assert [each.text for side in messages_of(call) for each in side] == ["hi", "hello"]

    def test_of_a_root_that_is_all_there_is(self):
        run = run_of(root(10, self.ROOT))
        assert kinds(run) == ["llm_call"]

    def test_of_a_root_whose_calls_report_none(self):
        run = run_of(root(10, self.ROOT), span("m1", 1, 2, MODEL), span("m2", 3, 4, MODEL))
        assert usage_of(run.steps).prompt_tokens == 2760
        assert kinds(run).count("llm_call") == 2

    def test_of_a_root_whose_calls_report_the_tokens_and_not_the_cost(self):
        run = run_of(
            root(10, self.ROOT), span("m1", 1, 2, MODEL | {"gen_ai.usage.input_tokens": 5})
        )
        assert usage_of(run.steps).prompt_tokens == 5
        assert usage_of(run.steps).cost_usd == 0.006

    def test_of_a_root_whose_calls_report_it_too(self):
        run = run_of(
            root(10, self.ROOT), span("m1", 1, 2, MODEL | USAGE | {"llm.cost.total": 0.001})
        )
        usage = usage_of(run.steps)
        assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (920, 30, 0.001)

    def test_of_an_agent_inside(self):
        run = run_of(root(10, CHAIN), span("agent", 1, 9, self.ROOT))
        assert usage_of(run.steps).prompt_tokens == 2760

    def test_of_several_one_inside_the_other(self):
        run = run_of(root(10, self.ROOT), span("agent", 1, 9, self.ROOT))
        assert usage_of(run.steps).prompt_tokens == 2760

    def test_of_a_failed_root(self):
        run = run_of(root(10, self.ROOT, status="error", status_message="no"))
        assert usage_of(run.steps).prompt_tokens == 2760
        assert [step.error for step in run if step.error] == ["no"]


class TestTokensAndCosts:
    @pytest.mark.parametrize(
        "name",
        [
            "llm.cost.total",
            "operation.cost",
            "gen_ai.usage.cost",
            "gen_ai.usage.total_cost",
            "gen_ai.cost.total_cost",
            "gen_ai.usage.cost_usd",
            "litellm.cost.total",
            "llm.usage.cost",
            "cost_usd",
        ],
    )
    @pytest.mark.parametrize("value", [0.0123, "0.0123", " 1.23e-2 "])
    def test_costs(self, name, value):
        (step,) = run_of(root(), span("m", 0, 1, MODEL | {name: value})).steps
        assert step.cost_usd == 0.0123

    @pytest.mark.parametrize("value", [25, 25.0, "25", "25.0"])
    def test_tokens(self, value):
        (step,) = run_of(
            root(), span("m", 0, 1, MODEL | {"gen_ai.usage.input_tokens": value})
        ).steps
        assert (step.prompt_tokens, type(step.prompt_tokens)) == (25, int)

    @pytest.mark.parametrize("value", ["nan", "inf", "many", "", True, [1], None])
    def test_what_is_no_number(self, value):
        (step,) = run_of(
            root(), span("m", 0, 1, MODEL | {"gen_ai.usage.input_tokens": value, "cost_usd": value})
        ).steps
        assert (step.prompt_tokens, step.cost_usd) == (None, None)

    def test_cost_in_two_parts(self):
        parts = {"gen_ai.cost.input_cost": 0.25, "gen_ai.cost.output_cost": "0.5"}
        (step,) = run_of(root(), span("m", 0, 1, MODEL | parts)).steps
        assert step.cost_usd == 0.75

    @pytest.mark.parametrize(
        ("name", "field"),
        [
            ("gen_ai.usage.cache_write.input_tokens", "cache_write_tokens"),
            ("gen_ai.usage.cache_creation.input_tokens", "cache_write_tokens"),
            ("cache_creation_tokens", "cache_write_tokens"),
            ("gen_ai.usage.cached_tokens", "cache_read_tokens"),
            ("cache_read_tokens", "cache_read_tokens"),
            ("llm.token_count.prompt_details.audio", "audio_input_tokens"),
            ("llm.token_count.completion_details.audio", "audio_output_tokens"),
            ("gen_ai.usage.output_tokens.reasoning", "reasoning_tokens"),
        ],
    )
    def test_shares(self, name, field):
        (step,) = run_of(root(), span("m", 0, 1, MODEL | {name: 100})).steps
        assert step.extra[field] == 100

    def test_a_split_of_cache_writes(self):
        said = {
            "gen_ai.usage.cache_creation.ephemeral_5m_input_tokens": 12_000,
            "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens": 500,
        }
        (step,) = run_of(root(), span("m", 0, 1, MODEL | said)).steps
        assert step.extra["cache_write_tokens"] == 12_500
        assert step.extra["otel"]["attributes"].items() >= said.items()


class TestSpansThatAreNoCalls:
    @pytest.mark.parametrize(
        "wrapper",
        [
            span("OpenAI._prepare_chat_with_tools", 0, 1, LLM | {"input.value": "{}"}),
            span("Anthropic._prepare_chat_with_tools", 0, 1, LLM),
            span("execute_tool (merged tools)", 0, 1, tool("(merged tools)")),
            span("create_agent a", 0, 1, {"gen_ai.operation.name": "create_agent"}),
        ],
        ids=lambda wrapper: wrapper.name,
    )
    def test_beside_a_call(self, wrapper):
        run = run_of(root(), wrapper, span("m", 2, 3, MODEL))
        assert kinds(run) == ["llm_call"]

    def test_create_agent_alone_is_no_run(self):
        from selectools_observe.integrations.opentelemetry import runs_of_spans

        alone = span("create_agent a", 0, 1, {"gen_ai.operation.name": "create_agent"}, None)
        assert runs_of_spans([alone]) == []

    def test_calls_inside_one_of_them(self):
        run = run_of(
            root(),
            span("execute_tool (merged tools)", 0, 9, tool("(merged tools)"), id="merged"),
            span("x", 1, 8, tool("x"), "merged"),
        )
        assert [step.tool_name for step in run] == ["x"]


class TestClaudeCode:
    def test_its_own_spans(self):
        run = run_of(
            span(
                "claude_code.interaction",
                0,
                10,
                {"span.type": "interaction", "user_prompt": "fix it", "session.id": "s"},
                None,
                id="root",
            ),
            span(
                "claude_code.llm_request",
                1,
                3,
                {
                    "model": "claude-sonnet",
                    "input_tokens": 12,
                    "output_tokens": 5,
                    "cache_read_tokens": 900,
                    "cache_creation_tokens": 40,
                    "ttft_ms": 321,
                    "stop_reason": "tool_use",
                },
            ),
            span("claude_code.tool", 3, 9, {"tool_name": "Bash", "full_command": "ls"}),
            span("claude_code.tool.blocked_on_user", 3, 5, {}, "claude_code.tool", id="blocked"),
            span(
                "claude_code.tool.execution",
                5,
                9,
                {"success": False, "error": "exit 1"},
                "claude_code.tool",
                id="execution",
                status="error",
            ),
            span("claude_code.hook", 9, 9.5, {"hook_event": "PostToolUse"}),
        )
        call, used = run.steps
        assert (call.model, call.prompt_tokens, call.completion_tokens) == ("claude-sonnet", 12, 5)
        assert (call.extra["cache_read_tokens"], call.extra["cache_write_tokens"]) == (900, 40)
        assert call.extra["time_to_first_token_ms"] == 321
        assert call.extra["finish_reason"] == "tool_use"
        assert (used.type.value, used.tool_name) == ("tool_execution", "Bash")
        assert (used.tool_args, used.error) == ({"full_command": "ls"}, "exit 1")
        assert used.duration_ms == 6_000


BEGAN = 1_750_000_000


def later(record):
    """The span at a time that a run can have."""
    at = BEGAN * 10**9
    return msgspec.structs.replace(record, start_ns=record.start_ns + at, end_ns=record.end_ns + at)


class TestWallTime:
    """A run takes as long as its spans do, whatever of it is a step."""

    @pytest.mark.parametrize(
        "records",
        [
            [root()],
            [root(attributes=CHAIN), span("q", 1, 9, {"db.system": "sqlite"})],
            [root(), span("m", 1, 2, MODEL)],
            [root(5), span("t", 4, 10, tool("t"))],
            [root(), span("m", 0, 10, MODEL), span("t", 1, 8, tool("t"), "m")],
            [span("root", 0, 10, tool("t"), None), span("m", 1, 2, MODEL)],
            [span("root", 0, 10, MODEL, None)],
        ],
        ids=["no step", "none that is told", "early", "late", "in a call", "a tool", "a call"],
    )
    def test_it_is_that_of_all_spans(self, records):
        assert run_of(*map(later, records)).wall_ms == 10_000

    def test_it_is_sent_as_the_time_of_the_root(self):
        trace = AgentTrace([TraceStep("llm_call", BEGAN, 1_000)], BEGAN, "r", end_time=BEGAN + 7)
        sent = spans_of_run(trace)
        assert sent[0].end_ns - sent[0].start_ns == 7 * 10**9
        assert list(runs_of_spans(sent)) == [trace]
