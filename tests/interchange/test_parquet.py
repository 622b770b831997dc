"""Runs in Parquet: nothing is lost, and other programs read them."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import selectools_observe as so
from selectools_observe.interchange import read_runs, saved_runs, write_parquet
from selectools_observe.interchange.parquet_files import is_parquet

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")


def some_runs() -> list[so.AgentTrace]:
    """Ten runs of two model calls and a tool call each."""
    runs = []
    for number in range(10):
        run = so.AgentTrace(run_id=f"run-{number}", metadata={"user": "ada", "n": number})
        for model in ("small", "large"):
            call = so.TraceStep("llm_call", model=model, prompt_tokens=100, cost_usd=0.01)
            run.add(call)
        run.add(so.TraceStep("tool_execution", tool_name="lookup", tool_args={"a": [1]}))
        runs.append(run)
    return runs


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def stored(runs: list[so.AgentTrace]) -> so.InMemoryTraceStore:
    store = so.InMemoryTraceStore(max_size=10_000)
    store.save_many(runs)
    return store


def exported(store: so.InMemoryTraceStore, folder: Path) -> Path:
    write_parquet(saved_runs(store, so.TraceFilter(), print), folder)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return exported(stored(some_runs()), tmp_path / "runs")


def test_a_day_is_a_partition(folder):
    (path,) = files_of(folder)
    today = datetime.now(UTC).date()
    assert re.fullmatch(r"day=\d{4}-\d\d-\d\d", path.parent.name)
    assert abs((datetime.fromisoformat(path.parent.name[4:]).date() - today).days) <= 1
    assert is_parquet(path)


def test_duckdb(folder):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    rows = duckdb.sql(
        f"""
        SELECT step.model, count(*), sum(step.prompt_tokens)
        FROM (SELECT unnest(steps) AS step FROM read_parquet('{folder}/*/*.parquet'))
        WHERE step.type = 'llm_call' GROUP BY 1 ORDER BY 1
        """
    ).fetchall()
    assert rows == [("large", 10, 1000), ("small", 10, 1000)]
    (found,) = duckdb.sql(
        f"""
        SELECT count(*), max(day) IS NOT NULL, bool_or(has_error), sum(cost_usd),
               max(json_extract_string(metadata, '$.user'))
        FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true)
        """
    ).fetchall()
    assert found == (10, True, False, pytest.approx(0.2), "ada")


def test_polars(folder):
    pl = pytest.importorskip("polars", reason="the extra polars is not installed")
    frame = pl.scan_parquet(f"{folder}/*/*.parquet", hive_partitioning=True)
    steps = frame.select("run_id", "steps").explode("steps").unnest("steps").collect()
    assert steps.filter(pl.col("type") == "llm_call")["prompt_tokens"].sum() == 2000
    assert frame.collect()["created_at"].dtype == pl.Datetime("us", "UTC")


def test_what_does_not_fit_a_column_is_null_there_and_whole_in_the_run(tmp_path):
    step = so.TraceStep("llm_call", timestamp=1e300, prompt_tokens=2**80, model="\ud800")
    folder = exported(stored([so.AgentTrace(run_id="r", steps=[step])]), tmp_path / "runs")
    (path,) = files_of(folder)
    (row,) = pa.parquet.read_table(path).to_pylist()
    (found,) = row["steps"]
    assert (found["timestamp"], found["prompt_tokens"]) == (None, None)
    assert found["model"] == "\\ud800"
    (run,) = read_runs(path)
    assert run.steps == [step]


def test_an_export_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield from saved_runs(stored(some_runs()), so.TraceFilter(), print)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_parquet(failing(), tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_replaced(folder):
    with pytest.raises(FileExistsError):
        exported(stored(some_runs()), folder)
    assert len(files_of(folder)) == 1


def test_a_damaged_file_is_reported(folder):
    (path,) = files_of(folder)
    data = path.read_bytes()
    for end in (len(data) // 2, 10):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match="Parquet"):
            list(read_runs(path))


@pytest.mark.slow
def test_the_command_and_back(tmp_path):
    with so.SQLiteTraceStore(tmp_path / "x.db") as store:
        store.save_many(some_runs())
        before = list(store.iter_traces(oldest_first=True))
    for line in (["export", "-s", "x.db", "--parquet", "out"], ["import", "out", "-s", "y.db"]):
        done = subprocess.run(
            [sys.executable, "-m", "selectools_observe", *line],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    with so.SQLiteTraceStore(tmp_path / "y.db") as store:
        assert list(store.iter_traces(oldest_first=True)) == before


def test_without_pyarrow_one_line_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "selectools-observe\[parquet\]"'):
        exported(stored(some_runs()), tmp_path / "runs")
