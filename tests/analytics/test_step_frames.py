"""Data frames of steps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

import selectools_observe as so
from selectools_observe.analytics.dataframes import steps_to_dataframe

ENGINES = ["pandas", "polars", "pyarrow", "pandas without pyarrow", "polars without pyarrow"]


@pytest.fixture(params=ENGINES)
def engine(request, monkeypatch) -> str:
    name, *without = request.param.split(maxsplit=1)
    pytest.importorskip(name, reason="the extra is not installed")
    if without:
        monkeypatch.setattr("selectools_observe.analytics.dataframes._pyarrow", lambda: None)
    return name


def rows_of(frame: object, engine: str) -> list[dict]:
    if engine == "polars":
        return frame.to_dicts()
    if engine == "pyarrow":
        return frame.to_pylist()
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def test_a_row_is_a_step(engine):
    call = so.TraceStep("llm_call", timestamp=0.5, duration_ms=3, model="m-1", prompt_tokens=7)
    tool = so.TraceStep("tool_execution", timestamp=1, tool_name="t", tool_args={"a": [1]})
    runs = [so.AgentTrace(run_id="r1", steps=[call, tool]), so.AgentTrace(run_id="r2")]
    first, second = rows_of(steps_to_dataframe(runs, engine), engine)
    assert (first["run_id"], first["number"], first["type"]) == ("r1", 0, "llm_call")
    assert first["timestamp"] == datetime(1970, 1, 1, 0, 0, 0, 500_000, UTC)
    assert (first["model"], first["prompt_tokens"], first["duration_ms"]) == ("m-1", 7, 3.0)
    assert first["tool_name"] is None
    assert (second["number"], second["tool_args"]) == (1, '{"a":[1]}')


@pytest.mark.parametrize("stamp", [1e300, -1e11])
def test_what_a_column_does_not_hold_is_missing(engine, stamp):
    step = so.TraceStep("llm_call", timestamp=stamp, prompt_tokens=2**80, model="\ud800")
    (row,) = rows_of(steps_to_dataframe([so.AgentTrace(steps=[step])], engine), engine)
    assert (row["timestamp"], row["prompt_tokens"], row["model"]) == (None, None, "\\ud800")


def test_no_runs_make_a_frame_with_all_columns(engine):
    frame = steps_to_dataframe([], engine)
    assert len(frame) == 0
    assert "tool_args" in (frame.column_names if engine == "pyarrow" else frame.columns)
