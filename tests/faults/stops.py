"""Programs that are stopped by a signal, or that fork, in the midst of saving."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback

from journal import Journal
from store_kinds import make as make_store
from writers import FOR_EVER, Writer, async_writers

from selectools_observe import StoreClosedError

# An exception that a signal handler raises can take a wake-up away from asyncio (a loop that only
# runs functions in threads hangs after two in 1 of 50 rounds) or be ignored in a weak reference's
# callback. Then a user asks once more.
PATIENCE = 3  # seconds
ASKED_AGAIN = "asked again"


def stop_when_told(store_kind: str, how: str, journal: str, **arguments) -> None:
    """Save until a signal comes, and end as a program does that takes it so."""
    took: list[int] = []

    def take(number: int, _) -> None:
        took.append(number)
        if number == signal.SIGALRM:
            print(ASKED_AGAIN, file=sys.stderr)
        elif len(took) == 1:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
            if how == "stubborn":
                os.kill(os.getpid(), number)  # the user is impatient
        raise SystemExit(3) if how == "exit" else KeyboardInterrupt

    if how != "default":
        signal.signal(signal.SIGTERM if how == "exit" else signal.SIGINT, take)
        signal.signal(signal.SIGALRM, take)
        if store_kind.endswith("async") and how == "interrupt":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio sees to it itself
    try:
        save_in_this_thread(store_kind, journal=journal, **arguments)
    except KeyboardInterrupt:
        raise SystemExit(4) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def save_in_this_thread(store_kind: str, path: str, journal: str, name: str, seed: str) -> None:
    """As `save`, but here, where signal handlers raise."""
    store = make_store(store_kind, path)
    told = Journal(journal)
    writers = [Writer(store, told, f"{name}{n}", f"{seed}/{n}") for n in range(4)]
    if store_kind.endswith("async"):
        asyncio.run(async_writers(store, writers, FOR_EVER, None))
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


def fork_while_saving(store_kind: str, path: str, journal: str, name: str, seed: str) -> None:
    """Fork, again and again, with the store open and others saving."""
    store = make_store(store_kind, path)
    stop = threading.Event()
    told = Journal(journal)
    writers = [Writer(store, told, f"{name}t{n}", f"{seed}/{n}") for n in range(2)]
    go_on = _go_on_async if store_kind.endswith("async") else _go_on
    thread = threading.Thread(target=go_on, args=(writers, stop))
    thread.start()
    for number, what in enumerate(("save", "exit", "killed", "save", "killed", "save")):
        time.sleep(0.01)
        pid = os.fork()
        if pid == 0:
            _be_a_child(store_kind, store, f"{journal}.{number}", f"{name}c{number}", seed, what)
        if what == "killed":
            time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert status == (signal.SIGKILL if what == "killed" else 0), (what, status)
    stop.set()
    thread.join()
    closed = store.aclose() if store_kind.endswith("async") else store.close()
    if store_kind.endswith("async"):
        asyncio.run(closed)


def _go_on(writers: list[Writer], stop: threading.Event) -> None:
    while not stop.wait(0.0005):
        writers[0].work(1)


def _go_on_async(writers: list[Writer], stop: threading.Event) -> None:
    async def work(writer: Writer) -> None:
        while not stop.is_set():
            await writer.work_async(1)

    async def run() -> None:
        await asyncio.gather(*map(work, writers))

    asyncio.run(run())


def _be_a_child(store_kind: str, store, journal: str, name: str, seed: str, what: str) -> None:
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(20)  # says where a child hangs, and ends it
    code = 1
    try:
        if what != "exit":
            writer = Writer(store, Journal(journal), name, f"{seed}/{name}")
            times = FOR_EVER if what == "killed" else 5
            if store_kind.endswith("async"):
                asyncio.run(writer.work_async(times))
            else:
                writer.work(times)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
