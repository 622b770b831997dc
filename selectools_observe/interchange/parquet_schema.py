"""The columns of a run in Parquet: a row a run, its steps as a list, and the run itself as JSON.

The typed columns are for queries: what does not fit a column's type is null there. ``trace_json``
is exact, and what is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..analytics.typed_columns import STEP_KINDS, Kind, arrow_types, as_kind, to_arrow
from ..model.annotations import Annotation
from ..model.codec import encode
from ..model.json_values import loads
from ..model.references import expand
from .exports import Saved

if TYPE_CHECKING:
    import pyarrow as pa

_OF_STEPS = {"models": "model", "tools": "tool_name"}

STEP_COLUMNS: dict[str, Kind] = {
    "number": "integer", **STEP_KINDS, "step_number": "integer", "output": "json",
}  # fmt: skip
"""The fields of a step and their kinds; ``number`` is its place in the run, from 0. A
call's ``input`` repeats the conversation so far: it is in ``trace_json`` only."""

RUN_COLUMNS: dict[str, Kind] = {
    "run_id": "text",
    "created_at": "time",
    "started_at": "time",
    "parent_run_id": "text",
    "name": "text",
    "session_id": "text",
    "user_id": "text",
    "agent": "text",
    "outcome": "text",
    "tags": "texts",
    "input": "text",
    "output": "text",
    "step_count": "integer",
    "total_ms": "number",
    "wall_ms": "number",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
    "cost_usd": "number",
    "has_error": "flag",
    "models": "texts",
    "tools": "texts",
    "metadata": "json",
}
"""The columns of a run and their kinds, before ``annotations``, ``steps`` and ``trace_json``."""

ANNOTATION_COLUMNS: dict[str, Kind] = {
    "name": "text",
    "label": "text",
    "score": "number",
    "note": "text",
    "step": "integer",
    "author": "text",
    "source": "text",
    "created_at": "time",
    "id": "text",
    "exact": "json",
}
"""The fields of an annotation and their kinds; ``exact`` is all of it, where a column does not hold
its field exactly."""


def schema(pyarrow: Any) -> pa.Schema:
    """The columns with their Arrow types."""
    known = arrow_types(pyarrow)
    step = pyarrow.struct([(name, known[kind]) for name, kind in STEP_COLUMNS.items()])
    annotation = pyarrow.struct([(name, known[kind]) for name, kind in ANNOTATION_COLUMNS.items()])
    found: pa.Schema = pyarrow.schema(
        [
            *((name, known[kind]) for name, kind in RUN_COLUMNS.items()),
            ("annotations", pyarrow.list_(annotation)),
            ("steps", pyarrow.list_(step)),
            ("trace_json", pyarrow.string()),
        ]
    )
    return found


def batch_of(pyarrow: Any, runs: Sequence[Saved]) -> pa.RecordBatch:
    """Runs as a batch of rows."""
    texts = [encode(trace).trace for _, trace, _ in runs]
    reported: list[dict[str, Any]] = [expand(loads(text)) for text in texts]
    columns = {
        name: to_arrow(pyarrow, kind, _values(name, runs, reported))
        for name, kind in RUN_COLUMNS.items()
    }
    columns["annotations"] = _annotations(pyarrow, [run.annotations for run in runs])
    columns["steps"] = _steps(pyarrow, [run["steps"] for run in reported])
    columns["trace_json"] = pyarrow.array([text.decode() for text in texts], pyarrow.string())
    found: pa.RecordBatch = pyarrow.RecordBatch.from_arrays(
        list(columns.values()), schema=schema(pyarrow)
    )
    return found


def _values(name: str, runs: Sequence[Saved], reported: list[dict[str, Any]]) -> list[Any]:
    if name in _OF_STEPS:
        return [_distinct(run["steps"], _OF_STEPS[name]) for run in reported]
    if name == "parent_run_id":
        return [run.get(name) for run in reported]
    field = "steps" if name == "step_count" else name
    return [getattr(summary, field) for summary, *_ in runs]


def _annotations(pyarrow: Any, runs: list[Sequence[Annotation]]) -> pa.ListArray:
    """The annotations of each run, as lists of structs."""
    every = [one for said in runs for one in said]
    columns = [
        to_arrow(pyarrow, kind, [getattr(one, name, None) for one in every])
        for name, kind in ANNOTATION_COLUMNS.items()
    ]
    columns[-1] = to_arrow(pyarrow, "json", [_beyond_columns(one) for one in every])
    found: pa.ListArray = pyarrow.ListArray.from_arrays(
        pyarrow.array(list(accumulate(map(len, runs), initial=0)), pyarrow.int32()),
        pyarrow.StructArray.from_arrays(columns, list(ANNOTATION_COLUMNS)),
    )
    return found


def _beyond_columns(one: Annotation) -> dict[str, Any] | None:
    fields = one.to_dict()
    is_held = all(
        as_kind(ANNOTATION_COLUMNS[name], value) == value
        for name, value in fields.items()
        if name not in {"run_id", "created_at"}
    )
    return None if is_held else fields


def _steps(pyarrow: Any, runs: list[list[dict[str, Any]]]) -> pa.ListArray:
    """The steps of each run, as lists of structs."""
    ends = accumulate(map(len, runs), initial=0)
    found: pa.ListArray = pyarrow.ListArray.from_arrays(
        pyarrow.array(list(ends), pyarrow.int32()),
        step_array(pyarrow, [step for steps in runs for step in steps],
                   [number for steps in runs for number in range(len(steps))]),
    )  # fmt: skip
    return found


def step_array(pyarrow: Any, steps: list[dict[str, Any]], numbers: list[int]) -> pa.StructArray:
    """Steps as structs of their columns; ``numbers`` are their places in their runs."""
    columns = [
        to_arrow(pyarrow, kind, numbers if name == "number" else [step.get(name) for step in steps])
        for name, kind in STEP_COLUMNS.items()
    ]
    found: pa.StructArray = pyarrow.StructArray.from_arrays(columns, list(STEP_COLUMNS))
    return found


def _distinct(steps: list[dict[str, Any]], name: str) -> list[str]:
    return list(dict.fromkeys(v for step in steps if isinstance(v := step.get(name), str)))
