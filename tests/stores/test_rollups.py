"""What SQLite keeps of the runs says what the runs say, whatever happened to the file."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from selectools_observe import (
    AgentTrace,
    Annotation,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceStep,
)
from selectools_observe.backends.sqlite.rollups import aggregation, latest_groups, totals
from selectools_observe.model.clock import time_of
from selectools_observe.model.facets import facts_of
from selectools_observe.model.filters import TraceFilter
from selectools_observe.model.groups import FacetCollector, GroupCollector
from selectools_observe.model.rollups import rollup_of
from selectools_observe.model.statistics import Collector
from selectools_observe.runtime.idle_thread import IdleThread
from selectools_observe.testing.summing_checks import same_but_for_errors

START = datetime(2026, 3, 1, tzinfo=UTC)
MODELS = ("gpt-4o", "gpt-4o-mini", "claude", None)
TOOLS = ("search", "book", "find", None)


def a_run(chance: random.Random, number: int) -> AgentTrace:
    began = START.timestamp() + number * 400
    steps = [
        TraceStep(
            chance.choice(("llm_call", "tool_execution", "tool_selection", "error", "other")),
            timestamp=began + place,
            duration_ms=chance.choice((0, 5, 12.5, chance.expovariate(0.01))),
            model=chance.choice(MODELS),
            tool_name=chance.choice(TOOLS),
            prompt_tokens=chance.choice((None, 0, 700, 2**40)),
            completion_tokens=chance.choice((None, 31)),
            cost_usd=chance.choice((None, 0.0, chance.random())),
            error=chance.choice((None, None, None, "it failed")),
        )
        for place in range(chance.randrange(4))
    ]
    metadata = {
        "user_id": f"u{chance.randrange(40)}",
        "tags": chance.sample(["a", "b", "c"], chance.randrange(3)),
        "score": chance.choice((1, 1.0, True, None, {"deep": [1]})),
    }
    trace = AgentTrace(run_id=f"run-{number}", steps=steps, metadata=metadata)
    trace.start_time = began if number % 7 else 0.0
    return trace


def filters_to_try() -> list[TraceFilter]:
    moment = START + timedelta(seconds=400 * 200)
    return [
        TraceFilter(),
        TraceFilter(has_error=True),
        TraceFilter(metadata_match={"user_id": "u3"}),
        TraceFilter(started_since=moment),
        TraceFilter(started_until=moment, min_steps=1),
        TraceFilter(model="gpt-4o", tool_name="search"),
        TraceFilter(where="score=1 tool:book!error"),
        TraceFilter(where="user:u1* -has:cost OR tags:b tool:se*"),
        TraceFilter(where="-label:good latency<10ms (score.quality>0.5 OR -has:annotation)"),
        TraceFilter(where="tokens>1 -started<2026-03-02 model:gpt-4o*", limit=200),
        TraceFilter(limit=300, min_steps=1),
        TraceFilter(order_by="-total_ms", limit=30),
        TraceFilter(min_steps=99),
        TraceFilter(since=datetime(2020, 1, 1, tzinfo=UTC)),
        TraceFilter(run_ids=["run-1", "run-500", "none"]),
    ]


def check(
    store: SQLiteTraceStore, filters: TraceFilter, traces: dict[str, AgentTrace] | None = None
) -> None:
    """Statistics, groups and facets are those that plain Python makes of the runs."""
    by = ("hour", "day", "model", "tool", "user", "tags", "score", "metadata.user_id")
    options = {"by": by, "zone": ZoneInfo("Asia/Kathmandu")}
    collector, others = Collector(**options), Collector(("model",), time="created_at")
    facets, groups = FacetCollector(), GroupCollector("user")
    if traces is None:
        traces = {trace.run_id: trace for trace in store.iter_traces(filters)}
    summaries = list(store.iter_summaries(filters))
    assert store.count(filters) == len(summaries)
    if filters.limit is None:
        for time_ in ("started_at", "created_at"):
            counted = store.histogram(filters, buckets=7, time=time_)
            assert (counted.total, sum(counted.errors)) == (
                len(summaries), sum(one.has_error for one in summaries),
            )  # fmt: skip
    for summary in summaries:
        trace = traces[summary.run_id]
        for each in (collector, others):
            each.add_summary(summary)
            each.add_trace(trace, time_of(summary, each.time))
            each.add_annotations(summary, rollup_of(trace))
        facets.add(summary, facts_of(trace))
        groups.add(summary)
    same_but_for_errors(store.statistics(filters, **options), collector.result())
    found = store.statistics(filters, by=("model",), time="created_at")
    same_but_for_errors(found, others.result())
    assert store.facets(filters) == facets.result(100)
    for order_by in ("-last", "cost_usd", "-runs", "first"):
        page = store.groups("user", filters, order_by=order_by, limit=100)
        same_but_for_errors(list(page), list(groups.page(order_by, 100, None)))


@pytest.fixture(autouse=True)
def _sums_of_few_blocks(monkeypatch):
    monkeypatch.setattr(aggregation, "_FEW_BLOCKS", 0)


@pytest.fixture(autouse=True)
def _no_work_in_idle_time(monkeypatch):
    monkeypatch.setattr(IdleThread, "wake", lambda _: None)


@pytest.fixture
def chance():
    return random.Random(14)


@pytest.fixture(scope="session")
def file_of_600(tmp_path_factory):
    path, chance = tmp_path_factory.mktemp("rollups") / "runs.db", random.Random(13)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IdleThread, "wake", lambda _: None)
        with SQLiteTraceStore(path) as store:
            store.save_many([a_run(chance, number) for number in range(600)])
    return path


@pytest.fixture
def store(tmp_path, file_of_600):
    path = shutil.copy(file_of_600, tmp_path / "runs.db")
    with SQLiteTraceStore(path, durability="normal") as store:
        yield store


@pytest.fixture(
    params=[0, *(pytest.param(share, marks=pytest.mark.slow) for share in (1, 2, 3, 4))]
)
def everything(request):
    """A check of a fifth of the filters; the slow forms of a test check the others."""

    def checked(store):
        traces = {trace.run_id: trace for trace in store.iter_traces()}
        for filters in filters_to_try()[request.param :: 5]:
            check(store, filters, traces)

    return checked


def kept(store, table="trace_rollups"):
    with closing(sqlite3.connect(store.path)) as connection, connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_they_are_made_when_asked_for_and_kept(store, everything):
    assert kept(store) == 0
    everything(store)
    assert (kept(store), kept(store, "trace_rollup_sums")) == (2, 2)
    everything(store)


def test_they_are_made_in_idle_time(tmp_path, chance, monkeypatch):
    monkeypatch.undo()
    with SQLiteTraceStore(tmp_path / "runs.db", durability="normal") as store:
        store.save_many([a_run(chance, number) for number in range(600)])
        deadline = time.monotonic() + 60
        while kept(store, "trace_rollup_sums") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert kept(store) == 2
        check(store, TraceFilter())


@pytest.mark.slow
def test_runs_that_come_and_go(store, chance, everything):
    everything(store)
    store.save_many([a_run(chance, number) for number in range(0, 600, 13)])
    store.delete_many([f"run-{number}" for number in range(5, 400, 3)])
    store.save_many([a_run(chance, number) for number in range(900, 1000)])
    assert kept(store, "trace_rollup_sums") == 0
    everything(store)
    store.delete_many([f"run-{number}" for number in range(1100)])
    assert kept(store) == 0
    everything(store)


@pytest.mark.slow
def test_another_program_writes(store, chance, everything):
    everything(store)
    with SQLiteTraceStore(store.path + ".other") as other:
        other.save_many([a_run(chance, number) for number in range(1300, 1310)])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("ATTACH ? AS other", (store.path + ".other",))
        named = "run_id, steps, total_ms, created_at, metadata, trace_json"
        connection.execute(f"INSERT INTO traces ({named}) SELECT {named} FROM other.traces")
        # In its place: of a row of a block that is kept, all is another run's.
        connection.execute(
            "UPDATE traces SET (steps, total_ms, metadata, trace_json) = (SELECT steps, total_ms, "
            "metadata, replace(trace_json, 'run-1300', 'run-40') FROM other.traces "
            "WHERE run_id = 'run-1300') WHERE run_id = 'run-40'"
        )
        connection.execute("DELETE FROM traces WHERE run_id IN ('run-41', 'run-599')")
    everything(store)
    store.save_many([a_run(chance, number) for number in range(1400, 1600)])
    everything(store)


@pytest.mark.slow
def test_annotations_are_counted_with_their_runs(store, everything):
    for number in range(0, 600, 50):
        store.annotate(f"run-{number}", "quality", score=number / 600, label="good")
    everything(store)
    store.remove_annotation("run-50", name="quality")
    everything(store)


@pytest.mark.slow
def test_many_blocks_add_up_in_larger_parts(tmp_path, chance):
    with SQLiteTraceStore(tmp_path / "runs.db", durability="normal") as store:
        store.save_many([a_run(chance, number) for number in range(17 * 256)])
        check(store, TraceFilter())
        with closing(sqlite3.connect(store.path)) as connection, connection:
            rows = connection.execute("SELECT level, part FROM trace_rollup_sums").fetchall()
        assert (1, 0) in rows
        store.delete("run-1000")
        store.save(a_run(chance, 2000))
        check(store, TraceFilter())
        check(store, TraceFilter(started_since=START + timedelta(seconds=400 * 1500)))


@pytest.mark.slow
@pytest.mark.parametrize("column", ["runs", "calls", "runs_crc"])
def test_damaged_ones_are_none(store, column, everything):
    everything(store)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE trace_rollups SET {column} = zeroblob(9) WHERE block = 1")
        connection.execute("UPDATE trace_rollup_sums SET sums = 'x' WHERE part = 0")
    everything(store)


def test_names_beyond_the_limit_are_others(store, monkeypatch):
    monkeypatch.setattr("selectools_observe.model.statistics.MOST_NAMES", 2)
    monkeypatch.setattr("selectools_observe.model.statistics.MOST_TIMES", 3)
    check(store, TraceFilter())
    check(store, TraceFilter(has_error=True))


def test_a_file_that_others_keep_locked_is_read(store):
    with closing(sqlite3.connect(store.path, isolation_level=None)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        check(store, TraceFilter())
        connection.execute("ROLLBACK")
    assert kept(store) == 0


def test_async_stores_say_the_same(store):
    async def ask():
        async with AsyncSQLiteTraceStore(store.path) as other:
            await asyncio.gather(*[other.save(a_run(random.Random(3), 2000 + n)) for n in range(9)])
            return await asyncio.gather(*[other.statistics() for _ in range(5)])

    found = asyncio.run(ask())
    for each in found:
        same_but_for_errors(each, store.statistics())


@pytest.mark.slow
def test_long_metadata_is_read_from_the_runs(store, monkeypatch, everything):
    monkeypatch.setattr("selectools_observe.backends.sqlite.rollups.columns._MOST_METADATA", 100)
    store.annotate("run-9", "quality", label="good")
    everything(store)


def rewritten(path, chance):
    """What is kept of another run's block, with a checksum that is right."""
    with SQLiteTraceStore(path + ".other", durability="normal") as other:
        other.save_many([a_run(chance, number + 5000) for number in range(300)])
        other.statistics()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ATTACH ? AS other", (path + ".other",))
        connection.execute("DELETE FROM trace_rollups WHERE block = 0")
        connection.execute(
            "INSERT INTO trace_rollups SELECT * FROM other.trace_rollups WHERE block = 0"
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (rewritten, "what is kept of its runs contradicts them"),
        ("UPDATE trace_rollups SET runs = zeroblob(50) WHERE block = 0", "kept of its runs is dam"),
        (
            """
            UPDATE trace_rollup_sums
            SET (sums, crc) = (SELECT sums, crc FROM trace_rollup_sums WHERE part = 1)
            WHERE part = 0
            """,
            "what its runs are kept to add up to is wrong",
        ),
    ],
)
def test_verify_names_what_contradicts_the_runs_and_compact_makes_it_again(
    store, chance, damage, told
):
    check(store, TraceFilter())
    assert store.verify().ok
    if callable(damage):
        damage(store.path, chance)
    else:
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute(damage)
    problems = [problem.problem for problem in store.verify().problems]
    assert len(problems) == 1
    assert told in problems[0]
    store.compact()
    assert store.verify().ok
    check(store, TraceFilter())


@pytest.mark.slow
def test_sums_of_many_blocks_are_verified(tmp_path, chance):
    with SQLiteTraceStore(tmp_path / "runs.db", durability="normal") as store:
        store.save_many([a_run(chance, number) for number in range(16 * 256 + 10)])
        store.statistics()
        assert store.verify().ok
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute(
                "UPDATE trace_rollup_sums SET (sums, crc) = (SELECT sums, crc FROM "
                "trace_rollup_sums WHERE level = 0 AND part = 1) WHERE level = 1"
            )
        (problem,) = store.verify().problems
        assert "not what the blocks within add up to" in problem.problem
        store.compact()
        assert store.verify().ok
        assert store.statistics().total.runs == 16 * 256 + 10


def test_backups_and_repaired_files_say_the_same(store, tmp_path):
    expected = store.statistics(by=("day", "model", "tool", "user"))
    store.backup(tmp_path / "backup.db")
    store.repair(tmp_path / "repaired.db")
    for name in ("backup.db", "repaired.db"):
        with SQLiteTraceStore(tmp_path / name) as other:
            found = other.statistics(by=("day", "model", "tool", "user"))
            same_but_for_errors(found, expected)
            assert other.verify().ok


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_programs_killed_while_they_make_them(store, chance):
    expected = store.statistics(by=("day", "model", "tool"))
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DELETE FROM trace_rollups")
        connection.execute("DELETE FROM trace_rollup_sums")
    code = (
        "import sys\n"
        "from selectools_observe import SQLiteTraceStore\n"
        "with SQLiteTraceStore(sys.argv[1]) as store:\n"
        "    print('open', flush=True)\n"
        "    store.statistics()\n"
    )
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", code, store.path], stdout=subprocess.PIPE, text=True
        )
        child.stdout.readline()
        time.sleep(chance.uniform(0, 0.03))
        child.kill()
        child.communicate()
        assert store.verify().ok
    same_but_for_errors(store.statistics(by=("day", "model", "tool")), expected)


@pytest.mark.parametrize("kind", ["memory", pytest.param("jsonl", marks=pytest.mark.slow)])
def test_other_stores_read_no_run_twice(kind, tmp_path, chance, monkeypatch):
    kinds = {
        "memory": InMemoryTraceStore,
        "jsonl": lambda: JSONLTraceStore(tmp_path / "runs.jsonl"),
    }
    with kinds[kind]() as store:
        store.save_many([a_run(chance, number) for number in range(300)])
        read = []
        core = store._core
        peek = core._read_rollups
        monkeypatch.setattr(
            core, "_read_rollups", lambda rows: read.extend(rows) or peek(rows), raising=True
        )
        check(store, TraceFilter())
        assert len(read) == 300
        store.save_many([a_run(chance, number) for number in range(0, 300, 30)])
        store.delete("run-5")
        check(store, TraceFilter())
        check(store, TraceFilter(has_error=True))
        assert len(read) == 310


@pytest.mark.parametrize("by", ["session", "user"])
def test_pages_of_the_latest_groups(store, chance, by):
    for number in range(0, 600, 3):
        trace = a_run(chance, number)
        trace.session_id, trace.user_id = f"s{chance.randrange(30)}", f"u{number % 90}"
        trace.start_time = chance.choice([0.0, START.timestamp() + chance.randrange(10**6)])
        store.save(trace)
    store.annotate("run-3", "quality", score=0.5)
    store.delete("run-6")
    plain = GroupCollector(by)
    for summary in store.iter_summaries():
        plain.add(summary)
    for limit in (1, 7, 200):
        found, cursor = [], None
        while True:
            page = store.groups(by, limit=limit, cursor=cursor)
            found += page
            cursor = page.next_cursor
            if cursor is None:
                break
        same_but_for_errors(found, list(plain.page("-last", 1000, None)))


def test_the_latest_groups_are_found_by_few_blocks(tmp_path, chance, monkeypatch):
    with SQLiteTraceStore(tmp_path / "runs.db", durability="normal") as store:
        traces = [a_run(chance, number) for number in range(10 * 256)]
        for number, trace in enumerate(traces):
            trace.session_id = f"s{number // 5}"
            trace.start_time = START.timestamp() + number * 400
        saved = [START + timedelta(seconds=number * 400 + 30) for number in range(len(traces))]
        store.save_many(traces, created_at=saved)
        store.facets()
        looked_at = []
        look_at = latest_groups._Search._look_at
        monkeypatch.setattr(
            latest_groups._Search,
            "_look_at",
            lambda search, block: looked_at.append(block) or look_at(search, block),
        )
        page = store.groups("session", limit=20)
        assert [group.key for group in page[:2]] == ["s511", "s510"]
        assert len(looked_at) == 2


@pytest.mark.parametrize(
    "table", ["trace_rollups", pytest.param("trace_rollup_sums", marks=pytest.mark.slow)]
)
def test_tables_that_cannot_be_read_harm_nothing(tmp_path, chance, table):
    path = tmp_path / "runs.db"
    with SQLiteTraceStore(path, durability="normal") as store:
        store.save_many([a_run(chance, number) for number in range(600)])
        expected = store.statistics()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with open(path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(size))
    with SQLiteTraceStore(path) as store:
        same_but_for_errors(store.statistics(), expected)
        check(store, TraceFilter(has_error=True))
        assert not store.verify().ok
        report = store.repair(tmp_path / "repaired.db")
        assert (report.saved, report.lost) == (600, ())
    with SQLiteTraceStore(tmp_path / "repaired.db") as store:
        same_but_for_errors(store.statistics(), expected)


@pytest.mark.slow
def test_names_and_values_with_lone_surrogates(store):
    step = TraceStep("tool_execution", tool_name="\ud800", model="m\udc00", error="\udfff")
    told = {"\ud800": "\udc00", "user_id": "\ud801", "tags": ["\ud802"]}
    store.save_many([AgentTrace([step], run_id=f"odd-{n}", metadata=told) for n in range(300)])
    for where in (None, "tool:*!error", "user:\ud801"):
        check(store, TraceFilter(where=where))


def test_more_tokens_than_64_bits_hold(store):
    steps = [TraceStep("llm_call", model="m", prompt_tokens=2**62)]
    store.save_many([AgentTrace(steps, run_id=f"many-{number}") for number in range(600)])
    for filters in (TraceFilter(), TraceFilter(model="m")):
        check(store, filters)
    assert store.statistics().total.prompt_tokens == 2**63 - 1


@pytest.mark.slow
def test_a_page_of_many_groups_is_what_all_groups_add_up_to(tmp_path, monkeypatch):
    chance = random.Random(5)
    with SQLiteTraceStore(tmp_path / "runs.db") as store:
        runs = [a_run(chance, number) for number in range(900)]
        for number, run in enumerate(runs):
            value = chance.choice([chance.randrange(200), [1, "x"], None, f"alone-{number}"])
            run.metadata = {"g": value, "user_id": f"u{number % 90}"}
        store.save_many(runs)
        store.annotate_many(Annotation(run.run_id, "q", score=1) for run in runs[::40])
        for run in runs[::9]:
            store.delete(run.run_id)
        ranked, told = totals.ranked_page, []

        def noted(*asked):
            page = ranked(*asked)
            told.append(page is not None)
            return page

        for by in ("g", "user"):
            for order_by in ("-last", "first", "-runs", "key", "-cost_usd"):
                for filters in (None, TraceFilter(min_steps=2), TraceFilter(limit=300)):
                    found = []
                    for page in (noted, lambda *_: None):
                        monkeypatch.setattr(totals, "ranked_page", page)
                        found.append(all_groups(store, by, filters, order_by))
                    same_but_for_errors(*found)
        assert told.count(True) > len(told) / 2


def all_groups(store, by, filters, order_by):
    groups, cursor = [], None
    while True:
        page = store.groups(by, filters, order_by=order_by, limit=40, cursor=cursor)
        groups += page
        cursor = page.next_cursor
        if cursor is None:
            return groups
