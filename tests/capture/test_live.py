"""The flight recorder: what was acknowledged before a kill is in the store afterwards."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from capture_stores import FiveMethods, OneLoop, Unreliable
from flight import STORE_KINDS
from hostile import LONG

from selectools_observe import (
    AgentTrace,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    StorageError,
    TraceFilter,
    TraceStep,
)
from selectools_observe.backends.files import journal_file
from selectools_observe.capture import (
    AsyncBackgroundTraceStore,
    BackgroundTraceStore,
    ProcessingTraceStore,
    Recorder,
    arecover,
    current_run,
    recover,
)
from selectools_observe.capture.journal import journal_writer as livewriter

HERE = Path(__file__).parent
ROUNDS = 100 if LONG else 8
CASES = [
    (store_kind, durability) for durability in ("normal", "full") for store_kind in STORE_KINDS
]

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")


def fly_and_kill(store_kind: str, durability: str, path: Path, seconds: float) -> list[list[str]]:
    """What a recording program said before it was killed."""
    command = [sys.executable, str(HERE / "flight.py"), store_kind, str(path), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        first = program.stdout.readline()
        timer = threading.Timer(seconds, program.kill)
        timer.start()
        said = first + program.stdout.read()
        timer.join()
        program.wait()
    assert program.returncode == -signal.SIGKILL
    return [line.split() for line in said.decode().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(ROUNDS))
def test_every_acknowledged_step_survives_a_kill(number, tmp_path):
    store_kind, durability = CASES[number % len(CASES)] if LONG else CASES[number]
    path = tmp_path / "traces"
    seconds = random.uniform(0.02, 0.6)
    said = fly_and_kill(store_kind, durability, path, seconds)
    begun = {run_id for word, run_id, *_ in said if word == "begun"}
    ended = {run_id for word, run_id, *_ in said if word == "ended"}
    assert begun
    kind = JSONLTraceStore if store_kind == "jsonl" else SQLiteTraceStore
    with kind(path) as store:  # opened as anybody opens it
        stored = {trace.run_id: trace for trace in store.iter_traces()}
        assert begun <= stored.keys()
        for word, run_id, *place in said:
            if word == "step":
                steps = stored[run_id].steps
                (found,) = [s for s in steps if s.tool_args["place"] == int(place[0])]
                assert found.tool_result.startswith(f"{run_id}/{place[0]} ")
                assert found.extra is None
        for run_id, trace in stored.items():
            if run_id in ended:
                assert "unfinished" not in trace.metadata
            assert [s.tool_args["place"] for s in trace] == [*range(len(trace))]
            assert {s.tool_args["run"] for s in trace} <= {run_id}
        unfinished = store.query(TraceFilter(metadata_match={"unfinished": True}))
        assert len(unfinished) <= 4
        assert {s.run_id for s in unfinished}.isdisjoint(ended)
    assert not Path(f"{path}.live").exists()


def killed_in(program: str, *arguments) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


KILLED = """
    import os, signal, sys
    import selectools_observe as so
    from selectools_observe.capture import Recorder
    recorder = Recorder(so.SQLiteTraceStore(sys.argv[1]), live=True)
    with recorder.run(run_id="done", metadata={"user": "ada"}) as run:
        with run.llm_call("gpt-4o"): pass
    with recorder.run(run_id="outer", metadata={"user": "ada"}) as outer:
        with outer.llm_call("gpt-4o", prompt_tokens=7): pass
        with recorder.run(run_id="inner") as inner:
            inner.add(so.TraceStep("cache_hit", extra={"newer": 1}))
            with inner.tool("explode", {"now": True}):
                os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def wreck(tmp_path) -> Path:
    """A database whose program was killed in the midst of two runs."""
    path = tmp_path / "traces.db"
    killed_in(KILLED, path)
    return path


class TestRecovery:
    def test_the_runs_are_there_with_all_that_is_known(self, wreck):
        with SQLiteTraceStore(wreck) as store:
            done, outer, inner = (store.load(run_id) for run_id in ("done", "outer", "inner"))
        assert done.metadata == {"user": "ada"}
        assert outer.metadata == {"user": "ada", "unfinished": True}
        assert [(s.model, s.prompt_tokens) for s in outer] == [("gpt-4o", 7)]
        assert (inner.parent_run_id, inner.metadata) == ("outer", {"unfinished": True})
        hit, tool = inner.steps
        assert hit.extra == {"newer": 1}
        assert (tool.tool_name, tool.tool_args) == ("explode", {"now": True})
        assert tool.extra == {"unfinished": True}  # it had begun

    def test_is_logged_and_leaves_nothing_behind(self, wreck, caplog):
        with SQLiteTraceStore(wreck) as store:
            assert store.count() == 3
            assert "Recovered 2 runs" in caplog.text
            caplog.clear()
            assert store.recover() == []
        with SQLiteTraceStore(wreck) as store:
            assert store.count() == 3
        assert caplog.text == ""
        assert os.listdir(wreck.parent) == ["traces.db"]

    async def test_by_an_async_store_at_first_use(self, wreck):
        store = AsyncSQLiteTraceStore(wreck)
        assert (await store.load("outer")).metadata["unfinished"] is True
        await store.aclose()

    def test_by_a_store_that_is_open_already(self, tmp_path):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store:
            assert store.list() == []
            killed_in(KILLED, path)
            assert len(store.load("outer")) == 0  # as it was saved at its beginning
            assert sorted(recover(ProcessingTraceStore(store))) == ["inner", "outer"]
            assert len(store.load("outer")) == 1

    def test_by_a_recorder(self, tmp_path):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store:
            assert store.list() == []
            killed_in(KILLED, path)
            Recorder(BackgroundTraceStore(store), live=True).close()
            assert len(store.load("outer")) == 1

    async def test_by_an_async_recorder_at_its_first_run(self, tmp_path):
        path = tmp_path / "traces.db"
        async with AsyncSQLiteTraceStore(path) as store:
            await store.list()
            killed_in(KILLED, path)
            with Recorder(store, live=True) as recorder:
                async with recorder.run():
                    assert len(await store.load("outer")) == 1

    async def test_that_is_impossible_does_not_break_an_agent(self, tmp_path, caplog):
        store = AsyncSQLiteTraceStore(tmp_path / "traces.db")
        await store.aclose()
        with Recorder(store, live=True) as recorder:
            async with recorder.run():
                pass
            assert recorder.counts.failed == 1
        assert "is closed" in caplog.text

    def test_into_a_store_in_no_file(self, wreck):
        folder = f"{wreck}.live"
        behind = FiveMethods()
        assert sorted(recover(behind, folder)) == ["inner", "outer"]
        assert behind.load("outer").metadata["unfinished"] is True
        assert recover(behind, folder) == []

    async def test_into_an_async_store_in_no_file(self, wreck):
        behind = OneLoop()
        assert sorted(await arecover(behind, f"{wreck}.live")) == ["inner", "outer"]
        assert (await behind.load("inner")).parent_run_id == "outer"

    def test_of_runs_that_a_background_store_dropped(self, tmp_path):
        folder = tmp_path / "live"
        behind = Unreliable()
        behind.gate.clear()
        store = BackgroundTraceStore(behind, max_queue=1, on_full="drop_newest")
        with Recorder(store, live=folder) as recorder:
            for n in range(3):
                with recorder.run(run_id=f"{n}") as run:
                    run.add(TraceStep("llm_call"))
            behind.gate.set()
            store.flush()
            assert recorder.counts.dropped == 3  # the first one's beginning fills the queue
        assert sorted(recover(behind, folder)) == ["0", "1", "2"]
        assert [(len(behind.load(i)), behind.load(i).metadata) for i in "012"] == [(1, {})] * 3
        store.close()

    def test_of_a_run_that_was_saved_again_meanwhile_changes_nothing(self, tmp_path):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store:
            assert store.list() == []
            killed_in(KILLED, path)
            outer = store.load("outer")
            outer.metadata = {"tried": "again"}
            store.save(outer)
            assert recover(store) == ["inner"]
            assert store.load("outer").metadata == {"tried": "again"}

    @pytest.mark.slow
    def test_by_many_at_once(self, wreck):
        program = """
            import sys, selectools_observe as so
            with so.SQLiteTraceStore(sys.argv[1]) as store:
                print(*store.recover())
        """
        command = [sys.executable, "-c", textwrap.dedent(program), str(wreck)]
        crowd = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(6)]
        said = [one.communicate(timeout=60)[0].decode().split() for one in crowd]
        assert [one.returncode for one in crowd] == [0] * 6
        with SQLiteTraceStore(wreck) as store:
            assert [len(store.load(run_id)) for run_id in ("done", "outer", "inner")] == [1, 1, 2]
        assert sorted(run_id for words in said for run_id in words) == ["inner", "outer"]
        assert not Path(f"{wreck}.live").exists()

    @pytest.mark.parametrize("moment", ["keep", "remove"])
    def test_killed_in_the_midst_is_done_by_the_next(self, wreck, moment):
        program = f"""
            import os, signal, sys
            import selectools_observe as so
            from selectools_observe.backends import base
            from selectools_observe.backends.files import journal_file
            def die(*_):
                os.kill(os.getpid(), signal.SIGKILL)
            owner = base._StoreRecoveryTarget if {moment!r} == "keep" else journal_file.Claim
            setattr(owner, {moment!r}, die)
            so.SQLiteTraceStore(sys.argv[1]).list()
        """
        killed_in(program, wreck)
        assert os.listdir(f"{wreck}.live")
        with SQLiteTraceStore(wreck) as store:
            assert len(store.load("inner")) == 2
            assert store.count() == 3
        assert not Path(f"{wreck}.live").exists()

    def test_a_store_that_refuses_keeps_the_record(self, wreck, caplog):
        class Down(FiveMethods):
            def save(self, trace):
                raise StorageError("the store", "it is down", "Wait")

        assert recover(Down(), f"{wreck}.live") == []
        assert "is not recovered yet" in caplog.text
        assert sorted(recover(FiveMethods(), f"{wreck}.live")) == ["inner", "outer"]

    def test_a_living_recorder_keeps_its_record(self, tmp_path):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store, Recorder(store, live=True) as recorder:
            with recorder.run(run_id="alive") as run:
                with run.llm_call():
                    pass
                with SQLiteTraceStore(path) as other:
                    assert other.recover() == []
                    assert len(other.load("alive")) == 0
                    assert other.load("alive").metadata["unfinished"] is True
            assert "unfinished" not in store.load("alive").metadata
            assert len(store.load("alive")) == 1

    def test_needs_a_folder_or_a_file(self):
        with pytest.raises(ValueError, match="give a folder"):
            recover(InMemoryTraceStore())
        with pytest.raises(ValueError, match="give a folder"):
            Recorder(InMemoryTraceStore(), live=True)


def recorded(record: Path) -> list[journal_file.RecordedRun]:
    """What a record tells now."""
    with record.open("rb") as lines:
        return journal_file.runs_in(lines)


def _recovered(folder: Path, run_id: str) -> AgentTrace:
    """A run out of a record that nobody goes on with."""
    behind = FiveMethods()
    recover(behind, folder)
    return behind.load(run_id)


class TestTornRecords:
    def record_of(self, wreck: Path) -> Path:
        (record,) = Path(f"{wreck}.live").iterdir()
        return record

    def test_cut_anywhere_it_is_read_up_to_there(self, wreck):
        whole = self.record_of(wreck).read_bytes()
        before = -1
        for cut in range(0, len(whole), 7):
            runs = journal_file.runs_in(whole[:cut].splitlines(keepends=True))
            written = sum(len(run.steps) for run in runs)
            assert written >= before or whole[:cut].count(b" forget ")
            assert len(runs) <= 2
            before = written
        assert len(recorded(self.record_of(wreck))) == 2

    def test_a_damaged_line_takes_no_other_with_it(self, wreck, caplog):
        record = self.record_of(wreck)
        lines = record.read_bytes().splitlines(keepends=True)
        (place,) = [n for n, line in enumerate(lines) if b"cache_hit" in line]
        lines[place] = lines[place].replace(b"cache", b"cacha")
        record.write_bytes(b"".join(lines))
        with SQLiteTraceStore(wreck) as store:
            (tool,) = store.load("inner").steps
            assert tool.tool_name == "explode"
            assert len(store.load("outer")) == 1
        assert "1 damaged lines" in caplog.text

    def test_garbage_is_survived(self, wreck):
        record = self.record_of(wreck)
        with open(record, "ab") as file:
            file.write(b"\x00" * 4096 + b"\nzzz\n\n12 3\n" + b"00000000 x y z {}\n")
        with SQLiteTraceStore(wreck) as store:
            assert len(store.load("inner")) == 2


class TestTheRecord:
    def test_stays_small_over_many_runs(self, tmp_path):
        folder = tmp_path / "live"
        with Recorder(InMemoryTraceStore(), live=folder) as recorder:
            largest = 0
            for _ in range(300):
                with recorder.run() as run:
                    run.add(TraceStep("llm_call", reasoning="x" * 5000))
                largest = max(largest, sum(f.stat().st_size for f in folder.iterdir()))
            assert largest < 100_000
        assert not folder.exists()

    def test_stays_small_while_there_is_always_a_run(self, tmp_path, monkeypatch):
        monkeypatch.setattr(livewriter, "_WORTH_REWRITING", 50_000)
        folder = tmp_path / "live"
        step = TraceStep("llm_call", reasoning="x" * 5000)
        behind = FiveMethods()
        with Recorder(behind, live=folder) as recorder, recorder.run(run_id="long") as long:
            long.add(TraceStep("llm_call", reasoning="kept"))
            for n in range(100):
                with recorder.run() as run:
                    run.add(step)
                assert sum(f.stat().st_size for f in folder.iterdir()) < 120_000
                if n == 50:
                    long.add(TraceStep("llm_call", reasoning="kept too"))
            # What a kill would leave now:
            (record,) = folder.iterdir()
            (left,) = recorded(record)
            assert [s.reasoning for s in left.trace()] == ["kept", "kept too"]

    def test_holds_nothing_back(self, tmp_path):
        """Each step is in the file when it is acknowledged, whatever the order of things."""
        folder = tmp_path / "live"
        recorder = Recorder(InMemoryTraceStore(), live=folder, durability="full")
        with recorder, recorder.run() as run:
            run.llm_call("given whole", duration_ms=5)
            with run.tool("timed") as call:
                call.tool_result = {"n": 1}
                (record,) = folder.iterdir()
                (now,) = recorded(record)
                assert [s.extra for s in now.trace()] == [None, {"unfinished": True}]
            (now,) = recorded(record)
            assert [s.tool_result for s in now.trace()] == [None, '{"n":1}']
            assert [s.extra for s in now.trace()] == [None, None]

    async def test_many_tasks_with_full_durability(self, tmp_path):
        async with AsyncSQLiteTraceStore(tmp_path / "traces.db") as store:
            with Recorder(store, live=True, durability="full") as recorder:

                async def agent():
                    async with recorder.run() as run:
                        for n in range(5):
                            async with run.tool(f"{n}"):
                                pass
                        await run.aadd(TraceStep("cache_hit"))

                await asyncio.gather(*[agent() for _ in range(20)])
                assert recorder.counts == type(recorder.counts)(saved=20)
            assert await store.count(TraceFilter(min_steps=6)) == 20

    def test_is_kept_when_the_store_does_not_take_the_run(self, tmp_path, caplog):
        folder = tmp_path / "live"
        behind = FiveMethods(refuse=["run"])
        with Recorder(behind, live=folder) as recorder:
            with recorder.run(run_id="run") as run, run.llm_call("gpt-4o"):
                pass
            assert (recorder.counts.failed, recorder.counts.unwritten) == (1, 1)
        behind.refuse.clear()
        assert recover(behind, folder) == ["run"]
        assert behind.load("run").metadata == {}  # it had ended
        assert len(behind.load("run")) == 1

    async def test_of_a_blocking_store_in_an_event_loop(self, tmp_path):
        with (
            SQLiteTraceStore(tmp_path / "traces.db") as store,
            Recorder(store, live=True, durability="full") as recorder,
        ):
            async with recorder.run() as run, run.tool("a"):
                assert store.load(run.run_id).metadata == {"unfinished": True}
            assert store.load(run.run_id).metadata == {}
            assert recorder.counts == type(recorder.counts)(saved=1)

    async def test_of_a_run_that_is_cancelled_before_it_could_begin(self, tmp_path):
        class Hangs(OneLoop):
            async def save(self, trace):
                if trace.metadata.get("unfinished"):
                    await asyncio.sleep(3600)
                return await super().save(trace)

        async def agent():
            async with recorder.run(run_id="run"):
                pytest.fail("it never begins")

        behind = Hangs()
        with Recorder(behind, live=tmp_path / "live") as recorder:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await agent()
            assert current_run() is None
            assert [step.type for step in await behind.load("run")] == ["cancelled"]
        assert os.listdir(tmp_path) == []

    def test_waits_for_a_background_store(self, tmp_path):
        path = tmp_path / "traces.db"
        program = """
            import os, signal, sys
            import selectools_observe as so
            from selectools_observe.capture import BackgroundTraceStore, Recorder
            class Slow(so.SQLiteTraceStore):
                def save_many(self, traces):
                    os.kill(os.getpid(), signal.SIGKILL)
            recorder = Recorder(BackgroundTraceStore(Slow(sys.argv[1])), live=True)
            with recorder.run(run_id="run") as run:
                with run.llm_call(): pass
            recorder._saver.store.flush()
        """
        killed_in(program, path)
        with SQLiteTraceStore(path) as store:
            assert (len(store.load("run")), store.load("run").metadata) == (1, {})

    def test_a_disk_that_refuses_breaks_nothing(self, tmp_path, caplog):
        behind = FiveMethods()
        told = []
        blocked = tmp_path / "file"
        blocked.touch()
        recorder = Recorder(behind, live=blocked / "live", on_error=lambda *e: told.append(e))
        with recorder.run() as run, run.llm_call():
            pass
        assert len(behind.load(run.run_id)) == 1
        assert recorder.counts.unwritten >= 1
        assert told
        assert "is not written" in caplog.text

    def test_a_write_that_fails_half_way_spoils_nothing(self, tmp_path, monkeypatch):
        folder = tmp_path / "live"
        behind = FiveMethods()
        write = os.write

        def half(fd, data):
            write(fd, data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        with Recorder(behind, live=folder) as recorder, recorder.run() as run:
            run.add(TraceStep("llm_call", reasoning="first"))
            monkeypatch.setattr(livewriter.os, "write", half)
            run.add(TraceStep("llm_call", reasoning="lost"))
            monkeypatch.setattr(livewriter.os, "write", write)
            run.add(TraceStep("llm_call", reasoning="third"))
            (record,) = folder.iterdir()
            (now,) = recorded(record)
            assert [s.reasoning for s in now.trace()] == ["first", "third"]
            behind.refuse.add(run.run_id)
        assert [s.reasoning for s in _recovered(folder, run.run_id)] == ["first", "lost", "third"]
        assert recorder.counts.unwritten == 1

    def test_a_value_that_cannot_be_stored_does_not_take_the_run_with_it(self, tmp_path):
        folder = tmp_path / "live"
        loop = {}
        loop["self"] = loop
        behind = FiveMethods(refuse=["run"])
        recorder = Recorder(behind, live=folder)
        metadata = {"loop": loop, "user": "ada"}
        with recorder, recorder.run(run_id="run", metadata=metadata) as run:
            run.add(TraceStep("tool_execution", tool_args={"q": loop, "n": 1}))
        left = _recovered(folder, "run")
        assert left.metadata["user"] == "ada"
        assert left.steps[0].tool_args["n"] == 1
        assert "cannot be stored" in str(left.steps[0].tool_args["q"])

    def test_sampled_runs_are_not_shown_before_their_end(self, tmp_path):
        with SQLiteTraceStore(tmp_path / "traces.db") as store:
            prepared = ProcessingTraceStore(store, sample=0.0)
            with Recorder(prepared, live=True) as recorder:
                with recorder.run() as run:
                    assert store.count() == 0
                with pytest.raises(ZeroDivisionError), recorder.run():
                    _ = 1 / 0
                assert run.run_id not in {s.run_id for s in store.list()}
                assert store.count() == 1
                assert prepared.counts.sampled_out == 1

    def test_the_background_store_must_come_first(self, tmp_path):
        store = ProcessingTraceStore(BackgroundTraceStore(SQLiteTraceStore(tmp_path / "traces.db")))
        with store, pytest.raises(ValueError, match="background store must be the outermost"):
            Recorder(store, live=True)

    def test_bad_options_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="durability"):
            Recorder(InMemoryTraceStore(), live=tmp_path, durability="fast")

    def test_one_that_nobody_finished_making_is_removed_in_time(self, tmp_path, caplog):
        folder = tmp_path / "traces.db.live"
        folder.mkdir()
        (folder / "0123456789abcdef.new").touch()
        with SQLiteTraceStore(tmp_path / "traces.db") as store:
            assert store.recover() == []
            assert os.listdir(folder) == ["0123456789abcdef.new"]
            os.utime(folder / "0123456789abcdef.new", (0, 0))
            assert store.recover() == []
            assert os.listdir(folder) == []

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may do anything")
    def test_a_folder_that_may_not_be_seen_breaks_nothing(self, tmp_path, caplog):
        folder = tmp_path / "traces.db.live"
        folder.mkdir(0)
        with SQLiteTraceStore(tmp_path / "traces.db") as store:
            assert store.list() == []
        folder.chmod(0o700)
        assert "are ignored" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestForks:
    def test_a_child_keeps_a_record_of_its_own(self, tmp_path, caplog):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store, Recorder(store, live=True) as recorder:
            with recorder.run(run_id="parent") as run:
                with run.tool("a"):
                    pass
                child = os.fork()
                if child == 0:
                    try:
                        with recorder.run(run_id="child") as own, own.tool("b"):
                            os.kill(os.getpid(), signal.SIGKILL)
                    finally:
                        os._exit(1)
                assert os.waitpid(child, 0)[1] == signal.SIGKILL
                with run.tool("c"):
                    pass
                with caplog.at_level(logging.WARNING), SQLiteTraceStore(path) as other:
                    assert [s.tool_name for s in other.load("child")] == ["b"]
                    assert len(other.load("parent")) == 0  # its program lives
            assert [s.tool_name for s in store.load("parent")] == ["a", "c"]

    def test_a_child_that_lives_on_does_not_hide_the_death_of_its_parent(self, tmp_path):
        path = tmp_path / "traces.db"
        program = """
            import os, signal, sys, time
            import selectools_observe as so
            from selectools_observe.capture import Recorder
            recorder = Recorder(so.SQLiteTraceStore(sys.argv[1]), live=True)
            with recorder.run(run_id="run") as run:
                with run.tool("a"): pass
                if os.fork() == 0:
                    os.close(1); os.close(2)
                    time.sleep(5)
                    os._exit(0)
                os.kill(os.getpid(), signal.SIGKILL)
        """
        killed_in(program, path)
        with SQLiteTraceStore(path) as store:
            assert [s.tool_name for s in store.load("run")] == ["a"]


async def test_a_background_store_and_a_live_record(tmp_path):
    path = tmp_path / "traces.db"
    async with AsyncBackgroundTraceStore(AsyncSQLiteTraceStore(path)) as store:
        with Recorder(store, live=True) as recorder:
            for _ in range(50):
                async with recorder.run() as run, run.tool("a"):
                    pass
            assert await store.flush()
            assert recorder.counts.saved == 50
        assert "traces.db.live" not in os.listdir(tmp_path)
        assert await store.count(TraceFilter(metadata_match={"unfinished": True})) == 0
