# ruff: noqa: C901
"""Agents of real libraries, offline: the stored run is what the library itself reported."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys

import pytest

pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from openai_server import call, openai_server, text
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceFilter
from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter

needs_pydantic_ai = pytest.mark.skipif(
    importlib.util.find_spec("pydantic_ai") is None, reason="pydantic-ai-slim is not installed"
)
needs_smolagents = pytest.mark.skipif(
    importlib.util.find_spec("smolagents") is None
    or importlib.util.find_spec("openinference") is None
    or importlib.util.find_spec("openai") is None,
    reason="smolagents, its OpenInference instrumentation or openai is not installed",
)


@pytest.fixture
def store(tmp_path):
    with SQLiteTraceStore(tmp_path / "traces.db") as store:
        yield store


@pytest.fixture(params=["simple", "batch"])
def provider(request, store):
    exporter = TraceStoreSpanExporter(store)
    processors = {"simple": SimpleSpanProcessor, "batch": BatchSpanProcessor}
    provider = TracerProvider()
    provider.add_span_processor(processors[request.param](exporter))
    yield provider
    provider.shutdown()
    assert exporter.failed == 0


def the_run(store, provider) -> AgentTrace:
    provider.force_flush()
    return the_only(store)


def the_only(store) -> AgentTrace:
    (summary,) = store.list()
    return store.load(summary.run_id)


def pydantic_agent(provider, *, breaks: bool = False):
    """An agent with two tools: one is tried twice, and the other fails for good if asked."""
    from pydantic_ai import Agent, ModelRetry
    from pydantic_ai.capabilities import Instrumentation
    from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart
    from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.usage import RequestUsage

    def respond(messages, info) -> ModelResponse:
        turn = sum(isinstance(message, ModelResponse) for message in messages) + 1
        if turn == 1:
            parts = [
                ThinkingPart("Both at once."),
                ToolCallPart("find_order", {"number": 7}, tool_call_id="c1"),
                ToolCallPart("refund", {"amount": -1}, tool_call_id="c2"),
            ]
        elif turn == 2:
            parts = [ToolCallPart("refund", {"amount": 5}, tool_call_id="c3")]
        else:
            parts = [TextPart("done")]
        usage = RequestUsage(
            input_tokens=100 + turn,
            output_tokens=20 + turn,
            cache_read_tokens=10 + turn,
            cache_write_tokens=turn,
        )
        return ModelResponse(parts, usage=usage, model_name="gpt-4o")

    async def stream(messages, info):
        for number, part in enumerate(respond(messages, info).parts):
            if isinstance(part, ThinkingPart):
                yield {number: DeltaThinkingPart(content=part.content)}
            elif isinstance(part, ToolCallPart):
                arguments = json.dumps(part.args)
                yield {
                    number: DeltaToolCall(part.tool_name, arguments, tool_call_id=part.tool_call_id)
                }
            else:
                yield part.content

    model = FunctionModel(respond, stream_function=stream, model_name="gpt-4o")
    settings = InstrumentationSettings(tracer_provider=provider)
    agent = Agent(model, name="support", capabilities=[Instrumentation(settings=settings)])

    @agent.tool_plain
    def find_order(number: int) -> dict:
        return {"order": number}

    @agent.tool_plain(retries=2)
    async def refund(amount: int) -> str:
        if amount < 0:
            raise ModelRetry("the amount must not be negative")
        if breaks:
            raise ValueError("the bank is closed")
        return "refunded"

    return agent


def assert_is_what_pydantic_reported(run: AgentTrace, messages) -> None:
    from pydantic_ai.messages import ModelRequest, ModelResponse, RetryPromptPart, ToolReturnPart

    responses = [message for message in messages if isinstance(message, ModelResponse)]
    calls = run.filter(type="llm_call")
    assert [step.model for step in calls] == [response.model_name for response in responses]
    for field, name in {
        "prompt_tokens": "input_tokens",
        "completion_tokens": "output_tokens",
    }.items():
        assert [getattr(s, field) for s in calls] == [getattr(r.usage, name) for r in responses]
    for name in ("cache_read_tokens", "cache_write_tokens"):
        assert [step.extra.get(name, 0) for step in calls] == [
            getattr(response.usage, name) for response in responses
        ]
    # Of costs the library knows those of models that it has prices for.
    if all(response.usage.cache_read_tokens for response in responses):
        prices = [float(response.cost().total_price) for response in responses]
        assert [step.cost_usd for step in calls] == pytest.approx(prices)
    assert calls[0].reasoning == responses[0].thinking
    assert [step.output[0]["parts"][-1].get("name") for step in calls] == [
        response.parts[-1].tool_name if response.tool_calls else None for response in responses
    ]
    asked = [part for response in responses for part in response.tool_calls]
    answers = {
        part.tool_call_id: part
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, ToolReturnPart | RetryPromptPart)
    }
    tools = {step.extra["tool_call_id"]: step for step in run.filter(type="tool_execution")}
    assert tools.keys() == {part.tool_call_id for part in asked}
    for part in asked:
        step, answer = tools[part.tool_call_id], answers.get(part.tool_call_id)
        assert (step.tool_name, step.tool_args) == (part.tool_name, part.args_as_dict())
        if answer is None:
            continue  # it ended the run
        given = answer.content
        said = given if isinstance(given, str) else json.dumps(given, separators=(",", ":"))
        assert step.tool_result == said
        failed = isinstance(answer, RetryPromptPart) or answer.outcome != "success"
        assert step.error == (f"ToolRetryError: {said}" if failed else None)
    assert {step.node_name for step in [*calls, *tools.values()]} == {"support"}
    assert run.metadata["gen_ai.agent.name"] == "support"
    assert run.metadata["otel.scope.name"] == "pydantic-ai"
    assert "unfinished" not in run.metadata


@needs_pydantic_ai
class TestPydanticAI:
    async def test_async(self, store, provider):
        result = await pydantic_agent(provider).run("hello")
        assert result.output == "done"
        assert_is_what_pydantic_reported(the_run(store, provider), result.all_messages())

    def test_blocking(self, store, provider):
        result = pydantic_agent(provider).run_sync("hello")
        asyncio.get_event_loop_policy().get_event_loop().close()  # the library leaves it open
        assert_is_what_pydantic_reported(the_run(store, provider), result.all_messages())

    async def test_streaming(self, store, provider):
        async with pydantic_agent(provider).run_stream("hello") as result:
            assert [piece async for piece in result.stream_text()][-1] == "done"
            messages = result.all_messages()
        assert_is_what_pydantic_reported(the_run(store, provider), messages)

    async def test_an_error_that_ends_the_run(self, store, provider):
        from pydantic_ai import capture_run_messages

        with (
            capture_run_messages() as messages,
            pytest.raises(ValueError, match="the bank is closed"),
        ):
            await pydantic_agent(provider, breaks=True).run("hello")
        run = the_run(store, provider)
        assert_is_what_pydantic_reported(run, messages)
        assert run.filter(type="tool_execution")[-1].error == "ValueError: the bank is closed"
        assert (run.steps[-1].type.value, run.steps[-1].error) == (
            "error",
            "ValueError: the bank is closed",
        )
        assert len(store.query(TraceFilter(has_error=True))) == 1

    async def test_concurrent_runs_stay_apart(self, store, provider):
        agent = pydantic_agent(provider)
        await asyncio.gather(*(agent.run(f"hello {number}") for number in range(10)))
        provider.force_flush()
        assert {summary.steps for summary in store.list()} == {6}
        assert store.count() == 10


@needs_smolagents
@pytest.mark.filterwarnings("ignore:Function .* has decorators other than @tool:UserWarning")
class TestSmolagents:
    """OpenInference's instrumentation, on the library's own client of OpenAI's API."""

    def agent(self, provider, url: str):
        import smolagents
        from openinference.instrumentation.smolagents import SmolagentsInstrumentor

        instrumentor = SmolagentsInstrumentor()
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)

        @smolagents.tool
        def find_order(number: int) -> str:
            """Find an order.

            Args:
                number: Its number.
            """
            return f"order {number}"

        @smolagents.tool
        def refund(amount: int) -> str:
            """Give money back.

            Args:
                amount: How much.
            """
            if amount < 0:
                raise ValueError("the amount must not be negative")
            return "refunded"

        model = smolagents.OpenAIServerModel("gpt-4o", api_base=url, api_key="none")
        agent = smolagents.ToolCallingAgent(
            [find_order, refund], model, name="support", description="It helps.", verbosity_level=0
        )
        return agent, instrumentor

    def test_a_run(self, store, provider):
        script = {
            1: [call("c1", "find_order", number=7)],
            2: [call("c2", "refund", amount=-1)],
            3: [call("c3", "refund", amount=5)],
            4: [call("c4", "final_answer", answer="done")],
        }
        with openai_server(lambda number, request: script.get(number, [text("?")])) as url:
            agent, instrumentor = self.agent(provider, url)
            try:
                assert agent.run("hello") == "done"
            finally:
                instrumentor.uninstrument()
        run = the_run(store, provider)
        steps = [step for step in agent.memory.steps if hasattr(step, "token_usage")]

        calls = run.filter(type="llm_call")
        told = [step.token_usage for step in steps]
        assert [step.prompt_tokens for step in calls] == [usage.input_tokens for usage in told]
        assert [step.completion_tokens for step in calls] == [usage.output_tokens for usage in told]
        assert {step.model for step in calls} == {"gpt-4o"}

        tools = run.filter(type="tool_execution")
        asked = [each.function for s in steps for each in s.model_output_message.tool_calls]
        assert [(s.tool_name, s.tool_args) for s in tools] == [(a.name, a.arguments) for a in asked]
        assert [s.tool_result for s in tools] == ["order 7", None, "refunded", "done"]
        assert [s.error for s in tools if s.error] == [
            "ValueError: the amount must not be negative"
        ]
        failed = next(step for step in steps if step.error is not None)
        ends = run.filter(type="graph_node_end")
        assert [end.node_name for end in ends] == [f"Step {step.step_number}" for step in steps]
        assert [end.error is not None for end in ends] == [s.error is not None for s in steps]
        assert failed.error.message in ends[1].error
        assert [step.node_name for step in calls] == [end.node_name for end in ends]


def has_adk() -> bool:
    try:
        return importlib.util.find_spec("google.adk") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.skipif(not has_adk(), reason="google-adk is not installed")
@pytest.mark.filterwarnings("ignore")  # of the library itself
class TestGoogleADK:
    """In a process of its own: the library takes the global tracer provider."""

    PROGRAM = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from selectools_observe import SQLiteTraceStore
from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter

store = SQLiteTraceStore(sys.argv[1])
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(TraceStoreSpanExporter(store)))
trace.set_tracer_provider(provider)

from google.adk.agents import LlmAgent
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types


def call(call_id, name, **args):
    return types.Part(function_call=types.FunctionCall(id=call_id, name=name, args=args))


class Scripted(BaseLlm):
    turn: int = 0

    async def generate_content_async(self, llm_request, stream=False):
        self.turn += 1
        parts = {
            1: [call("c1", "find_order", number=7)],
            2: [call("c2", "refund", amount=5)],
        }.get(self.turn, [types.Part(text="done")])
        usage = types.GenerateContentResponseUsageMetadata(
            prompt_token_count=100 + self.turn,
            candidates_token_count=20 + self.turn,
            cached_content_token_count=self.turn,
            total_token_count=120 + 2 * self.turn,
        )
        content = types.Content(role="model", parts=parts)
        yield LlmResponse(content=content, usage_metadata=usage)


def find_order(number: int) -> dict:
    "Find an order."
    return {"order": number}


def refund(amount: int) -> dict:
    "Give money back."
    raise ValueError("the bank is closed")


async def main():
    agent = LlmAgent(name="support", model=Scripted(model="fake"), tools=[find_order, refund])
    runner = InMemoryRunner(agent, app_name="shop")
    session = await runner.session_service.create_session(app_name="shop", user_id="u")
    message = types.Content(role="user", parts=[types.Part(text="hello")])
    told = []
    try:
        async for event in runner.run_async(
            user_id="u", session_id=session.id, new_message=message
        ):
            told.append(event.model_dump(mode="json", exclude_none=True))
    except ValueError as error:
        told.append(str(error))
    print(json.dumps({"session": session.id, "events": told}))


asyncio.run(main())
provider.shutdown()
"""

    def test_a_run(self, tmp_path):
        path = tmp_path / "traces.db"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", self.PROGRAM, str(path)],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        told = json.loads(done.stdout.splitlines()[-1])
        *events, error = told["events"]
        assert error == "the bank is closed"
        with SQLiteTraceStore(path) as store:
            run = the_only(store)
        calls = run.filter(type="llm_call")
        usage = [event["usage_metadata"] for event in events if "usage_metadata" in event]
        assert [step.prompt_tokens for step in calls] == [u["prompt_token_count"] for u in usage]
        assert [step.completion_tokens for step in calls] == [
            u["candidates_token_count"] for u in usage
        ]
        assert {step.model for step in calls} == {"fake"}
        assert {step.node_name for step in calls} == {"support"}
        asked = [
            part["function_call"]["name"]
            for event in events
            for part in event.get("content", {}).get("parts", ())
            if "function_call" in part
        ]
        tools = run.filter(type="tool_execution")
        assert [step.tool_name for step in tools] == asked == ["find_order", "refund"]
        assert tools[0].error is None
        assert tools[1].error == "ValueError: the bank is closed"
        assert run.steps[-1].error == "ValueError: the bank is closed"
        assert run.metadata["gen_ai.conversation.id"] == told["session"]
