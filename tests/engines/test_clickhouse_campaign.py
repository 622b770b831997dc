"""Many kills of programs and servers while runs are saved, replaced and deleted in ClickHouse.

The long form (``SELECTOOLS_OBSERVE_TESTS=long``) is what docs/clickhouse.md counts.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest
from clickhouse_server import ClickHouseServer
from killed_writers import Writer, writers_at

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from selectools_observe import AgentTrace, StorageError, TraceStep
from selectools_observe.stores.clickhouse import ClickHouseTraceStore

IS_LONG = os.environ.get("SELECTOOLS_OBSERVE_TESTS") == "long"
SEED = int(os.environ.get("SELECTOOLS_OBSERVE_SEED") or random.SystemRandom().randrange(10**9))
CLIENT_KILLS = int(os.environ.get("SELECTOOLS_OBSERVE_KILLS") or (750 if IS_LONG else 6))
SERVER_KILLS = CLIENT_KILLS // 3
TOGETHER = 8  # runs of one `save_many`

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 20 * CLIENT_KILLS)]


def write_for_ever(url: str, name: str, tell: Callable[[str], None]) -> None:
    """Save, replace and delete runs of its own; tell before and after each, by its number."""
    chance = random.Random(f"{name} {SEED}")
    known: list[str] = []
    number = 0
    with ClickHouseTraceStore(url) as store:
        while True:
            number += 1
            kind = chance.choices(["save", "replace", "delete"], [5, 3, 2])[0]
            if kind == "save" or len(known) < TOGETHER:
                ids = [f"{name}-{number}-{n}" for n in range(chance.choice([1, 1, TOGETHER]))]
                known += ids
            else:
                ids = chance.sample(known, chance.choice([1, 1, TOGETHER]))
            gone = kind == "delete" and ids[0] in known[:-TOGETHER]
            what = "gone" if gone else str(number)
            tell(f"begin {what} {' '.join(ids)}")
            while True:
                try:
                    if gone:
                        store.delete_many(ids)
                    else:
                        store.save_many([made(run_id, number) for run_id in ids])
                except StorageError:  # the server was killed: it is done again
                    continue
                break
            tell(f"done {what} {' '.join(ids)}")


def made(run_id: str, number: int) -> AgentTrace:
    steps = [TraceStep("llm_call", duration_ms=1.0)]
    return AgentTrace(steps, run_id=run_id, metadata={"number": number})


def check(url: str, writers: list[Writer], what: str) -> None:
    """Each run is there as it was acknowledged last, once; or as what was under way made it."""
    allowed: dict[str, set[str]] = {}
    acknowledged = 0
    for writer in writers:
        for line in writer.lines:
            state, number, *ids = line.split()
            acknowledged += len(ids) if state == "done" else 0
            for run_id in ids:
                if state == "done":
                    allowed[run_id] = {number}
                else:
                    allowed.setdefault(run_id, {"gone"}).add(number)
    with ClickHouseTraceStore(url) as store:
        found = [(row.run_id, str(row.metadata["number"])) for row in store.iter_summaries()]
        loaded = {trace.run_id: str(trace.metadata["number"]) for trace in store.iter_traces()}
    stored = dict(found)
    wrong = {
        run_id: (may_be, stored.get(run_id, "gone"))
        for run_id, may_be in allowed.items()
        if stored.get(run_id, "gone") not in may_be
    }
    sys.stderr.write(
        f"\n{what}: {acknowledged} saves, replacements and deletions acknowledged, "
        f"{len(wrong)} lost, {len(found) - len(stored)} there twice (seed {SEED})\n"
    )
    assert wrong == {}
    assert len(found) == len(stored)
    assert loaded == stored


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


def test_programs_are_killed(chdb_python, chance):
    with ClickHouseServer(chdb_python) as server:
        url = f"{server.url}/runs"
        ClickHouseTraceStore(url).close()
        writers = []
        for number in range(CLIENT_KILLS):
            writer = Writer(partial(write_for_ever, url, f"client{number}"))
            writers.append(writer)
            writer.wait_for_more(chance.randint(2, 30))
            time.sleep(chance.random() * 0.05)
            writer.kill()
        check(url, writers, f"{CLIENT_KILLS} programs killed")


def test_the_server_is_killed(chdb_python, chance):
    with ClickHouseServer(chdb_python) as server:
        url = f"{server.url}/runs"
        ClickHouseTraceStore(url).close()
        with writers_at(partial(write_for_ever, url), 2) as writers:
            for _ in range(SERVER_KILLS):
                for writer in writers:
                    writer.wait_for_more(2)
                time.sleep(chance.random() * 0.1)
                server.kill()
                server.start()
            for writer in writers:
                writer.wait_for_more(2)
        check(url, writers, f"{SERVER_KILLS} times the server killed")
