"""Lists of runs as data frames, for pandas and Polars. Each needs the extra of its name."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from ..model.json_values import dumps
from ..model.trace import TraceSummary

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
    as JSON text otherwise. Where a run has no such key, the value is missing.

    Args:
        summaries: A page, a list or an iterator of them.
        engine: Which library's data frame to make.

    Raises:
        ImportError: The library is not installed.
        ValueError: An engine that is none.
    """
    if engine not in {"pandas", "polars"}:
        raise ValueError(f"engine must be 'pandas' or 'polars', not {engine!r}")
    try:
        library = import_module(engine)
    except ImportError as error:
        raise ModuleNotFoundError(
            f'A data frame of {engine} needs it: pip install "selectools-observe[{engine}]"',
            name=engine,
        ) from error
    columns = _columns(list(summaries))
    return _in_pandas(library, columns) if engine == "pandas" else _in_polars(library, columns)


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
    return text.encode("utf-8", "backslashreplace").decode()


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
