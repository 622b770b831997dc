"""A store is opened by its name."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import selectools_observe as so
from selectools_observe.backends.files.file_kind import ENDINGS
from selectools_observe.stores import maintenance
from selectools_observe.stores.open import StoreName, open_async_store, open_store, store_name


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("traces.db", "sqlite", "traces.db"),
        ("a folder/traces.SQLite3", "sqlite", "a folder/traces.SQLite3"),
        ("runs.jsonl", "jsonl", "runs.jsonl"),
        ("runs.ndjson", "jsonl", "runs.ndjson"),
        ("sqlite:///traces", "sqlite", "traces"),
        ("sqlite:////var/traces", "sqlite", "/var/traces"),
        ("SQLITE:///traces.jsonl", "sqlite", "traces.jsonl"),
        ("sqlite:traces.odd", "sqlite", "traces.odd"),
        ("jsonl:///a/b.txt", "jsonl", "a/b.txt"),
        ("jsonl:///100%25.log", "jsonl", "100%25.log"),
        ("file:///var/x.db", "sqlite", "/var/x.db"),
        ("memory:", "memory", ""),
        ("memory://", "memory", ""),
        (":memory:", "sqlite", ":memory:"),
        (r"C:\traces.db", "sqlite", r"C:\traces.db"),
    ],
)
def test_names(name, kind, path):
    assert store_name(name) == StoreName(kind, path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "needs a name"),
        ("traces", "sqlite:///traces"),
        ("mysql://host/db", "is not a store that can be opened"),
        ("sqlite://host/x.db", "names a host"),
        ("sqlite://", "names a host"),
        ("sqlite:///", "does not name a file"),
        ("sqlite:///x.db?mode=ro", "durability"),
        ("sqlite:///x.db?durability=much", "durability"),
        ("a\0.db", "invalid file name"),
    ],
)
def test_names_that_are_none_say_what_to_write(name, says):
    with pytest.raises(ValueError, match=says):
        store_name(name)


def test_a_name_must_be_text():
    with pytest.raises(TypeError, match="must be text"):
        store_name(b"traces.db")


def test_durability_can_be_said():
    assert store_name("sqlite:///x?durability=normal") == StoreName("sqlite", "x", "normal")


def test_what_is_in_the_file_decides(tmp_path):
    database = tmp_path / "looks-like.jsonl"
    with so.SQLiteTraceStore(database) as store:
        store.save(so.AgentTrace(run_id="in the database"))
    lines = tmp_path / "no-ending"
    with so.JSONLTraceStore(lines) as store:
        store.save(so.AgentTrace(run_id="in the lines"))
    for path, run_id in ((database, "in the database"), (lines, "in the lines")):
        for name in (path, str(path)):
            store = open_store(name)
            try:
                assert [run.run_id for run in store.list()] == [run_id]
            finally:
                store.close()


def test_a_packed_file_is_to_be_unpacked(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(gzip.compress(b"{}"))
    with pytest.raises(ValueError, match=r"gzip: decompress it first"):
        store_name(path)


def test_a_file_of_something_else_names_the_way_to_insist(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("buy milk")
    with pytest.raises(ValueError, match=r"neither .* sqlite:///"):
        store_name(path)
    assert store_name(f"jsonl:///{path}").kind == "jsonl"


def test_a_directory_is_no_store(tmp_path):
    with pytest.raises(so.StorageError, match="directory"):
        store_name(tmp_path)


@pytest.mark.parametrize("name", ["missing.db", "missing.jsonl", "sqlite:///missing"])
@pytest.mark.parametrize("opens", [open_store, open_async_store])
def test_a_missing_file_is_not_made_if_it_must_exist(name, opens, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(so.StorageError, match="no such file"):
        opens(name, must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_named_like_a_url_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("odd:name.db").touch()
    assert store_name("odd:name.db") == StoreName("sqlite", "odd:name.db")


@pytest.mark.parametrize("name", ["x.db", "x.jsonl", "memory:"])
async def test_the_async_store_is_of_the_same_kind(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_async_store(name)
    assert so.is_async_store(store)
    await store.save(so.AgentTrace(run_id="a"))
    await store.aclose()
    if name != "memory:":
        blocking = open_store(name, must_exist=True)
        assert blocking.count() == 1
        blocking.close()


@pytest.mark.parametrize("ending", ENDINGS)
def test_opening_and_maintenance_agree_on_empty_files(ending, tmp_path):
    path = tmp_path / f"runs{ending.upper()}"
    path.touch()
    assert store_name(path).kind == maintenance.kind_of(path) == ENDINGS[ending]


def test_opening_and_maintenance_agree_on_damaged_files(tmp_path):
    database = tmp_path / "runs.db"
    with so.SQLiteTraceStore(database) as store:
        store.save(so.AgentTrace(run_id="run"))
    with so.JSONLTraceStore(tmp_path / "runs.jsonl") as store:
        store.save(so.AgentTrace(run_id="run"))
        store.save(so.AgentTrace(run_id="other", metadata={"long": "x" * 1000}))
    for kind, path in (("sqlite", database), ("jsonl", tmp_path / "runs.jsonl")):
        damaged = tmp_path / f"damaged-{kind}"
        damaged.write_bytes(b"\xff" * 16 + path.read_bytes()[16:])
        assert store_name(damaged).kind == maintenance.kind_of(damaged) == kind
