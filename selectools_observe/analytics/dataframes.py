"""Runs, and their steps, as data frames of pandas or Polars, each of which needs the extra of its
name, or as tables of Arrow, through which both are made where pyarrow is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from ..extras import needs
from ..model.trace import AgentTrace, TraceSummary
from .typed_columns import LARGEST_INTEGER, STEP_KINDS, Kind, as_kind, sound, to_arrow

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Engine: TypeAlias = Literal["pandas", "polars", "pyarrow"]
Column: TypeAlias = tuple[Kind, Sequence[Any]]

_EXTRAS = {"pandas": "pandas", "polars": "polars", "pyarrow": "parquet"}


@overload
def to_dataframe(
    summaries: Iterable[TraceSummary], engine: Literal["pandas"] = "pandas"
) -> pd.DataFrame: ...
@overload
def to_dataframe(summaries: Iterable[TraceSummary], engine: Literal["polars"]) -> pl.DataFrame: ...
@overload
def to_dataframe(summaries: Iterable[TraceSummary], engine: Literal["pyarrow"]) -> pa.Table: ...
def to_dataframe(
    summaries: Iterable[TraceSummary], engine: Engine = "pandas"
) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Runs as a data frame, a row each, in their order.

    The columns are the fields of `TraceSummary`: ``run_id`` (text), ``created_at`` (timezone-aware,
    UTC, microseconds), ``steps``, ``prompt_tokens`` and ``completion_tokens`` (64-bit integers),
    ``total_ms`` and ``cost_usd`` (floats), ``has_error`` (boolean); and ``metadata.KEY`` for each
    key of the metadata: of its type if all its values are text, integers, numbers or booleans, and
    as JSON text otherwise; and ``score.NAME`` (float) and ``label.NAME`` (text) of the newest
    annotation of each name. Where a run has no such key, the value is missing.

    Args:
        summaries: A page, a list or an iterator of them.
        engine: Which library's data frame to make; ``"pyarrow"`` makes a table.

    Raises:
        ImportError: The library is not installed.
        ValueError: An engine that is none.
    """
    return _frame(engine, lambda: _columns(list(summaries)))


@overload
def steps_to_dataframe(
    traces: Iterable[AgentTrace], engine: Literal["pandas"] = "pandas"
) -> pd.DataFrame: ...
@overload
def steps_to_dataframe(traces: Iterable[AgentTrace], engine: Literal["polars"]) -> pl.DataFrame: ...
@overload
def steps_to_dataframe(traces: Iterable[AgentTrace], engine: Literal["pyarrow"]) -> pa.Table: ...
def steps_to_dataframe(
    traces: Iterable[AgentTrace], engine: Engine = "pandas"
) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """The steps of runs as a data frame, a row each, in their order.

    The columns are ``run_id``, ``number`` (the step's place in its run, from 0) and fields of
    `TraceStep`: ``type``, ``timestamp`` (timezone-aware, UTC, microseconds), ``duration_ms``,
    ``model``, ``prompt_tokens``, ``completion_tokens``, ``cost_usd``, ``tool_name``, ``tool_args``
    (JSON text), ``tool_result``, ``error``, ``reasoning``, ``summary`` and ``node_name``. A value
    that a column's type does not hold is missing.

    Args:
        traces: Runs with their steps, such as `iter_traces` gives; one at a time is held.
        engine: Which library's data frame to make; ``"pyarrow"`` makes a table.

    Raises:
        ImportError: The library is not installed.
        ValueError: An engine that is none.
    """
    return _frame(engine, lambda: _step_columns(traces))


def _frame(engine: Engine, columns: Callable[[], dict[str, Column]]) -> Any:
    if engine not in _EXTRAS:
        raise ValueError(f"engine must be 'pandas', 'polars' or 'pyarrow', not {engine!r}")
    library = _library(engine)
    if (pyarrow := _pyarrow()) is None:
        plain: Mapping[str, Column] = {
            n: (k, [as_kind(k, value) for value in v]) for n, (k, v) in columns().items()
        }
        return _in_pandas(library, plain) if engine == "pandas" else _in_polars(library, plain)
    table = pyarrow.table({n: to_arrow(pyarrow, k, v) for n, (k, v) in columns().items()})
    if engine == "pandas":
        return _pandas_of(library, table)
    return library.from_arrow(table) if engine == "polars" else table


def _library(engine: Engine) -> Any:
    with needs(_EXTRAS[engine], "A data frame"):
        return import_module(engine)


def _pyarrow() -> Any:
    try:
        return import_module("pyarrow")
    except ImportError:
        return None


def _step_columns(traces: Iterable[AgentTrace]) -> dict[str, Column]:
    run_ids: list[str] = []
    numbers: list[int] = []
    fields: dict[str, list[Any]] = {name: [] for name in STEP_KINDS}
    for trace in traces:
        steps = trace.steps
        run_ids.extend([trace.run_id] * len(steps))
        numbers.extend(range(len(steps)))
        for name, values in fields.items():
            values.extend([getattr(step, name) for step in steps])
    fields["type"] = [str(getattr(one, "value", one)) for one in fields["type"]]
    columns: dict[str, Column] = {"run_id": ("text", run_ids), "number": ("integer", numbers)}
    return columns | {name: (kind, fields[name]) for name, kind in STEP_KINDS.items()}


_RUN_FIELDS: dict[str, Kind] = {
    "run_id": "text",
    "created_at": "time",
    "steps": "integer",
    "total_ms": "number",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
    "cost_usd": "number",
    "has_error": "flag",
    "name": "text",
    "outcome": "text",
    "session_id": "text",
    "user_id": "text",
    "agent": "text",
    "started_at": "time",
    "wall_ms": "number",
    "input": "text",
    "output": "text",
}


def _columns(runs: list[TraceSummary]) -> dict[str, Column]:
    columns: dict[str, Column] = {
        name: (kind, [getattr(run, name) for run in runs]) for name, kind in _RUN_FIELDS.items()
    }
    maps = [run.metadata for run in runs]
    for key in dict.fromkeys(key for metadata in maps for key in metadata):
        values = [metadata.get(key) for metadata in maps]
        columns[sound(f"metadata.{key}")] = _kind_of(values), values
    return columns | _of_annotations(runs)


def _of_annotations(runs: list[TraceSummary]) -> dict[str, Column]:
    """The newest score and label of each name, where some run has one."""
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(name for run in runs for name in run.annotations):
        said = [run.annotations.get(name) for run in runs]
        scores = [None if one is None or one.score is None else float(one.score) for one in said]
        labels = [None if one is None else one.label for one in said]
        if any(score is not None for score in scores):
            columns[f"score.{name}"] = "number", scores
        if any(label is not None for label in labels):
            columns[f"label.{name}"] = "text", labels
    return columns


def _kind_of(values: list[Any]) -> Kind:
    """The narrowest kind that holds all of them."""
    types = set(map(type, values)) - {type(None)}
    if types == {bool}:
        return "flag"
    present = [value for value in values if value is not None] if int in types else ()
    if types == {int} and all(abs(value) <= LARGEST_INTEGER for value in present):
        return "integer"
    if types == {float} or (types == {int, float} and _fit_floats(present)):
        return "number"
    return "text" if types <= {str} else "json"


def _fit_floats(values: Iterable[float]) -> bool:
    """Whether all are the same as floats: integers beyond 2**53 are not."""
    return all(abs(value) <= 2**53 for value in values if isinstance(value, int))


def _pandas_of(pandas: Any, table: pa.Table) -> pd.DataFrame:
    """Of Arrow's table; integers and flags with gaps stay such."""
    with_gaps = {"int64": pandas.Int64Dtype(), "bool": pandas.BooleanDtype()}
    series = {
        name: column.to_pandas(types_mapper=lambda found: with_gaps.get(str(found)))
        if column.null_count
        else column.to_pandas()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    frame: pd.DataFrame = pandas.DataFrame(series, copy=False)
    return frame


def _in_pandas(pandas: Any, columns: Mapping[str, Column]) -> pd.DataFrame:
    types = {
        "time": "datetime64[us, UTC]", "integer": "int64", "number": "float64", "flag": "bool",
        "text": "str" if int(pandas.__version__.split(".")[0]) >= 3 else "object",
    }  # fmt: skip
    types["json"] = types["text"]
    types_with_gaps = types | {"integer": "Int64", "flag": "boolean"}
    series = {}
    for name, (kind, values) in columns.items():
        chosen = types_with_gaps if None in values else types
        series[name] = pandas.Series(values, dtype=chosen[kind])
    frame: pd.DataFrame = pandas.DataFrame(series)
    return frame


def _in_polars(polars: Any, columns: Mapping[str, Column]) -> pl.DataFrame:
    types = {
        "time": polars.Datetime("us", "UTC"),
        "integer": polars.Int64,
        "number": polars.Float64,
        "flag": polars.Boolean,
        "text": polars.String,
        "json": polars.String,
    }
    frame: pl.DataFrame = polars.DataFrame(
        [polars.Series(name, values, types[kind]) for name, (kind, values) in columns.items()]
    )
    return frame
