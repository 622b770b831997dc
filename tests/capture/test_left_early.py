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


def test_what_a_generator_is_sent_and_returns_passes_through():
    store = InMemoryTraceStore()
    recorder = Recorder(store)

    @recorder.tool
    def ask():
        answer = yield "name?"
        try:
            yield f"hello {answer}"
        except LookupError:
            yield "gone"
        return "done"

    def drive():
        talk = ask()
        said = [next(talk), talk.send("ada"), talk.throw(LookupError("it"))]
        try:
            next(talk)
        except StopIteration as end:
            return [*said, end.value]

    @recorder.agent
    def work():
        return drive()

    assert work() == ["name?", "hello ada", "gone", "done"]
    (summary,) = store.list()
    (step,) = store.load(summary.run_id)
    assert (step.tool_result, step.error) == ('["name?","hello ada","gone"]', None)


async def test_the_same_of_an_async_generator():
    store = InMemoryTraceStore()
    recorder = Recorder(store)

    @recorder.tool
    async def ask():
        answer = yield "name?"
        try:
            yield f"hello {answer}"
        except LookupError:
            yield "gone"

    @recorder.agent
    async def work():
        talk = ask()
        said = [await anext(talk), await talk.asend("ada"), await talk.athrow(LookupError("it"))]
        return said + [each async for each in talk]

    assert await work() == ["name?", "hello ada", "gone"]
    (summary,) = store.list()
    (step,) = store.load(summary.run_id)
    assert (step.tool_result, step.error) == ('["name?","hello ada","gone"]', None)
