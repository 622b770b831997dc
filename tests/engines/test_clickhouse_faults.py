"""What befalls a ClickHouse store: killed servers, a program killed half way, shards, refusals."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner
from clickhouse_server import ClickHouseServer
from postgres_server import free_port

pytest.importorskip("clickhouse_connect", reason="the package clickhouse-connect is not installed")

from selectools_observe import (
    AgentTrace,
    Annotation,
    SQLiteTraceStore,
    StorageError,
    TraceFilter,
    TraceNotFoundError,
    TraceStep,
)
from selectools_observe.backends.clickhouse import kept_cells, native
from selectools_observe.backends.clickhouse import store as clickhouse_store
from selectools_observe.backends.clickhouse.address import parse_address
from selectools_observe.backends.clickhouse.annotation_table import AnnotationTable
from selectools_observe.backends.clickhouse.connections import Connections
from selectools_observe.backends.clickhouse.schema import ddl
from selectools_observe.backends.clickhouse.servers import Servers
from selectools_observe.cli.command_group import command
from selectools_observe.stores.clickhouse import AsyncClickHouseTraceStore, ClickHouseTraceStore
from selectools_observe.stores.open import open_store, store_name


def trace(run_id: str, **fields) -> AgentTrace:
    return AgentTrace(run_id=run_id, steps=[TraceStep("llm_call", duration_ms=1.0)], **fields)


class _Writer(threading.Thread):
    """Saves one run after another, some of them again, and notes what was acknowledged."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._url, self._prefix = url, name
        self.acknowledged: dict[str, int] = {}
        self.saves = 0
        self.stop = threading.Event()

    def run(self) -> None:
        with ClickHouseTraceStore(self._url) as store:
            for number in itertools.count():
                if self.stop.is_set():
                    return
                run_id = f"{self._prefix}-{number // 3 * 3 if number % 3 == 2 else number}"
                try:
                    store.save(trace(run_id, metadata={"n": number}))
                except StorageError:
                    continue
                self.acknowledged[run_id] = number
                self.saves += 1


def wait_for(writers: list[_Writer], least: int) -> None:
    """Wait until each writer has so many more acknowledged."""
    goals = [writer.saves + least for writer in writers]
    deadline = time.monotonic() + 90
    while any(w.saves < goal for w, goal in zip(writers, goals, strict=True)):
        assert time.monotonic() < deadline, "the writers do not get on"
        time.sleep(0.01)


# The long form (SELECTOOLS_OBSERVE_TESTS=long) is what docs/guarantees.md counts.
KILLS = 200 if os.environ.get("SELECTOOLS_OBSERVE_TESTS") == "long" else 3


@pytest.mark.timeout(600 + 10 * KILLS)
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(chdb_python):
    with ClickHouseServer(chdb_python) as server:
        url = f"{server.url}/runs"
        writers = [_Writer(url, f"w{n}") for n in range(3)]
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            wait_for(writers, 3)
            server.kill()
            server.start()
        wait_for(writers, 3)
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
        with ClickHouseTraceStore(url) as store:
            found = [(s.run_id, s.metadata["n"]) for s in store.iter_summaries()]
            assert len(found) == len({run_id for run_id, _ in found}) == store.count()
            stored = dict(found)
            for writer in writers:
                # One that was not acknowledged may be there all the same.
                assert all(stored[run] >= n for run, n in writer.acknowledged.items())
                assert len(store.load_many(writer.acknowledged)) == len(writer.acknowledged)
        print(f"{KILLS} kills, {sum(writer.saves for writer in writers)} saves acknowledged")


def test_a_server_killed_in_the_midst_of_an_insert_has_all_of_it_once(chdb_python, monkeypatch):
    """The client sends it again, whether the answer or the whole of it was lost."""
    with ClickHouseServer(chdb_python) as server:
        pieces = native.Block.__iter__
        kills = iter(range(3))

        def killed_between(self):
            for number, piece in enumerate(pieces(self)):
                yield piece
                if number == 500 and next(kills, None) is not None:
                    server.kill()
                    server.start()

        monkeypatch.setattr(native.Block, "__iter__", killed_between)
        with ClickHouseTraceStore(f"{server.url}/runs") as store:
            saved = store.save_many([trace(f"run-{n}") for n in range(1_000)])
            assert next(kills, None) is None
            assert [found.run_id for found in store.list(2_000)] == saved[::-1]
            assert len(store.load_many(saved)) == 1_000


_PROGRAM = """
import sys
from selectools_observe import AgentTrace
from selectools_observe.stores.clickhouse import ClickHouseTraceStore
with ClickHouseTraceStore(sys.argv[1]) as store:
    for number in range(1_000):
        runs = [f"{number % 3}-{n}" for n in range(300)]
        store.save_many([AgentTrace(run_id=run, metadata={"b": number}) for run in runs])
        print(number, flush=True)
"""


def test_a_program_killed_in_the_midst_of_saving_loses_nothing_acknowledged(clickhouse_url):
    """Batches replace each other: the newest that was acknowledged is there, or the one after."""
    for kill in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, clickhouse_url], stdout=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            acknowledged = [int(program.stdout.readline()) for _ in range(4 + kill)]
            program.kill()
            acknowledged += [int(line) for line in program.stdout.read().split()]
        newest = {number % 3: number for number in acknowledged}
        with ClickHouseTraceStore(clickhouse_url) as store:
            batches: dict[int, set[int]] = {}
            for found in store.iter_summaries():
                batches.setdefault(int(found.run_id[0]), set()).add(found.metadata["b"])
            assert store.count() == 900
            for batch, number in newest.items():
                assert len(batches[batch]) == 1, "a batch is there as a whole"
                assert batches[batch] <= {number, number + 3}
            assert store.delete_many([f"{b}-{n}" for b in range(3) for n in range(300)]) == 900


def test_many_who_save_one_run_leave_one(clickhouse_url):
    def save(number: int) -> None:
        with ClickHouseTraceStore(clickhouse_url) as store:
            for again in range(5):
                store.save(trace("run", metadata={"n": number, "again": again}))

    with ClickHouseTraceStore(clickhouse_url), ThreadPoolExecutor(6) as pool:
        list(pool.map(save, range(6)))
    with ClickHouseTraceStore(clickhouse_url) as store:
        (left,) = store.list()
        assert left.metadata["again"] == 4  # somebody's last
        assert store.load("run").metadata == left.metadata


def test_a_full_disk_refuses_saves_and_loses_none(chdb_python, small_disk):
    with (
        ClickHouseServer(chdb_python, folder=small_disk) as server,
        ClickHouseTraceStore(f"{server.url}/runs") as store,
    ):
        saved: list[str] = []

        def save_many() -> None:
            for number in range(300):
                noise = os.urandom(100_000).hex()
                saved.append(store.save(trace(f"run-{number}", metadata={"noise": noise})))

        with pytest.raises(StorageError, match="Free space on the server's disk"):
            save_many()
        assert saved
        assert {found.run_id for found in store.iter_summaries()} == set(saved)
        assert len(store.load_many(saved)) == len(saved)
        subprocess.run(["mount", "-o", "remount,size=512m", small_disk], check=True)
        store.save(trace("after"))
        assert store.load("after").run_id == "after"
        assert store.count() == len(saved) + 1


def test_a_wrong_password_is_told_and_not_shown(clickhouse_url):
    url = clickhouse_url.replace("://", "://ada:s3cret@")
    with pytest.raises(StorageError, match="Check the user and the password") as refused:
        ClickHouseTraceStore(url)
    assert "s3cret" not in f"{refused.value}"


def test_a_program_killed_before_it_deleted_the_older_row_leaves_none(clickhouse_url, monkeypatch):
    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save(trace("run", metadata={"n": 1}))
        with monkeypatch.context() as patched:
            patched.setattr(Connections, "_delete_older", killed)
            with pytest.raises(KeyboardInterrupt):
                store.save(trace("run", metadata={"n": 2}))
        assert store.count() == 2  # as a program that was killed would leave it
        assert store.load("run").metadata == {"n": 2}
    with ClickHouseTraceStore(clickhouse_url) as store:
        assert [found.metadata for found in store.list()] == [{"n": 2}]


def test_an_annotation_outlives_the_server(chdb_python):
    with (
        ClickHouseServer(chdb_python) as server,
        ClickHouseTraceStore(f"{server.url}/runs") as store,
    ):
        store.save(trace("run"))
        for score in range(3):
            store.annotate("run", "quality", score=score)
            server.kill()
            server.start()
            assert store.list()[0].annotations["quality"].score == score
        assert [one.score for one in store.annotations("run")] == [0, 1, 2]


def test_a_deletion_that_was_killed_is_finished_by_the_next(clickhouse_url, monkeypatch):
    """The run is gone before what was said of it is."""

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save(trace("run"))
        store.annotate("run", "quality", label="bad")
        with monkeypatch.context() as patched:
            patched.setattr(AnnotationTable, "remove", killed)
            with pytest.raises(KeyboardInterrupt):
                store.delete("run")
        assert store.delete("run") is False
        store.save(trace("run"))
        assert store.annotations("run") == []


def test_who_annotates_a_run_that_is_deleted_meanwhile_is_told(clickhouse_url, monkeypatch):
    put = AnnotationTable.put

    async def deleted_before(self, annotations):
        with ClickHouseTraceStore(clickhouse_url) as other:
            assert other.delete("run")
        return await put(self, annotations)

    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save(trace("run"))
        monkeypatch.setattr(AnnotationTable, "put", deleted_before)
        with pytest.raises(TraceNotFoundError):
            store.annotate("run", "quality", label="bad")
        store.save(trace("run"))
        assert store.annotations("run") == []


def test_an_insert_sent_twice_is_there_once(clickhouse_url, monkeypatch):
    """As when the answer to it was lost with the connection."""
    insert = Connections._insert_into

    async def twice(self, *args) -> None:
        await insert(self, *args)
        await insert(self, *args)

    monkeypatch.setattr(Connections, "_insert_into", twice)
    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save_many([trace(f"run-{n}") for n in range(5)])
        assert store.count() == 5
        assert [found.run_id for found in store.list()] == [f"run-{n}" for n in range(5)][::-1]


def test_the_order_is_that_of_saving_whatever_the_clocks(clickhouse_url, monkeypatch):
    from datetime import UTC, datetime, timedelta

    from selectools_observe.model import timestamps

    with ClickHouseTraceStore(clickhouse_url) as one, ClickHouseTraceStore(clickhouse_url) as other:
        for n, store in enumerate([one, other] * 4):
            moment = datetime(2026, 3, 1, tzinfo=UTC) - timedelta(hours=n)
            monkeypatch.setattr(timestamps, "now", lambda moment=moment: moment)
            store.save(trace(f"run-{n}"))
        assert [found.run_id for found in one.list()] == [f"run-{n}" for n in range(8)][::-1]


@pytest.fixture(scope="module")
def servers(chdb_python):
    ports = (free_port(), free_port())
    first, second = (ClickHouseServer(chdb_python, port=port, shards=ports) for port in ports)
    with first, second:
        yield first, second


class TestShards:
    """Two servers, each with its part of the rows, behind ``Distributed`` tables."""

    @pytest.fixture
    def url(self, servers):
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        yield f"clickhouse://{hosts}/spread?cluster=shards&durability=normal"
        for server in servers:
            server.ask("DROP DATABASE IF EXISTS spread")

    def test_rows_are_spread_and_answers_are_whole(self, servers, url):
        with ClickHouseTraceStore(url) as store:
            store.save_many([trace(f"run-{n}", metadata={"n": n % 7}) for n in range(300)])
            on_each = [int(s.ask("SELECT count() FROM spread.traces_local")) for s in servers]
            assert sum(on_each) == 300
            assert min(on_each) > 90
            assert [s.run_id for s in store.list(300)] == [f"run-{n}" for n in range(300)][::-1]
            assert len(store.load_many([f"run-{n}" for n in range(0, 300, 3)])) == 100
            assert store.statistics(by=("day",)).total.runs == 300

    def test_runs_are_replaced_and_deleted_wherever_they_are(self, url):
        with ClickHouseTraceStore(url) as store:
            store.save_many([trace(f"run-{n}") for n in range(40)])
            store.save_many([trace(f"run-{n}", metadata={"again": True}) for n in range(20)])
            assert store.count() == 40
            assert store.update("run-30", lambda found: trace("run-30", metadata={"new": 1}))
            assert store.load("run-30").metadata == {"new": 1}
            assert [store.delete(f"run-{n}") for n in range(10)] == [True] * 10
            assert store.delete("run-0") is False
            assert store.delete_many([f"run-{n}" for n in range(5, 20)]) == 10
            assert store.count() == 20

    def test_annotations_are_on_the_shard_of_their_run(self, servers, url):
        runs = [f"run-{n}" for n in range(40)]
        with ClickHouseTraceStore(url) as store:
            store.save_many([trace(run) for run in runs])
            store.annotate_many([Annotation(run, "q", score=n) for n, run in enumerate(runs)])
            for server in servers:
                parted = "SELECT count() FROM spread.annotations_local WHERE key NOT IN "
                assert server.ask(f"{parted}(SELECT key FROM spread.traces_local)") == "0"
            assert store.count(TraceFilter(where="score.q>=30")) == 10
            assert store.statistics(by=()).annotations["q"].runs == 40
            assert store.remove_annotation("run-7", name="q") == 1
            assert store.delete_many(runs[20:]) == 20
            store.save_many([trace(run) for run in runs[:30]])
            kept = store.annotations_of(runs)
            assert [run for run in runs if kept.get(run)] == [*runs[:7], *runs[8:20]]

    def test_what_statistics_keep_is_spread_too(self, servers, url, monkeypatch):
        monkeypatch.setattr(clickhouse_store, "_MANY_RUNS", 0)
        monkeypatch.setattr(kept_cells, "_OPEN_FOR_US", -(2**45))
        with ClickHouseTraceStore(url) as store:
            store.save_many([trace(f"run-{n}") for n in range(1_500)])
            for _ in range(3):
                found = store.statistics()
                assert (found.total.runs, found.total.duration_ms.total) == (1_500, 1_500.0)
            blocks = [int(s.ask("SELECT sum(runs) FROM spread.blocks_local")) for s in servers]
            assert sorted(blocks) == [0, 1_500]
            assert store.delete_many([f"run-{n}" for n in range(300)]) == 300
            assert store.statistics().total.runs == 1_200

    def test_a_shard_that_is_gone_is_an_error_that_names_the_store(self, servers, url):
        with ClickHouseTraceStore(url) as store:
            store.save_many([trace(f"run-{n}") for n in range(20)])
            servers[1].kill()
            try:
                with pytest.raises(StorageError, match="spread"):
                    store.count()
            finally:
                servers[1].start()
            assert store.count() == 20


def test_a_store_moves_to_a_server_and_back(clickhouse_url, tmp_path):
    def run(*args: str) -> int:
        return CliRunner().invoke(command, list(args), standalone_mode=False).return_value

    here, back = tmp_path / "here.db", tmp_path / "back.db"
    step = TraceStep("tool_execution", tool_name="refund", tool_result="no card \0 \ud800")
    with SQLiteTraceStore(here) as store:
        store.save_many([AgentTrace(run_id=f"run-{n}", steps=[step]) for n in range(120)])
    assert run("copy", str(here), clickhouse_url) == 0
    assert run("copy", clickhouse_url, str(back)) == 0
    with SQLiteTraceStore(here) as one, SQLiteTraceStore(back) as other:
        ours, theirs = ([t.to_dict() for t in store.iter_traces()] for store in (one, other))
        assert ours == theirs
        dates = [[s.created_at for s in store.list(200)] for store in (one, other)]
        assert dates[0] == dates[1]


def test_runs_are_kept_for_the_days_that_the_url_says(clickhouse_url, clickhouse_server):
    database = clickhouse_url.partition("?")[0].rpartition("/")[2]
    told = f"SELECT engine_full FROM system.tables WHERE database='{database}' AND name='traces'"
    for days, said in ((90, "toIntervalDay(90)"), (30, "toIntervalDay(30)"), (0, None)):
        with ClickHouseTraceStore(f"{clickhouse_url}&retention_days={days}") as store:
            store.save(trace("run"))
        engine = clickhouse_server.ask(told)
        assert (said in engine) if said else "TTL" not in engine


def test_a_run_older_than_is_kept_goes(clickhouse_url, clickhouse_server):
    from datetime import UTC, datetime, timedelta

    database = clickhouse_url.partition("?")[0].rpartition("/")[2]
    with ClickHouseTraceStore(f"{clickhouse_url}&retention_days=30") as store:
        old = datetime.now(UTC) - timedelta(days=40)
        store.save_many([trace("old"), trace("new")], created_at=[old, None])
        clickhouse_server.ask(f"OPTIMIZE TABLE {database}.traces FINAL")
        assert [found.run_id for found in store.list()] == ["new"]


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        ["clickhouse://ada:s3cret@127.0.0.1:1/db", "clickhouse://ada:s3%40cret@127.0.0.1:1/db"],
    )
    def test_a_password_is_never_shown(self, url):
        address = parse_address(url)
        with pytest.raises(StorageError, match="runs and is reachable") as refused:
            ClickHouseTraceStore(url)
        told = f"{address.shown} {address!r} {refused.value} {refused.value!r} {store_name(url)}"
        assert "cret" not in told
        assert "cret" not in repr(AsyncClickHouseTraceStore(url))

    @pytest.mark.parametrize(
        "url",
        [
            "clickhouse:/x",
            "mysql://h/db",
            "clickhouse://h/a-b",
            "clickhouse://ada:s3@cret@h/db",
            "clickhouse://h:x/db",
            "clickhouse://h/db?colour=red",
            "clickhouse://h/db?durability=some",
            "clickhouse://h/db?retention_days=soon",
            "clickhouse://h/db?quorum=-1",
            "clickhouse://h/db?secure=perhaps",
            "clickhouse://h/db?cluster=a;b",
            "",
        ],
    )
    def test_other_urls_are_refused(self, url):
        with pytest.raises(ValueError, match=r"clickhouse|ClickHouse|%40") as refused:
            parse_address(url)
        assert "cret" not in str(refused.value)

    def test_several_hosts_are_tried_in_turn(self, clickhouse_url):
        url = clickhouse_url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:")
        with open_store(url) as store:
            store.save(trace("one"))
            assert store.load("one").run_id == "one"


def test_inserts_ask_for_the_quorum_and_nothing_else_does(clickhouse_url, monkeypatch):
    asked: dict[str, object] = {}
    insert = Servers.insert

    async def noted(self, table, block, settings):
        asked[table.rpartition(".")[2]] = settings.get("insert_quorum")
        await insert(self, table, block, settings)

    monkeypatch.setattr(Servers, "insert", noted)
    for quorum in ("2", "auto", None):
        option = "" if quorum is None else f"&quorum={quorum}"
        with ClickHouseTraceStore(f"{clickhouse_url}{option}") as store:
            for _ in range(2):
                store.save(trace("run"))
            store.annotate("run", "quality", score=1)
        assert asked == dict.fromkeys(["keys", "traces", "replacing", "annotations"], quorum)


def test_replicas_find_each_other_by_the_servers_macros():
    statements = ddl("agents", replicated=True)
    tables = [sql for sql in statements if sql.startswith("CREATE TABLE")]
    assert len(tables) == 6
    for sql in tables:
        name = sql.partition("agents.")[2].partition(" ")[0]
        kind = "ReplacingMergeTree" if name == "annotations" else "MergeTree"
        path = f"'/clickhouse/tables/{{shard}}/agents/{name}', '{{replica}}'"
        assert f"ENGINE = Replicated{kind}({path}" in sql


@pytest.mark.parametrize(
    ("version", "remedy"), [(99, "Upgrade selectools-observe"), (1, "Copy its runs")]
)
def test_tables_of_another_version_are_refused(clickhouse_url, clickhouse_server, version, remedy):
    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save(trace("run"))
    database = clickhouse_url.partition("?")[0].rpartition("/")[2]
    change = f"ALTER TABLE {database}.traces MODIFY COMMENT 'selectools_observe {version}'"
    clickhouse_server.ask(change)
    with pytest.raises(StorageError, match=remedy) as refused:
        ClickHouseTraceStore(clickhouse_url)
    assert f"version {version}" in str(refused.value)
    assert clickhouse_server.ask(f"SELECT count() FROM {database}.traces") == "1"


def test_the_tables_can_be_made_by_their_owner(clickhouse_url, clickhouse_server):
    database = clickhouse_url.partition("?")[0].rpartition("/")[2]
    args = ["schema", "clickhouse", "--database", database, "--days", "30"]
    sql = CliRunner().invoke(command, args, standalone_mode=False).output
    for statement in sql.split(";\n"):
        if statement.strip():
            clickhouse_server.ask(statement)
    with ClickHouseTraceStore(clickhouse_url) as store:
        store.save(trace("one"))
        assert store.count() == 1
