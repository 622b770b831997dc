"""Many kills of clients and servers, and many failovers: what was acknowledged is there.

The long form (``SELECTOOLS_OBSERVE_TESTS=long``) is what docs/guarantees.md counts.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from killed_writers import Writer, writers_at
from postgres_server import PostgresServer, find_binaries

psycopg = pytest.importorskip("psycopg", reason="the package psycopg is not installed")

from selectools_observe import AgentTrace, StorageError, TraceStep
from selectools_observe.stores.postgres import PostgresTraceStore

IS_LONG = os.environ.get("SELECTOOLS_OBSERVE_TESTS") == "long"
SEED = int(os.environ.get("SELECTOOLS_OBSERVE_SEED") or random.SystemRandom().randrange(10**9))
CLIENT_KILLS, BACKEND_KILLS, SERVER_KILLS, FAILOVERS = (
    (700, 250, 50, 20) if IS_LONG else (12, 4, 2, 2)
)
SETTINGS = "fsync = on\nfull_page_writes = on\n"
TOGETHER = (1, 1, 1, 8, 64)  # runs of one `save_many`

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if IS_LONG else 600)]


def made(run_id: str) -> AgentTrace:
    return AgentTrace(run_id=run_id, steps=[TraceStep("llm_call", duration_ms=1.0)])


def save_for_ever(url: str, name: str, tell: Callable[[str], None]) -> None:
    """Save runs, one or some at a time, and tell their ids."""
    chance = random.Random(name)
    number = 0
    with PostgresTraceStore(url) as store:
        while True:
            many = chance.choice(TOGETHER)
            ids = [f"{name}-{number + n}" for n in range(many)]
            number += many
            with contextlib.suppress(StorageError):  # refused: not acknowledged
                store.save_many([made(run_id) for run_id in ids])
                tell(" ".join(ids))


def check(url: str, writers: list[Writer], what: str) -> None:
    """Everything acknowledged is there once and whole, in the order of each writer."""
    wait_for_server(url)
    with PostgresTraceStore(url) as store:
        stored = [found.run_id for found in store.iter_summaries(oldest_first=True)]
        whole = {trace.run_id for trace in store.iter_traces() if len(trace.steps) == 1}
    assert len(stored) == len(set(stored))
    assert whole == set(stored)
    place = {run_id: n for n, run_id in enumerate(stored)}
    saved = [run_id for writer in writers for run_id in writer.acknowledged]
    lost = [run_id for run_id in saved if run_id not in place]
    sys.stderr.write(f"\n{what}: {len(saved)} saves acknowledged, {len(lost)} lost (seed {SEED})\n")
    assert lost == []
    for writer in writers:
        places = [place[run_id] for run_id in writer.acknowledged]
        assert places == sorted(places)


def wait_for_server(url: str) -> None:
    """Wait until the server is back, if it was killed last."""
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the server does not come back"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(_binaries(), settings=SETTINGS) as server:
        yield server


def _binaries() -> str:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL here (Debian's package postgresql)")
    return binaries


def test_clients_are_killed(server, chance):
    PostgresTraceStore(server.url).close()
    writers = []
    for number in range(CLIENT_KILLS):
        writer = Writer(partial(save_for_ever, server.url, f"client{number}"))
        writers.append(writer)
        writer.wait_for_more()
        writer.read(0)
        time.sleep(chance.random() * 0.03)
        writer.kill()
    check(server.url, writers, f"{CLIENT_KILLS} clients killed")


def test_processes_of_the_server_are_killed(server, chance):
    """The server restarts itself when one of its processes is killed."""
    with writers_at(partial(save_for_ever, server.url), 2) as writers:
        done = 0
        while done < BACKEND_KILLS:
            for writer in writers:
                writer.wait_for_more()
            time.sleep(chance.random() * 0.05)
            done += _kill_a_backend(server.url, chance)
        for writer in writers:
            writer.wait_for_more()
    check(server.url, writers, f"{BACKEND_KILLS} server processes killed")


def _kill_a_backend(url: str, chance: random.Random) -> bool:
    with contextlib.suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'selectools-observe'"
        ).fetchall()
        if rows:
            os.kill(chance.choice(rows)[0], signal.SIGKILL)
            return True
    return False


def test_the_server_is_killed(server, chance):
    with writers_at(partial(save_for_ever, server.url), 2) as writers:
        for _ in range(SERVER_KILLS):
            for writer in writers:
                writer.wait_for_more()
            time.sleep(chance.random() * 0.1)
            server.kill()
            server.start()
        for writer in writers:
            writer.wait_for_more()
    check(server.url, writers, f"{SERVER_KILLS} servers killed")


def test_synchronous_standbys_take_over(chance):
    binaries = _binaries()
    with contextlib.ExitStack() as stack:
        primary = stack.enter_context(PostgresServer(binaries, settings=SETTINGS))
        ports = [primary.port, PostgresServer(binaries).port]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        url = f"postgresql://tester@{hosts}/postgres?target_session_attrs=read-write"
        PostgresTraceStore(primary.url).close()
        with writers_at(partial(save_for_ever, url), 2) as writers:
            for number in range(FAILOVERS):
                standby = PostgresServer(binaries)
                stack.callback(standby.close)
                standby.port = ports[(number + 1) % 2]
                _follow(primary, standby)
                for writer in writers:
                    writer.wait_for_more(5)
                time.sleep(chance.random() * 0.1)
                primary.kill()
                standby.promote()
                primary = standby
            for writer in writers:
                writer.wait_for_more()
        check(primary.url, writers, f"{FAILOVERS} failovers")


def _follow(primary: PostgresServer, standby: PostgresServer) -> None:
    """Make a standby whose confirmation each commit waits for."""
    standby.init_standby(primary)
    standby.start()
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby.name}'")
        connection.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 60
        while True:
            rows = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
            if ("sync",) in rows:
                return
            assert time.monotonic() < deadline, "the standby does not become synchronous"
            time.sleep(0.02)
