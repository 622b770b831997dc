"""Damage that leaves valid JSON behind is noticed all the same."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_kinds import past_the_triggers

from selectools_observe import (
    AgentTrace,
    CorruptTraceError,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.model.checksum import checksum


def trace(run_id: str) -> AgentTrace:
    step = TraceStep("llm_call", 0, 10, model="gpt-4o", summary="a plain answer", cost_usd=0.5)
    return AgentTrace([step], 0, run_id, None, {"user": "alice"})


def change(path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


@given(st.binary(max_size=20_000) | st.integers(0, 600_000).map(bytes), st.integers(0, 2**32 - 1))
def test_it_is_zlibs(data, start):
    assert checksum(data, start) == zlib.crc32(data, start)


@pytest.fixture
def damaged(tmp_path, caplog):
    """A store with three runs, of which the second will be changed behind its back."""

    def make(kind):
        path = tmp_path / ("traces.db" if kind is SQLiteTraceStore else "traces.jsonl")
        with kind(path) as store:
            store.save_many([trace("one"), trace("two"), trace("three")])
        return path

    return make


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("metadata", '{"user": "alicf"}'),
        ("total_ms", 11.0),
        ("steps", 2),
        ("created_at", "2026-03-01T00:00:00.000000+00:00"),
    ],
)
def test_a_damaged_row_is_listed_as_it_was_saved(column, value, damaged):
    path = damaged(SQLiteTraceStore)
    with SQLiteTraceStore(path) as store:
        before = store.list()
    with past_the_triggers(path) as raw:
        raw.execute(f"UPDATE traces SET {column} = ? WHERE run_id = 'two'", (value,))
    with SQLiteTraceStore(path) as store:
        assert store.list() == before
        assert store.query(TraceFilter(min_ms=1)) == before
        assert store.load("two").run_id == "two"
        assert [problem.run_id for problem in store.verify().problems] == ["two"]


@pytest.mark.parametrize(
    "damage",
    [
        "replace(CAST(summary AS TEXT), 'alice', 'alicf')",
        "replace(CAST(summary AS TEXT), '10.0', '11.0')",
        "replace(CAST(summary AS TEXT), '[', '[[')",
        "x'00ff'",
        "5",
    ],
)
def test_a_damaged_summary_is_skipped(damage, caplog, damaged):
    path = damaged(SQLiteTraceStore)
    with past_the_triggers(path) as raw:
        raw.execute(
            f"UPDATE trace_facets SET summary = {damage} "
            "WHERE id = (SELECT rowid FROM traces WHERE run_id = 'two')"
        )
    with SQLiteTraceStore(path) as store:
        assert [summary.run_id for summary in store.list()] == ["three", "one"]
        assert [s.run_id for s in store.query(TraceFilter(min_ms=1))] == ["three", "one"]
        assert "checksum" in caplog.text
        assert store.load("two").run_id == "two"
        assert [problem.run_id for problem in store.verify().problems] == ["two"]


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_metadata_of_any_size_is_listed(size, tmp_path):
    """Long metadata is not written twice: it is read from the table."""
    metadata = {"note": "x" * size, "lone": "\ud800", "big": 10**30}
    with SQLiteTraceStore(tmp_path / "traces.db") as store:
        store.save_many([trace("one"), AgentTrace(run_id="two", metadata=metadata), trace("three")])
        assert [summary.metadata for summary in store.list()][1] == metadata
        (found,) = store.query(TraceFilter(metadata_match={"big": 10**30}))
        assert found.metadata == metadata
        assert store.verify().ok


def test_long_metadata_that_was_damaged_is_skipped(tmp_path, caplog):
    path = tmp_path / "traces.db"
    with SQLiteTraceStore(path) as store:
        store.save_many([AgentTrace(run_id=name, metadata={"x": "y" * 5000}) for name in "ab"])
    with past_the_triggers(path) as raw:
        raw.execute("UPDATE traces SET metadata = replace(metadata, 'y', 'z') WHERE run_id = 'a'")
    with SQLiteTraceStore(path) as store:
        assert [summary.run_id for summary in store.list()] == ["b"]
        assert "checksum" in caplog.text


def test_a_damaged_trace_is_corrupt(damaged):
    path = damaged(SQLiteTraceStore)
    with past_the_triggers(path) as raw:
        raw.execute(
            "UPDATE traces SET trace_json = replace(trace_json, 'plain', 'plaid') "
            "WHERE run_id = 'two'"
        )
    with SQLiteTraceStore(path) as store:
        with pytest.raises(CorruptTraceError, match="checksum"):
            store.load("two")
        with pytest.raises(CorruptTraceError, match="checksum"):
            store.load_many(["one", "two"])
        assert [loaded.run_id for loaded in store.iter_traces()] == ["three", "one"]


def test_what_another_program_changes_is_no_damage(damaged):
    path = damaged(SQLiteTraceStore)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(
            "UPDATE traces SET trace_json = replace(trace_json, 'plain', 'plaid') "
            "WHERE run_id = 'two'"
        )
    with SQLiteTraceStore(path) as store:
        assert store.load("two").steps[0].summary == "a plaid answer"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"run_id":"two","steps":1', b'"run_id":"two","steps":2'),
        (b'"two","steps":1,"total_ms":10.0', b'"two","steps":1,"total_ms":10.1'),
    ],
)
def test_a_damaged_line_is_skipped(old, new, damaged, caplog):
    path = damaged(JSONLTraceStore)
    change(path, old, new)
    with JSONLTraceStore(path) as store:
        assert [summary.run_id for summary in store.list()] == ["three", "one"]
        with pytest.raises(CorruptTraceError, match="checksum"):
            store.load("two")
    assert "checksum" in caplog.text


def test_a_line_damaged_while_it_is_open(damaged):
    path = damaged(JSONLTraceStore)
    with JSONLTraceStore(path) as store:
        lines = path.read_bytes().splitlines(keepends=True)
        lines[1] = lines[1].replace(b"plain", b"plaid")
        with path.open("r+b") as file:
            file.write(b"".join(lines))
        with pytest.raises(CorruptTraceError, match="checksum"):
            store.load("two")
        assert [loaded.run_id for loaded in store.iter_traces()] == ["three", "one"]


@pytest.mark.parametrize(
    "bits",
    [(0, 1, 2, 3, 4, 5, 6, 7), *(pytest.param((n,), marks=pytest.mark.slow) for n in range(8))],
)
def test_any_bit_of_a_line(bits, damaged, tmp_path):
    """Each in turn, one of each byte; with `slow` each of each byte."""
    path = damaged(JSONLTraceStore)
    lines = path.read_bytes().splitlines(keepends=True)
    with JSONLTraceStore(path) as store:
        good = store.load("two").to_dict()
    for place in range(len(lines[1]) - 1):
        spoiled = bytearray(lines[1])
        spoiled[place] ^= 1 << bits[place % len(bits)]
        path.write_bytes(lines[0] + bytes(spoiled) + lines[2])
        with JSONLTraceStore(path) as store:
            found = [summary.run_id for summary in store.list()]
            assert found in (["three", "one"], ["three", "two", "one"])
            if "two" in found:
                assert store.load("two").to_dict() == good, place


def test_lines_without_a_checksum_are_read(damaged):
    path = damaged(JSONLTraceStore)
    lines = [json.dumps(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{line}\n" for line in lines))
    with JSONLTraceStore(path) as store:
        assert store.load("two").metadata == {"user": "alice"}
