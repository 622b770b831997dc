"""What befalls a PostgreSQL store: lost connections, killed servers, failover, refusals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest
from followers import followed
from postgres_server import PostgresServer, find_binaries

psycopg = pytest.importorskip("psycopg", reason="the package psycopg is not installed")

from selectools_observe import AgentTrace, StorageError, TraceFilter, TraceStep
from selectools_observe.backends.postgres.address import parse_address
from selectools_observe.stores.postgres import AsyncPostgresTraceStore, PostgresTraceStore


def trace(run_id: str) -> AgentTrace:
    return AgentTrace(run_id=run_id, steps=[TraceStep("llm_call", duration_ms=1.0)])


def execute(url: str, sql: str) -> list:
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def cut_connections(url: str) -> None:
    execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'selectools-observe'",
    )


class TestLostConnections:
    def test_work_goes_on_over_a_new_one(self, postgres_url):
        with PostgresTraceStore(postgres_url) as store:
            store.save(trace("one"))
            cut_connections(postgres_url)
            store.save(trace("two"))
            assert [found.run_id for found in store.list()] == ["two", "one"]

    async def test_async_work_too(self, postgres_url):
        async with AsyncPostgresTraceStore(postgres_url) as store:
            await asyncio.gather(*(store.save(trace(f"a{n}")) for n in range(20)))
            cut_connections(postgres_url)
            await asyncio.gather(*(store.save(trace(f"b{n}")) for n in range(20)))
            assert await store.count() == 40

    def test_a_forked_child_uses_connections_of_its_own(self, postgres_url):
        with PostgresTraceStore(postgres_url) as store:
            store.save(trace("parent"))
            child = os.fork()
            if child == 0:
                try:
                    store.save(trace("child"))
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            store.save(trace("after"))
            assert {found.run_id for found in store.list()} == {"parent", "child", "after"}

    def test_who_waits_for_a_held_lock_gets_in_when_its_holder_dies(self, postgres_url):
        with PostgresTraceStore(postgres_url) as store:
            store.save(trace("one"))
            schema = postgres_url.rpartition("=")[2]
            holder = psycopg.connect(postgres_url.partition("?")[0])
            key = f"hashtextextended('selectools_observe.{schema}', 0)"
            holder.execute(f"SELECT pg_advisory_xact_lock({key})")
            waiting = threading.Thread(target=store.save, args=[trace("two")])
            waiting.start()
            holder.close()
            waiting.join(60)
            assert not waiting.is_alive()
            assert store.load("two").run_id == "two"


class _Writer(threading.Thread):
    """Saves one run after another, and notes what was acknowledged."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._url, self._prefix = url, name
        self.acknowledged: list[str] = []
        self.refused = 0
        self.stop = threading.Event()

    def run(self) -> None:
        with PostgresTraceStore(self._url) as store:
            for number in range(1_000_000):
                if self.stop.is_set():
                    return
                run_id = f"{self._prefix}-{number}"
                try:
                    store.save(trace(run_id))
                except StorageError:
                    self.refused += 1
                else:
                    self.acknowledged.append(run_id)


def writers_at(url: str, many: int, least: int):
    writers = [_Writer(url, f"w{n}") for n in range(many)]
    for writer in writers:
        writer.start()
    wait_for(writers, least)
    return writers


def wait_for(writers, least: int) -> None:
    """Wait until each writer has so many more acknowledged."""
    goals = [len(writer.acknowledged) + least for writer in writers]
    deadline = time.monotonic() + 60
    while any(len(w.acknowledged) < goal for w, goal in zip(writers, goals, strict=True)):
        assert time.monotonic() < deadline, "the writers do not get on"
        time.sleep(0.01)


def finish(writers) -> None:
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.join(60)
        assert not writer.is_alive()


def check_all_there(url: str, writers) -> None:
    """Everything acknowledged is there, each writer's runs in their order."""
    with PostgresTraceStore(url) as store:
        stored = [found.run_id for found in store.iter_summaries(oldest_first=True)]
    assert len(stored) == len(set(stored))
    place = {run_id: n for n, run_id in enumerate(stored)}
    for writer in writers:
        places = [place[run_id] for run_id in writer.acknowledged]
        assert places == sorted(places)


_SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '{}'"


@pytest.mark.engines  # of their own
class TestKilledServers:
    def test_nothing_acknowledged_is_lost_when_the_server_is_killed(self):
        with PostgresServer(_binaries()) as server:
            writers = writers_at(server.url, 4, least=5)
            for _ in range(3):
                server.kill()
                server.start()
                wait_for(writers, 5)
            finish(writers)
            check_all_there(server.url, writers)

    @pytest.mark.slow
    def test_nothing_acknowledged_is_lost_when_a_synchronous_standby_takes_over(self):
        with primary_and_standby() as (primary, standby):
            execute(primary.url, _SYNCHRONOUS.format(standby.name))
            execute(primary.url, "SELECT pg_reload_conf()")
            _wait_for_standby(primary.url, "sync")
            writers = writers_at(url_of(primary, standby), 4, least=10)
            primary.kill()
            standby.promote()
            wait_for(writers, 10)
            finish(writers)
            check_all_there(standby.url, writers)

    @pytest.mark.slow
    def test_an_asynchronous_standby_lacks_only_the_last_saves(self):
        """Those that were not sent to it when the primary died: for each writer, its last ones."""
        with primary_and_standby() as (primary, standby):
            _wait_for_standby(primary.url, "async")
            writers = writers_at(url_of(primary), 4, least=10)
            # From some moment on nothing is sent: what is acknowledged then is lost for certain.
            execute(standby.url, "ALTER SYSTEM SET primary_conninfo = ''")
            execute(standby.url, "SELECT pg_reload_conf()")
            _wait_until(lambda: not execute(primary.url, "SELECT 1 FROM pg_stat_replication"))
            wait_for(writers, 10)
            finish(writers)
            primary.kill()
            standby.promote()
            with PostgresTraceStore(standby.url) as store:
                there = {found.run_id for found in store.iter_summaries()}
                for writer in writers:
                    kept = sum(run_id in there for run_id in writer.acknowledged)
                    assert len(writer.acknowledged) - kept >= 9
                    assert there.issuperset(writer.acknowledged[:kept])
                    there -= set(writer.acknowledged)
                # At most the one save of each that was sent, and not acknowledged in time.
                assert not there
                store.save(trace("after"))
                assert store.list(1)[0].run_id == "after"


@contextlib.contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A server, and a copy of it that follows."""
    binaries = _binaries()
    with PostgresServer(binaries) as primary:
        standby = PostgresServer(binaries)
        try:
            standby.init_standby(primary)
            standby.start()
            yield primary, standby
        finally:
            standby.close()


def url_of(*servers: PostgresServer) -> str:
    """The URL that finds whichever of them takes saves."""
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    return f"postgresql://tester@{hosts}/postgres?target_session_attrs=read-write"


def _binaries() -> str:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL here (Debian's package postgresql)")
    return binaries


def _wait_for_standby(url: str, state: str) -> None:
    _wait_until(lambda: (state,) in execute(url, "SELECT sync_state FROM pg_stat_replication"))


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "the standby does not do what it is told"
        time.sleep(0.02)


@pytest.mark.slow
async def test_16_stores_save_while_4_follow(postgres_url):
    """Each follower is told of each run once, each program's runs in the order of its saves."""
    hubs = pytest.importorskip("selectools_observe.server.event_hub")
    expected = {f"w{n}-{i}" for n in range(16) for i in range(30)}
    listening = asyncio.Semaphore(0)

    async def save(number: int) -> None:
        async with AsyncPostgresTraceStore(postgres_url) as store:
            for i in range(30):
                await store.save(trace(f"w{number}-{i}"))

    follow = partial(
        followed,
        hubs.Hub,
        partial(AsyncPostgresTraceStore, postgres_url),
        listening,
        lambda told: len(told) >= len(expected),
        interval=0.02,
    )
    async with AsyncPostgresTraceStore(postgres_url) as store:
        followers = [asyncio.create_task(follow()) for _ in range(4)]
        for _ in followers:
            await listening.acquire()
        await asyncio.gather(*map(save, range(16)))
        stored = [found.run_id async for found in store.iter_summaries(oldest_first=True)]
        for told in await asyncio.wait_for(asyncio.gather(*followers), 60):
            assert set(told.run_ids) == expected
            assert told.run_ids == stored
            assert told.gaps == 0


def test_clocks_apart_do_not_change_the_order(postgres_url):
    """A primary whose clock is an hour ahead is followed by one that is right."""
    with PostgresTraceStore(postgres_url) as store:
        store.save_many([trace(f"ahead-{n}") for n in range(3)])
        schema = postgres_url.rpartition("=")[2]
        execute(postgres_url, f"UPDATE {schema}.traces SET created_us = created_us + 3600000000")
        store.save_many([trace(f"right-{n}") for n in range(3)])
        names = ["right-2", "right-1", "right-0", "ahead-2", "ahead-1", "ahead-0"]
        assert [found.run_id for found in store.list()] == names
        first = store.list(2)
        rest = store.list(10, cursor=first.next_cursor)
        assert [found.run_id for found in [*first, *rest]] == names
        # Times are those that each server stated: filters by time go by them.
        since = store.list(1)[0].created_at + timedelta(minutes=30)
        recent = store.query(TraceFilter(since=since))
        assert [found.run_id for found in recent] == names[3:]


@pytest.mark.slow
def test_a_follower_misses_nothing_of_many_writers(postgres_url):
    """Numbers are given out before commits; without the lock a follower would miss some."""
    writers = writers_at(postgres_url, 16, least=1)
    seen: list[str] = []
    with PostgresTraceStore(postgres_url) as store:
        newest = 0
        schema = postgres_url.rpartition("=")[2]
        with psycopg.connect(postgres_url.partition("?")[0], autocommit=True) as connection:
            done = False
            while not done:
                done = all(len(writer.acknowledged) >= 100 for writer in writers)
                if done:
                    finish(writers)
                rows = connection.execute(
                    f"SELECT seq, run_id FROM {schema}.traces WHERE seq > %s ORDER BY seq", [newest]
                ).fetchall()
                seen += [run_id for _, run_id in rows]
                newest = rows[-1][0] if rows else newest
        assert sorted(seen) == sorted(found.run_id for found in store.iter_summaries())


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda url: url.replace("/postgres?", "/nowhere?"), "Create the database"),
            (lambda url: url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:"), None),
            (lambda url: "postgresql://tester@127.0.0.1:1/postgres", "runs and is reachable"),
        ],
        ids=["no such database", "one of two hosts is down", "no server"],
    )
    def test_the_error_names_the_remedy(self, postgres_url, change, said):
        url = change(postgres_url)
        if said is None:
            with PostgresTraceStore(url) as store:
                store.save(trace("one"))
            return
        with pytest.raises(StorageError, match=said):
            PostgresTraceStore(url)

    def test_a_role_without_rights_is_told_what_to_do(self, postgres_url):
        execute(postgres_url, "DROP ROLE IF EXISTS guest")
        execute(postgres_url, "CREATE ROLE guest LOGIN")
        with pytest.raises(StorageError, match="selectools-observe schema postgresql"):
            PostgresTraceStore(postgres_url.replace("tester@", "guest@"))

    def test_no_tables_are_made_on_a_read_only_server(self, postgres_url):
        options = "&options=-c%20default_transaction_read_only=on"
        with pytest.raises(StorageError, match="standby"):
            PostgresTraceStore(postgres_url + options)

    def test_a_newer_version_is_refused(self, postgres_url):
        PostgresTraceStore(postgres_url).close()
        schema = postgres_url.rpartition("=")[2]
        execute(postgres_url, f"UPDATE {schema}.store SET version = 99")
        with pytest.raises(StorageError, match="Upgrade selectools-observe"):
            PostgresTraceStore(postgres_url)


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://ada:s3cret@127.0.0.1:1/db",
            "postgresql://ada:s3%40cret@127.0.0.1:1/db",
            "postgresql://ada@127.0.0.1:1/db?password=s3cret",
            "postgresql://127.0.0.1:1/db?user=ada&sslpassword=s3cret&schema=runs",
        ],
    )
    def test_a_password_is_never_shown(self, url, caplog):
        address = parse_address(url)
        with pytest.raises(StorageError) as refused:
            PostgresTraceStore(url)
        told = f"{address.shown} {address!r} {refused.value} {refused.value!r} {caplog.text}"
        assert "s3" not in told
        assert "cret" not in told
        assert "s3" not in repr(AsyncPostgresTraceStore(url))

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql:/x",
            "mysql://h/db",
            "postgresql://h/db?schema=a-b",
            "postgresql://ada:s3@cret@h/db",
            "",
        ],
    )
    def test_other_urls_are_refused(self, url):
        with pytest.raises(ValueError, match=r"PostgreSQL URL|plain name|%40") as refused:
            parse_address(url)
        assert "cret" not in str(refused.value)
