"""Columns of values of one kind: what a kind cannot hold is None. As Arrow arrays, with pyarrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..model.json_values import json_text
from ..model.trace import EPOCH

if TYPE_CHECKING:
    import pyarrow as pa

Kind: TypeAlias = Literal["text", "json", "integer", "number", "flag", "time", "texts"]

LARGEST_INTEGER = 2**63 - 1
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_800  # of the years 1 and 9999
_SECONDS = {int, float, type(None)}
_EXACT: dict[Kind, set[type]] = {
    "text": {str, type(None)},
    "json": {str, type(None)},
    "integer": {int, type(None)},
    "number": {float, type(None)},
    "flag": {bool, type(None)},
    "time": {datetime, type(None)},
    "texts": set(),
}


STEP_KINDS: dict[str, Kind] = {
    "type": "text",
    "timestamp": "time",
    "duration_ms": "number",
    "model": "text",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
    "cost_usd": "number",
    "tool_name": "text",
    "tool_args": "json",
    "tool_result": "text",
    "error": "text",
    "reasoning": "text",
    "summary": "text",
    "node_name": "text",
}
"""The fields of a step that have a column of their own everywhere, and their kinds."""


def arrow_types(pyarrow: Any) -> dict[Kind, pa.DataType]:
    """The Arrow types of the kinds."""
    return {
        "text": pyarrow.string(),
        "json": pyarrow.string(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "flag": pyarrow.bool_(),
        "time": pyarrow.timestamp("us", "UTC"),
        "texts": pyarrow.list_(pyarrow.string()),
    }


def to_arrow(pyarrow: Any, kind: Kind, values: Sequence[Any]) -> pa.Array:
    """Values as a column of their kind: at once where all are of its type, else one by one."""
    found: pa.Array
    if kind == "json":
        values = [None if value is None else as_kind(kind, value) for value in values]
    elif kind == "time" and set(map(type, values)) <= _SECONDS:
        found = _times(pyarrow, values)
        if found is not None:
            return found
    if set(map(type, values)) <= _EXACT[kind]:
        with suppress(pyarrow.ArrowException, UnicodeError, OverflowError):
            found = pyarrow.array(values, arrow_types(pyarrow)[kind])
            return found
    found = pyarrow.array([as_kind(kind, value) for value in values], arrow_types(pyarrow)[kind])
    return found


def _times(pyarrow: Any, values: Sequence[float | None]) -> Any:
    """Seconds since the epoch as times; None if some are in no calendar."""
    if any(value is not None and not _FIRST_SECOND <= value < _LAST_SECOND for value in values):
        return None
    microseconds = [None if value is None else round(value * 1_000_000) for value in values]
    return pyarrow.array(microseconds, pyarrow.timestamp("us", "UTC"))


def as_kind(kind: Kind, value: Any) -> Any:  # noqa: PLR0911 - one for each kind
    """A value as its column takes it; None if it cannot be that."""
    if value is None:
        return None
    match kind:
        case "text":
            return sound(value if isinstance(value, str) else json_text(value))
        case "json":
            return sound(json_text(value))
        case "texts":
            known = value if isinstance(value, list) else []
            return [sound(each) for each in known if isinstance(each, str)]
        case "integer":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return value if whole and abs(value) <= LARGEST_INTEGER else None
        case "number":
            return _number(value)
        case "time":
            return value if isinstance(value, datetime) else _moment(value)
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _moment(value: Any) -> datetime | None:
    """The time of seconds since the epoch; None if no calendar has it."""
    found = _number(value)
    if found is None:
        return None
    try:
        return EPOCH + timedelta(seconds=found)
    except OverflowError:
        return None


def sound(text: str) -> str:
    """Text that can be written as UTF-8: lone surrogates become escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
