"""A generator that is left early keeps what it had yielded."""

from __future__ import annotations

from selectools_observe import InMemoryTraceStore
from selectools_observe.capture import Recorder


def test_a_generator():
    store = InMemoryTraceStore()
    recorder = Recorder(store)

    @recorder.tool
    def letters():
        yield "a"
        yield "b"
        yield "c"

    with recorder.run():
        items = letters()
        assert [next(items), next(items)] == ["a", "b"]
        items.close()
    (step,) = store.load(store.list()[0].run_id).steps
    assert (step.tool_result, step.error) == ('["a","b"]', None)


async def test_an_async_generator():
    store = InMemoryTraceStore()
    recorder = Recorder(store)

    @recorder.tool
    async def letters():
        yield "a"
        yield "b"

    with recorder.run():
        items = letters()
        assert await anext(items) == "a"
        await items.aclose()
    (step,) = store.load(store.list()[0].run_id).steps
    assert (step.tool_result, step.error) == ('["a"]', None)


def test_one_that_fails_after_it_yielded():
    store = InMemoryTraceStore()
    recorder = Recorder(store)

    @recorder.tool
    def letters():
        yield "a"
        raise KeyError("b")

    with recorder.run():
        items = letters()
        next(items)
        try:
            next(items)
        except KeyError as error:
            said = str(error)
    (step,) = store.load(store.list()[0].run_id).steps
    assert (step.tool_result, step.error) == ('["a"]', f"KeyError: {said}")


def test_one_that_is_left_at_once():
    store = InMemoryTraceStore()
    recorder = Recorder(store)

    @recorder.tool
    def letters():
        yield from ()
        raise KeyError("b")

    with recorder.run():
        try:
            next(letters())
        except KeyError:
            pass
        else:
            raise AssertionError
    (step,) = store.load(store.list()[0].run_id).steps
    assert step.tool_result is None
