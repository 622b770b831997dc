# ruff: noqa: PT012
"""Programs that end, loops that come and go, threads, forks and cancellations."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from store_kinds import (
    ON_DISK,
    STORE_KINDS,
    Handle,
    eventually,
    file_of,
    ids,
    make,
    open_files,
    trace,
)
from thinned import pairs

from selectools_observe import (
    AsyncJSONLTraceStore,
    AsyncSQLiteTraceStore,
    StoreClosedError,
    SyncTraceStore,
    TraceFilter,
)

ASYNC_ON_DISK = [store_kind for store_kind in ON_DISK if store_kind.endswith("async")]
BLOCKING = [store_kind for store_kind in STORE_KINDS if store_kind.endswith("blocking")]
HANG = 60  # seconds after which something must be said to hang

CLASSES = {
    "sqlite-blocking": "SQLiteTraceStore",
    "sqlite-async": "AsyncSQLiteTraceStore",
    "jsonl-blocking": "JSONLTraceStore",
    "jsonl-async": "AsyncJSONLTraceStore",
}


def run_program(source: str, *arguments, expect: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(source), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done


def stored(store_kind: str, path: Path) -> set[str]:
    """What a fresh store finds in the file, which nobody writes to; it must be whole."""
    if store_kind.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(path)) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Handle(store_kind.replace("async", "blocking"), path.parent) as handle:
        loaded = handle.iter_traces()
        assert len(loaded) == handle.count()
        return set(ids(loaded))


def seen(store_kind: str, path: Path) -> list[str]:
    """The newest runs that a fresh store finds in a file which others write to."""
    with Handle(store_kind.replace("async", "blocking"), path.parent) as handle:
        return ids(handle.list())


def check_free(store_kind: str, path: Path) -> None:
    """No lock and no transaction was left behind."""
    if store_kind.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("ROLLBACK")
    else:
        import fcntl

        with open(path, "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class TestProgramsThatNeverClose:
    BLOCKING_PROGRAM = """
        import sys
        import selectools_observe as so
        store = so.{name}(sys.argv[1])
        for n in range(50):
            print(store.save(so.AgentTrace(run_id=f"{{n}}")), flush=True)
        store.list(), store.load("5")
    """
    ASYNC_PROGRAM = """
        import asyncio, sys
        import selectools_observe as so
        store = so.{name}(sys.argv[1])
        async def save(n):
            print(await store.save(so.AgentTrace(run_id=f"{{n}}")), flush=True)
        async def main():
            await asyncio.gather(*(save(n) for n in range(50)))
            await store.list(), await store.load("5")
        asyncio.run(main())
    """

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_exit_at_once_with_everything_on_disk_and_a_warning(self, store_kind, tmp_path):
        program = self.ASYNC_PROGRAM if store_kind.endswith("async") else self.BLOCKING_PROGRAM
        path = file_of(store_kind, tmp_path)
        done = run_program(program.format(name=CLASSES[store_kind]), path)  # or it is ended
        assert len(done.stdout.split()) == 50
        assert stored(store_kind, path) == set(done.stdout.split())
        assert "ResourceWarning" in done.stderr
        assert f"{CLASSES[store_kind]}({str(path)!r}) was not closed" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_one_held_in_a_local_variable(self, store_kind, tmp_path):
        program = f"""
            import asyncio, sys
            import selectools_observe as so
            async def main():
                store = so.{CLASSES[store_kind]}(sys.argv[1])
                saved = store.save(so.AgentTrace(run_id="a"))
                if saved != "a":
                    await saved
                store = None
            asyncio.run(main())
        """
        done = run_program(program, file_of(store_kind, tmp_path))
        assert "was not closed" in done.stderr
        assert "Traceback" not in done.stderr
        assert stored(store_kind, file_of(store_kind, tmp_path)) == {"a"}

    def test_one_that_is_collected_with_what_it_holds(self, tmp_path):
        program = """
            import asyncio, gc, sys, weakref
            import selectools_observe as so
            async def main():
                store = so.AsyncSQLiteTraceStore(sys.argv[1])
                await store.save(so.AgentTrace(run_id="a"))
                left, store = weakref.ref(store), None
                while left() is not None:  # a thread may hold it for a moment
                    gc.collect()
                    await asyncio.sleep(0.001)
            asyncio.run(main())
        """
        done = run_program(program, tmp_path / "traces.db")
        assert f"AsyncSQLiteTraceStore({str(tmp_path / 'traces.db')!r}) was not" in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(
        ("store_kind", "ending"),
        pairs(ON_DISK, ["sys.exit(3)", "raise SystemExit(3)", "os._exit(3)"]),
    )
    def test_whatever_way_they_end(self, store_kind, ending, tmp_path):
        program = f"""
            import asyncio, os, sys
            import selectools_observe as so
            store = so.{CLASSES[store_kind]}(sys.argv[1])
            async def main():
                for n in range(5):
                    saved = store.save(so.AgentTrace(run_id=f"{{n}}"))
                    print(await saved if {store_kind.endswith("async")} else saved, flush=True)
                {ending}
            asyncio.run(main())
        """
        done = run_program(program, file_of(store_kind, tmp_path), expect=3)
        assert "Traceback" not in done.stderr
        assert stored(store_kind, file_of(store_kind, tmp_path)) == set("01234")

    @pytest.mark.slow
    def test_a_store_that_was_closed_says_nothing(self, tmp_path):
        for store_kind in STORE_KINDS:
            path = file_of(store_kind, tmp_path) if store_kind in ON_DISK else None
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                if store_kind.endswith("async"):

                    async def use(store_kind=store_kind, path=path):
                        async with make(store_kind, path) as store:
                            await store.save(trace("a"))

                    asyncio.run(use())
                else:
                    with make(store_kind, path) as store:
                        store.save(trace("a"))
                    del store
                gc.collect()

    @pytest.mark.parametrize("store_kind", BLOCKING[1:])
    def test_a_store_that_could_not_be_opened_says_nothing(self, store_kind, tmp_path):
        program = f"""
            import gc, sys
            import selectools_observe as so
            try:
                so.{CLASSES[store_kind]}(sys.argv[1])
            except so.StorageError:
                pass
            gc.collect()
        """
        done = run_program(program, tmp_path)
        assert done.stderr == ""

    def test_a_store_that_was_never_used_says_nothing(self, tmp_path):
        program = """
            import sys
            import selectools_observe as so
            one = so.AsyncSQLiteTraceStore(sys.argv[1])
            other = so.AsyncJSONLTraceStore(sys.argv[1])
        """
        assert run_program(program, tmp_path / "traces").stderr == ""
        assert os.listdir(tmp_path) == []

    def test_a_background_loop_that_is_never_closed(self, tmp_path):
        program = """
            import sys
            import selectools_observe as so
            store = so.SyncTraceStore(so.AsyncSQLiteTraceStore(sys.argv[1]))
            for n in range(20):
                print(store.save(so.AgentTrace(run_id=f"{n}")), flush=True)
        """
        done = run_program(program, tmp_path / "traces.db")
        assert stored("sqlite-blocking", tmp_path / "traces.db") == set(done.stdout.split())


class TestManyLoops:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "store_kind", [store_kind for store_kind in STORE_KINDS if store_kind.endswith("async")]
    )
    def test_100_runs_in_a_row(self, store_kind, tmp_path):
        store = make(store_kind, file_of(store_kind, tmp_path) if store_kind in ON_DISK else None)
        before = threading.active_count()

        async def use(number: int) -> None:
            await asyncio.gather(*(store.save(trace(f"{number}-{n}")) for n in range(3)))
            assert await store.count() == 3 * (number + 1)
            assert (await store.load(f"{number}-1")).run_id == f"{number}-1"
            assert len(await store.list(2)) == 2

        for number in range(100):
            asyncio.run(use(number))
        assert eventually(lambda: threading.active_count() <= before + 4)

        async def close() -> None:
            assert await store.count() == 300
            await store.aclose()

        asyncio.run(close())
        assert eventually(lambda: threading.active_count() <= before)

    @pytest.mark.parametrize("store_kind", ASYNC_ON_DISK)
    def test_runs_that_end_with_saves_in_flight(self, store_kind, tmp_path):
        path = file_of(store_kind, tmp_path)
        store = make(store_kind, path)
        acknowledged: set[str] = set()
        chance = random.Random(7)

        async def use(number: int) -> None:
            async def save(run_id: str) -> None:
                acknowledged.add(await store.save(trace(run_id)))

            tasks = [asyncio.create_task(save(f"{number}-{n}")) for n in range(20)]
            done = chance.randrange(20)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            if done > 10:
                await tasks[done]
            # the rest is cancelled by the end of the loop

        for number in range(60):
            asyncio.run(use(number))
        check_free(store_kind, path)

        async def last() -> None:
            await store.save(trace("last"))
            assert {s.run_id for s in await store.list(10_000)} >= acknowledged | {"last"}
            await store.aclose()

        asyncio.run(last())
        assert acknowledged
        assert stored(store_kind, path) >= acknowledged | {"last"}

    @pytest.mark.parametrize("store_kind", ASYNC_ON_DISK)
    def test_loops_that_are_closed_abruptly(self, store_kind, tmp_path):
        """Not ``asyncio.run``: nobody cancels anything, the loop is just closed."""
        path = file_of(store_kind, tmp_path)
        store = make(store_kind, path)
        acknowledged: set[str] = set()
        for number in range(25):
            loop = asyncio.new_event_loop()

            async def use(number=number) -> None:
                async def save(run_id: str) -> None:
                    acknowledged.add(await store.save(trace(run_id)))

                tasks = [asyncio.ensure_future(save(f"{number}-{n}")) for n in range(10)]
                await tasks[0]

            loop.run_until_complete(use())
            pending = asyncio.all_tasks(loop)
            loop.close()
            for task in pending:
                task._log_destroy_pending = False
                with contextlib.suppress(RuntimeError):
                    task.get_coro().close()
        gc.collect()

        async def last() -> None:
            await asyncio.wait_for(store.save(trace("last")), HANG)
            await store.aclose()

        asyncio.run(last())
        check_free(store_kind, path)
        assert stored(store_kind, path) >= acknowledged | {"last"}
        assert len(acknowledged) >= 25

    @pytest.mark.parametrize(
        "store_kind", [store_kind for store_kind in STORE_KINDS if store_kind.endswith("async")]
    )
    def test_three_loops_at_once_in_three_threads(self, store_kind, tmp_path):
        path = file_of(store_kind, tmp_path) if store_kind in ON_DISK else None
        store = make(store_kind, path)
        acknowledged: set[str] = set()
        ended_early = threading.Event()

        async def use(thread: int, round_: int) -> None:
            async def save(n: int) -> None:
                acknowledged.add(await store.save(trace(f"{thread}-{round_}-{n}", thread=thread)))

            tasks = [asyncio.create_task(save(n)) for n in range(60)]
            if thread == 0 and round_ % 2:
                await tasks[0]
                ended_early.set()
                return  # the others are in flight
            await asyncio.gather(*tasks)
            assert len(await store.query(TraceFilter(metadata_match={"thread": thread}))) >= 60
            for n in range(0, 60, 20):
                await store.load(f"{thread}-{round_}-{n}")

        def work(thread: int) -> None:
            for round_ in range(6):
                asyncio.run(use(thread, round_))

        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(work, thread) for thread in range(3)]:
                future.result(HANG)
        assert ended_early.is_set()

        async def last() -> None:
            found = {summary.run_id for summary in await store.list(100_000)}
            assert found >= acknowledged
            await store.aclose()

        asyncio.run(last())
        assert len(acknowledged) >= 2 * 6 * 60

    @pytest.mark.parametrize("store_kind", ASYNC_ON_DISK)
    def test_closed_in_one_loop_while_another_uses_it(self, store_kind, tmp_path):
        path = file_of(store_kind, tmp_path)
        store = make(store_kind, path)
        acknowledged: set[str] = set()
        some_done = threading.Event()

        async def use() -> None:
            for n in range(100_000):
                try:
                    acknowledged.add(await store.save(trace(f"{n}")))
                except StoreClosedError:
                    return
                if n > 20:
                    some_done.set()
            pytest.fail("it was never closed")

        with ThreadPoolExecutor(1) as pool:
            user = pool.submit(asyncio.run, use())
            assert some_done.wait(HANG)
            asyncio.run(store.aclose())
            user.result(HANG)
        assert stored(store_kind, path) >= acknowledged

    def test_a_private_database_is_one_for_all_loops(self):
        store = AsyncSQLiteTraceStore(":memory:")
        for number in range(5):
            asyncio.run(store.save(trace(f"{number}")))
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda n: asyncio.run(store.save(trace(f"t{n}"))), range(9)))

        async def last() -> None:
            assert await store.count() == 14
            await store.aclose()

        asyncio.run(last())


class TestBlockingFace:
    @pytest.mark.parametrize("store_kind", BLOCKING)
    async def test_inside_a_running_loop(self, store_kind, tmp_path):
        with make(
            store_kind, file_of(store_kind, tmp_path) if store_kind in ON_DISK else None
        ) as store:
            for n in range(20):
                store.save(trace(f"{n}"))
            assert store.load("5").run_id == "5"
            assert len(store.list()) == 20
            assert store.count() == 20
            stream = store.iter_summaries()
            assert next(stream).run_id == "19"
            assert len(list(store.iter_traces())) == 20
            assert store.delete("5")
            del stream  # begun, not finished
            gc.collect()
            await asyncio.sleep(0)

    async def test_a_background_loop_inside_a_running_loop(self, tmp_path):
        with SyncTraceStore(AsyncSQLiteTraceStore(tmp_path / "traces.db")) as store:
            store.save(trace("a"))
            assert store.load("a").run_id == "a"
            assert ids(store.iter_summaries()) == ["a"]

    @pytest.mark.parametrize("store_kind", BLOCKING)
    def test_from_32_threads_at_once(self, store_kind, tmp_path):
        path = file_of(store_kind, tmp_path) if store_kind in ON_DISK else None
        start = threading.Barrier(32)
        with make(store_kind, path) as store:

            def work(thread: int) -> None:
                start.wait(HANG)
                for n in range(20):
                    run_id = f"{thread}-{n}"
                    assert store.save(trace(run_id, thread=thread)) == run_id
                    assert store.load(run_id).metadata == {"thread": thread}
                    if n % 5 == 0:
                        mine = store.query(TraceFilter(metadata_match={"thread": thread}))
                        assert ids(mine) == [f"{thread}-{m}" for m in range(n, -1, -1)]
                        # Others save meanwhile: certain are only our own, which nobody deletes.
                        assert min(5, n + 1) <= len(store.list(5)) <= 5
                    if n % 7 == 0:
                        store.save_many([trace(f"{run_id}-x"), trace(f"{run_id}-y")])
                        assert store.delete(f"{run_id}-x")

            with ThreadPoolExecutor(32) as pool:
                for future in [pool.submit(work, thread) for thread in range(32)]:
                    future.result(HANG)
            assert store.count() == 32 * (20 + 3)
        if path is not None:
            assert len(stored(store_kind, path)) == 32 * (20 + 3)

    @pytest.mark.parametrize("store_kind", BLOCKING[1:])
    def test_closed_while_others_save(self, store_kind, tmp_path):
        path = file_of(store_kind, tmp_path)
        store = make(store_kind, path)
        acknowledged: set[str] = set()
        many = threading.Semaphore(0)

        def work(thread: int) -> None:
            for n in range(100_000):
                try:
                    acknowledged.add(store.save(trace(f"{thread}-{n}")))
                except StoreClosedError:
                    return
                many.release()

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(work, thread) for thread in range(8)]
            for _ in range(50):
                assert many.acquire(timeout=HANG)
            store.close()
            for future in futures:
                future.result(HANG)
        check_free(store_kind, path)
        assert stored(store_kind, path) >= acknowledged

    @pytest.mark.parametrize("store_kind", BLOCKING[1:])
    def test_no_files_are_left_open(self, store_kind, tmp_path):
        before = open_files()
        for _ in range(10):
            with make(store_kind, file_of(store_kind, tmp_path)) as store:
                store.save(trace("a"))
                store.list()
                store.load("a")
                store.delete("a")
        assert open_files() == before


FORKING = """
    import asyncio, faulthandler, os, signal, sys, threading
    import selectools_observe as so

    store = so.{name}({path})
    store.save(so.AgentTrace(run_id="before"))
    going_on = threading.Event()

    def go_on(thread):
        n = 0
        while not going_on.is_set():
            store.save(so.AgentTrace(run_id=f"parent-{{thread}}-{{n}}"))
            store.list(3), store.load("before")
            n += 1
        counts[thread] = n

    counts = dict.fromkeys(range({threads}), 0)
    threads = [threading.Thread(target=go_on, args=(t,)) for t in counts]
    for thread in threads:
        thread.start()
    failures = 0
    for child in range({children}):
        pid = os.fork()
        if pid == 0:
            signal.alarm(100)  # kills a child that hangs
            faulthandler.dump_traceback_later(15)
            code = 1
            try:
                for n in range(5):
                    store.save(so.AgentTrace(run_id=f"child-{{child}}-{{n}}"))
                assert store.load("before").run_id == "before"
                assert store.load(f"child-{{child}}-4")
                assert len(store.list(5)) == 5
                assert store.count(so.TraceFilter(run_ids=[f"child-{{child}}-0"])) == 1
                store.close()
                code = 0
            except BaseException as error:
                print(f"child {{child}}: {{error!r}}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        if status:
            failures += 1
            print(f"child {{child}} ended with {{status}}", file=sys.stderr, flush=True)
            break
    going_on.set()
    for thread in threads:
        thread.join()
    store.save(so.AgentTrace(run_id="after"))
    print(*(f"parent-{{t}}-{{n}}" for t, most in counts.items() for n in range(most)))
    store.close()
    sys.exit(failures)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
class TestFork:
    @pytest.mark.slow
    @pytest.mark.parametrize("threads", [0, 3], ids=["alone", "while threads save"])
    @pytest.mark.parametrize("store_kind", ["sqlite-blocking", "jsonl-blocking"])
    def test_a_child_saves_and_the_parent_goes_on(self, store_kind, threads, tmp_path):
        path = file_of(store_kind, tmp_path)
        children = 30
        program = FORKING.format(
            name=CLASSES[store_kind], path="sys.argv[1]", threads=threads, children=children
        )
        done = run_program(program, path)
        assert "Traceback" not in done.stderr
        expected = {f"child-{child}-{n}" for child in range(children) for n in range(5)}
        assert stored(store_kind, path) == expected | set(done.stdout.split()) | {"before", "after"}

    @pytest.mark.parametrize("threads", [0, 3], ids=["alone", "while threads save"])
    def test_a_child_has_a_copy_of_what_is_in_memory(self, threads):
        program = FORKING.format(
            name="InMemoryTraceStore", path="10**6", threads=threads, children=20
        )
        run_program(program)

    def test_a_background_loop(self, tmp_path):
        program = FORKING.format(
            name="SyncTraceStore",
            path="so.AsyncSQLiteTraceStore(sys.argv[1])",
            threads=0,
            children=5,
        )
        run_program(program, tmp_path / "traces.db")

    @pytest.mark.parametrize("store_kind", ON_DISK)
    @pytest.mark.parametrize("how", ["close", "exit"])
    def test_a_child_that_outlives_its_parents_store(self, store_kind, how, tmp_path):
        program = f"""
            import asyncio, os, signal, sys
            import selectools_observe as so
            store = so.{CLASSES[store_kind]}(sys.argv[1])
            def wait_for(done):
                return asyncio.run(done) if {store_kind.endswith("async")} else done
            def save(run_id):
                wait_for(store.save(so.AgentTrace(run_id=run_id)))
            def close():
                wait_for(store.aclose() if {store_kind.endswith("async")} else store.close())
            save("before")
            parent_went, child_saved = os.pipe(), os.pipe()
            pid = os.fork()
            if pid == 0:
                signal.alarm(100)
                save("child-1")
                os.write(child_saved[1], b"x")
                os.close(parent_went[1])
                os.read(parent_went[0], 1)
                for n in range(2, 6):
                    save(f"child-{{n}}")
                close()
                os._exit(0)
            os.read(child_saved[0], 1)
            save("parent")
            if "{how}" == "exit":
                os._exit(0)
            close()
            os.write(parent_went[1], b"x")
            assert os.waitpid(pid, 0)[1] == 0
        """
        run_program(program, file_of(store_kind, tmp_path))
        expected = {"before", "parent", *(f"child-{n}" for n in range(1, 6))}
        assert eventually(lambda: expected <= {*seen(store_kind, file_of(store_kind, tmp_path))})
        assert stored(store_kind, file_of(store_kind, tmp_path)) == expected

    @pytest.mark.parametrize("store_kind", ASYNC_ON_DISK)
    def test_an_async_store(self, store_kind, tmp_path):
        program = f"""
            import asyncio, os, signal, sys
            import selectools_observe as so
            store = so.{CLASSES[store_kind]}(sys.argv[1])
            asyncio.run(store.save(so.AgentTrace(run_id="before")))
            for child in range(5):
                pid = os.fork()
                if pid == 0:
                    signal.alarm(100)
                    code = 1
                    try:
                        asyncio.run(store.save(so.AgentTrace(run_id=f"child-{{child}}")))
                        code = 0
                    finally:
                        os._exit(code)
                assert os.waitpid(pid, 0)[1] == 0, child
                asyncio.run(store.save(so.AgentTrace(run_id=f"parent-{{child}}")))
            asyncio.run(store.aclose())
        """
        run_program(program, file_of(store_kind, tmp_path))
        expected = {f"{who}-{n}" for who in ("child", "parent") for n in range(5)}
        assert stored(store_kind, file_of(store_kind, tmp_path)) == expected | {"before"}


@pytest.fixture(params=ASYNC_ON_DISK)
async def watched(request, tmp_path):
    """An async store, and afterwards the proof that it left nothing behind."""
    threads, files = set(threading.enumerate()), open_files()
    path = file_of(request.param, tmp_path)
    store = make(request.param, path)
    store.acknowledged = set()
    yield store
    with contextlib.suppress(StoreClosedError):
        await asyncio.wait_for(store.save(trace("still works")), HANG)
        store.acknowledged.add("still works")
        assert {s.run_id for s in await store.list(1_000_000)} >= store.acknowledged
        await store.aclose()
    check_free(request.param, path)
    assert stored(request.param, path) >= store.acknowledged
    await asyncio.get_running_loop().shutdown_default_executor()
    assert eventually(lambda: set(threading.enumerate()) <= threads)
    assert eventually(lambda: open_files() <= files)


async def save(store, run_id: str, **metadata) -> None:
    await store.save(trace(run_id, **metadata))
    store.acknowledged.add(run_id)


class TestCancellation:
    async def test_tiny_timeouts(self, watched):
        chance = random.Random(1)
        for n in range(300):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(save(watched, f"{n}"), chance.random() * 0.002)
        assert await watched.count() >= len(watched.acknowledged)

    async def test_tiny_timeouts_among_others(self, watched):
        """What is cancelled never takes another caller's save along."""
        chance = random.Random(2)

        async def hasty(n: int) -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.random() * 0.003):
                    await save(watched, f"hasty-{n}")

        for round_ in range(15):
            patient = [save(watched, f"patient-{round_}-{n}") for n in range(10)]
            await asyncio.wait_for(
                asyncio.gather(*patient, *(hasty(round_ * 10 + n) for n in range(10))), HANG
            )
        found = {summary.run_id for summary in await watched.list(10_000)}
        assert {f"patient-{r}-{n}" for r in range(15) for n in range(10)} <= found

    async def test_the_first_of_a_batch(self, watched):
        """The one that commits for all is cancelled; the others are still served."""
        for round_ in range(40):
            tasks = [
                asyncio.create_task(save(watched, f"{round_}-{n}", text="x" * 1000))
                for n in range(10)
            ]
            for _ in range(round_ % 5):
                await asyncio.sleep(0)
            tasks[0].cancel()
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
            assert all(result is None for result in results[1:])
            assert isinstance(results[0], asyncio.CancelledError | None)

    async def test_all_of_a_batch_at_once(self, watched):
        for round_ in range(40):
            tasks = [asyncio.create_task(save(watched, f"{round_}-{n}")) for n in range(10)]
            for _ in range(round_ % 4):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)

    async def test_cancelled_twice(self, watched):
        for round_ in range(40):
            tasks = [asyncio.create_task(save(watched, f"{round_}-{n}")) for n in range(5)]
            for _ in range(3):
                await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
            assert results[1] is results[3] is None

    async def test_task_groups(self, watched):
        async def fail() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            raise OSError("not ours")

        for round_ in range(30):
            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    for n in range(10):
                        group.create_task(save(watched, f"{round_}-{n}"))
                    group.create_task(fail())

    async def test_with_anyio_scopes(self, watched):
        import anyio

        for n in range(60):
            with anyio.move_on_after(0.001 * (n % 4)):
                await save(watched, f"{n}")
            with anyio.CancelScope() as scope:
                scope.cancel()
                await save(watched, f"cancelled-{n}")

    async def test_every_method(self, watched):
        await watched.save_many(trace(f"{n}", user=n % 3) for n in range(600))
        chance = random.Random(3)

        async def stream() -> None:
            async for _ in watched.iter_traces(oldest_first=True):
                pass

        methods = [
            lambda: watched.save(trace("again")),
            lambda: watched.save_many([trace("x"), trace("y")]),
            lambda: watched.load("5"),
            lambda: watched.load_many(["5", "6"]),
            lambda: watched.list(100),
            lambda: watched.query(TraceFilter(metadata_match={"user": 1})),
            lambda: watched.count(TraceFilter(min_steps=1)),
            lambda: watched.delete(f"{chance.randrange(100, 600)}"),
            stream,
        ]
        for n in range(400):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(methods[n % len(methods)](), chance.random() * 0.004)
        assert (await watched.load("5")).metadata == {"user": 2}

    async def test_a_cancelled_save_is_whole_or_absent(self, watched):
        for n in range(100):
            task = asyncio.create_task(
                watched.save_many([trace(f"{n}-a", n=n), trace(f"{n}-b", n=n)])
            )
            for _ in range(n % 6):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            there = await watched.load_many([f"{n}-a", f"{n}-b"])
            assert len(there) in (0, 2)
            assert await watched.count(TraceFilter(metadata_match={"n": n})) == len(there)

    async def test_what_was_cancelled_before_it_began_is_absent(self, watched):
        await save(watched, "first")
        tasks = [asyncio.create_task(save(watched, f"{n}")) for n in range(20)]
        await asyncio.sleep(0)  # all of them wait in one batch, behind nobody
        late = asyncio.create_task(save(watched, "late"))
        late.cancel()
        await asyncio.gather(*tasks)
        with pytest.raises(asyncio.CancelledError):
            await late
        assert "late" not in {s.run_id for s in await watched.list(100)}

    async def test_opening(self, watched):
        """The first call opens the file; it may be the one that is cancelled."""
        for _ in range(3):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watched.count(), 0.0001)

    async def test_closing(self, watched):
        await save(watched, "a")
        task = asyncio.create_task(watched.aclose())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with pytest.raises(StoreClosedError):
            await watched.save(trace("b"))
        await watched.aclose()

    async def test_closing_while_saves_are_in_flight(self, watched):
        tasks = [asyncio.create_task(save(watched, f"{n}")) for n in range(50)]
        await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*(watched.aclose() for _ in range(5))), HANG)
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG)
        assert all(isinstance(result, StoreClosedError | None) for result in results)


async def test_a_read_that_waits_while_a_close_is_cancelled(tmp_path):
    """aiosqlite forgets its connection before it does what waits in its queue."""
    store = AsyncSQLiteTraceStore(tmp_path / "t.db")
    await store.save(trace("a"))
    worker = store._loop_local.current()._scanner
    begun, may_go_on = threading.Event(), threading.Event()
    before = asyncio.create_task(worker.run(lambda _: begun.set() or may_go_on.wait()))
    await asyncio.to_thread(begun.wait)
    read = asyncio.create_task(worker.fetch_all("SELECT 1"))
    closing = asyncio.create_task(worker.close())
    for _ in range(5):  # until it waits behind the others
        await asyncio.sleep(0)
    closing.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    may_go_on.set()
    _, found, _ = await asyncio.gather(before, read, closing, return_exceptions=True)
    assert isinstance(found, StoreClosedError)
    await store.aclose()


class Forgetful(asyncio.SelectorEventLoop):
    """Loses what threads tell it, as a loop does that a signal handler raises through."""

    forgets = False

    def call_soon_threadsafe(self, callback, *args, context=None):
        if self.forgets:
            callback, args = bool, ()
        return super().call_soon_threadsafe(callback, *args, context=context)


@pytest.mark.parametrize("store_kind", ASYNC_ON_DISK)
def test_cancelled_when_the_loop_lost_the_news(store_kind, tmp_path):
    """A second Ctrl-C while asyncio.run() cancels what is left: it must not wait for ever."""
    loop, path = Forgetful(), file_of(store_kind, tmp_path)

    async def run() -> None:
        async with make(store_kind, path) as store:
            await store.save(trace("first"))
            loop.forgets = True
            task = asyncio.create_task(store.save(trace("second")))
            try:
                while "second" not in seen(store_kind, path):  # noqa: ASYNC110 - another thread stores it
                    await asyncio.sleep(0.01)
                task.cancel()
                ended, _ = await asyncio.wait((task,), timeout=HANG)
            finally:
                loop.forgets = False
            assert ended
            assert task.cancelled()
            assert (await store.load("second")).run_id == "second"

    with contextlib.closing(loop):
        loop.run_until_complete(asyncio.wait_for(run(), HANG))
        loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.parametrize("store_type", [AsyncSQLiteTraceStore, AsyncJSONLTraceStore])
async def test_opening_from_many_tasks_at_once(store_type, tmp_path):
    store = store_type(tmp_path / "traces")
    await asyncio.gather(
        *(store.save(trace(f"{n}")) for n in range(64)), store.list(), store.__aenter__()
    )
    assert await store.count() == 64
    await asyncio.gather(*(store.aclose() for _ in range(4)))
