# ruff: noqa: E501, PT012, PT017, RUF012, RUF043
"""Bad paths, bad files, bad arguments: a clear error that names what, where and the remedy."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
import sqlite3
import sys
from pathlib import Path

import msgspec
import pytest
from hostile import nested
from store_kinds import ON_DISK, STORE_KINDS, Handle, file_of, ids, make, trace

from selectools_observe import (
    AgentTrace,
    CorruptTraceError,
    InvalidTraceError,
    SQLiteTraceStore,
    StorageError,
    StoreClosedError,
    TraceFilter,
    TraceNotFoundError,
    TraceStep,
    TraceStoreError,
)

SQLITE = [store_kind for store_kind in STORE_KINDS if store_kind.startswith("sqlite")]
JSONL = [store_kind for store_kind in STORE_KINDS if store_kind.startswith("jsonl")]
# The default tries one face of each backend: both run the same coroutines on the same data.
ONE_FACE = [
    store_kind
    if store_kind in {"memory-blocking", "sqlite-async", "jsonl-blocking"}
    else pytest.param(store_kind, marks=pytest.mark.slow)
    for store_kind in STORE_KINDS
]


@pytest.fixture(params=ONE_FACE)
def handle(request, tmp_path):
    with Handle(request.param, tmp_path) as handle:
        yield handle


@pytest.fixture(params=ONE_FACE[2:4])
def database(request, tmp_path):
    with Handle(request.param, tmp_path) as handle:
        yield handle


@pytest.fixture(params=ONE_FACE[4:])
def lines(request, tmp_path):
    with Handle(request.param, tmp_path) as handle:
        yield handle


def refused(store_kind: str, path: Path) -> StorageError:
    """The error of opening a store there, which must be whole and ours."""
    with pytest.raises(StorageError) as caught:
        _open_and_save(store_kind, path)
    error = caught.value
    assert str(path) in str(error)
    assert error.where == str(path)
    assert error.problem
    assert error.problem in str(error)
    assert error.remedy
    assert error.remedy in str(error)
    assert error.__cause__ is not None
    return error


def _open_and_save(store_kind: str, path: Path) -> None:
    import asyncio

    async def save():
        store = make(store_kind, path)
        try:
            await store.save(trace("a"))
        finally:
            await store.aclose()

    if store_kind.endswith("async"):
        asyncio.run(save())
    else:
        make(store_kind, path).close()  # opens when it is made


class TestPaths:
    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_a_directory(self, store_kind, tmp_path):
        error = refused(store_kind, tmp_path)
        assert "director" in str(error)
        assert "Give the path of a" in error.remedy

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_a_path_under_a_file(self, store_kind, tmp_path):
        (tmp_path / "file").write_text("in the way")
        error = refused(store_kind, tmp_path / "file" / "deep" / "traces")
        assert "not a directory" in error.problem
        assert (tmp_path / "file").read_text() == "in the way"

    @pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc here")
    @pytest.mark.parametrize("store_kind", ON_DISK)
    @pytest.mark.parametrize("path", ["/proc/traces.db", "/proc/nowhere/traces.db"])
    def test_a_folder_that_may_not_be_written(self, store_kind, path):
        refused(store_kind, Path(path))

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
    @pytest.mark.parametrize("store_kind", JSONL)
    def test_a_disk_that_is_full(self, store_kind):
        with pytest.raises(StorageError, match="full"):
            _open_save_close(store_kind, Path("/dev/full"))

    @pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root"
    )
    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_a_folder_without_permission(self, store_kind, tmp_path):
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
        refused(store_kind, folder / "traces")

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_a_name_that_is_too_long(self, store_kind, tmp_path):
        refused(store_kind, tmp_path / ("x" * 300))

    @pytest.mark.parametrize("store_kind", ON_DISK)
    @pytest.mark.parametrize("wrong", [None, 5, 1.5, ["a"], b"bytes.db"])
    def test_what_is_no_path(self, store_kind, wrong, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(TypeError):
            _open_save_close(store_kind, wrong)

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_a_path_with_a_nul(self, store_kind, tmp_path):
        with pytest.raises((ValueError, StorageError)):
            _open_save_close(store_kind, f"{tmp_path}/a\x00b")

    @pytest.mark.parametrize("store_kind", ON_DISK)
    @pytest.mark.parametrize("name", ["file:x?mode=ro", "a b%20c", "é\u0301", "x?y#z", "'q'"])
    def test_odd_names_are_names(self, store_kind, name, tmp_path):
        _open_save_close(store_kind, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 0

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_folders_are_made(self, store_kind, tmp_path):
        _open_save_close(store_kind, tmp_path / "a" / "b" / "traces")
        assert (tmp_path / "a" / "b" / "traces").exists()

    @pytest.mark.parametrize("store_kind", ON_DISK)
    @pytest.mark.parametrize("wrong", ["FULL", "none", None, True])
    def test_an_unknown_durability(self, store_kind, wrong, tmp_path):
        with pytest.raises(ValueError, match="durability must be 'full' or 'normal'"):
            make(store_kind, tmp_path / "traces", durability=wrong)

    @pytest.mark.parametrize(
        "store_kind", [store_kind for store_kind in STORE_KINDS if store_kind.startswith("memory")]
    )
    def test_a_wrong_size(self, store_kind):
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="max_size"):
                make(store_kind, max_size=wrong)
        for wrong in ("5", 5.0, True, None):
            with pytest.raises(TypeError, match="max_size"):
                make(store_kind, max_size=wrong)


def _open_save_close(store_kind: str, path) -> None:
    import asyncio

    async def save():
        store = make(store_kind, path)
        try:
            await store.save(trace("a"))
        finally:
            await store.aclose()

    if store_kind.endswith("async"):
        asyncio.run(save())
    else:
        store = make(store_kind, path)
        try:
            store.save(trace("a"))
        finally:
            store.close()


class TestFilesOfOthers:
    @pytest.mark.parametrize("store_kind", SQLITE)
    @pytest.mark.parametrize(
        "content", [b"this is a letter, not a database\n" * 200, b"\x89PNG" + b"\x00" * 5000]
    )
    def test_a_file_that_is_no_database(self, store_kind, content, tmp_path):
        path = tmp_path / "letter.txt"
        path.write_bytes(content)
        error = refused(store_kind, path)
        assert "not an SQLite database" in error.problem
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["letter.txt"]

    @pytest.mark.parametrize("store_kind", SQLITE)
    def test_a_database_of_a_newer_version(self, store_kind, tmp_path):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store:
            store.save(trace("a"))
        with contextlib.closing(sqlite3.connect(path)) as raw:
            raw.execute("PRAGMA user_version = 99")
        before = path.read_bytes()
        error = refused(store_kind, path)
        assert "newer version" in error.problem
        assert "99" in error.problem
        assert "Upgrade" in error.remedy
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["traces.db"]

    @pytest.mark.parametrize("store_kind", SQLITE)
    @pytest.mark.parametrize(
        "table",
        [
            "CREATE TABLE traces (id INTEGER PRIMARY KEY, body TEXT)",
            "CREATE TABLE traces (run_id TEXT PRIMARY KEY, steps INTEGER)",
        ],
    )
    def test_a_foreign_table(self, store_kind, table, tmp_path):
        path = tmp_path / "traces.db"
        with contextlib.closing(sqlite3.connect(path)) as raw:
            raw.execute(table)
        before = path.read_bytes()
        error = refused(store_kind, path)
        assert "'traces'" in error.problem
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["traces.db"]

    @pytest.mark.parametrize("store_kind", SQLITE)
    def test_a_view_in_place_of_the_table(self, store_kind, tmp_path):
        path = tmp_path / "traces.db"
        with contextlib.closing(sqlite3.connect(path)) as raw:
            raw.execute(
                "CREATE VIEW traces AS SELECT 'a' AS run_id, 1 AS steps, 1.0 AS total_ms, "
                "'x' AS created_at, '{}' AS metadata, '{}' AS trace_json"
            )
        refused(store_kind, path)

    @pytest.mark.parametrize("store_kind", SQLITE)
    def test_tables_of_others_stay(self, store_kind, tmp_path):
        path = tmp_path / "traces.db"
        with contextlib.closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("CREATE TABLE notes (body TEXT)")
            raw.execute("INSERT INTO notes VALUES ('mine')")
        _open_save_close(store_kind, path)
        with contextlib.closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT * FROM notes").fetchall() == [("mine",)]

    @pytest.mark.parametrize("store_kind", SQLITE)
    def test_a_database_cut_in_half(self, store_kind, tmp_path):
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store:
            store.save_many(trace(f"{n}", text="x" * 500) for n in range(500))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with (
            pytest.raises(StorageError, match=re.escape(str(path))),
            Handle(store_kind, tmp_path) as it,
        ):
            it.query(TraceFilter(metadata_match={"text": "x" * 500}))
            it.load_many(f"{n}" for n in range(500))

    @pytest.mark.parametrize("store_kind", JSONL)
    def test_a_text_that_is_no_jsonl(self, store_kind, tmp_path):
        path = file_of(store_kind, tmp_path)
        path.write_bytes(b"a letter\nof two lines\n")
        with Handle(store_kind, tmp_path) as handle:
            assert handle.list() == []
            handle.save(trace("a"))
            assert ids(handle.list()) == ["a"]
        assert path.read_bytes().startswith(b"a letter\nof two lines\n")


class TestTraces:
    @pytest.mark.parametrize("run_id", ["", None, 5, b"a", "\ud800"])
    def test_run_ids(self, handle, run_id):
        handle.save(trace("good"))
        with pytest.raises(InvalidTraceError, match="run_id") as caught:
            handle.save(AgentTrace(run_id=run_id))
        assert isinstance(caught.value, ValueError)
        assert ids(handle.list()) == ["good"]

    def test_a_cycle(self, handle):
        handle.save(trace("a", first=True))
        bad = AgentTrace(steps=[TraceStep(type="llm_call", tool_args={})], run_id="a")
        bad.steps[0].tool_args["self"] = bad.steps[0].tool_args
        with pytest.raises(InvalidTraceError, match=r"'a'.*steps\[0\]\.tool_args\.self"):
            handle.save(bad)
        assert handle.load("a").metadata == {"first": True}

    def test_one_bad_trace_among_many_saves_none(self, handle):
        bad = trace("bad")
        bad.metadata["self"] = bad.metadata
        with pytest.raises(InvalidTraceError, match="'bad'"):
            handle.save_many([trace("a"), bad, trace("b")])
        assert handle.count() == 0

    @pytest.mark.parametrize("wrong", [None, 5, "a", {}, [], object()])
    def test_what_is_no_trace(self, handle, wrong):
        with pytest.raises(InvalidTraceError):
            handle.save(wrong)
        assert handle.count() == 0

    @pytest.mark.parametrize("depth", [50, 200, 400, 500, 700, 940, 990, 5000])
    def test_depth_is_either_kept_or_refused(self, handle, depth):
        handle.save(trace("good"))
        try:
            handle.save(trace("deep", d=nested(depth)))
        except InvalidTraceError as error:
            assert "nested too deeply" in str(error)
            assert depth > 100
            assert ids(handle.list()) == ["good"]
            return
        assert handle.load("deep").metadata["d"]
        handle.reopen()
        assert ids(handle.list()) == ["deep", "good"]
        assert handle.load("deep").metadata["d"]
        assert handle.query(TraceFilter(metadata_match={"d": 5})) == []
        assert len(handle.list()[0].metadata) == 1

    @pytest.mark.parametrize("run_id", ["nobody", "", None, 5, "\ud800", "a\x00b", "x" * 100_000])
    def test_ids_that_are_not_there(self, handle, run_id):
        handle.save(trace("a"))
        with pytest.raises(TraceNotFoundError, match="not found") as caught:
            handle.load(run_id)
        assert isinstance(caught.value, ValueError)
        assert caught.value.run_id == run_id
        assert handle.delete(run_id) is False
        assert handle.load_many([run_id, "a"]).keys() == {"a"}


class TestArguments:
    @pytest.mark.parametrize("wrong", [None, {}, {"min_steps": 1}, "a", 5])
    def test_filters(self, handle, wrong):
        with pytest.raises(TypeError, match="TraceFilter"):
            handle.query(wrong)

    def test_filters_of_the_other_methods(self, handle):
        with pytest.raises(TypeError, match="TraceFilter"):
            handle.count({"min_steps": 1})
        for method in ("iter_summaries", "iter_traces"):
            with pytest.raises(TypeError, match="TraceFilter"):
                getattr(handle, method)({"min_steps": 1})

    @pytest.mark.parametrize("page", [(-1, 0), (0, -1), (-1, -1)])
    def test_negative_pages(self, handle, page):
        with pytest.raises(ValueError, match="must not be negative"):
            handle.list(*page)

    @pytest.mark.parametrize("page", [("5", 0), (None, 0), (5.0, 0), (True, 0), (5, "1")])
    def test_pages_of_the_wrong_type(self, handle, page):
        with pytest.raises(TypeError, match="must be an integer"):
            handle.list(*page)

    @pytest.mark.parametrize("number", [sys.maxsize - 1, sys.maxsize, 2**63, 10**30])
    def test_huge_pages_hold_everything(self, handle, number):
        handle.save_many([trace("a"), trace("b")])
        assert ids(handle.list(limit=number)) == ["b", "a"]
        assert ids(handle.query(TraceFilter(limit=number))) == ["b", "a"]
        assert ids(handle.query(TraceFilter(limit=number, min_steps=0))) == ["b", "a"]
        assert handle.count(TraceFilter(limit=number)) == 2
        assert handle.count(TraceFilter(limit=number, min_steps=0)) == 2
        assert ids(handle.iter_summaries(TraceFilter(limit=number))) == ["b", "a"]
        assert handle.list(limit=1, offset=number) == []
        assert handle.list(limit=number, offset=number) == []

    @pytest.mark.parametrize("number", [10**30, -(10**30), 2**63, 1e308, -1e308, 5e-324])
    def test_huge_bounds(self, handle, number):
        handle.save(trace("a"))
        for names in (("min_ms", "max_ms"), ("min_steps", "max_steps")):
            if isinstance(number, float) and names[0] == "min_steps":
                continue
            low, high = (TraceFilter(**{name: number}) for name in names)
            assert ids(handle.query(low)) == (["a"] if number < 1 else [])
            assert ids(handle.query(high)) == (["a"] if number >= 1 else [])

    @pytest.mark.parametrize("total", [1e19, 1e300, 2.0**63, 2.0**64])
    def test_huge_durations(self, handle, total):
        long = trace("long")
        long.steps[0].duration_ms = total
        handle.save_many([trace("a"), long, *(trace(f"{n}") for n in range(300))])
        exact = int(total)
        for bound in (2**63, exact - 1, exact, exact + 1, 10**18, float(exact), 10**301):
            for filters in (TraceFilter(min_ms=bound), TraceFilter(max_ms=bound)):
                least = filters.min_ms is not None
                expected = total >= bound if least else total <= bound
                found = ids(handle.query(filters))
                assert ("long" in found) is expected
                assert handle.count(filters) == len(found)

    @pytest.mark.parametrize(
        "filters",
        [
            TraceFilter(run_ids=["\ud800", "a", ""]),
            TraceFilter(run_ids=["x" * 100_000, "a"]),
            TraceFilter(run_ids=[*map(str, range(40_000)), "a"]),
        ],
        ids=["surrogate", "long", "many"],
    )
    def test_odd_run_ids_in_a_filter(self, handle, filters):
        handle.save_many([trace("a"), trace("b")])
        assert ids(handle.query(filters)) == ["a"]
        assert handle.count(filters) == 1

    def test_many_run_ids(self, handle):
        handle.save(trace("a"))
        assert handle.load_many([*map(str, range(40_000)), "a"]).keys() == {"a"}

    def test_many_metadata_pairs(self, handle):
        pairs = {f"key{n}": n for n in range(100)}
        handle.save_many([trace("a", **pairs), trace("b")])
        handle.save_many(trace(f"{n}") for n in range(300))
        assert ids(handle.query(TraceFilter(metadata_match=pairs))) == ["a"]
        assert handle.query(TraceFilter(metadata_match=pairs | {"key5": 6})) == []


class TestCursors:
    @pytest.mark.parametrize(
        "cursor", ["", "garbage", "!!!", "é", "\ud800", "AAAA", "W10", "bnVsbA", "a" * 10_000]
    )
    def test_garbage(self, handle, cursor):
        handle.save(trace("a"))
        for method in (handle.list, lambda **k: handle.query(TraceFilter(), **k)):
            with pytest.raises(ValueError, match="invalid cursor for this store.*next_cursor"):
                method(cursor=cursor)

    @pytest.mark.parametrize("cursor", [5, b"abc", ["a"], True])
    def test_what_is_no_string(self, handle, cursor):
        with pytest.raises(TypeError, match="cursor must be a string"):
            handle.list(cursor=cursor)

    def test_of_another_kind_of_store(self, handle, tmp_path):
        handle.save(trace("a"))
        for store_kind in STORE_KINDS:
            if store_kind.split("-")[0] == handle.store_kind.split("-")[0]:
                continue
            with Handle(store_kind, tmp_path / "other") as other:
                other.save_many([trace("a"), trace("b")])
                cursor = other.list(1).next_cursor
            with pytest.raises(ValueError, match="invalid cursor for this store"):
                handle.list(cursor=cursor)

    def test_of_another_store_of_the_kind(self, handle, tmp_path):
        """It cannot be told for sure; it must do no harm."""
        handle.save_many([trace("a"), trace("b")])
        with Handle(handle.store_kind, tmp_path / "other") as other:
            other.save_many(trace(f"{n}") for n in range(10))
            cursor = other.list(3).next_cursor
        assert set(ids(handle.list(cursor=cursor))) <= {"a", "b"}

    def test_numbers_beyond_all_bounds(self, handle):
        handle.save_many([trace("a"), trace("b")])
        kind = handle.store_kind.split("-")[0]
        for key in (2**63 - 1, 2**63, 2**70, -1, -(2**63), -(2**70)):
            for created in (0, 2**70, -(2**70)):
                forged = json.dumps([kind, key, "", created, "a"]).encode()
                cursor = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
                with contextlib.suppress(ValueError):
                    assert set(ids(handle.list(cursor=cursor))) <= {"a", "b"}

    def test_of_a_trace_that_is_gone(self, handle):
        handle.save_many(trace(f"{n}") for n in range(10))
        page = handle.list(3)
        handle.delete(page[-1].run_id)
        assert ids(handle.list(cursor=page.next_cursor)) == [str(n) for n in range(6, -1, -1)]

    def test_of_a_trace_that_was_saved_again(self, handle):
        handle.save_many(trace(f"{n}") for n in range(10))
        page = handle.list(3)
        handle.save(trace(page[-1].run_id))
        assert ids(handle.list(cursor=page.next_cursor)) == [str(n) for n in range(6, -1, -1)]

    def test_survives_reopening(self, handle):
        handle.save_many(trace(f"{n}") for n in range(10))
        cursor = handle.list(3).next_cursor
        handle.reopen()
        assert ids(handle.list(cursor=cursor)) == [str(n) for n in range(6, -1, -1)]

    def test_survives_reopening_when_its_trace_is_gone(self, handle):
        for number in range(10):
            handle.save(trace(f"{number}"))
        page = handle.list(3)
        handle.delete(page[-1].run_id)
        handle.reopen()
        assert ids(handle.list(cursor=page.next_cursor)) == [str(n) for n in range(6, -1, -1)]


class TestClosed:
    METHODS = {
        "save": (trace("a"),),
        "save_many": ([trace("a")],),
        "load": ("a",),
        "load_many": (["a"],),
        "list": (),
        "query": (TraceFilter(),),
        "count": (),
        "delete": ("a",),
        "iter_summaries": (),
        "iter_traces": (),
    }

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method(self, handle, method):
        handle.save(trace("a"))
        handle.close_store()
        with pytest.raises(StoreClosedError, match="closed: open a new one"):
            getattr(handle, method)(*self.METHODS[method])

    def test_with_nothing_to_do(self, handle):
        handle.close_store()
        for method, arguments in (("save_many", ([],)), ("load_many", ([],)), ("list", (0,))):
            with pytest.raises(StoreClosedError):
                getattr(handle, method)(*arguments)

    def test_again(self, handle):
        handle.close_store()
        handle.close_store()

    @pytest.mark.parametrize("store_kind", STORE_KINDS)
    def test_before_it_was_used(self, store_kind, tmp_path):
        store = make(store_kind, file_of(store_kind, tmp_path) if store_kind in ON_DISK else None)
        if store_kind.endswith("async"):
            import asyncio

            asyncio.run(store.aclose())
            with pytest.raises(StoreClosedError):
                asyncio.run(store.save(trace("a")))
        else:
            store.close()
            with pytest.raises(StoreClosedError):
                store.save(trace("a"))

    def test_a_stream_that_was_begun(self, tmp_path):
        with SQLiteTraceStore(tmp_path / "traces.db") as store:
            store.save_many(trace(f"{n}") for n in range(2000))
            stream = store.iter_summaries()
            next(stream)
        with pytest.raises(StoreClosedError):
            list(stream)


DAMAGE = {
    "steps is text": "steps = 'many'",
    "steps is a fraction": "steps = 1.5",
    "steps is a blob": "steps = x'00ff'",
    "total_ms is text": "total_ms = 'long'",
    "total_ms is a blob": "total_ms = x'00ff'",
    "created_at is text": "created_at = 'yesterday'",
    "created_at is empty": "created_at = ''",
    "created_at is naive": "created_at = '2026-01-01T00:00:00'",
    "created_at is a number": "created_at = 5",
    "created_at is a blob": "created_at = x'00ff'",
    "created_at is no UTF-8": "created_at = CAST(x'ff' AS TEXT)",
    "created_at is before time": "created_at = '0001-01-01T00:00:00+14:00'",
    "created_at is after time": "created_at = '9999-12-31T23:59:59-14:00'",
    "run_id is a blob": "run_id = x'00ff'",
    "run_id is null": "run_id = NULL",
    "run_id is no UTF-8": "run_id = CAST(x'ff' AS TEXT)",
}


class TestCorruptRows:
    """One bad row never breaks a list or a query: it is skipped and logged once."""

    ASKED = (
        TraceFilter(),
        TraceFilter(min_steps=0),
        TraceFilter(metadata_match={"user": "ada"}),
        TraceFilter(step_type="llm_call"),
        TraceFilter(run_ids=["good", "bad", "newer"]),
        TraceFilter(has_error=False),
    )

    def damage(self, database, sql: str) -> None:
        with contextlib.closing(sqlite3.connect(database.path)) as raw, raw:
            raw.execute(f"UPDATE traces SET {sql} WHERE run_id = 'bad'")

    @pytest.mark.slow
    @pytest.mark.parametrize("filled", [0, 600], ids=["few", "full blocks"])
    @pytest.mark.parametrize("damage", DAMAGE)
    def test_a_damaged_summary(self, database, damage, filled, caplog):
        for run_id in ("good", "bad", "newer"):
            database.save(trace(run_id, user="ada"))
        database.save_many(trace(f"{n}") for n in range(filled))
        self.damage(database, DAMAGE[damage])
        caplog.set_level(logging.WARNING, "selectools_observe")
        for _ in range(2):  # before and after it is indexed
            assert ids(database.list(1000))[-2:] == ["newer", "good"]
            for asked in self.ASKED:
                found = ids(database.query(asked))
                assert found[-2:] == ["newer", "good"]
                assert "bad" not in found
                if asked != TraceFilter():
                    assert database.count(asked) == len(found)
            assert ids(database.iter_summaries(oldest_first=True))[:2] == ["good", "newer"]
            assert ids(database.iter_traces(oldest_first=True))[:2] == ["good", "newer"]
            database.save(trace("another"))  # indexes what was damaged
            database.delete("another")
            database.reopen()
        assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1

    @pytest.mark.parametrize("damage", ["created_at = 'yesterday'", "steps = 'many'"])
    def test_what_cannot_be_listed_is_not_counted(self, database, damage):
        database.save_many([trace("good"), trace("bad")])
        self.damage(database, damage)
        assert database.count() == len(database.list()) == 1

    @pytest.mark.parametrize(
        "damage",
        ["''", "'nonsense'", "x'ff'", "CAST(x'ff' AS TEXT)", "5", "'null'", "'[]'", "'{\"steps\": 5}'",
         "'{}'", "substr(trace_json, 1, 20)"],
    )  # fmt: skip
    def test_a_damaged_trace(self, database, damage):
        for run_id in ("good", "bad", "newer"):
            database.save(trace(run_id, user="ada"))
        self.damage(database, f"trace_json = {damage}")
        for _ in range(2):
            assert ids(database.list()) == ["newer", "bad", "good"]
            with pytest.raises(CorruptTraceError) as caught:
                database.load("bad")
            assert "'bad'" in str(caught.value)
            assert str(database.path) in str(caught.value)
            assert "traces" in caught.value.where
            assert caught.value.reason
            with pytest.raises(CorruptTraceError):
                database.load_many(["good", "bad"])
            assert database.load("good").run_id == "good"
            assert ids(database.iter_traces()) == ["newer", "good"]
            assert ids(database.query(TraceFilter(step_type="llm_call"))) == ["newer", "good"]
            assert len(database.query(TraceFilter(metadata_match={"user": "ada"}))) == 3
            database.reopen()
        assert database.delete("bad")
        assert database.count() == 2

    @pytest.mark.parametrize(
        "damage",
        ["''", "'nonsense'", "x'ff'", "CAST(x'ff' AS TEXT)", "5", "'[1]'", "'null'", "'\"a\"'"],
    )
    def test_damaged_metadata_reads_as_none(self, database, damage):
        for run_id in ("good", "bad", "newer"):
            database.save(trace(run_id, user="ada"))
        self.damage(database, f"metadata = {damage}")
        for _ in range(2):
            assert ids(database.list()) == ["newer", "bad", "good"]
            assert database.list()[1].metadata == {}
            found = database.query(TraceFilter(metadata_match={"user": "ada"}))
            assert ids(found) == ["newer", "good"]
            assert database.load("bad").metadata == {"user": "ada"}  # it has its own copy
            database.reopen()

    def test_a_damaged_index_is_an_error_of_ours(self, database):
        database.save(trace("a", user="ada"))
        with contextlib.closing(sqlite3.connect(database.path)) as raw, raw:
            raw.execute("DROP TABLE trace_postings")
        for method in (
            lambda: database.query(TraceFilter(metadata_match={"user": "ada"})),
            lambda: database.save_many(trace(f"{n}") for n in range(600)),
        ):
            try:
                method()
            except TraceStoreError as error:
                assert str(database.path) in str(error)


class TestCorruptLines:
    def add(self, lines, data: bytes) -> None:
        with open(lines.path, "ab") as file:
            file.write(data)

    @staticmethod
    def line(**changes) -> dict:
        run = AgentTrace(run_id="bad", start_time=1.0).to_dict()
        return {
            "run_id": "bad",
            "steps": 0,
            "total_ms": 0.0,
            "created_at": "2026-01-01T00:00:00+00:00",
            "metadata": {},
            "trace": run,
        } | changes

    def check(self, lines) -> None:
        for _ in range(2):
            assert ids(lines.list()) == ["newer", "good"]
            assert lines.count() == 2
            for filters in TestCorruptRows.ASKED:
                assert ids(lines.query(filters)) == ["newer", "good"]
            assert ids(lines.iter_traces()) == ["newer", "good"]
            assert lines.load("newer").metadata == {"user": "ada"}
            lines.reopen()

    @pytest.mark.parametrize(
        "bad",
        [
            b"nonsense",
            b"{",
            b"[]",
            b"5",
            b"null",
            b'"text"',
            b"{}",
            b'{"run_id": "bad"}',
            b"\xff\xfe",
            b"\x00" * 5000,
            b"{" * 100_000,
            b"[" * 100_000 + b"]" * 100_000,
        ],
        ids=lambda data: repr(data[:12]),
    )
    def test_a_line_that_is_no_trace(self, lines, bad):
        lines.save(trace("good", user="ada"))
        self.add(lines, bad + b"\n")
        lines.save(trace("newer", user="ada"))
        self.check(lines)
        assert bad + b"\n" in lines.path.read_bytes()

    @pytest.mark.parametrize(
        "changes",
        [
            {"run_id": 5},
            {"run_id": None},
            {"run_id": ""},
            {"run_id": ["bad"]},
            {"steps": "many"},
            {"steps": None},
            {"steps": 1.5},
            {"total_ms": "long"},
            {"total_ms": None},
            {"created_at": None},
            {"created_at": 5},
            {"created_at": ""},
            {"created_at": "yesterday"},
            {"created_at": "2026-01-01T00:00:00"},
            {"created_at": "0001-01-01T00:00:00+14:00"},
            {"created_at": ["2026-01-01T00:00:00+00:00"]},
            {"trace": None},
            {"trace": 5},
            {"trace": []},
            {"trace": {"steps": 5}},
            {"trace": {"steps": [{"type": 5}]}},
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("with_surrogate", [False, True])
    def test_a_line_with_a_damaged_field(self, lines, changes, with_surrogate):
        lines.save(trace("good", user="ada"))
        bad = self.line(**changes)
        if with_surrogate:  # it is read another way
            bad["more"] = "\ud800"
        self.add(lines, json.dumps(bad).encode() + b"\n")
        lines.save(trace("newer", user="ada"))
        self.check(lines)
        if isinstance(bad["run_id"], str) and bad["run_id"]:
            with pytest.raises(CorruptTraceError, match=re.escape(str(lines.path))) as caught:
                lines.load("bad")
            assert re.search(r"byte \d+", caught.value.where)
        assert lines.count() == 2

    @pytest.mark.parametrize("metadata", [None, 5, [1], "text"])
    def test_damaged_metadata_reads_as_none(self, lines, metadata):
        self.add(lines, json.dumps(self.line(metadata=metadata)).encode() + b"\n")
        assert lines.list()[0].metadata == {}
        assert lines.load("bad").run_id == "bad"

    def test_a_line_without_metadata(self, lines):
        line = self.line()
        del line["metadata"]
        self.add(lines, json.dumps(line).encode() + b"\n")
        assert lines.list()[0].metadata == {}

    def test_a_line_cut_in_the_middle_then_appended_to(self, lines):
        lines.save(trace("good", user="ada"))
        lines.save(trace("torn", user="ada"))
        whole = lines.path.read_bytes()
        lines.close_store()
        lines.path.write_bytes(whole[:-40])
        lines.open()
        assert ids(lines.list()) == ["good"]
        lines.save(trace("newer", user="ada"))
        self.check(lines)
        with pytest.raises(CorruptTraceError):
            lines.load("torn")
        lines.save(trace("torn", user="ada"))
        assert ids(lines.list()) == ["torn", "newer", "good"]

    @pytest.mark.parametrize("cut", range(1, 60, 7))
    def test_wherever_it_is_cut(self, lines, cut):
        lines.save(trace("good", user="ada"))
        lines.save(trace("torn", user="ada"))
        lines.close_store()
        whole = lines.path.read_bytes()
        lines.path.write_bytes(whole[:-cut])
        lines.open()
        lines.save(trace("newer", user="ada"))
        survivors = ["torn", "good"] if cut == 1 else ["good"]
        for _ in range(2):
            assert ids(lines.list()) == ["newer", *survivors]
            lines.reopen()
        for line in lines.path.read_bytes().splitlines():
            if line.startswith(b'{"run_id":"newer"'):
                json.loads(line)
                break
        else:
            pytest.fail("the new line does not stand alone")

    def test_cut_while_it_is_open(self, lines):
        lines.save(trace("good", user="ada"))
        lines.save(trace("torn", user="ada"))
        os.truncate(lines.path, lines.path.stat().st_size - 30)
        assert ids(lines.list()) == ["good"]
        lines.save(trace("newer", user="ada"))
        self.check(lines)

    def test_a_torn_line_does_not_hide_an_older_one(self, lines):
        lines.save(trace("a", version=1))
        lines.save(trace("a", version=2))
        os.truncate(lines.path, lines.path.stat().st_size - 30)
        assert lines.load("a").metadata == {"version": 1}
        lines.save(trace("b"))
        lines.reopen()
        assert lines.load("a").metadata == {"version": 1}

    def test_deleting_keeps_what_cannot_be_read(self, lines):
        lines.save(trace("good", user="ada"))
        self.add(lines, b"nonsense\n\x00\x00\n")
        lines.save(trace("gone", user="ada"))
        lines.save(trace("newer", user="ada"))
        self.add(lines, b'{"run_id": "torn", "st')
        assert lines.delete("gone") is True
        assert lines.delete("gone") is False
        self.check(lines)
        assert b"nonsense\n\x00\x00\n" in lines.path.read_bytes()
        lines.save(trace("last"))
        assert ids(lines.list()) == ["last", "newer", "good"]

    def test_deleting_a_run_that_cannot_be_read(self, lines):
        lines.save(trace("good", user="ada"))
        self.add(lines, b'{"run_id": "bad", "steps": 5\n')
        lines.save(trace("newer", user="ada"))
        with pytest.raises(CorruptTraceError):
            lines.load("bad")
        assert lines.delete("bad") is True
        with pytest.raises(TraceNotFoundError):
            lines.load("bad")
        self.check(lines)
        assert b"bad" not in lines.path.read_bytes()

    def test_lines_whose_keys_stand_in_another_order(self, lines):
        """As ``jq -S`` leaves them."""
        text = json.dumps(self.line(metadata={"user": "ada"}), sort_keys=True)
        self.add(lines, text.encode() + b"\n")
        lines.save(trace("newer"))
        assert ids(lines.list()) == ["newer", "bad"]
        assert lines.load("bad").run_id == "bad"
        assert lines.delete("bad") is True
        lines.reopen()
        assert ids(lines.list()) == ["newer"]

    def test_lines_indented_by_spaces_and_ended_by_crlf(self, lines):
        text = "  " + json.dumps(self.line()) + "  \r\n\r\n   \n"
        self.add(lines, text.encode())
        lines.save(trace("newer"))
        assert ids(lines.list()) == ["newer", "bad"]
        assert lines.load("bad").run_id == "bad"
        assert lines.delete("bad") is True
        lines.reopen()
        assert ids(lines.list()) == ["newer"]

    def test_a_file_that_was_emptied(self, lines):
        lines.save(trace("a"))
        os.truncate(lines.path, 0)
        assert lines.list() == []
        lines.save(trace("b"))
        assert ids(lines.list()) == ["b"]

    def test_a_file_that_was_taken_away(self, lines):
        lines.save(trace("a"))
        lines.path.unlink()
        assert lines.list() == []
        lines.save(trace("b"))
        assert ids(lines.list()) == ["b"]
        assert lines.path.exists()

    def test_a_file_that_was_replaced(self, lines, tmp_path):
        lines.save(trace("a"))
        with Handle(lines.store_kind, tmp_path / "other") as other:
            other.save(trace("b"))
        os.replace(other.path, lines.path)
        assert ids(lines.list()) == ["b"]
        lines.save(trace("c"))
        assert ids(lines.list()) == ["c", "b"]

    def test_two_records_on_one_line(self, lines):
        """What two writers without a lock leave behind."""
        one = json.dumps(self.line()).encode()
        lines.save(trace("good", user="ada"))
        self.add(lines, one + one + b"\n")
        lines.save(trace("newer", user="ada"))
        self.check(lines)


class TestNothingEscapesBare:
    """Whatever SQLite or the system says comes as `StorageError`."""

    def test_a_database_that_vanishes(self, database):
        database.save(trace("a"))
        with contextlib.closing(sqlite3.connect(database.path)) as raw, raw:
            raw.execute("DROP TABLE traces")
        for method, arguments in TestClosed.METHODS.items():
            try:
                getattr(database, method)(*arguments)
            except TraceStoreError as error:
                assert str(database.path) in str(error)

    def test_a_trigger_that_refuses(self, database):
        database.save(trace("before"))
        with contextlib.closing(sqlite3.connect(database.path)) as raw, raw:
            raw.execute(
                "CREATE TRIGGER no BEFORE INSERT ON traces WHEN NEW.run_id = 'b' "
                "BEGIN SELECT RAISE(ABORT, 'not b'); END"
            )
        with pytest.raises(StorageError, match="not b"):
            database.save_many([trace("a"), trace("b")])
        with pytest.raises(
            StorageError,
            match="unknown triggers, views or constraints act on its tables: trigger 'no'",
        ):
            database.save(trace("a"))
        with contextlib.closing(sqlite3.connect(database.path)) as raw, raw:
            raw.execute("DROP TRIGGER no")
        database.save(trace("a"))
        assert database.count() == 2

    def test_lines_on_a_path_that_becomes_a_directory(self, lines):
        lines.save(trace("a"))
        lines.path.unlink()
        lines.path.mkdir()
        try:
            for method, arguments in TestClosed.METHODS.items():
                try:
                    getattr(lines, method)(*arguments)
                except TraceStoreError as error:
                    assert str(lines.path) in str(error)
        finally:
            lines.path.rmdir()


def test_cursors_are_what_these_tests_forge():
    """`test_numbers_beyond_all_bounds` is worth something only while this holds."""
    with SQLiteTraceStore(":memory:") as store:
        store.save_many([trace("a"), trace("b")])
        cursor = store.list(1).next_cursor
    fields = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    assert fields[0] == "sqlite"
    assert fields[4] == "b"
