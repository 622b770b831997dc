"""Annotations in files: cut, damaged, checked, copied and repaired with the runs."""

from __future__ import annotations

import contextlib
import sqlite3
import stat

import pytest

from selectools_observe import Annotation, JSONLTraceStore, SQLiteTraceStore
from selectools_observe.stores import maintenance
from selectools_observe.testing.samples import make_trace, make_traces


@pytest.fixture
def archive(tmp_path):
    """A JSONL archive with three annotated runs."""
    path = tmp_path / "x.jsonl"
    with JSONLTraceStore(path) as store:
        store.save_many(make_traces(5))
        for number in range(3):
            store.annotate(f"run-{number:03}", "a", score=number, note="because")
    return path


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "x.db"
    with SQLiteTraceStore(path, durability="normal") as store:
        store.save_many(make_traces(5))
        for number in range(3):
            store.annotate(f"run-{number:03}", "a", score=number, note="because")
    return path


def beside(path):
    return path.with_name(f"{path.name}.annotations")


def scores(store):
    said = store.annotations_of([f"run-{n:03}" for n in range(5)])
    return {run_id: [one.score for one in those] for run_id, those in said.items() if those}


class TestJSONL:
    def test_the_archive_itself_stays_as_it_was(self, tmp_path):
        path = tmp_path / "x.jsonl"
        with JSONLTraceStore(path) as store:
            store.save_many(make_traces(3))
            before = path.read_bytes()
            assert not beside(path).exists()
            store.annotate("run-001", "a", score=1)
            assert path.read_bytes() == before
        assert stat.S_IMODE(beside(path).stat().st_mode) == 0o600

    def test_cut_anywhere(self, archive):
        content = beside(archive).read_bytes()
        ends = [n + 1 for n, byte in enumerate(content) if byte == ord("\n")]
        for place in range(0, len(content), 7):
            beside(archive).write_bytes(content[:place])
            whole = sum(end <= place for end in ends)
            with JSONLTraceStore(archive) as store:
                assert len(scores(store)) == whole
                store.annotate("run-004", "b", score=9)
                assert store.annotations("run-004")[0].score == 9
                assert store.verify().ok
            with JSONLTraceStore(archive) as store:
                assert len(scores(store)) == whole + 1

    def test_a_damaged_line_is_told_and_the_others_are_read(self, archive, tmp_path, caplog):
        lines = beside(archive).read_bytes().splitlines(keepends=True)
        beside(archive).write_bytes(lines[0] + lines[1].replace(b"because", b"becauze") + lines[2])
        with JSONLTraceStore(archive) as store:
            assert list(scores(store)) == ["run-000", "run-002"]
            assert "annotations" in caplog.text
            (problem,) = store.verify().problems
            assert ".annotations, byte" in problem.where
            store.compact()  # throws nothing away that it cannot read
            assert not store.verify().ok
            report = store.repair(tmp_path / "new.jsonl")
            assert (report.saved, len(report.lost)) == (5, 1)
        with JSONLTraceStore(tmp_path / "new.jsonl") as store:
            assert list(scores(store)) == ["run-000", "run-002"]
            assert store.verify().ok

    def test_a_backup_has_them(self, archive, tmp_path):
        copy = tmp_path / "copy.jsonl"
        with JSONLTraceStore(archive) as store:
            store.backup(copy)
            expected = scores(store)
            store.remove_annotation("run-000", name="a")
            store.remove_annotation("run-001", name="a")
            store.remove_annotation("run-002", name="a")
            with JSONLTraceStore(copy) as other:
                assert scores(other) == expected
            store.compact()
            store.backup(copy, overwrite=True)
        with JSONLTraceStore(copy) as other:
            assert scores(other) == {}

    def test_compacting_keeps_what_counts(self, archive):
        with JSONLTraceStore(archive) as store, JSONLTraceStore(archive) as other:
            assert len(scores(other)) == 3
            for _ in range(50):
                (kept,) = store.annotate_many([Annotation("run-004", "b", score=1, id="same")])
            store.delete("run-002")
            before = beside(archive).stat().st_size
            store.compact()
            assert beside(archive).stat().st_size < before / 5
            for one in store, other:
                assert scores(one) == {"run-000": [0], "run-001": [1], "run-004": [1]}
                assert one.annotations("run-004") == [kept]
                assert one.list(5)[0].annotations["b"].score == 1
            other.annotate("run-003", "c", score=3)
            assert scores(store)["run-003"] == [3]

    @pytest.mark.parametrize("is_gone", [True, False])
    def test_a_deletion_that_was_cut_short(self, archive, is_gone):
        """The line that says so was written, the archive perhaps too, and the program died."""
        with JSONLTraceStore(archive) as store:
            store.delete("run-001")
        lines = beside(archive).read_bytes().splitlines(keepends=True)
        assert [b"deleting" in line for line in lines] == [False] * 3 + [True, False]
        beside(archive).write_bytes(b"".join(lines[:-1]))
        if not is_gone:
            with JSONLTraceStore(archive) as store:
                pass
            runs = archive.read_bytes()
            with JSONLTraceStore(archive.with_name("other.jsonl")) as other:
                other.save(make_trace("run-001"))
            archive.write_bytes(runs + archive.with_name("other.jsonl").read_bytes())
        with JSONLTraceStore(archive) as store:
            store.save(make_trace("run-001", 2))
            assert len(store.annotations("run-001")) == (0 if is_gone else 1)
        with JSONLTraceStore(archive) as store:
            assert len(store.annotations("run-001")) == (0 if is_gone else 1)

    def test_no_annotations_of_another_archive_come_up(self, archive):
        archive.rename(archive.with_name("moved.jsonl"))
        with JSONLTraceStore(archive) as store:
            store.save(make_trace("new"))
            assert store.list()[0].annotations == {}
        beside(archive).rename(beside(archive.with_name("moved.jsonl")))
        with JSONLTraceStore(archive.with_name("moved.jsonl")) as store:
            assert len(scores(store)) == 3


class TestSQLite:
    def spoil(self, path):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
            made.execute(
                "UPDATE trace_annotations "
                "SET annotation = replace(annotation, 'because', 'becauze') "
                "WHERE run_id = 'run-001'"
            )

    def test_damage_is_found_and_the_others_are_read(self, database, tmp_path):
        self.spoil(database)
        with SQLiteTraceStore(database, durability="normal") as store:
            assert list(scores(store)) == ["run-000", "run-002"]
            assert store.list(5)[3].annotations == {}
            (problem,) = store.verify().problems
            assert (problem.run_id, "trace_annotations" in problem.where) == ("run-001", True)
            report = store.repair(tmp_path / "new.db")
            assert (report.saved, len(report.lost)) == (5, 1)
        with SQLiteTraceStore(tmp_path / "new.db") as store:
            assert list(scores(store)) == ["run-000", "run-002"]
            assert store.verify().ok

    def test_copies_have_them(self, database, tmp_path):
        with SQLiteTraceStore(database, durability="normal") as store:
            store.backup(tmp_path / "copy.db")
            store.compact()
            expected = scores(store)
            store.repair(tmp_path / "new.db")
        for name in ("copy.db", "new.db"):
            assert maintenance.verify(tmp_path / name).ok
            with SQLiteTraceStore(tmp_path / name) as store:
                assert scores(store) == expected

    def test_what_another_program_does_to_the_runs(self, database):
        """selectools replaces and deletes rows of its own accord."""
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as made:
            row = made.execute("SELECT * FROM traces WHERE run_id = 'run-000'").fetchone()
            made.execute("INSERT OR REPLACE INTO traces VALUES (?, ?, ?, ?, ?, ?)", row)
            made.execute("DELETE FROM traces WHERE run_id = 'run-001'")
        with SQLiteTraceStore(database, durability="normal") as store:
            assert scores(store) == {"run-000": [0], "run-002": [2]}
            assert store.list(1)[0].annotations["a"].score == 0
            store.save(make_trace("run-001"))
            assert store.annotations("run-001") == []

    def test_a_file_made_before_there_was_the_table(self, database):
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as made:
            made.execute("DROP TRIGGER trace_annotations_delete")
            made.execute("DROP TABLE trace_annotations")
        with SQLiteTraceStore(database, durability="normal") as store:
            assert scores(store) == {}
            store.annotate("run-003", "a", score=1)
            assert store.verify().ok
            store.delete("run-003")
            store.save(make_trace("run-003"))
            assert store.annotations("run-003") == []
