"""Files that were damaged, moved about by other tools, or are in use: maintenance methods."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from store_kinds import ON_DISK, Handle, file_of, ids, open_files, past_the_triggers, trace

from selectools_observe import (
    AgentTrace,
    AsyncSQLiteTraceStore,
    CorruptTraceError,
    JSONLTraceStore,
    SQLiteTraceStore,
    StorageError,
    TraceFilter,
    TraceStep,
)
from selectools_observe.backends.queries.paging import PageRequest
from selectools_observe.backends.sqlite.index.candidates import in_order
from selectools_observe.model.pagination import Position
from selectools_observe.stores import maintenance as trust

MANY = 400


def run(number: int, *, size: int = 50) -> AgentTrace:
    step = TraceStep("llm_call", 0, 10.5, model="gpt-4o", summary=f"{number} " * (size // 4))
    return AgentTrace([step], 0, f"run-{number:03}", None, {"n": number, "even": number % 2 == 0})


@pytest.fixture
def database(tmp_path):
    """A closed database of runs, some of them deleted, its index in blocks and in rows."""
    path = tmp_path / "traces.db"
    with SQLiteTraceStore(path) as store:
        runs = [run(n, size=50 if n % 3 else 9_000) for n in range(MANY)]
        store.save_many(runs[:300])
        store.save_many(runs[300:])
        for n in range(50, 70):
            store.delete(f"run-{n:03}")
        store.compact()
    return path


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "traces.jsonl"
    with JSONLTraceStore(path) as store:
        store.save_many(run(n) for n in range(20))
    return path


def everything(path) -> list:
    with (SQLiteTraceStore if path.suffix == ".db" else JSONLTraceStore)(path) as store:
        return [(s, store.load(s.run_id).to_dict()) for s in store.list(1000)]


def raw(path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


class TestAnIndexThatNoLongerBelongs:
    def renumber(self, path) -> None:
        """What VACUUM may do to a table without a number of its own: ids from 1 on, no gaps."""
        with past_the_triggers(path) as connection:
            rows = connection.execute("SELECT rowid FROM traces ORDER BY rowid").fetchall()
            for new, (old,) in enumerate(rows, 1):
                connection.execute("UPDATE traces SET rowid = ? WHERE rowid = ?", (new, old))

    def rebuild(self, path) -> None:
        """What tools do that change a table: a new one takes its name, its triggers are gone."""
        with raw(path) as connection:
            (sql,) = connection.execute(
                "SELECT sql FROM sqlite_master WHERE name = 'traces'"
            ).fetchone()
            connection.execute(sql.replace("traces", "rebuilt", 1))
            connection.execute("INSERT INTO rebuilt SELECT * FROM traces ORDER BY rowid")
            connection.execute("DROP TABLE traces")
            connection.execute("ALTER TABLE rebuilt RENAME TO traces")

    @pytest.mark.parametrize("change", ["renumber", "rebuild"])
    def test_it_is_made_anew(self, change, database, caplog):
        before = everything(database)
        getattr(self, change)(database)
        assert everything(database) == before
        assert "rebuilt" in caplog.text
        assert "checksums are those of what is there now" not in caplog.text
        with SQLiteTraceStore(database) as store:
            assert store.count(TraceFilter(metadata_match={"n": 390})) == 1
            assert store.count(TraceFilter(model="gpt-4o")) == MANY - 20
            assert store.verify().ok
            # No id is given twice: a page from before goes on where it was.
            store.save(run(999))
            with raw(database) as connection:
                assert connection.execute("SELECT max(rowid) FROM traces").fetchone()[0] > MANY

    def test_a_row_that_was_added_and_hides_the_gap(self, database, caplog):
        """So many foreign rows that the largest numbers agree again."""
        self.renumber(database)
        with raw(database) as connection:
            for n in range(20):
                connection.execute(
                    "INSERT INTO traces SELECT ?, steps, total_ms, created_at, metadata, "
                    "replace(trace_json, '\"run-399\"', ?) FROM traces WHERE run_id = 'run-399'",
                    (f"foreign-{n}", f'"foreign-{n}"'),
                )
        with SQLiteTraceStore(database) as store:
            assert len(store.list(1000)) == MANY
            assert store.verify().ok
            assert store.load("run-399").metadata["n"] == 399
            assert store.count(TraceFilter(metadata_match={"n": 399})) == 21
        assert "20 runs were changed, damaged or added" in caplog.text

    def test_vacuum_by_anybody(self, database, caplog):
        with SQLiteTraceStore(database) as store:
            before = store.list(1000)
            with raw(database) as connection:
                connection.execute("VACUUM")
            assert store.list(1000) == before
            assert store.load("run-399").metadata["n"] == 399
            assert store.verify().ok
        assert everything(database)
        assert "rebuilt" not in caplog.text

    def test_one_damaged_row_is_no_reason(self, database):
        with past_the_triggers(database) as connection:
            connection.execute("UPDATE traces SET total_ms = 11 WHERE run_id = 'run-399'")
        with SQLiteTraceStore(database) as store:
            assert ids(store.list(1)) == ["run-399"]
            (problem,) = store.verify().problems
            assert problem.run_id == "run-399"


def test_rows_of_any_number_are_looked_at(database, tmp_path):
    """Another program may number its rows as it likes."""
    with raw(database) as connection:
        for number in (-5, 0, 2**40):
            connection.execute(
                "INSERT INTO traces (rowid, run_id, steps, total_ms, created_at, trace_json) "
                "VALUES (?, ?, 0, 0, '2026-01-01T00:00:00+00:00', ?)",
                (number, f"r{number}", f'{{"run_id": "r{number}", "start_time": 0, "steps": []}}'),
            )
    assert trust.verify(database).checked == MANY - 17
    assert trust.repair(database, tmp_path / "new.db").saved == MANY - 17
    with SQLiteTraceStore(tmp_path / "new.db") as store:
        assert store.count() == MANY - 17


class TestADamagedIndex:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE trace_facets SET terms = x'0102' WHERE id = 300",
            "UPDATE trace_facets SET terms = zeroblob(24) WHERE id = 10",
            "UPDATE trace_facets SET steps = 77 WHERE id = 300",
            "UPDATE trace_facets SET summary_crc = 5 WHERE id = 300",
            "DELETE FROM trace_facets WHERE id = 10",
            "DELETE FROM trace_postings",
            "UPDATE trace_postings SET places = x'00'",
            "UPDATE trace_blocks SET max_steps = 0",
            "UPDATE trace_blocks SET min_has_error = NULL",
        ],
    )
    def test_is_told_apart_and_mended(self, damage, database):
        before = everything(database)
        with past_the_triggers(database) as connection:
            connection.execute(damage)
        with SQLiteTraceStore(database) as store:
            report = store.verify()
            assert (report.ok, report.index_only) == (False, True), str(report)
            assert report.checked == MANY - 20
            assert "nothing is lost" in str(report)
            compacted = store.compact()
            assert compacted.repaired
            assert not compacted.left
            assert store.verify().ok
        assert everything(database) == before

    def test_of_sqlites_own(self, database):
        """An entry that the table's own index lacks."""
        before = everything(database)
        with raw(database) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("DELETE FROM sqlite_master WHERE name = 'idx_traces_created'")
        with raw(database) as connection:
            index = "CREATE INDEX idx_traces_created ON traces(created_at DESC)"
            connection.execute(f"{index} WHERE steps > 1")
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = ? WHERE name = 'idx_traces_created'", (index,)
            )
        report = trust.verify(database)
        assert report.index_only, str(report)
        with SQLiteTraceStore(database) as store:
            assert store.compact().repaired
        assert trust.verify(database).ok
        assert everything(database) == before

    def test_damaged_runs_keep_their_checksums(self, database):
        with past_the_triggers(database) as connection:
            connection.execute("DELETE FROM trace_blocks")
            connection.execute(
                "UPDATE traces SET trace_json = replace(trace_json, 'gpt-4o', 'gpt-4p') "
                "WHERE run_id = 'run-300'"
            )
        with SQLiteTraceStore(database) as store:
            store.compact()
            (problem,) = store.verify().problems
            assert problem.run_id == "run-300"
            with pytest.raises(CorruptTraceError):
                store.load("run-300")


class TestRepair:
    def zero(self, path, page: int) -> None:
        content = bytearray(path.read_bytes())
        content[(page - 1) * 4096 : page * 4096] = bytes(4096)
        path.write_bytes(content)

    def page_of(self, path, kind: str) -> int:
        with raw(path) as connection:
            try:
                rows = connection.execute(
                    "SELECT pageno FROM dbstat WHERE name = 'traces' AND pagetype = ?", (kind,)
                ).fetchall()
            except sqlite3.OperationalError:
                pytest.skip("this SQLite has no dbstat")
        return rows[len(rows) // 2][0]

    def test_without_its_first_page(self, database, tmp_path):
        """Header and schema gone: no SQLite opens it, and everything is there."""
        before = everything(database)
        self.zero(database, 1)
        damaged = database.read_bytes()
        with pytest.raises(StorageError, match="repair"):
            SQLiteTraceStore(database)
        assert not trust.verify(database).ok
        report = trust.repair(database, tmp_path / "new.db")
        assert (report.saved, report.ok) == (MANY - 20, True), str(report)
        assert everything(tmp_path / "new.db") == before
        assert database.read_bytes() == damaged
        assert sorted(os.listdir(tmp_path)) == ["new.db", "traces.db"]

    def test_without_the_root_of_the_table(self, database, tmp_path):
        before = everything(database)
        with raw(database) as connection:
            (root,) = connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'traces'"
            ).fetchone()
        self.zero(database, root)
        report = trust.repair(database, tmp_path / "new.db")
        assert (report.saved, len(report.suspect)) == (MANY - 20, 0), str(report)
        assert everything(tmp_path / "new.db") == before

    def test_without_a_leaf(self, database, tmp_path):
        before = everything(database)
        self.zero(database, self.page_of(database, "leaf"))
        verified = trust.verify(database)
        lost = {problem.run_id for problem in verified.problems} - {None}
        assert lost
        assert verified.checked + len(lost) == MANY - 20
        report = trust.repair(database, tmp_path / "new.db")
        assert {problem.run_id for problem in report.lost} == lost
        assert report.saved == verified.checked
        kept = [item for item in before if item[0].run_id not in lost]
        assert everything(tmp_path / "new.db") == kept

    def test_what_is_deleted_does_not_come_back(self, tmp_path):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store:
            store.save_many(run(n, size=3_000) for n in range(100))
            for n in range(0, 100, 2):
                store.delete(f"run-{n:03}")
        before = everything(path)
        self.zero(path, 1)
        report = trust.repair(path, tmp_path / "new.db", keep_suspect=False)
        assert everything(tmp_path / "new.db") == before
        assert report.saved == 50

    def test_a_summary_is_made_anew_from_its_trace(self, database, tmp_path):
        before = everything(database)
        with past_the_triggers(database) as connection:
            connection.execute(
                "UPDATE traces SET steps = 9, metadata = '{\"n\": 1}', created_at = 'then' "
                "WHERE run_id = 'run-300'"
            )
        report = trust.repair(database, tmp_path / "new.db")
        assert [problem.run_id for problem in report.suspect] == ["run-300"]
        found = everything(tmp_path / "new.db")
        assert [trace for _, trace in found] == [trace for _, trace in before]
        assert [s.metadata for s, _ in found] == [s.metadata for s, _ in before]

    def test_the_time_that_the_index_knows(self, database, tmp_path):
        before = everything(database)
        with past_the_triggers(database) as connection:
            connection.execute("UPDATE traces SET created_at = '?' WHERE run_id = 'run-300'")
        assert trust.repair(database, tmp_path / "new.db").ok
        assert everything(tmp_path / "new.db") == before

    def test_doubtful_runs_can_be_left_out(self, database, tmp_path):
        with past_the_triggers(database) as connection:
            connection.execute(
                "UPDATE traces SET trace_json = replace(trace_json, 'gpt-4o', 'gpt-4p') "
                "WHERE run_id = 'run-300'"
            )
        for keep, saved in ((True, MANY - 20), (False, MANY - 21)):
            into = tmp_path / f"{keep}.db"
            report = trust.repair(database, into, keep_suspect=keep)
            assert [problem.run_id for problem in report.suspect] == ["run-300"]
            assert len(everything(into)) == saved

    def test_a_database_of_selectools(self, airline_db, tmp_path):
        content = airline_db.read_bytes()
        assert trust.verify(airline_db).checked == 200
        report = trust.repair(airline_db, tmp_path / "new.db")
        assert (report.saved, report.ok) == (200, True)
        assert airline_db.read_bytes() == content


class TestRepairOfLines:
    def test_torn_spliced_and_buried_in_nuls(self, lines, tmp_path):
        """What users of such files report, each with a good record that was not to be had."""
        before = everything(lines)
        parts = lines.read_bytes().splitlines(keepends=True)
        parts[3] = parts[3][:100]  # the next line was appended to a torn one
        parts[7] = parts[7].rstrip(b"\n")  # two records on one line
        parts[11] = b"\0" * 5000 + parts[11]
        parts[19] = parts[19][:-50]
        lines.write_bytes(b"".join(parts))
        report = trust.repair(lines, tmp_path / "new.jsonl")
        assert {problem.run_id for problem in report.lost} == {"run-003", "run-019"}
        # All were saved together, and the end of that is missing: what stands right before it.
        assert {problem.run_id for problem in report.suspect} == {
            f"run-{n:03}" for n in range(12, 19)
        }
        assert report.saved == 11
        kept = [item for item in before if item[0].run_id not in ("run-003", "run-019")]
        assert everything(tmp_path / "new.jsonl") == kept

    def test_a_flipped_bit_is_doubtful(self, lines, tmp_path):
        lines.write_bytes(lines.read_bytes().replace(b'"summary":"5 ', b'"summary":"4 '))
        report = trust.repair(lines, tmp_path / "new.jsonl")
        assert [problem.run_id for problem in report.suspect] == ["run-005"]
        assert len(everything(tmp_path / "new.jsonl")) == 20
        left = trust.repair(lines, tmp_path / "left.jsonl", keep_suspect=False)
        assert len(everything(tmp_path / "left.jsonl")) == left.saved == 19

    def test_a_damaged_summary_before_a_good_trace(self, lines, tmp_path):
        before = everything(lines)
        content = lines.read_bytes()
        lines.write_bytes(content.replace(b'"run-005","steps":1', b'"run-005"#st', 1))
        report = trust.repair(lines, tmp_path / "new.jsonl")
        assert [problem.run_id for problem in report.suspect] == ["run-005"]
        assert everything(tmp_path / "new.jsonl") == before

    def test_an_older_line_of_a_damaged_run(self, lines, tmp_path):
        with JSONLTraceStore(lines) as store:
            store.save(run(5, size=400))
        content = lines.read_bytes()
        lines.write_bytes(content[:-80] + b"\n")
        report = trust.repair(lines, tmp_path / "new.jsonl")
        (doubt,) = report.suspect
        assert "newer line" in doubt.problem

    def test_a_damaged_newest_line_does_not_give_way_to_an_older_one(self, lines):
        with JSONLTraceStore(lines) as store:
            store.save(AgentTrace(run_id="run-005", metadata={"again": 1}))
        lines.write_bytes(lines.read_bytes().replace(b'"again":1', b'"again":3'))
        with JSONLTraceStore(lines) as store:
            assert "run-005" not in ids(store.list())
            with pytest.raises(CorruptTraceError, match="checksum"):
                store.load("run-005")


@pytest.mark.parametrize("method", ["compact", "delete"])
def test_half_a_save_many_is_taken_back_before_the_file_is_written_anew(method, tmp_path):
    """Else the next save would be appended to what a crash has left of the last line."""
    path = tmp_path / "traces.jsonl"
    with JSONLTraceStore(path) as store:
        store.save_many([trace("a"), trace("b")])
        store.save(trace("a"))
        store.save_many(trace(f"half-{n}") for n in range(5))
    path.write_bytes(path.read_bytes()[:-40])
    with JSONLTraceStore(path) as store:
        assert store.compact() if method == "compact" else store.delete("b")
        store.save(trace("new"))
        expected = ["new", "a", "b"] if method == "compact" else ["new", "a"]
        assert ids(store.list()) == expected
        assert store.verify().ok
    with JSONLTraceStore(path) as store:
        assert ids(store.list()) == expected


class TestInUse:
    def test_compaction_is_followed_by_others(self, lines):
        with JSONLTraceStore(lines) as one, JSONLTraceStore(lines) as other:
            one.save_many(run(n) for n in range(10))
            before = other.list()
            report = other.compact()
            assert report.dropped == 10
            assert one.list() == before
            one.save(trace("new"))
            assert ids(other.list(1)) == ["new"]
            assert len(lines.read_bytes().splitlines()) == 21

    def test_compaction_keeps_what_cannot_be_read(self, lines):
        lines.write_bytes(b'{"run_id":"torn","st\n' + lines.read_bytes())
        with JSONLTraceStore(lines) as store:
            store.compact()
        assert lines.read_bytes().startswith(b'{"run_id":"torn","st\n')

    def test_a_backup_of_a_log_that_was_not_moved_yet(self, database, tmp_path):
        with SQLiteTraceStore(database) as store:
            store.save(trace("in-the-log"))
            assert os.path.getsize(f"{database}-wal")
            store.backup(tmp_path / "copy.db")
            # A file that a program has open is verified and repaired with its log.
            assert trust.verify(database).checked == MANY - 19
            assert trust.repair(database, tmp_path / "new.db").saved == MANY - 19
        assert ids(s for s, _ in everything(tmp_path / "copy.db"))[0] == "in-the-log"

    def test_the_log_of_another_database_is_not_taken_over(self, database, tmp_path):
        (tmp_path / "copy.db-wal").write_bytes(b"of another")
        with (
            SQLiteTraceStore(database) as store,
            pytest.raises(StorageError, match="a write-ahead log exists next to it"),
        ):
            store.backup(tmp_path / "copy.db")

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_a_damaged_copy_does_not_replace_a_good_one(self, store_kind, tmp_path):
        path, copy = file_of(store_kind, tmp_path), tmp_path / "copy"
        with Handle(store_kind, tmp_path) as store:
            store.save_many([trace("one"), trace("two")])
            store.backup(copy)
            good = copy.read_bytes()
            if store_kind.startswith("sqlite"):
                with past_the_triggers(path) as connection:
                    connection.execute("UPDATE traces SET trace_json = '{' WHERE run_id = 'two'")
            else:
                path.write_bytes(path.read_bytes()[:-60])
            with pytest.raises(StorageError, match="1 problems"):
                store.backup(copy, overwrite=True)
            assert copy.read_bytes() == good
            report = store.backup(tmp_path / "elsewhere")
            assert not report.ok
            assert report.verified.problems[0].run_id == "two"

    async def test_a_cancelled_method_leaves_nothing_behind(self, tmp_path):
        path = tmp_path / "traces.db"
        async with AsyncSQLiteTraceStore(path) as store:
            await store.save_many(run(n, size=4_000) for n in range(2_000))
            for method in (store.verify, lambda: store.repair(tmp_path / "new.db"), store.compact):
                reached = asyncio.Event()
                task = asyncio.create_task(_told(method, reached))
                await reached.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert sorted(os.listdir(tmp_path)) == ["traces.db", "traces.db-shm", "traces.db-wal"]
            assert (await store.verify()).ok
        assert [name for name in open_files() if str(tmp_path) in name] == []

    def test_other_threads_go_on_meanwhile(self, database):
        with SQLiteTraceStore(database) as store:
            saved = []

            def on_progress(done: int, total: int) -> None:
                if len(saved) < 3:
                    other = threading.Thread(
                        target=lambda: saved.append(store.save(trace(f"t{len(saved)}")))
                    )
                    other.start()
                    other.join(60)

            assert store.verify(progress=on_progress).ok
            assert saved[0] == "t0"


async def _told(method, reached: asyncio.Event):
    """Run a method, and say when it is under way."""
    steps = 0

    def on_progress(done: int, total: int) -> None:
        nonlocal steps
        steps += 1
        reached.set()

    try:
        return await method(progress=on_progress)
    except TypeError:
        asyncio.get_running_loop().call_later(0.02, reached.set)
        return await method()


class TestFilesAlone:
    def test_what_a_file_is(self, database, lines, airline_db, airline_jsonl):
        assert trust.kind_of(database) == trust.kind_of(airline_db) == "sqlite"
        assert trust.kind_of(lines) == trust.kind_of(airline_jsonl) == "jsonl"
        database.write_bytes(bytes(4096) + database.read_bytes()[4096:])
        shutil.copy(database, database.with_suffix(".anything"))
        assert trust.kind_of(database.with_suffix(".db")) == "sqlite"

    def test_verify_writes_nothing(self, database, lines):
        for path in (database, lines):
            before, folder = path.read_bytes(), sorted(os.listdir(path.parent))
            trust.verify(path)
            assert (path.read_bytes(), sorted(os.listdir(path.parent))) == (before, folder)

    @pytest.mark.parametrize("content", [b"", b"\0" * 10_000, b"no database", b"{}\n[]\n"])
    @pytest.mark.parametrize("name", ["traces.db", "traces.jsonl"])
    def test_files_of_nothing(self, content, name, tmp_path):
        path = tmp_path / name
        path.write_bytes(content)
        report = trust.verify(path)
        assert report.checked == 0
        assert trust.repair(path, tmp_path / f"new-{name}").saved == 0
        assert everything(tmp_path / f"new-{name}") == []

    def test_bad_arguments(self, tmp_path):
        for path in (tmp_path / "absent.db", tmp_path):
            with pytest.raises(StorageError):
                trust.verify(path)
            with pytest.raises(StorageError):
                trust.repair(path, tmp_path / "new")
        with pytest.raises(ValueError, match="kind"):
            trust.verify(tmp_path / "a", kind="csv")

    def test_a_newer_file_is_refused(self, database):
        with raw(database) as connection:
            connection.execute("PRAGMA user_version = 99")
        with pytest.raises(StorageError, match="newer version"):
            trust.verify(database)


def test_in_memory_there_is_no_file(tmp_path):
    with SQLiteTraceStore(":memory:") as store:
        store.save_many(run(n) for n in range(20))
        assert store.verify().checked == 20
        assert store.compact().size_after
        with pytest.raises(StorageError, match="backup"):
            store.repair(tmp_path / "new.db")
        store.backup(tmp_path / "copy.db")
        assert [s for s, _ in everything(tmp_path / "copy.db")] == store.list()


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_the_working_directory_may_change(store_kind, tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)
    with Handle(store_kind, Path()) as store:
        store.save(trace("one"))
        monkeypatch.chdir(second)
        store.save(trace("two"))
        assert ids(store.list()) == ["two", "one"]
    assert os.listdir(second) == []


@pytest.mark.parametrize(
    "name",
    [
        "file:x?mode=memory",
        "file::memory:?cache=shared",
        ":memory:.db",
        " :memory:",
        "a\nb",
        "100% x%20y#z?w.db",
        "-rf",
        "'; DROP TABLE traces; --",
        "\udcff",
    ],
)
@pytest.mark.parametrize("store_type", [SQLiteTraceStore, JSONLTraceStore])
def test_a_name_is_a_files_name(store_type, name, tmp_path, monkeypatch):
    """Whatever a name looks like, it is that file, with everything in it; nothing is a URI."""
    monkeypatch.chdir(tmp_path)
    with store_type(name) as store:
        store.save(trace("one"))
        assert store.backup(f"copy of {name}").ok
    kind = "sqlite" if store_type is SQLiteTraceStore else "jsonl"
    for file in (name, f"copy of {name}"):
        assert trust.verify(file, kind=kind).checked == 1
    assert trust.repair(name, f"new {name}", kind=kind).saved == 1
    assert set(os.listdir(tmp_path)) == {name, f"copy of {name}", f"new {name}"}
    with store_type(tmp_path / name) as store:
        assert ids(store.list()) == ["one"]


def test_reports_are_readable(database, tmp_path):
    with past_the_triggers(database) as connection:
        connection.execute("UPDATE traces SET trace_json = '{' WHERE rowid > 300")
    text = str(trust.verify(database)).splitlines()
    assert text[0] == f"{database}: 280 runs intact, 100 problems"
    assert text[1].startswith("  run 'run-300', ")
    assert text[-1] == "  and 80 more"
    text = str(trust.repair(database, tmp_path / "new.db")).splitlines()
    assert text[0].endswith("280 runs saved, 0 suspect, 100 lost")
    assert len(text) == 22


@pytest.mark.parametrize(
    ("rows", "beyond", "oldest_first"),
    [
        ([(5,), (4,), (6,)], None, False),  # a page of the file in another's place
        ([(5,), (5,)], None, False),
        ([(5,), (4,)], 5, False),  # a damaged number where the page of a list begins
        ([(5,), (6,)], 5, True),
        ([(6,), (8,), (7,)], 5, True),
    ],
)
def test_rows_out_of_order_are_damage(rows, beyond, oldest_first):
    """SQLite does not notice them, and a list would give a run twice."""
    place = None if beyond is None else Position("sqlite", beyond)
    ask = PageRequest(TraceFilter(), place, oldest_first=oldest_first)
    with pytest.raises(sqlite3.DatabaseError, match="out of order"):
        list(in_order(rows, ask))
