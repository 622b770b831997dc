"""Files of earlier versions: they open with everything in them, as new as any other."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from pathlib import Path

import pytest

from selectools_observe import SQLiteTraceStore, TraceFilter, TraceNotFoundError

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def first(tmp_path) -> Path:
    """What the first version wrote: 299 runs, two more deleted, one by another program."""
    path = tmp_path / "traces.db"
    path.write_bytes(gzip.decompress((DATA / "schema-1.db.gz").read_bytes()))
    return path


def ids(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        return [row[0] for row in raw.execute("SELECT run_id FROM traces ORDER BY rowid DESC")]


def test_everything_is_there_in_its_order(first):
    before = ids(first)
    with SQLiteTraceStore(first) as store:
        assert [summary.run_id for summary in store.list(limit=1000)] == before
        assert before[:3] == ["foreign", "run-005", "run-298"]
        assert store.load("run-123").metadata == {"n": 123, "even": False}
        with pytest.raises(TraceNotFoundError):
            store.load("run-299")


def test_what_the_version_added_is_known_of_old_runs(first):
    with SQLiteTraceStore(first) as store:
        assert store.count(TraceFilter(min_cost_usd=0.5)) == 297
        (summary,) = store.query(TraceFilter(metadata_match={"n": 42}))
        assert (summary.prompt_tokens, summary.completion_tokens) == (42, 1)
        assert (summary.cost_usd, summary.has_error) == (0.5, False)


def test_ids_of_deleted_runs_are_not_given_again(first):
    with SQLiteTraceStore(first) as store:
        store.delete("foreign")
        store.delete("run-005")
        page = store.list(1)
        store.save(store.load("run-000"))
        assert page.next_cursor
        later = store.list(3, cursor=page.next_cursor)
        assert [summary.run_id for summary in later] == ["run-297", "run-296", "run-295"]
        with contextlib.closing(sqlite3.connect(first)) as raw:
            (newest,) = raw.execute("SELECT max(rowid) FROM traces").fetchone()
    assert newest > 302


def test_it_is_of_this_version_afterwards(first):
    with SQLiteTraceStore(first):
        pass
    with contextlib.closing(sqlite3.connect(first)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (3,)
