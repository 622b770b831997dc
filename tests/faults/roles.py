"""What the children of the fault tests do. Each runs in a process of its own, see `children`."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import json
import os
import random
import re
import resource
import signal
import sqlite3
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import disks
from faces import Handle
from faces import make as make_store
from journal import ABSENT, Expected, Journal, acknowledged_in
from samples import make, version_of

from selectools_observe import StoreClosedError, TraceFilter, TraceNotFoundError, TraceStoreError

FOR_EVER = 10**9


class Writer:
    """Saves, saves again and deletes runs of its own, telling the journal before and after."""

    def __init__(self, store, journal: Journal, name: str, seed: str) -> None:
        self.store = store
        self.journal = journal
        self.name = name
        self.chance = random.Random(seed)
        self.runs: list[tuple[str, int]] = []
        self.number = 0

    def plan(self) -> tuple[str, list[str], int]:
        """What to do next: the verb, the runs, and their version from then on."""
        dice = self.chance.random()
        if self.runs and dice < 0.12:
            run_id, version = self.runs[self.chance.randrange(len(self.runs))]
            return "save", [run_id], version + 1
        if self.runs and dice < 0.17:
            run_id, _ = self.runs[self.chance.randrange(len(self.runs))]
            return "delete", [run_id], ABSENT
        many = self.chance.randrange(2, 6) if dice > 0.9 else 1
        run_ids = [f"{self.name}-{self.number + n}" for n in range(many)]
        self.number += many
        return "save_many" if many > 1 else "save", run_ids, 1

    def call(self, verb: str, run_ids: list[str], version: int):
        traces = [make(run_id, version) for run_id in run_ids if version != ABSENT]
        self.journal.begin(version, *run_ids)
        if verb == "save_many":
            return self.store.save_many(traces)
        return getattr(self.store, verb)(traces[0] if traces else run_ids[0])

    def acknowledged(self, run_ids: list[str], version: int) -> None:
        self.journal.done(version, *run_ids)
        self.runs = [run for run in self.runs if run[0] not in run_ids]
        if version != ABSENT:
            self.runs += [(run_id, version) for run_id in run_ids]

    def work(self, times: int, stop: Path | None = None) -> None:
        for _ in range(times):
            if stop is not None and stop.exists():
                return
            verb, run_ids, version = self.plan()
            self.call(verb, run_ids, version)
            self.acknowledged(run_ids, version)

    async def work_async(self, times: int, stop: Path | None = None) -> None:
        for _ in range(times):
            if stop is not None and stop.exists():
                return
            verb, run_ids, version = self.plan()
            await self.call(verb, run_ids, version)
            self.acknowledged(run_ids, version)


def save(
    face: str,
    path: str,
    journal: str,
    name: str,
    seed: str,
    tasks: int = 8,
    times: int = FOR_EVER,
    durability: str = "normal",
    stop: str | None = None,
) -> None:
    """Save from several tasks, or threads, of one store, until the file `stop` is there."""
    told = Journal(journal)
    store = make_store(face, path, durability=durability)
    writers = [Writer(store, told, f"{name}{n}", f"{seed}/{name}/{n}") for n in range(tasks)]
    if face.endswith("async"):
        asyncio.run(_async_writers(store, writers, times, stop and Path(stop)))
    else:
        end = stop and Path(stop)
        in_threads([lambda writer=writer: writer.work(times, end) for writer in writers])
        store.close()


async def _async_writers(store, writers: list[Writer], times: int, stop: Path | None) -> None:
    async with store:
        await asyncio.gather(*(writer.work_async(times, stop) for writer in writers))


def in_threads(work: list[Callable[[], None]]) -> None:
    """Do it all at once; the first failure is raised."""
    failures: list[BaseException] = []

    def guarded(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# Many processes.


def open_at_once(face: str, path: str, journal: str, name: str, gate: str) -> None:
    """Wait for the gate, open the file, save one run and look for it."""
    told = Journal(journal)
    while not Path(gate).exists():
        time.sleep(0.001)
    use(face, path, lambda store: _save_one(store, told, name))


def _save_one(store, told: Journal, name: str):
    trace = make(f"{name}-0")
    told.begin(1, trace.run_id)
    saved = store.save(trace)
    if asyncio.iscoroutine(saved):
        return _then(saved, lambda: told.done(1, trace.run_id))
    told.done(1, trace.run_id)
    return None


async def _then(awaited: Awaitable, tell: Callable[[], None]) -> None:
    await awaited
    tell()


def use(face: str, path: str, work, **options) -> None:
    """Do work with a store of either face, opened and closed for it."""
    if not face.endswith("async"):
        with make_store(face, path, **options) as store:
            work(store)
        return

    async def run() -> None:
        async with make_store(face, path, **options) as store:
            await work(store)

    asyncio.run(run())


def read(face: str, path: str, journals: list[str], seed: str, stop: str) -> None:
    """Load what was acknowledged, go through pages and streams, until the file `stop` is there."""
    chance = random.Random(seed)
    with Handle(face, Path(path).parent) as store:
        while not Path(stop).exists():
            known = acknowledged_in(Path(chance.choice(journals)))
            for run_id in chance.sample(known, min(5, len(known))):
                _check_load(store, run_id, journals)
            page = store.list(20)
            newer = store.list(20, cursor=page.next_cursor) if page.next_cursor else []
            seen = [summary.run_id for summary in (*page, *newer)]
            assert len(set(seen)) == len(seen), seen
            whose = f"w{chance.randrange(8)}t0"
            of_one = store.query(TraceFilter(metadata_match={"who": whose}, limit=20))
            assert {summary.metadata["who"] for summary in of_one} <= {whose}
            for trace in store.load_many(seen[:10]).values():
                assert trace == make(trace.run_id, version_of(trace))


def _check_load(store: Handle, run_id: str, journals: list[str]) -> None:
    try:
        trace = store.load(run_id)
    except TraceNotFoundError:
        told = "".join(Path(journal).read_text() for journal in journals if Path(journal).exists())
        assert re.search(rf"^begin {ABSENT} {run_id}$", told, re.MULTILINE), f"lost: {run_id}"
    else:
        assert trace == make(run_id, version_of(trace))


def clear(face: str, path: str, seed: str, journals: list[str], journal: str, stop: str) -> None:
    """Delete what others have saved, which writes a JSONL file anew, and compact."""
    chance = random.Random(seed)
    told = Journal(journal)
    gone: set[str] = set()
    next_compaction = 0.0
    with Handle(face, Path(path).parent) as store:
        while not Path(stop).exists():
            # Runs that come together and are saved once: the others have an owner who deletes them.
            known = [run for run in acknowledged_in(Path(chance.choice(journals))) if "x-" in run]
            for run_id in set(known[:3]) - gone:
                told.begin(ABSENT, run_id)
                assert store.delete(run_id) is True
                told.done(ABSENT, run_id)
                gone.add(run_id)
            if time.monotonic() > next_compaction:
                compact(store)
                next_compaction = time.monotonic() + 1
            time.sleep(0.02)


def compact(store: Handle) -> None:
    """Give space back: by the verb if the store has it, or else as any other program would."""
    if hasattr(store.store, "compact"):
        store.compact()
    elif store.face.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(store.path, timeout=30)) as raw:
            raw.execute("VACUUM")


def give_away(face: str, path: str, journal: str, name: str, stop: str) -> None:
    """Save runs for `clear` to delete, some of them together."""
    told = Journal(journal)
    with Handle(face, Path(path).parent) as store:
        for number in range(FOR_EVER):
            run_ids = [f"{name}x-{number}{letter}" for letter in "abc"[: 1 + number % 3]]
            told.begin(1, *run_ids)
            store.save_many([make(run_id) for run_id in run_ids])
            told.done(1, *run_ids)
            if Path(stop).exists():
                return
            time.sleep(0.01)


# Disks.


class Steps:
    """Does one thing after another as a test asks through files: it says when, and reads what came.

    The test and the child take turns over two pipes, one line a turn.
    """

    def __init__(
        self, face: str, path: str, journal: str, asked: str, told: str, options: dict
    ) -> None:
        self.face, self.path, self.options = face, path, options
        self.journal = Journal(journal)
        self.asked, self.told = asked, told
        self.number = 0

    def run(self) -> None:
        with open(self.asked) as asked, open(self.told, "w") as told:
            store = None
            for line in asked:
                what, *words = line.split()
                try:
                    if what == "open":
                        store = Handle(self.face, Path(self.path).parent, **self.options)
                        answer = ["ok"]
                    elif what == "close":
                        store.close()
                        answer = ["ok"]
                    else:
                        answer = ["ok", *getattr(self, what)(store, *words)]
                except TraceStoreError as error:
                    answer = [type(error).__name__, str(error)]
                print(json.dumps(answer), file=told, flush=True)

    def save(self, store, many: str):
        """Save so many, one by one; how many were acknowledged."""
        for _ in range(int(many)):
            self.number += 1
            run_id = f"s{os.getpid()}-{self.number}"
            self.journal.begin(1, run_id)
            store.save(make(run_id))
            self.journal.done(1, run_id)
        return [self.number]

    def save_many(self, store, many: str):
        self.number += 1
        run_ids = [f"s{os.getpid()}-{self.number}.{n}" for n in range(int(many))]
        self.journal.begin(1, *run_ids)
        store.save_many([make(run_id) for run_id in run_ids])
        self.journal.done(1, *run_ids)
        return [many]

    def save_named(self, store, many: str):
        """Save so many, one by one; their run ids."""
        first = self.number + 1
        self.save(store, many)
        return [f"s{os.getpid()}-{n}" for n in range(first, self.number + 1)]

    def order(self, store, size: str):
        """All run ids, newest first, page by page."""
        page = store.list(int(size))
        seen = list(page)
        while page.next_cursor:
            page = store.list(int(size), cursor=page.next_cursor)
            seen += page
        return [summary.run_id for summary in seen]

    def check(self, store):
        """Load all that must be there, from this very store."""
        expected = Expected([Path(self.journal.path)])
        for run_id in expected.certain:
            assert store.load(run_id) == make(run_id), run_id
        listed = {summary.run_id for summary in store.list(1_000_000)}
        assert expected.certain <= listed
        return [len(expected.certain)]

    def count(self, store):
        return [store.count()]

    def delete_one(self, store):
        run_id = min(Expected([Path(self.journal.path)]).certain)
        self.journal.begin(ABSENT, run_id)
        assert store.delete(run_id)
        self.journal.done(ABSENT, run_id)
        return [run_id]


def steps(
    become: str = "",
    size_limit: int = 0,
    no_threads: bool = False,
    options: dict | None = None,
    **arguments,
) -> None:
    """Take turns with the test; as a user without rights, or with a limit to the size of files."""

    import aiofiles.os  # noqa: F401 - before the folders they are in may be out of reach

    if become == "nobody":
        disks.become_nobody()
    if size_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))
    if no_threads:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    Steps(options=options or {}, **arguments).run()


# Signals and forks.


def stop_when_told(face: str, how: str, journal: str, **arguments) -> None:
    """Save until a signal comes, and end as a program does that takes it so."""
    took: list[int] = []

    def take(number: int, _) -> None:
        took.append(number)
        if how == "exit":
            raise SystemExit(3)
        if how == "stubborn" and len(took) == 1:
            os.kill(os.getpid(), number)  # the user is impatient
        raise KeyboardInterrupt

    if how != "default":
        signal.signal(signal.SIGTERM if how == "exit" else signal.SIGINT, take)
        if face.endswith("async") and how == "interrupt":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio sees to it itself
    try:
        save_in_this_thread(face, journal=journal, **arguments)
    except KeyboardInterrupt:
        raise SystemExit(4) from None


def save_in_this_thread(face: str, path: str, journal: str, name: str, seed: str) -> None:
    """As `save`, but here, where signal handlers raise."""
    store = make_store(face, path)
    told = Journal(journal)
    writers = [Writer(store, told, f"{name}{n}", f"{seed}/{n}") for n in range(4)]
    if face.endswith("async"):
        asyncio.run(_async_writers(store, writers, FOR_EVER, None))
        return
    others = [threading.Thread(target=_until_closed, args=(w,), daemon=True) for w in writers[1:]]
    for thread in others:
        thread.start()
    try:
        writers[0].work(FOR_EVER)
    finally:
        store.close()
        for thread in others:
            thread.join()


def _until_closed(writer: Writer) -> None:
    with contextlib.suppress(StoreClosedError):
        writer.work(FOR_EVER)


def fork_while_saving(face: str, path: str, journal: str, name: str, seed: str) -> None:
    """Fork, again and again, with the store open and others saving."""
    store = make_store(face, path)
    stop = threading.Event()
    told = Journal(journal)

    def go_on() -> None:
        writers = [Writer(store, told, f"{name}t{n}", f"{seed}/{n}") for n in range(2)]

        async def in_loop() -> None:
            async def work(writer: Writer) -> None:
                while not stop.is_set():
                    await writer.work_async(1)

            await asyncio.gather(*map(work, writers))

        if face.endswith("async"):
            asyncio.run(in_loop())
        else:
            while not stop.wait(0.0005):
                writers[0].work(1)

    thread = threading.Thread(target=go_on)
    thread.start()
    for number, what in enumerate(("save", "exit", "killed", "save", "killed", "save")):
        time.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            _be_a_child(face, store, f"{journal}.{number}", f"{name}c{number}", seed, what)
        if what == "killed":
            time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert status == (signal.SIGKILL if what == "killed" else 0), (what, status)
    stop.set()
    thread.join()
    closed = store.aclose() if face.endswith("async") else store.close()
    if face.endswith("async"):
        asyncio.run(closed)


def _be_a_child(face: str, store, journal: str, name: str, seed: str, what: str) -> None:
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(20)  # says where a child hangs, and ends it
    code = 1
    try:
        if what != "exit":
            writer = Writer(store, Journal(journal), name, f"{seed}/{name}")
            times = FOR_EVER if what == "killed" else 5
            if face.endswith("async"):
                asyncio.run(writer.work_async(times))
            else:
                writer.work(times)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


# Soak.

KEPT = 100  # runs; the oldest beyond them are deleted


def soak(face: str, path: str, journal: str, measures: str, seed: str, runs: int) -> None:
    """Save, load, query, page, stream and delete; measure now and then."""
    chance, told = random.Random(seed), Journal(journal)
    kept: list[str] = []
    with Handle(face, Path(path).parent) as store, open(measures, "w") as file:
        for number in range(runs):
            run_id = f"s-{number}"
            told.begin(1, run_id)
            store.save(make(run_id))
            told.done(1, run_id)
            kept.append(run_id)
            if number % 5 == 0:
                wanted = chance.choice(kept)
                assert store.load(wanted) == make(wanted)
            if number % 20 == 0:
                page = store.list(20, cursor=store.list(20).next_cursor)
                store.query(TraceFilter(metadata_match={"who": "s"}, min_steps=1, limit=10))
                assert len(store.load_many([summary.run_id for summary in page])) == len(page)
            if number % 200 == 0:
                assert store.count() == len(list(store.iter_summaries()))
            if number % 50 == 0:
                _retain(store, told, kept)
            if number % (runs // 20) == runs // 20 - 1:
                _measure(path, file)


def _retain(store: Handle, told: Journal, kept: list[str]) -> None:
    while len(kept) > KEPT:
        run_id = kept.pop(0)
        told.begin(ABSENT, run_id)
        assert store.delete(run_id)
        told.done(ABSENT, run_id)


def _measure(path: str, file) -> None:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    sizes = [os.stat(name).st_size if os.path.exists(name) else 0 for name in (f"{path}-wal", path)]
    print(resident, files, threads, *sizes, file=file, flush=True)
