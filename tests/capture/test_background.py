"""Background saving: what is sent is saved, dropped or failed, and every count adds up."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from capture_stores import FiveMethods, OneLoop, Unreliable
from store_kinds import eventually

from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    InvalidTraceError,
    SQLiteTraceStore,
    StoreClosedError,
    TraceNotFoundError,
    TraceStep,
)
from selectools_observe.capture import AsyncBackgroundTraceStore, BackgroundTraceStore
from selectools_observe.capture.background import queue_worker as sending

QUICK = {"retry_delay": 0.001}


def check_sum(counts) -> None:
    assert counts.sent == counts.saved + counts.dropped + counts.failed + counts.queued


def large(run_id: str, size: int) -> AgentTrace:
    return AgentTrace([TraceStep("llm_call", reasoning="x" * size)], run_id=run_id)


class TestTenThousandRuns:
    """A queue of 100, in front of a store that is slow, fails at times, then recovers."""

    @pytest.mark.parametrize("on_full", ["wait", "drop_newest", "drop_oldest"])
    def test_counts_add_up_and_memory_stays_bounded(self, on_full):
        chance = random.Random(5)
        # Down for long enough, twice, that all attempts at some batches fail.
        down = {*range(40, 70), *range(90, 130)}
        behind = Unreliable(lambda call: call in down or chance.random() < 0.05, delay=0.0005)
        outcomes = {"saved": [], "dropped": [], "failed": []}
        told = []
        store = BackgroundTraceStore(
            behind,
            max_queue=100,
            max_bytes=150_000,
            on_full=on_full,
            retries=2,
            on_error=lambda error, trace: told.append(trace.run_id),
            **QUICK,
        )
        step = TraceStep("llm_call", reasoning="y" * 2000)
        if on_full != "wait":
            behind.gate.clear()  # something is dropped in any case
        for n in range(10_000):
            run_id = f"run-{n:05}"

            def note(outcome, run_id=run_id):
                outcomes[outcome].append(run_id)

            store.save(AgentTrace([step], run_id=run_id), when_settled=note)
            if n == 200:
                behind.gate.set()
            if n % 100 == 0:
                check_sum(store.counts)
                assert store.counts.queued <= 100
                assert store.counts.queued_bytes <= 150_000
        result = store.flush(60)
        counts = store.counts
        assert counts.sent == 10_000
        assert counts.queued == counts.queued_bytes == 0
        assert counts.saved + counts.dropped + counts.failed == 10_000
        assert {kind: len(found) for kind, found in outcomes.items()} == {
            "saved": counts.saved,
            "dropped": counts.dropped,
            "failed": counts.failed,
        }
        assert counts.saved == len(set(behind.saved)) == behind.count()
        assert sorted(told) == sorted(outcomes["failed"])
        assert behind.saved == sorted(behind.saved)  # in order
        assert result.status == ("failed" if counts.failed else "saved")
        if on_full == "wait":
            assert counts.dropped == 0
            assert counts.failed > 0
        else:
            assert counts.dropped > 0
        store.close()

    @pytest.mark.slow
    @pytest.mark.parametrize("on_full", ["wait", "drop_oldest"])
    async def test_async_with_many_tasks(self, on_full, tmp_path):
        behind = AsyncSQLiteTraceStore(tmp_path / "traces.db")
        store = AsyncBackgroundTraceStore(behind, max_queue=100, on_full=on_full)

        async def send(name):
            for n in range(1000):
                await store.save(AgentTrace(run_id=f"{name}-{n:04}"))

        await asyncio.gather(*[send(name) for name in range(10)])
        assert await store.flush(60)
        counts = store.counts
        assert (counts.sent, counts.failed, counts.queued) == (10_000, 0, 0)
        assert counts.saved + counts.dropped == 10_000
        assert counts.saved == await behind.count()
        if on_full == "wait":
            assert counts.dropped == 0
        for name in range(10):  # each task's runs in its order
            found = [s.run_id async for s in store.iter_summaries(oldest_first=True)]
            of_task = [run_id for run_id in found if run_id.startswith(f"{name}-")]
            assert of_task == sorted(of_task)
        await store.aclose()


@pytest.fixture
def held():
    """A store whose saves wait until its gate is opened."""
    behind = Unreliable()
    behind.gate.clear()
    yield behind
    behind.gate.set()


class TestPolicies:
    def test_wait(self, held):
        store = BackgroundTraceStore(held, max_queue=2)
        for n in range(2):
            store.save(AgentTrace(run_id=f"{n}"))
        done = threading.Event()

        def third():
            store.save(AgentTrace(run_id="2"))
            done.set()

        thread = threading.Thread(target=third)
        thread.start()
        assert held.entered.wait(60)
        assert not done.wait(0.05)
        held.gate.set()
        thread.join(60)
        store.close()
        assert held.saved == ["0", "1", "2"]

    def test_drop_newest(self, held, caplog):
        store = BackgroundTraceStore(held, max_queue=4, on_full="drop_newest")
        with caplog.at_level(logging.WARNING, "selectools_observe"):
            assert [store.save(AgentTrace(run_id=f"{n}")) for n in range(9)] == [*"012345678"]
            assert "dropped from now on" in caplog.text
            assert caplog.text.count("dropped") == 1
            assert (store.counts.dropped, store.counts.queued) == (5, 4)
            held.gate.set()
            assert store.flush().dropped == 5
        assert "5 runs were dropped" in caplog.text
        assert held.saved == [*"0123"]
        store.close()

    def test_drop_oldest(self, held):
        store = BackgroundTraceStore(held, max_queue=4, on_full="drop_oldest")
        store.save(AgentTrace(run_id="0"))
        assert held.entered.wait(60)  # this one cannot be dropped any more
        for n in range(1, 9):
            store.save(AgentTrace(run_id=f"{n}"))
        held.gate.set()
        result = store.flush()
        assert (result.status, result.dropped) == ("saved", 5)
        assert held.saved == ["0", "6", "7", "8"]
        store.close()

    @pytest.mark.parametrize("on_full", ["drop_newest", "drop_oldest"])
    def test_bytes_are_bounded_too(self, held, on_full):
        store = BackgroundTraceStore(held, max_bytes=10_000, on_full=on_full)
        for n in range(20):
            store.save(large(f"{n}", 3000))
            assert store.counts.queued_bytes <= 10_000
        held.gate.set()
        store.close()
        assert store.counts.dropped >= 16
        check_sum(store.counts)

    def test_a_run_larger_than_the_bound_is_let_in_alone(self, held):
        store = BackgroundTraceStore(held, max_bytes=1000, on_full="drop_newest")
        for n in range(2):
            store.save(large(f"{n}", 50_000))
        held.gate.set()
        store.close()
        assert held.saved == ["0"]

    async def test_a_cancelled_save_that_waited_is_not_sent(self, held):
        # A blocking store behind an async one of another make.
        store = BackgroundTraceStore(held, max_queue=1)
        store.save(AgentTrace(run_id="0"))

        class Async(OneLoop):
            async def save(self, trace):
                await asyncio.to_thread(held.gate.wait)
                return await super().save(trace)

        behind = Async()
        waiting = AsyncBackgroundTraceStore(behind, max_queue=1)
        await waiting.save(AgentTrace(run_id="0"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await waiting.save(AgentTrace(run_id="1"))
        assert waiting.counts.sent == 1
        held.gate.set()
        assert await waiting.flush()
        assert [s.run_id for s in await waiting.list()] == ["0"]
        await waiting.aclose()
        store.close()

    @pytest.mark.parametrize(
        "options", [{"max_queue": 0}, {"max_bytes": 0}, {"on_full": "drop"}, {"on_full": None}]
    )
    def test_bad_options_are_refused(self, options):
        with pytest.raises(ValueError, match="must be"):
            BackgroundTraceStore(InMemoryTraceStore(), **options)


class TestFailures:
    def test_a_store_that_recovers_loses_nothing(self):
        behind = Unreliable(lambda call: call <= 3)
        with BackgroundTraceStore(behind, **QUICK) as store:
            store.save_many([AgentTrace(run_id=f"{n}") for n in range(5)])
            assert store.flush()
        assert behind.saved == [*"01234"]

    def test_a_run_that_is_refused_takes_no_other_with_it(self, caplog):
        behind = FiveMethods(refuse=["3"])
        told = []
        with BackgroundTraceStore(
            behind, retries=1, on_error=lambda *given: told.append(given), **QUICK
        ) as store:
            store.save_many([AgentTrace(run_id=f"{n}") for n in range(6)])
            result = store.flush()
            assert (result.status, result.failed) == ("failed", 1)
            assert not result
            assert store.flush().status == "saved"  # what was told before
        assert behind.saved == [*"01245"]
        ((error, trace),) = told
        assert (trace.run_id, "too big" in str(error)) == ("3", True)
        assert "run '3' is not saved" in caplog.text

    def test_a_batch_that_holds_one_too_big(self):
        class Picky(Unreliable):
            def save_many(self, traces):
                if any(trace.run_id == "3" for trace in traces):
                    raise ValueError("too big")
                return super().save_many(traces)

        behind = Picky()
        with BackgroundTraceStore(behind, retries=1, **QUICK) as store:
            store.save_many([AgentTrace(run_id=f"{n}") for n in range(6)])
        assert behind.saved == [*"01245"]
        assert store.counts.failed == 1

    def test_an_error_of_a_callback_breaks_nothing(self, caplog):
        behind = FiveMethods(refuse=["1"])

        def explode(*_):
            raise RuntimeError("callback")

        with BackgroundTraceStore(behind, retries=0, on_error=explode) as store:
            store.save(AgentTrace(run_id="0"), when_settled=explode)
            store.save_many([AgentTrace(run_id=f"{n}") for n in range(1, 4)])
        assert behind.saved == ["0", "2", "3"]
        check_sum(store.counts)
        assert caplog.text.count("RuntimeError: callback") == 2

    def test_an_invalid_trace_is_refused_at_once(self):
        with BackgroundTraceStore(InMemoryTraceStore()) as store:
            with pytest.raises(InvalidTraceError):
                store.save(AgentTrace(run_id=""))
            with pytest.raises(InvalidTraceError):
                store.save_many([AgentTrace(), "no trace"])
            assert store.counts.sent == 0

    def test_the_wrong_kind_of_store_is_refused(self):
        with pytest.raises(TypeError, match="use AsyncBackgroundTraceStore"):
            BackgroundTraceStore(AsyncInMemoryTraceStore())
        with pytest.raises(TypeError, match="use BackgroundTraceStore"):
            AsyncBackgroundTraceStore(InMemoryTraceStore())


class TestFlushAndClose:
    def test_flush_returns_in_time(self, held):
        store = BackgroundTraceStore(held)
        store.save(AgentTrace())
        result = store.flush(0.05)
        assert (result.status, result.queued) == ("timeout", 1)
        held.gate.set()
        assert store.flush().status == "saved"
        store.close()

    def test_flush_of_nothing(self):
        with BackgroundTraceStore(InMemoryTraceStore()) as store:
            assert store.flush(0).status == "saved"

    def test_flush_waits_only_for_what_was_sent_before(self):
        behind = Unreliable(delay=0.002)
        stop = threading.Event()
        with BackgroundTraceStore(behind, max_queue=10) as store:

            def keep_sending():
                while not stop.is_set():
                    store.save(AgentTrace())

            thread = threading.Thread(target=keep_sending)
            thread.start()
            assert store.flush(30).status == "saved"
            stop.set()
            thread.join()

    def test_newest_dropped_meanwhile_do_not_end_a_flush(self, held):
        store = BackgroundTraceStore(held, max_queue=3, on_full="drop_newest")
        for n in range(50):
            store.save(AgentTrace(run_id=f"{n}"))
        assert store.flush(0.05).status == "timeout"
        held.gate.set()
        assert store.flush().status == "saved"
        store.close()

    def test_close_gives_up_in_time_and_says_so(self, held, caplog):
        store = BackgroundTraceStore(held, max_queue=4, close_timeout=0.05)
        for n in range(4):
            store.save(AgentTrace(run_id=f"{n}"))
        assert held.entered.wait(60)
        store.close()
        under_way = 4 - store.counts.failed
        assert under_way in (1, 2)
        assert f"closed before {4 - under_way} runs were saved" in caplog.text
        assert "is left open" in caplog.text
        held.gate.set()
        assert eventually(lambda: store.counts.saved == under_way)
        check_sum(store.counts)

    def test_close_of_a_store_that_stays_down(self):
        """The delay before the next attempt is not waited for."""
        behind = Unreliable(lambda _: True)
        store = BackgroundTraceStore(behind, close_timeout=0.05, retry_delay=3600.0)
        store.save(AgentTrace())
        store.close()
        assert eventually(lambda: store.counts.failed == 1)
        assert store.counts.queued == 0

    def test_saves_after_close_are_refused(self):
        store = BackgroundTraceStore(InMemoryTraceStore())
        store.close()
        for save in (store.save, lambda trace: store.save_many([trace])):
            with pytest.raises(StoreClosedError):
                save(AgentTrace())

    def test_one_that_waits_for_room_is_refused_at_close(self, held):
        store = BackgroundTraceStore(held, max_queue=1, close_timeout=0.2)
        store.save(AgentTrace())
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(store.save, AgentTrace())
            assert held.entered.wait(60)
            store.close()
            assert isinstance(waiting.exception(60), StoreClosedError)

    def test_reading_sees_what_was_saved(self):
        with BackgroundTraceStore(Unreliable(delay=0.01)) as store:
            for n in range(5):
                run_id = store.save(AgentTrace(run_id=f"{n}"))
                assert store.load(run_id).run_id == run_id
                assert store.list()[0].run_id == run_id
            assert store.delete("4")
            with pytest.raises(TraceNotFoundError):
                store.load("4")

    def test_runs_are_saved_in_batches(self, held):
        with BackgroundTraceStore(held) as store:
            for n in range(200):
                store.save(AgentTrace(run_id=f"{n}"))
            held.gate.set()
        assert sum(held.batches) == 200
        assert len(held.batches) <= 4

    def test_a_save_is_a_snapshot(self, held):
        trace = AgentTrace([TraceStep("llm_call")], metadata={"a": [1]})
        with BackgroundTraceStore(held) as store:
            store.save(trace)
            trace.metadata["a"].append(2)
            trace.steps.clear()
            held.gate.set()
            loaded = store.load(trace.run_id)
        assert (loaded.metadata, len(loaded)) == ({"a": [1]}, 1)


class TestEventLoops:
    def test_the_end_of_a_loop_flushes(self, tmp_path):
        store = AsyncBackgroundTraceStore(AsyncSQLiteTraceStore(tmp_path / "traces.db"))

        async def last_words():
            try:
                await asyncio.sleep(60)
            finally:
                await store.save(AgentTrace(run_id="last words"))

        async def main():
            tasks.append(asyncio.create_task(last_words()))
            for n in range(50):
                await store.save(AgentTrace(run_id=f"{n}"))

        tasks = []
        for _ in range(3):
            asyncio.run(main())
            assert store.counts.queued == 0
        with SQLiteTraceStore(tmp_path / "traces.db") as other:
            assert other.count() == 51
        asyncio.run(store.aclose())

    def test_a_loop_that_ends_at_once_loses_nothing(self, tmp_path):
        store = AsyncBackgroundTraceStore(AsyncSQLiteTraceStore(tmp_path / "traces.db"))
        loop = asyncio.new_event_loop()
        for n in range(50):
            loop.run_until_complete(store.save(AgentTrace(run_id=f"{n}")))
        loop.close()  # without any of what asyncio.run does
        assert asyncio.run(store.flush())
        assert asyncio.run(store.count()) == 50
        asyncio.run(store.aclose())

    async def test_a_store_that_bears_one_loop_is_used_in_it(self):
        behind = OneLoop()
        async with AsyncBackgroundTraceStore(behind, **QUICK) as store:
            await store.save_many([AgentTrace(run_id=f"{n}") for n in range(20)])
            assert await store.flush()
            assert [s.run_id for s in await store.list(3)] == ["19", "18", "17"]
            assert (await store.load("5")).run_id == "5"
        assert store.counts.saved == 20

    async def test_saving_never_holds_the_loop(self):
        class Stuck(AsyncInMemoryTraceStore):
            async def save_many(self, traces):
                entered.set()
                gate.wait(60)  # not in this loop, or nobody would open the gate
                return await super().save_many(traces)

        entered, gate = threading.Event(), threading.Event()
        async with AsyncBackgroundTraceStore(Stuck()) as store:
            await store.save(AgentTrace())
            assert await asyncio.to_thread(entered.wait, 30)
            for _ in range(100):
                await store.save(AgentTrace())
            gate.set()
            assert await store.flush()

    async def test_a_cancelled_flush_harms_nobody(self):
        async with AsyncBackgroundTraceStore(AsyncInMemoryTraceStore()) as store:
            await store.save(AgentTrace())
            task = asyncio.create_task(store.flush())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await store.flush()


def run_program(source: str, *arguments) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done.stdout


class TestTheEndOfTheProgram:
    BLOCKING = """
        import sys, selectools_observe as so
        from selectools_observe.capture import BackgroundTraceStore
        store = BackgroundTraceStore(so.{name}(sys.argv[1]))
        for n in range(500):
            store.save(so.AgentTrace(run_id=f"{{n}}"))
    """
    ASYNC = """
        import asyncio, sys, selectools_observe as so
        from selectools_observe.capture import AsyncBackgroundTraceStore
        store = AsyncBackgroundTraceStore(so.{name}(sys.argv[1]))
        loop = asyncio.new_event_loop()
        for n in range(500):
            loop.run_until_complete(store.save(so.AgentTrace(run_id=f"{{n}}")))
    """
    EXCEPTION = """
        import sys, selectools_observe as so
        from selectools_observe.capture import BackgroundTraceStore
        store = BackgroundTraceStore(so.{name}(sys.argv[1]))
        import atexit
        atexit.register(lambda: store.save(so.AgentTrace(run_id="499")))
        for n in range(499):
            store.save(so.AgentTrace(run_id=f"{{n}}"))
        sys.exit(0)
    """
    CHILD = """
        import multiprocessing, sys, selectools_observe as so
        from selectools_observe.capture import BackgroundTraceStore
        store = BackgroundTraceStore(so.{name}(sys.argv[1]))
        def work(names):
            for n in names:
                store.save(so.AgentTrace(run_id=f"{{n}}"))
        work(range(100))
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(range(100 * n, 100 * n + 100),))
                    for n in range(1, 5)]
        for child in children: child.start()
        for child in children: child.join()
        assert [child.exitcode for child in children] == [0] * 4
        assert store.counts.sent == 100
    """

    @pytest.mark.parametrize(
        ("program", "name"),
        [
            pytest.param(BLOCKING, "SQLiteTraceStore", id="sqlite"),
            pytest.param(BLOCKING, "JSONLTraceStore", id="jsonl"),
            pytest.param(ASYNC, "AsyncSQLiteTraceStore", id="async-sqlite"),
            pytest.param(ASYNC, "AsyncJSONLTraceStore", id="async-jsonl"),
            pytest.param(EXCEPTION, "SQLiteTraceStore", id="exit-and-atexit"),
            pytest.param(
                CHILD,
                "SQLiteTraceStore",
                id="children",
                marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
            ),
        ],
    )
    def test_saves_what_is_queued(self, program, name, tmp_path):
        path = tmp_path / "traces"
        run_program(program.format(name=name), path)
        import selectools_observe as so

        with getattr(so, name.removeprefix("Async"))(path) as store:
            assert {summary.run_id for summary in store.list(1000)} == {f"{n}" for n in range(500)}
            assert store.count() == 500

    def test_is_not_kept_by_a_store_that_hangs(self, tmp_path):
        program = """
            import logging, threading, selectools_observe as so
            from selectools_observe.capture import BackgroundTraceStore
            logging.basicConfig()
            class Hangs(so.InMemoryTraceStore):
                def save_many(self, traces):
                    threading.Event().wait()
            store = BackgroundTraceStore(Hangs(), close_timeout=0.2)
            for n in range(1000):
                store.save(so.AgentTrace())
        """
        run_program(program)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forks_in_the_midst_of_saving(tmp_path):
    store = BackgroundTraceStore(SQLiteTraceStore(tmp_path / "traces.db"))
    stop = threading.Event()
    sent = []

    def keep_sending():
        while not stop.is_set():
            sent.append(store.save(AgentTrace()))
            time.sleep(0.0002)

    thread = threading.Thread(target=keep_sending)
    thread.start()
    children = []
    for n in range(10):
        child = os.fork()
        if child == 0:
            ok = store.counts.sent == 0
            store.save(AgentTrace(run_id=f"child-{n}"))
            ok = ok and store.flush().status == "saved"
            os._exit(0 if ok else 1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stop.set()
    thread.join()
    assert codes == [0] * 10
    assert store.flush().status == "saved"
    assert {s.run_id for s in store.list(100_000)} == {*sent, *(f"child-{n}" for n in range(10))}
    assert store.counts.saved == len(sent)
    store.close()


def test_callbacks_may_use_the_store(caplog):
    """They are called in the thread that saves, which must not wait for itself."""
    behind = FiveMethods(refuse=["bad"])
    seen = []
    store = BackgroundTraceStore(
        behind,
        retries=0,
        close_timeout=3600,
        on_error=lambda *_: seen.append(len(store.list())),
    )
    store.save_many([AgentTrace(run_id=run_id) for run_id in ("good", "bad", "good too")])
    assert store.flush(60).status == "failed"
    assert seen
    store.close()


def test_it_may_be_closed_by_a_callback():
    store = BackgroundTraceStore(
        FiveMethods(refuse=["bad"]), retries=0, close_timeout=0.2, on_error=lambda *_: store.close()
    )
    store.save(AgentTrace(run_id="bad"))
    assert eventually(lambda: store.counts.failed == 1)


class TestTheThread:
    def test_ends_when_there_is_nothing_to_do_and_begins_again(self, monkeypatch):
        monkeypatch.setattr(sending, "_IDLE", 0.001)
        monkeypatch.setattr(sending, "_LINGER", 0.0)
        behind = FiveMethods()
        store = BackgroundTraceStore(behind)
        for n in range(300):
            store.save(AgentTrace(run_id=f"{n}"))
            time.sleep(random.uniform(0, 0.003))  # about as long as the thread waits for more
            if n % 100 == 0:
                assert eventually(lambda: store._core._sender.thread is None)
        assert store.flush(60)
        assert behind.saved == [f"{n}" for n in range(300)]
        store.close()

    def test_cannot_be_begun_any_more(self, monkeypatch):
        def refuse(_):
            raise RuntimeError("can't start new thread")

        behind = FiveMethods()
        store = BackgroundTraceStore(behind)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        store.save(AgentTrace(run_id="run"))
        assert behind.saved == ["run"]
        assert store.flush(0)
        store.close()

    def test_outlives_what_cannot_happen(self, monkeypatch, caplog):
        def fail(_):
            raise MemoryError

        with BackgroundTraceStore(FiveMethods()) as store:
            with monkeypatch.context() as patch:
                patch.setattr(sending, "_unpacked", fail)
                store.save(AgentTrace())
                assert store.flush().status == "failed"
            store.save(AgentTrace())
            assert store.flush()
            assert (store.counts.saved, store.counts.failed) == (1, 1)
        assert "gave up on 1 runs" in caplog.text


async def _in_thread(function):
    return await asyncio.to_thread(function)


def test_a_loop_that_stops_in_the_midst_of_a_save_is_not_waited_for():
    class Hangs(OneLoop):
        async def save(self, trace):
            if asyncio.get_running_loop() is self.loop:
                began.set()
                await asyncio.sleep(3600)
            return self.inner.save(trace)

    async def make():
        return AsyncBackgroundTraceStore(Hangs(), retry_delay=0.001)

    began = threading.Event()
    loop = asyncio.new_event_loop()
    store = loop.run_until_complete(make())
    loop.run_until_complete(store.save(AgentTrace(run_id="run")))

    loop.run_until_complete(asyncio.wait_for(_in_thread(began.wait), 60))
    # Nobody runs that loop any more; the run goes to the store in another.
    assert asyncio.run(store.flush(20))
    assert store.counts.saved == 1
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.run_until_complete(store.aclose())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
