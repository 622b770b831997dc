"""Runs recorded live, until the program is killed: says each step once it is acknowledged.

python flight.py STORE_KIND PATH DURABILITY
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import threading

import selectools_observe as so
from selectools_observe.capture import AsyncBackgroundTraceStore, BackgroundTraceStore, Recorder

STORE_KINDS = {
    "sqlite": so.SQLiteTraceStore,
    "jsonl": so.JSONLTraceStore,
    "async-sqlite": so.AsyncSQLiteTraceStore,
    "background": lambda path: BackgroundTraceStore(so.SQLiteTraceStore(path)),
    "async-background": lambda path: AsyncBackgroundTraceStore(so.AsyncSQLiteTraceStore(path)),
}


def say(*words: object) -> None:
    """One whole line, at once."""
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def steps() -> int:
    return random.choice([0, 1, 3, 10, 40])


def work(recorder: Recorder, name: int) -> None:
    for n in itertools.count():
        run_id = f"{name}-{n}"
        with recorder.run(run_id=run_id, metadata={"name": name}) as run:
            say("begun", run_id)
            for place in range(steps()):
                with run.tool("work", {"place": place, "run": run_id}) as call:
                    call.tool_result = f"{run_id}/{place} " + "x" * random.randrange(3000)
                say("step", run_id, place)
        say("ended", run_id)


async def work_async(recorder: Recorder, name: int) -> None:
    for n in itertools.count():
        run_id = f"{name}-{n}"
        async with recorder.run(run_id=run_id, metadata={"name": name}) as run:
            say("begun", run_id)
            for place in range(steps()):
                async with run.tool("work", {"place": place, "run": run_id}) as call:
                    call.tool_result = f"{run_id}/{place} " + "x" * random.randrange(3000)
                    await asyncio.sleep(0)
                say("step", run_id, place)
        say("ended", run_id)


async def main_async(store_kind: str, path: str, durability: so.protocols.Durability) -> None:
    recorder = Recorder(STORE_KINDS[store_kind](path), live=True, durability=durability)
    await asyncio.gather(*[work_async(recorder, name) for name in range(4)])


def main(store_kind: str, path: str, durability: so.protocols.Durability) -> None:
    if store_kind.startswith("async"):
        asyncio.run(main_async(store_kind, path, durability))
        return
    recorder = Recorder(STORE_KINDS[store_kind](path), live=True, durability=durability)
    for name in range(3):
        threading.Thread(target=work, args=(recorder, name)).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
