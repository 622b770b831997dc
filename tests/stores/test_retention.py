"""Stores that keep to a rule by themselves, and space that returns to the disk."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import timedelta

import pytest

from selectools_observe import (
    Annotation,
    AsyncInMemoryTraceStore,
    AsyncJSONLTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    JSONLTraceStore,
    Retention,
    SQLiteTraceStore,
    StorageError,
)
from selectools_observe.testing.samples import make_trace

KB = 1000


def run(number: int, size: int = 5 * KB):
    return make_trace(f"run-{number:05}", metadata={"n": number, "text": "x" * size})


def sizes_of(path):
    parts = [path, path.with_name(f"{path.name}-wal")]
    return [part.stat().st_size if part.exists() else 0 for part in parts]


@pytest.fixture(params=["sqlite", "jsonl", "memory"])
def open_store(request, tmp_path):
    """Opens a store of each kind, on the same file each time."""
    kinds = {
        "sqlite": lambda **o: SQLiteTraceStore(tmp_path / "x.db", durability="normal", **o),
        "jsonl": lambda **o: JSONLTraceStore(tmp_path / "x.jsonl", **o),
        "memory": lambda **o: InMemoryTraceStore(100_000, **o),
    }
    return kinds[request.param]


class TestByItself:
    def test_the_newest_are_kept(self, open_store):
        with open_store(retention=Retention(keep_runs=100)) as store:
            most = 0
            for number in range(600):
                store.save(run(number, 100))
                most = max(most, store.count())
            assert 100 <= store.count() <= 200
            assert most <= 200
            newest = [summary.run_id for summary in store.list(100)]
            assert newest == [f"run-{number:05}" for number in range(599, 499, -1)]

    def test_what_is_to_stay_stays(self, open_store):
        rule = Retention(keep_runs=50, keep="n=7", keep_annotated=True)
        with open_store(retention=rule) as store:
            store.save_many([run(number, 10) for number in range(20)])
            store.annotate("run-00011", "a", note="keep")
            for start in range(20, 420, 20):
                store.save_many([run(number, 10) for number in range(start, start + 20)])
            oldest = list(store.iter_summaries(oldest_first=True))[:2]
            assert [summary.run_id for summary in oldest] == ["run-00007", "run-00011"]
            assert store.count() < 200

    def test_old_ones_go(self, open_store):
        with open_store() as store:
            old = store.list()
            store.save_many([run(n, 10) for n in range(100)])
            saved = [s.created_at - timedelta(days=9) for s in store.list(100)]
            store.save_many([run(n, 10) for n in range(100)], created_at=saved)
            assert len(old) == 0
            store._core._keep_to(Retention(older_than=timedelta(days=7)))
            store.save_many([run(n, 10) for n in range(100, 200)])
            assert store.count() == 100
            assert store.count() == len(store.list(1000))

    @pytest.mark.slow
    @pytest.mark.parametrize("bound", [2_000 * KB, 6_000 * KB])
    @pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
    def test_a_file_stays_within_its_bound_with_its_log(self, tmp_path, kind, bound):
        path = tmp_path / "x"
        make = SQLiteTraceStore if kind == "sqlite" else JSONLTraceStore
        rule = Retention(keep_bytes=bound)
        with make(path, durability="normal", retention=rule) as store, make(path) as reader:
            most = 0
            for start in range(0, 10_000, 50):
                store.save_many([run(n, 1 * KB) for n in range(start, start + 50)])
                most = max(most, sum(sizes_of(path)))
                assert reader.list(1)[0].run_id == f"run-{start + 49:05}"
            assert bound / 2 < most <= 1.3 * bound
            assert store.verify().ok
            found = [summary.run_id for summary in store.list(10_000)]
            assert found == [f"run-{n:05}" for n in range(9_999, 9_999 - len(found), -1)]

    def test_memory_stays_within_its_bound(self):
        bound = 2_000 * KB
        with InMemoryTraceStore(100_000, retention=Retention(keep_bytes=bound)) as store:
            for number in range(5000):
                store.save(run(number, 1 * KB))
            report = store.prune(keep_bytes=10 * bound, dry_run=True)
            assert bound / 2 < report.size_before <= 1.1 * bound

    def test_annotations_next_to_an_archive_are_counted_and_go(self, tmp_path):
        path, bound = tmp_path / "x.jsonl", 1_000 * KB
        notes = tmp_path / "x.jsonl.annotations"
        rule = Retention(keep_bytes=bound)
        with JSONLTraceStore(path, retention=rule) as store, JSONLTraceStore(path) as reader:
            most = 0
            for start in range(0, 3000, 20):
                some = [run(n, 500) for n in range(start, start + 20)]
                store.save_many(some)
                store.annotate_many([Annotation(r.run_id, "q", note="so " * 200) for r in some])
                most = max(most, path.stat().st_size + notes.stat().st_size)
            assert bound / 2 < most <= 1.3 * bound
            for left in (store, reader):
                ids = [summary.run_id for summary in left.list(10_000)]
                assert all(len(those) == 1 for those in left.annotations_of(ids).values())
            before = notes.stat().st_size
            store.delete_many(ids[10:])
            assert notes.stat().st_size < before / 5
            for n in range(300):  # one by one, rewritten now and then
                store.save(run(n, 10))
                store.annotate(f"run-{n:05}", "q", note="so " * 200)
                store.delete(f"run-{n:05}")
            assert notes.stat().st_size < 100 * KB
            assert store.verify().ok

    async def test_in_an_event_loop(self, tmp_path):
        rule = Retention(keep_runs=100)
        for store in (
            AsyncSQLiteTraceStore(tmp_path / "x.db", durability="normal", retention=rule),
            AsyncJSONLTraceStore(tmp_path / "x.jsonl", retention=rule),
            AsyncInMemoryTraceStore(10_000, retention=rule),
        ):
            async with store:
                for start in range(0, 640, 64):
                    await store.save_many([run(n, 10) for n in range(start, start + 64)])
                assert await store.count() <= 200
                assert (await store.list(1))[0].run_id == "run-00639"

    def test_trouble_is_logged_and_the_save_stands(self, open_store, monkeypatch, caplog):
        with open_store(retention=Retention(keep_runs=1)) as store:

            async def refuse(*_, **__):
                raise StorageError("x", "the disk is full", "Free some space")

            monkeypatch.setattr(store._core, "_delete_rows", refuse)
            if store._core._delete_oldest is not None:
                monkeypatch.setattr(store._core, "_delete_oldest", refuse)
            for number in range(70):
                store.save(run(number, 10))
            assert store.count() == 70
            assert "the disk is full" in caplog.text

    def test_a_rule_of_the_wrong_type_is_refused(self, tmp_path):
        with pytest.raises(TypeError, match="retention"):
            InMemoryTraceStore(retention=5)
        with pytest.raises(ValueError, match="keep_runs"):
            Retention(keep_runs=-1)


class TestSpace:
    def test_it_returns_to_the_disk(self, tmp_path):
        path = tmp_path / "x.db"
        with SQLiteTraceStore(path, durability="normal") as store:
            store.save_many([run(number) for number in range(1500)])
            report = store.prune(keep_runs=100)
            assert report.size_after < report.size_before / 5
            assert store.verify().ok
        assert sum(sizes_of(path)) < report.size_before / 4

    def test_deleting_many_gives_it_back_too(self, tmp_path):
        path = tmp_path / "x.db"
        with SQLiteTraceStore(path, durability="normal") as store:
            store.save_many([run(number) for number in range(1500)])
            before = sizes_of(path)[0]
            for start in range(0, 1400, 200):
                store.delete_many([f"run-{n:05}" for n in range(start, start + 200)])
        assert sizes_of(path)[0] < before / 2

    def test_a_file_of_an_older_version_is_made_able_to(self, tmp_path):
        path = tmp_path / "x.db"
        with contextlib.closing(sqlite3.connect(path)) as old:
            old.execute("CREATE TABLE other (x)")  # it has pages, and no way to give them back
            old.commit()
        with SQLiteTraceStore(path, durability="normal") as store:
            store.save_many([run(number) for number in range(1500)])
            kept = store.annotate("run-01450", "a", score=1)
            before = sizes_of(path)[0]
            assert store.prune(keep_runs=100).runs == 1400
            assert store.annotations("run-01450") == [kept]
            assert [s.run_id for s in store.list(1)] == ["run-01499"]
            assert store.verify().ok
            with contextlib.closing(sqlite3.connect(path)) as made:
                assert made.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert sizes_of(path)[0] < before / 4

    @pytest.mark.slow
    def test_the_index_forgets_what_is_gone(self, tmp_path):
        path = tmp_path / "x.db"
        with SQLiteTraceStore(path, durability="normal") as store:
            for start in range(0, 30_000, 1000):
                store.save_many([run(number, 1) for number in range(start, start + 1000)])
            store.prune(keep_runs=300)
            assert [s.run_id for s in store.query(_with_n(29_999))] == ["run-29999"]
            store.save_many([run(number, 1) for number in range(30_000, 31_000)])
            assert [s.run_id for s in store.query(_with_n(30_500))] == ["run-30500"]
            assert store.query(_with_n(500)) == []
            assert store.verify().ok
            with contextlib.closing(sqlite3.connect(path)) as made:
                (blocks,) = made.execute("SELECT count(*) FROM trace_blocks").fetchone()
                (postings,) = made.execute("SELECT count(*) FROM trace_postings").fetchone()
        assert blocks < 80
        assert postings < 20_000

    def test_superseded_lines_go_when_a_jsonl_file_is_pruned(self, tmp_path):
        path = tmp_path / "x.jsonl"
        with JSONLTraceStore(path) as store:
            for _ in range(5):
                store.save_many([run(number) for number in range(20)])
            store.prune(keep_runs=19)
            assert sizes_of(path)[0] < 20 * 11 * KB
            assert store.count() == 19
            assert store.verify().ok


def _with_n(number):
    from selectools_observe import TraceFilter

    return TraceFilter(metadata_match={"n": number})
