"""A copy to PostgreSQL and back is killed in the midst, goes on, and ends equal."""

from __future__ import annotations

import pytest

pytest.importorskip("psycopg", reason="the package psycopg is not installed")
pytest.importorskip("click", reason="the extra cli is not installed")

from command import run
from killed_copy import kill_copy

import selectools_observe as so
from selectools_observe.stores.open import open_store

RUNS = 2000


def copied_with_kills(source: str, target: str) -> None:
    kill_copy(source, target)
    before = held(target)
    assert 0 < before < RUNS
    again = run("copy", source, target, "--verify")
    assert f"{RUNS - before:,} runs saved" in again.stderr
    assert f"{RUNS:,} runs compared: all are equal" in again.stderr
    assert again.returncode == 0


def held(target: str) -> int:
    store = open_store(target, must_exist=True)
    try:
        return store.count()
    finally:
        store.close()


def test_there_and_back(tmp_path, postgres_url):
    source, back = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    with so.SQLiteTraceStore(source) as store:
        store.save_many([so.AgentTrace(run_id=f"run-{n}") for n in range(RUNS)])
        store.annotate_many(
            [so.Annotation(f"run-{n}", "quality", score=n / RUNS) for n in range(0, RUNS, 7)]
        )
    copied_with_kills(source, postgres_url)
    copied_with_kills(postgres_url, back)
    with so.SQLiteTraceStore(source) as one, so.SQLiteTraceStore(back) as other:
        assert list(one.iter_summaries()) == list(other.iter_summaries())
