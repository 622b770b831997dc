"""What a recorded agent or tool changes later does not change what was recorded."""

from __future__ import annotations

import asyncio

import pytest

from selectools_observe import InMemoryTraceStore
from selectools_observe.capture import Recorder


@pytest.fixture
def store():
    return InMemoryTraceStore()


def only(store):
    (summary,) = store.list()
    return store.load(summary.run_id)


def test_a_conversation_that_goes_on(store):
    said = [{"role": "user", "content": "Hello"}]
    with Recorder(store).run(input=said) as run:
        for number in range(3):
            with run.llm_call("gpt-4o") as call:
                call.input = said
                call.output = answer = {"role": "assistant", "content": str(number)}
            said += [answer, {"role": "user", "content": "And?"}]
            answer["content"] = "changed"
        run.output = said
        said.clear()
    stored = only(store)
    assert [len(step.input) for step in stored] == [1, 3, 5]
    assert [step.output["content"] for step in stored] == ["0", "1", "2"]
    assert (len(stored.input), len(stored.output)) == (1, 7)


def test_arguments_and_results(store):
    recorder = Recorder(store)

    @recorder.tool
    def grow(items):
        items.append("b")
        return {"items": items}

    @recorder.agent
    def work():
        grow(["a"])["items"].append("c")

    work()
    (step,) = only(store)
    assert (step.tool_args, step.tool_result) == ({"items": ["a"]}, '{"items":["a","b"]}')


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
def test_a_step_that_is_cancelled_has_not_failed(store, error):
    with pytest.raises(error), Recorder(store).run() as run, run.llm_call("gpt-4o"):
        raise error
    call, end = only(store)
    assert (call.error, call.extra, end.type.value) == (None, {"unfinished": True}, "cancelled")
    (summary,) = store.list()
    assert (summary.outcome, summary.has_error) == ("cancelled", False)


def test_a_step_whose_cancellation_is_caught(store):
    async def work(recorder):
        async with recorder.run() as run:
            try:
                async with asyncio.timeout(0), run.tool("wait"):
                    await asyncio.Event().wait()
            except TimeoutError:
                async with run.tool("instead"):
                    pass

    asyncio.run(work(Recorder(store)))
    waited, other = only(store)
    assert (waited.extra, other.extra) == ({"unfinished": True}, None)
    assert store.list()[0].outcome == "ok"
