"""Runs, and their steps, as data frames of pandas or Polars. Each needs the extra of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from ..model.json_values import dumps
from ..model.trace import EPOCH, AgentTrace, TraceSummary, is_finite

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Kind: TypeAlias = Literal["text", "time", "integer", "number", "flag"]
Column: TypeAlias = tuple[Kind, list[Any]]

_LARGEST_INTEGER = 2**63 - 1


@overload
def to_dataframe(
    summaries: Iterable[TraceSummary], engine: Literal["pandas"] = "pandas"
) -> pd.DataFrame: ...
@overload
def to_dataframe(summaries: Iterable[TraceSummary], engine: Literal["polars"]) -> pl.DataFrame: ...
def to_dataframe(
    summaries: Iterable[TraceSummary], engine: Literal["pandas", "polars"] = "pandas"
) -> pd.DataFrame | pl.DataFrame:
    """Runs as a data frame, a row each, in their order.

    The columns are the fields of `TraceSummary`: ``run_id`` (text), ``created_at`` (timezone-aware,
    UTC, microseconds), ``steps``, ``prompt_tokens`` and ``completion_tokens`` (64-bit integers),
    ``total_ms`` and ``cost_usd`` (floats), ``has_error`` (boolean); and ``metadata.KEY`` for each
    key of the metadata: of its type if all its values are text, integers, numbers or booleans, and
    as JSON text otherwise; and ``score.NAME`` (float) and ``label.NAME`` (text) of the newest
    annotation of each name. Where a run has no such key, the value is missing.

    Args:
        summaries: A page, a list or an iterator of them.
        engine: Which library's data frame to make.

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
def steps_to_dataframe(
    traces: Iterable[AgentTrace], engine: Literal["pandas", "polars"] = "pandas"
) -> pd.DataFrame | pl.DataFrame:
    """The steps of runs as a data frame, a row each, in their order.

    The columns are ``run_id``, ``number`` (the step's place in its run, from 0) and fields of
    `TraceStep`: ``type``, ``timestamp`` (timezone-aware, UTC, microseconds), ``duration_ms``,
    ``model``, ``prompt_tokens``, ``completion_tokens``, ``cost_usd``, ``tool_name``, ``tool_args``
    (JSON text), ``tool_result``, ``error``, ``reasoning``, ``summary`` and ``node_name``. A value
    that a column's type does not hold is missing.

    Args:
        traces: Runs with their steps, such as `iter_traces` gives; one at a time is held.
        engine: Which library's data frame to make.

    Raises:
        ImportError: The library is not installed.
        ValueError: An engine that is none.
    """
    return _frame(engine, lambda: _step_columns(traces))


def _frame(engine: str, columns: Callable[[], dict[str, Column]]) -> Any:
    if engine not in {"pandas", "polars"}:
        raise ValueError(f"engine must be 'pandas' or 'polars', not {engine!r}")
    try:
        library = import_module(engine)
    except ImportError as error:
        raise ModuleNotFoundError(
            f'A data frame of {engine} needs it: pip install "selectools-observe[{engine}]"',
            name=engine,
        ) from error
    made = columns()
    return _in_pandas(library, made) if engine == "pandas" else _in_polars(library, made)


_STEP_FIELDS: dict[str, Kind] = {
    "type": "text",
    "timestamp": "time",
    "duration_ms": "number",
    "model": "text",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
    "cost_usd": "number",
    "tool_name": "text",
    "tool_args": "text",
    "tool_result": "text",
    "error": "text",
    "reasoning": "text",
    "summary": "text",
    "node_name": "text",
}


def _step_columns(traces: Iterable[AgentTrace]) -> dict[str, Column]:
    columns: dict[str, Column] = {"run_id": ("text", []), "number": ("integer", [])}
    columns |= {name: (kind, []) for name, kind in _STEP_FIELDS.items()}
    for trace in traces:
        steps = trace.steps
        columns["run_id"][1].extend([_sound(trace.run_id)] * len(steps))
        columns["number"][1].extend(range(len(steps)))
        for name, kind in _STEP_FIELDS.items():
            columns[name][1].extend([_as(kind, getattr(step, name)) for step in steps])
    return columns


def _as(kind: Kind, value: Any) -> Any:
    """A step's value as its column holds it; None if it cannot be that."""
    match kind:
        case "text" if value is not None:
            return _sound(_text(value))
        case "integer":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return value if whole and abs(value) <= _LARGEST_INTEGER else None
        case "number":
            return float(value) if is_finite(value) else None
        case "time":
            return _moment(value)
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(getattr(value, "value", value))  # a step's type is an enum
    return dumps(value).decode("utf-8", "surrogatepass")


def _moment(value: Any) -> datetime | None:
    """The time of seconds since the epoch; None if no calendar has it."""
    try:
        return EPOCH + timedelta(seconds=value) if is_finite(value) else None
    except OverflowError:
        return None


def _columns(runs: list[TraceSummary]) -> dict[str, Column]:
    fields: dict[str, Kind] = {
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
    columns: dict[str, Column] = {
        name: (kind, _of_field([getattr(run, name) for run in runs]))
        for name, kind in fields.items()
    }
    keys = dict.fromkeys(key for run in runs for key in run.metadata)
    for key in keys:
        columns[_sound(f"metadata.{key}")] = _of_metadata([run.metadata.get(key) for run in runs])
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


def _of_field(values: list[Any]) -> list[Any]:
    return [_sound(value) if isinstance(value, str) else value for value in values]


def _of_metadata(values: list[Any]) -> Column:
    present = [value for value in values if value is not None]
    types = set(map(type, present))
    if types == {bool}:
        return "flag", values
    if types == {int} and all(abs(value) <= _LARGEST_INTEGER for value in present):
        return "integer", values
    if types == {float} or (types == {int, float} and _fit_floats(present)):
        return "number", [None if value is None else float(value) for value in values]
    if types <= {str}:
        return "text", [None if value is None else _sound(value) for value in values]
    return "text", [None if value is None else _sound(dumps(value).decode()) for value in values]


def _fit_floats(values: list[float]) -> bool:
    """Whether all are the same as floats: integers beyond 2**53 are not."""
    return all(abs(value) <= 2**53 for value in values if isinstance(value, int))


def _sound(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates become escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _in_pandas(pandas: Any, columns: dict[str, Column]) -> pd.DataFrame:
    types = {
        "time": "datetime64[us, UTC]", "integer": "int64", "number": "float64", "flag": "bool",
        "text": "str" if int(pandas.__version__.split(".")[0]) >= 3 else "object",
    }  # fmt: skip
    types_with_gaps = types | {"integer": "Int64", "flag": "boolean"}
    series = {}
    for name, (kind, values) in columns.items():
        chosen = types_with_gaps if None in values else types
        series[name] = pandas.Series(values, dtype=chosen[kind])
    frame: pd.DataFrame = pandas.DataFrame(series)
    return frame


def _in_polars(polars: Any, columns: dict[str, Column]) -> pl.DataFrame:
    types = {
        "time": polars.Datetime("us", "UTC"),
        "integer": polars.Int64,
        "number": polars.Float64,
        "flag": polars.Boolean,
        "text": polars.String,
    }
    frame: pl.DataFrame = polars.DataFrame(
        [polars.Series(name, values, types[kind]) for name, (kind, values) in columns.items()]
    )
    return frame
