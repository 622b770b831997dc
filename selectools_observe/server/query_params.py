"""The query parameters: one table for the parser and for the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from ..model.filters import TraceFilter
from ..model.json_values import loads
from ..model.ordering import ORDERS
from .responses import Problem

Schema: TypeAlias = dict[str, Any]

_MOST = 200  # parameters in one query
_LONGEST_NUMBER = 300  # characters
_INTEGER = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True)
class Parameter:
    """One query parameter.

    Attributes:
        name: As it stands in the query.
        read: From its text to its value; a `ValueError` says what it must be.
        schema: The JSON schema of its value.
        about: What it does, for people.
        many: Whether it may be given more than once.
        as_json: Whether its text is a JSON document.
        needed: Whether a request without it is refused.
    """

    name: str
    read: Callable[[str], Any]
    schema: Schema
    about: str
    many: bool = False
    as_json: bool = False
    needed: bool = False


def text(value: str) -> str:
    """Any text."""
    return value


def integer(low: int | None = None, high: int | None = None) -> Callable[[str], int]:
    """Whole numbers in decimal, within bounds."""

    def read(value: str) -> int:
        if not _INTEGER.fullmatch(value) or len(value) > _LONGEST_NUMBER:
            raise ValueError("an integer")
        number = int(value)
        if (low is not None and number < low) or (high is not None and number > high):
            raise ValueError(f"from {low} to {high}" if high is not None else f"{low} or more")
        return number

    return read


def number(value: str) -> float:
    """Numbers as JSON writes them."""
    if not _NUMBER.fullmatch(value) or len(value) > _LONGEST_NUMBER:
        raise ValueError("a number")
    return int(value) if _INTEGER.fullmatch(value) else float(value)


def flag(value: str) -> bool:
    """``true`` or ``false``."""
    if value not in {"true", "false"}:
        raise ValueError("true or false")
    return value == "true"


def moment(value: str) -> datetime:
    """RFC 3339 instants."""
    wanted = "an RFC 3339 time such as 2026-03-01T00:00:00Z; a + is written %2B"
    if not _MOMENT.fullmatch(value):
        raise ValueError(wanted)
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError(wanted) from None


def json_object(value: str) -> dict[str, Any]:
    """A JSON object."""
    try:
        read = loads(value)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise ValueError('a JSON object such as {"user_id": "alice"}')  # noqa: TRY004 - a client's
    return read


def json_or_text(value: str) -> Any:
    """The JSON value of a text, or else the text itself."""
    try:
        return json.loads(value) if value[:1] not in "NI" else value  # NaN and Infinity are texts
    except (ValueError, RecursionError):
        return value


def bounded(low: int, high: int, default: int) -> tuple[Callable[[str], int], Schema]:
    """A count within bounds, and its schema."""
    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return integer(low, high), schema


_WHOLE: Schema = {"type": "integer"}
_REAL: Schema = {"type": "number"}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_WHEN: Schema = {"type": "string", "format": "date-time"}

DEFAULT_LIMIT = 50
MOST_SUMMARIES = 1000
LIMIT = Parameter("limit", *bounded(1, MOST_SUMMARIES, DEFAULT_LIMIT), "Maximum number of runs.")
CURSOR = Parameter("cursor", text, _TEXT, "The next_cursor of the previous page.")
ORDER_BY = Parameter(
    "order_by", text, {"type": "string", "pattern": rf"^-?({'|'.join(ORDERS)}|score\..+)$"},
    "Order, the largest first with a - before it; by default the newest save first.",
)  # fmt: skip

FILTERS = (
    Parameter(
        "filter", text, {"type": "string", "format": "trace-filter"},
        'A filter such as reward<1 -tool:think latency>5s "gift card".',
    ),
    Parameter(
        "text", text, {"type": "string", "format": "words"},
        'Texts with these words; a "phrase" in double quotes, whole.',
    ),
    Parameter(
        "metadata", json_object, {"type": "object"},
        "Every pair must be in the metadata. One pair may also be given as metadata.KEY=VALUE, "
        "the value read as JSON if it is JSON, and as text if not.",
        as_json=True,
    ),
    Parameter("min_steps", integer(), _WHOLE, "Minimum number of steps."),
    Parameter("max_steps", integer(), _WHOLE, "Maximum number of steps."),
    Parameter("min_ms", number, _REAL, "Minimum total duration of the steps, in ms."),
    Parameter("max_ms", number, _REAL, "They sum to at most this."),
    Parameter("min_cost_usd", number, _REAL, "Minimum total cost, in USD."),
    Parameter("max_cost_usd", number, _REAL, "They sum to at most this."),
    Parameter("since", moment, _WHEN, "Saved at or after this instant."),
    Parameter("until", moment, _WHEN, "Saved at or before this instant."),
    Parameter("has_error", flag, _FLAG, "Whether any step failed."),
    Parameter("step_type", text, _TEXT, "Any step has this type."),
    Parameter("tool_name", text, _TEXT, "Any step calls this tool."),
    Parameter("model", text, _TEXT, "Any step uses this model."),
    Parameter("name", text, _TEXT, "Runs with this name."),
    Parameter("session_id", text, _TEXT, "Runs of this session: a conversation or thread."),
    Parameter("user_id", text, _TEXT, "Runs made for this user."),
    Parameter("agent", text, _TEXT, "Runs of this agent."),
    Parameter("tags", text, {"type": "array", "items": _TEXT}, "Runs with this tag.", many=True),
    Parameter("outcome", text, _TEXT, "Runs that ended so: ok, error, cancelled, interrupted, ..."),
    Parameter("started_since", moment, _WHEN, "Started at or after this time."),
    Parameter("started_until", moment, _WHEN, "Started at or before this time."),
    Parameter("min_wall_ms", number, _REAL, "Wall time, from first start to last end, at least."),
    Parameter("max_wall_ms", number, _REAL, "Wall time at most."),
    Parameter("parent_run_id", text, _TEXT, "Child runs of this run."),
    Parameter(
        "run_ids", text, {"type": "array", "items": _TEXT}, "One of these runs.", many=True
    ),
)  # fmt: skip

_PAIR = "metadata."


def parse(query: bytes, allowed: Sequence[Parameter]) -> dict[str, Any]:
    """The values of a query's parameters, by name.

    Raises:
        Problem: One is unknown, given twice, missing, or not of its kind.
    """
    known = {parameter.name: parameter for parameter in allowed}
    values: dict[str, Any] = {}
    for name, value in _pairs(query):
        if name.startswith(_PAIR) and "metadata" in known:
            _add_pair(values, name.removeprefix(_PAIR), json_or_text(value))
        elif name not in known:
            some = ", ".join(known) or "none"
            raise _invalid(f"unknown parameter {name!r:.80}", f"Known: {some}")
        else:
            _add(values, known[name], value)
    for parameter in allowed:
        if parameter.needed and parameter.name not in values:
            raise _invalid(f"{parameter.name} is missing", parameter.about)
    return values


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST
        )
    except ValueError as error:
        hint = f"Send at most {_MOST} parameters, percent-encoded UTF-8"
        raise _invalid("invalid query string", hint) from error


def _add(values: dict[str, Any], parameter: Parameter, value: str) -> None:
    name = parameter.name
    try:
        read = parameter.read(value)
    except ValueError as error:
        raise _invalid(f"{name} must be {error}, not {value!r:.80}", parameter.about) from None
    if parameter.many:
        values.setdefault(name, []).append(read)
    elif name == "metadata":
        for key, wanted in read.items():
            _add_pair(values, key, wanted)
        values.setdefault(name, {})
    elif name in values:
        raise _invalid(f"{name} is given twice", "Give it once")
    else:
        values[name] = read


def _add_pair(values: dict[str, Any], key: str, wanted: Any) -> None:
    pairs = values.setdefault("metadata", {})
    if key in pairs:
        raise _invalid(f"the metadata key {key!r:.80} is given twice", "Give it once")
    pairs[key] = wanted


def filter_of(values: Mapping[str, Any]) -> TraceFilter:
    """The filter that a query's values ask for."""
    names = {parameter.name for parameter in FILTERS}
    fields = {name: value for name, value in values.items() if name in names}
    for name, field in (("metadata", "metadata_match"), ("filter", "where")):
        if name in fields:
            fields[field] = fields.pop(name)
    if "order_by" in values:
        fields["order_by"] = values["order_by"]
    try:
        return TraceFilter(**fields)
    except (TypeError, ValueError) as error:
        raise _invalid(str(error)) from error


def _invalid(message: str, hint: str | None = None) -> Problem:
    return Problem(400, "invalid_parameter", message, hint)
