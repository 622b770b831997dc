"""Files of every earlier schema: upgraded whole or not at all, whatever happens on the way."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from selectools_observe import AgentTrace, SQLiteTraceStore, StorageError, TraceStep
from selectools_observe.stores import maintenance as trust

HERE = Path(__file__).parent
CHILD = HERE / "migration.py"
RUNS = 300

PAGE = """
    CREATE TABLE IF NOT EXISTS traces (
        run_id TEXT PRIMARY KEY, steps INTEGER NOT NULL, total_ms REAL NOT NULL,
        created_at TEXT NOT NULL, metadata TEXT NOT NULL DEFAULT '{}', trace_json TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS idx_traces_created ON traces(created_at DESC);
"""


def of_the_page(path: Path) -> None:
    """The page's table and nothing else."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript(PAGE)
        for n in range(RUNS):
            trace = AgentTrace([TraceStep("llm_call", 0, 1.5)], 0, f"run-{n}", None, {"n": n})
            text = json.dumps(trace.to_dict())
            row = (trace.run_id, 1, 1.5, f"2026-03-27T10:00:00.{n:06}+00:00", f'{{"n": {n}}}', text)
            raw.execute("INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?)", row)
        raw.commit()


def of_selectools(path: Path) -> None:
    """What selectools itself writes."""
    observe = pytest.importorskip("selectools.observe", reason="selectools is not installed")
    from selectools.trace import AgentTrace as TheirTrace
    from selectools.trace import StepType
    from selectools.trace import TraceStep as TheirStep

    store = observe.SQLiteTraceStore(str(path))
    for n in range(RUNS):
        trace = TheirTrace(run_id=f"run-{n}", metadata={"n": n})
        trace.add(TheirStep(type=StepType.LLM_CALL, duration_ms=1.5, model="gpt-4o"))
        store.save(trace)
    store._conn().close()


def of_version_1(path: Path) -> None:
    path.write_bytes(gzip.decompress((HERE.parent / "data" / "schema-1.db.gz").read_bytes()))


OLD = {"the page": of_the_page, "selectools": of_selectools, "version 1": of_version_1}


@pytest.fixture(params=OLD)
def old(request, tmp_path):
    """A function that gives a fresh copy of an old file."""
    base = tmp_path / "base.db"
    OLD[request.param](base)
    for part in ("-wal", "-shm"):
        assert not base.with_name(base.name + part).exists()

    def fresh() -> Path:
        for left in tmp_path.glob("traces.db*"):
            left.unlink()
        return Path(shutil.copy(base, tmp_path / "traces.db"))

    return fresh


def content(path: Path) -> list:
    """All that was in the file before there was an index."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        return raw.execute("SELECT rowid, * FROM traces ORDER BY rowid").fetchall()


def schema(path: Path) -> tuple:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        return (
            raw.execute("PRAGMA user_version").fetchone(),
            sorted(raw.execute("SELECT type, name, sql FROM sqlite_master").fetchall()),
        )


def upgrade(how: str, moment: float, path: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(CHILD), how, str(moment), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Upgrades:
    """What an old file is before and after, to be compared with what a kill has left."""

    def __init__(self, fresh, report) -> None:
        self.fresh = fresh
        self.report = report
        self.rows = content(fresh())
        self.old = schema(fresh())
        done = upgrade("statement", 0, path := fresh())
        assert done.returncode == 0, done.stderr
        statements, seconds = done.stdout.split()
        self.statements, self.seconds = int(statements), float(seconds)
        self.new = schema(path)
        assert self.old != self.new

    def killed(self, how: str, moment: float) -> bool:
        """Kill an upgrade; whether it was still under way. The file is the old one or the new."""
        path = self.fresh()
        done = upgrade(how, moment, path)
        self.report.add(rounds=1)
        was_killed = done.returncode == -signal.SIGKILL
        assert was_killed or done.returncode == 0, done.stderr
        found = schema(path)
        assert found in (self.old, self.new), f"{how} {moment} left something between"
        self.report.add(killed=was_killed, left_old=found == self.old, left_new=found == self.new)
        self.report.add(lost=content(path) != self.rows)
        assert content(path) == self.rows
        self.next_opening(path)
        return was_killed

    def next_opening(self, path: Path) -> None:
        with SQLiteTraceStore(path) as store:
            assert len(store.list(1000)) == len(self.rows)
            report = store.verify()
            assert report.ok, str(report)
            assert report.checked == len(self.rows)
        assert schema(path) == self.new


def test_killed_at_statements(old, chance, many, report):
    """SQLite tells of each statement that begins, those of triggers among them."""
    upgrades = Upgrades(old, report)
    numbers = range(1, upgrades.statements + 1)
    # The transaction that changes the schema is among the first.
    chosen = {*chance.sample(numbers[:80], many(8, 80)), *chance.sample(numbers, many(4, 200))}
    for number in sorted(chosen):
        assert upgrades.killed("statement", number)


def test_killed_at_any_moment(old, chance, many, report):
    upgrades = Upgrades(old, report)
    for _ in range(many(4, 200)):
        upgrades.killed("after", chance.uniform(0, upgrades.seconds))


def test_several_programs_upgrade_at_once(old, many, report):
    upgrades = Upgrades(old, report)
    for _ in range(many(1, 20)):
        path = old()
        programs = [
            subprocess.Popen(
                [sys.executable, str(CHILD), "statement", "0", str(path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(6)
        ]
        said = [program.communicate(timeout=60) for program in programs]
        assert [program.returncode for program in programs] == [0] * 6, said
        assert content(path) == upgrades.rows
        upgrades.next_opening(path)
        report.add(rounds=1)


def test_a_full_disk(old, report):
    """A limit of the file's size, which the system holds every write against."""
    upgrades = Upgrades(old, report)
    path = old()
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    failed = 0
    try:
        for limit in range(4096, size * 2, max(4096, size // 12)):
            path = old()
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            said = None
            try:
                SQLiteTraceStore(path).close()
            except StorageError as error:
                said = str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            if said is not None:
                failed += 1
                assert "space" in said or "disk" in said
            assert schema(path) in (upgrades.old, upgrades.new)
            assert content(path) == upgrades.rows
            upgrades.next_opening(path)
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
    report.add(failed_upgrades=failed)
    assert failed


def test_a_file_that_another_program_has_locked(old, monkeypatch, report):
    from selectools_observe.backends.sqlite import database

    upgrades = Upgrades(old, report)
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.2)
    path = old()
    bytes_before = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="locked"):
            SQLiteTraceStore(path)
        other.execute("ROLLBACK")
    assert schema(path) == upgrades.old
    assert content(path) == upgrades.rows
    assert len(path.read_bytes()) == len(bytes_before)
    upgrades.next_opening(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_file_that_cannot_be_written(old, report):
    upgrades = Upgrades(old, report)
    path = old()
    before = path.read_bytes()
    path.chmod(0o444)
    with pytest.raises(StorageError, match=r"permission|read-only"):
        SQLiteTraceStore(path)
    assert path.read_bytes() == before
    path.chmod(0o644)
    upgrades.next_opening(path)


def test_old_files_are_verified_and_repaired_as_they_are(old, tmp_path):
    path = old()
    before = path.read_bytes()
    verified = trust.verify(path)
    # One row of version 1's file was written by another program, its metadata not the trace's.
    odd = [problem.run_id for problem in verified.problems]
    assert odd in ([], ["foreign"])
    assert verified.checked + len(odd) == len(content(path))
    repaired = trust.repair(path, tmp_path / "new.db")
    assert repaired.saved == verified.checked
    assert [problem.run_id for problem in repaired.suspect] == odd
    assert path.read_bytes() == before
    assert [row[1:] for row in content(tmp_path / "new.db")] == [row[1:] for row in content(path)]
