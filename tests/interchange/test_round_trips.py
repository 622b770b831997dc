"""Runs out and back again through every form that we write: every field, in their order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st

import selectools_observe as so
from selectools_observe.interchange import read_runs, saved_runs, write_parquet
from selectools_observe.interchange.exports import jsonl_lines

TEXT = st.text(max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
MESSAGES = st.lists(st.fixed_dictionaries({"role": TEXT, "content": TEXT}), max_size=3)
STEPS = st.builds(
    so.TraceStep,
    type=st.sampled_from(["llm_call", "tool_execution", "graph_node_start", "of a newer version"]),
    timestamp=st.floats(0, 2e9),
    duration_ms=st.floats(0, 1e6),
    tool_name=st.none() | TEXT,
    tool_args=st.none() | st.dictionaries(TEXT, JSON, max_size=2),
    tool_result=st.none() | TEXT,
    model=st.none() | TEXT,
    prompt_tokens=st.none() | st.integers(0, 10**9),
    cost_usd=st.none() | st.floats(0, 10),
    error=st.none() | TEXT,
    input=st.none() | MESSAGES,
    output=st.none() | MESSAGES,
)
RUNS = st.lists(
    st.builds(
        so.AgentTrace,
        steps=st.lists(STEPS, max_size=4),
        start_time=st.floats(0, 2e9),
        run_id=st.uuids().map(lambda each: each.hex),
        parent_run_id=st.none() | TEXT,
        metadata=st.dictionaries(TEXT, JSON, max_size=2),
        name=st.none() | TEXT,
        input=st.none() | TEXT,
        session_id=st.none() | TEXT,
        tags=st.none() | st.lists(TEXT, max_size=2),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda run: run.run_id,
)


def through_jsonl(store: so.SQLiteTraceStore, folder: Path) -> list[Path]:
    path = folder / "out.jsonl"
    path.write_bytes(b"".join(jsonl_lines(saved_runs(store, so.TraceFilter(), print))))
    return [path]


def through_sqlite(_: so.SQLiteTraceStore, folder: Path) -> list[Path]:
    return [folder / "x.db"]


def through_parquet(store: so.SQLiteTraceStore, folder: Path) -> list[Path]:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    write_parquet(saved_runs(store, so.TraceFilter(), print), folder / "out")
    return sorted((folder / "out").rglob("*.parquet"))


@pytest.mark.parametrize("through", [through_jsonl, through_sqlite, through_parquet])
@profile(100)
@given(runs=RUNS)
def test_every_field_and_the_order_come_back(tmp_path_factory, through, runs):
    folder = tmp_path_factory.mktemp("trip")
    with so.SQLiteTraceStore(folder / "x.db", durability="normal") as store:
        store.save_many(runs)
        expected = list(store.iter_traces(oldest_first=True))
        files = through(store, folder)
    assert [run for path in files for run in read_runs(path)] == expected
    assert [run.run_id for run in expected] == [run.run_id for run in runs]


@profile(100)
@given(runs=RUNS)
def test_every_field_comes_back_from_opentelemetry(runs):
    pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")
    from selectools_observe.integrations.opentelemetry import otlp_of_runs, runs_of_otlp

    with so.InMemoryTraceStore() as store:
        store.save_many(runs)
        expected = {run.run_id: run for run in store.iter_traces()}
    back = {run.run_id: run for run in runs_of_otlp(otlp_of_runs(expected.values()))}
    assert back == expected
