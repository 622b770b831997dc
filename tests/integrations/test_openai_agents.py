"""The real SDK runs agents against a server of ours; the stored run is what the SDK reported."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time

import pytest

pytest.importorskip("agents", reason="openai-agents is not installed")

from agents import (
    Agent,
    GuardrailFunctionOutput,
    ModelSettings,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    agent_span,
    custom_span,
    function_span,
    function_tool,
    generation_span,
    input_guardrail,
    set_trace_processors,
    trace,
    tracing,
)
from agents.exceptions import InputGuardrailTripwireTriggered
from openai import AsyncOpenAI
from openai_server import call, openai_server, text, thought

from selectools_observe import (
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    TraceFilter,
)
from selectools_observe.integrations.openai_agents import TraceStoreProcessor
from selectools_observe.model.messages import messages_from, messages_of

NEW = hasattr(tracing, "TurnSpanData")  # of versions that tell of turns

SCRIPT = {
    1: [
        thought("Both at once."),
        call("c1", "find_order", number=7),
        call("c2", "refund", number=7, amount=-1),
    ],
    2: [call("c3", "refund", number=7, amount=5)],
    3: [call("c4", "transfer_to_billing")],
    4: [text("done")],
}


@function_tool
def find_order(number: int) -> str:
    return f"order {number}"


@function_tool
async def refund(number: int, amount: int) -> str:
    if amount < 0:
        raise ValueError("the amount must not be negative")
    return json.dumps({"refunded": amount})


@input_guardrail
async def polite(context, agent, given) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered=given == "rude")


@pytest.fixture
def store():
    return InMemoryTraceStore()


@pytest.fixture
def processor(store):
    processor = TraceStoreProcessor(store)
    set_trace_processors([processor])
    yield processor
    set_trace_processors([])


@pytest.fixture
def server():
    with openai_server(lambda number, request: SCRIPT.get(number, [text("done")])) as url:
        yield url


def agents(url: str) -> Agent:
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    model = OpenAIResponsesModel("gpt-4o", client)
    settings = ModelSettings(temperature=0.0)
    billing = Agent("billing", model=model, model_settings=settings)
    return Agent(
        "support",
        model=model,
        model_settings=settings,
        tools=[find_order, refund],
        handoffs=[billing],
        input_guardrails=[polite],
    )


async def run_plain(agent, given="hello"):
    return await Runner.run(agent, given)


async def run_streamed(agent, given="hello"):
    result = Runner.run_streamed(agent, given)
    async for _ in result.stream_events():
        pass
    return result


@pytest.mark.parametrize("run", [run_plain, run_streamed])
async def test_a_run_is_stored_as_the_sdk_reported_it(run, server, store, processor):
    with trace("refunds", group_id="thread-1", metadata={"customer": "c-9"}) as current:
        result = await run(agents(server))
    assert result.final_output == "done"
    stored = store.load(current.trace_id)

    calls = stored.filter(type="llm_call")
    told = [response.usage for response in result.raw_responses]
    assert [step.prompt_tokens for step in calls] == [usage.input_tokens for usage in told]
    assert [step.completion_tokens for step in calls] == [usage.output_tokens for usage in told]
    assert [step.extra["cache_read_tokens"] for step in calls] == [
        usage.input_tokens_details.cached_tokens for usage in told
    ]
    assert [step.extra["reasoning_tokens"] for step in calls] == [
        usage.output_tokens_details.reasoning_tokens for usage in told
    ]
    assert {step.model for step in calls} == {"gpt-4o-2024-08-06"}
    assert calls[0].reasoning == "Both at once."
    assert [step.extra["response"]["id"] for step in calls] == [
        response.response_id for response in result.raw_responses
    ]
    assert [messages_of(step).output for step in calls] == [
        messages_from([item.model_dump(exclude_unset=True) for item in response.output])
        for response in result.raw_responses
    ]
    hello = {"role": "user", "parts": [{"type": "text", "content": "hello"}]}
    assert calls[0].input == [hello]
    assert stored.input == [hello]
    assert messages_from(stored.output)[-1].text == "done"
    assert (stored.name, stored.agent, stored.session_id) == ("refunds", "support", "thread-1")
    (summary,) = store.list()
    assert (summary.input, summary.output) == ("hello", "done")
    assert [step.node_name for step in calls] == ["support"] * 3 + ["billing"]
    kept = {span["type"] for span in stored.extra["openai"]["spans"]}
    if NEW:
        assert kept == {"task", "turn"}
        assert [step.step_number for step in calls] == [1, 2, 3, 4]

    tools = stored.filter(type="tool_execution")
    assert sorted((s.tool_name, json.dumps(s.tool_args), s.tool_result) for s in tools[:2]) == [
        ("find_order", '{"number": 7}', "order 7"),
        ("refund", '{"number": 7, "amount": -1}', tools_output(result, "c2")),
    ]
    (failed,) = [step for step in tools if step.error]
    assert failed.tool_args == {"number": 7, "amount": -1}
    assert failed.error.startswith("Error running tool (non-fatal): ")
    assert failed.tool_result == tools_output(result, "c2")
    assert (tools[2].tool_name, tools[2].tool_result) == ("refund", '{"refunded": 5}')

    (routing,) = stored.filter(type="graph_routing")
    assert (routing.from_node, routing.to_node) == ("support", "billing")
    (guardrail,) = stored.filter(type="guardrail")
    assert guardrail.summary == "polite: passed"
    assert guardrail.extra["openai"]["data"] == {"name": "polite", "triggered": False}
    nodes = [(s.type.value, s.node_name) for s in stored if s.type.startswith("graph_node")]
    assert nodes == [
        ("graph_node_start", "support"),
        ("graph_node_end", "support"),
        ("graph_node_start", "billing"),
        ("graph_node_end", "billing"),
    ]
    assert stored.steps[0].extra["openai"]["data"]["tools"] == ["find_order", "refund"]
    assert stored.metadata == {
        "workflow_name": "refunds",
        "group_id": "thread-1",
        "customer": "c-9",
    }
    assert stored.steps == sorted(stored.steps, key=lambda step: step.timestamp)


def tools_output(result, call_id: str) -> str:
    (output,) = [
        item.raw_item["output"]
        for item in result.new_items
        if item.type == "tool_call_output_item" and item.raw_item["call_id"] == call_id
    ]
    return output


def test_blocking_runs_are_stored_too(server, store, processor):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # the SDK would make one, and leave it open
    Runner.run_sync(agents(server), "hello", run_config=RunConfig(workflow_name="blocking"))
    asyncio.set_event_loop(None)
    loop.close()
    (summary,) = store.list()
    assert summary.metadata == {"workflow_name": "blocking"}
    assert len(store.load(summary.run_id).filter(type="llm_call")) == 4


async def test_what_ends_a_run_is_a_step_of_it(server, store, processor):
    with pytest.raises(InputGuardrailTripwireTriggered):
        await Runner.run(agents(server), "rude")
    (summary,) = store.list()
    stored = store.load(summary.run_id)
    assert "polite: triggered" in [step.summary for step in stored]
    errors = [step.error for step in stored if step.error]
    assert errors
    assert any("tripwire" in error for error in errors)
    assert "unfinished" not in stored.metadata
    assert store.query(TraceFilter(has_error=True)) == [summary]


async def test_a_model_that_fails_is_an_error_of_its_step(store, processor):
    def broken(number, request):
        raise ConnectionAbortedError

    with openai_server(broken) as url, pytest.raises(Exception, match="Connection error"):
        await Runner.run(agents(url), "hello")
    (summary,) = store.list()
    (failed,) = store.load(summary.run_id).filter(type="llm_call")
    assert "Connection error" in failed.error


async def test_concurrent_runs_stay_apart(store, processor):
    def answer(number, request):
        asked = request["input"][0]["content"]
        return [text(asked)] if len(request["input"]) > 1 else [call(asked, "find_order", number=1)]

    with openai_server(answer) as url:
        agent = agents(url)

        async def one(name: str) -> str:
            with trace("w", metadata={"name": name}):
                return (await Runner.run(agent, name)).final_output

        names = [f"run {number}" for number in range(20)]
        assert await asyncio.gather(*map(one, names)) == names
    assert {summary.metadata["name"] for summary in store.list()} == set(names)
    assert {summary.steps for summary in store.list()} == {6}
    assert processor.saved == 20


def test_the_async_store_and_several_threads(tmp_path):
    store = AsyncSQLiteTraceStore(tmp_path / "traces.db")
    processor = TraceStoreProcessor(store)
    set_trace_processors([processor])

    def work(number: int) -> None:
        with trace(f"w{number}"), custom_span("outer"), generation_span(model="m"):
            pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    set_trace_processors([])
    processor.shutdown()
    asyncio.run(store.aclose())
    with SQLiteTraceStore(tmp_path / "traces.db") as reader:
        assert {s.metadata["workflow_name"] for s in reader.list()} == {f"w{n}" for n in range(8)}
        assert {s.steps for s in reader.list()} == {3}


def test_a_run_takes_as_long_as_its_trace(store, processor):
    with trace("support"):
        with function_span("search"):
            pass
        time.sleep(0.02)
    (summary,) = store.list()
    assert 20 <= summary.wall_ms < 600_000


def test_what_is_open_is_saved_unfinished_and_then_whole(store, processor):
    with trace("slow") as current, custom_span("outer"):
        with generation_span(model="first"):
            pass
        processor.force_flush()
        early = store.load(current.trace_id)
        assert early.metadata["unfinished"] is True
        assert [step.type.value for step in early] == ["graph_node_start", "llm_call"]
        with generation_span(model="second"):
            pass
    whole = store.load(current.trace_id)
    assert "unfinished" not in whole.metadata
    assert [step.model for step in whole.filter(type="llm_call")] == ["first", "second"]
    assert len(whole) == 4


def test_a_trace_taken_up_again_is_one_run(store, processor):
    with trace("twice", trace_id="trace_" + "a" * 32), generation_span(model="first"):
        pass
    with trace("twice", trace_id="trace_" + "a" * 32), generation_span(model="second"):
        pass
    stored = store.load("trace_" + "a" * 32)
    assert [step.model for step in stored] == ["first", "second"]


def test_without_resuming_only_new_traces_ask_nothing():
    asked = []

    class Asked(InMemoryTraceStore):
        def load(self, run_id):
            asked.append(run_id)
            return super().load(run_id)

    store = Asked()
    set_trace_processors([TraceStoreProcessor(store, resume=False)])
    with trace("once"), generation_span(model="m"):
        pass
    assert asked == []
    for name in ("first", "second"):
        with trace("twice", trace_id="trace_" + "b" * 32), generation_span(model=name):
            pass
    set_trace_processors([])
    assert asked == ["trace_" + "b" * 32]
    assert [step.model for step in store.load("trace_" + "b" * 32)] == ["first", "second"]


def test_spans_that_outlive_their_trace_are_put_to_it(store, processor):
    with trace("late") as current:
        late = generation_span(model="m")
        late.start()
    assert store.load(current.trace_id).metadata["unfinished"] is True
    late.finish()
    stored = store.load(current.trace_id)
    assert [step.model for step in stored] == ["m"]
    assert "unfinished" not in stored.metadata


def test_many_open_traces_are_bounded(store):
    processor = TraceStoreProcessor(store, max_runs=2)
    set_trace_processors([processor])
    opened = [trace(f"w{number}") for number in range(3)]
    for each in opened:
        each.start()
    assert [s.metadata["workflow_name"] for s in store.list()] == ["w0"]
    for each in opened:
        each.finish()
    assert sorted(s.metadata["workflow_name"] for s in store.list()) == ["w0", "w1", "w2"]
    assert not [s for s in store.list() if "unfinished" in s.metadata]
    set_trace_processors([])


@pytest.mark.parametrize("depth", [255, 257, 100_000])
def test_arguments_nested_deeply_are_kept_as_text(depth, store, processor):
    deep = "[" * depth + "]" * depth
    with trace("deep") as current, function_span("f", input=deep, output=deep):
        pass
    (step,) = store.load(current.trace_id)
    kept = step.tool_args["input"]
    assert (kept if isinstance(kept, str) else json.dumps(kept)) == deep
    assert step.tool_result == deep


def test_a_store_that_fails_breaks_nothing(store, caplog):
    class Broken(InMemoryTraceStore):
        def save(self, trace):
            raise OSError("no space left")

    failures = []
    processor = TraceStoreProcessor(
        Broken(), on_error=lambda error, run: failures.append((str(error), run.run_id))
    )
    set_trace_processors([processor])
    with trace("w") as current:
        pass
    set_trace_processors([])
    assert failures == [("no space left", current.trace_id)]
    assert (processor.saved, processor.failed) == (0, 1)
    assert "no space left" in caplog.text


class TestCancelled:
    async def test_in_a_tool(self, store, processor):
        entered = asyncio.Event()

        @function_tool
        async def slow(number: int) -> str:
            entered.set()
            return await asyncio.Event().wait()

        with openai_server(lambda *_: [call("c1", "slow", number=7)]) as url:
            agent = agents(url)
            agent.tools.append(slow)
            task = asyncio.create_task(run_plain(agent))
            await entered.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        (summary,) = store.list()
        assert (summary.outcome, summary.has_error) == ("cancelled", False)
        (step,) = store.load(summary.run_id).filter(type="tool_execution")
        assert (step.tool_args, step.error, step.extra["unfinished"]) == ({"number": 7}, None, True)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
    def test_by_whatever_is_no_failure(self, error, store, processor):
        with pytest.raises(error), trace("a"), generation_span(model="gpt-4o"):
            raise error
        assert store.list()[0].outcome == "cancelled"

    def test_a_run_that_goes_on_is_not(self, store, processor):
        with trace("a"), agent_span("support"):
            with contextlib.suppress(asyncio.CancelledError), generation_span(model="gpt-4o"):
                raise asyncio.CancelledError
            with generation_span(model="gpt-4o"):
                pass
        (summary,) = store.list()
        first, second = store.load(summary.run_id).filter(type="llm_call")
        assert summary.outcome == "ok"
        assert (first.extra.get("unfinished"), second.extra.get("unfinished")) == (True, None)

    def test_a_run_while_another_is_being_cancelled_is_not(self, store, processor):
        @contextlib.contextmanager
        def cleaned_up():
            try:
                yield
            except KeyboardInterrupt:
                with trace("a"), agent_span("clean up"), generation_span(model="gpt-4o"):
                    pass

        with cleaned_up():
            raise KeyboardInterrupt
        (summary,) = store.list()
        assert summary.outcome == "ok"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_save_its_parents_runs(tmp_path):
    with SQLiteTraceStore(tmp_path / "traces.db") as store:
        processor = TraceStoreProcessor(store)
        set_trace_processors([processor])
        with trace("parent"):
            pid = os.fork()
            if pid == 0:
                with trace("child", trace_id="trace_" + "c" * 32):
                    pass
                processor.force_flush()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            assert [s.metadata["workflow_name"] for s in store.list()] == ["child"]
        set_trace_processors([])
        assert {s.metadata["workflow_name"] for s in store.list()} == {"parent", "child"}


@pytest.mark.parametrize(
    ("options", "error"), [({"store": object()}, TypeError), ({"max_runs": 0}, ValueError)]
)
def test_bad_options_are_refused(options, error):
    with pytest.raises(error):
        TraceStoreProcessor(**{"store": InMemoryTraceStore(), **options})
