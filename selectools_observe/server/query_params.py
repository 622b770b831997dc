"""The query parameters: one table for the parser and for the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC
from types import NoneType
from typing import Any, Union, get_args, get_type_hints
from urllib.parse import parse_qsl

from ..model.filter_language import parse_condition
from ..model.filters import TraceFilter
from ..model.json_values import loads
from ..model.ordering import ORDERS
from ..model.zones import parse_zone
from .param_types import Reader, Schema, bounded, documented_attributes, typed
from .responses import Problem

_MOST = 200  # parameters in one query


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
        field: The filter's field, if it has another name.
    """

    name: str
    read: Reader
    schema: Schema
    about: str
    many: bool = False
    as_json: bool = False
    needed: bool = False
    field: str | None = None


def text(value: str) -> str:
    """Any text."""
    return value


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


_TEXT: Schema = {"type": "string"}

DEFAULT_LIMIT = 50
MOST_SUMMARIES = 1000
LIMIT = Parameter("limit", *bounded(1, MOST_SUMMARIES, DEFAULT_LIMIT), "Maximum number of runs.")
CURSOR = Parameter("cursor", text, _TEXT, "The next_cursor of the previous page.")
ORDER_BY = Parameter(
    "order_by", text, {"type": "string", "pattern": rf"^-?({'|'.join(ORDERS)}|score\..+)$"},
    "Order, the largest first with a - before it; by default the newest save first.",
)  # fmt: skip

# What a filter's field is called in a query, and is read as, where its type does not say it.
_OWN_FORMS = (
    Parameter(
        "filter", text, {"type": "string", "format": "trace-filter"},
        'A filter such as reward<1 -tool:think latency>5s "gift card".',
        field="where",
    ),
    Parameter(
        "text", text, {"type": "string", "format": "words"},
        'Texts with these words; a "phrase" in double quotes, whole.',
    ),
    Parameter(
        "metadata", json_object, {"type": "object"},
        "Every pair must be in the metadata. One pair may also be given as metadata.KEY=VALUE, "
        "the value read as JSON if it is JSON, and as text if not.",
        as_json=True, field="metadata_match",
    ),
)  # fmt: skip


def _of_fields() -> Iterator[Parameter]:
    """A parameter for each other field of `TraceFilter`, by its type and its documentation."""
    apart = {each.field or each.name for each in _OWN_FORMS} | {"limit", "order_by"}
    types, about = get_type_hints(TraceFilter), documented_attributes(TraceFilter)
    for field in fields(TraceFilter):
        if field.name in apart:
            continue
        kind = _without_none(types[field.name])
        if kind == Iterable[str]:
            schema = {"type": "array", "items": _TEXT}
            yield Parameter(field.name, text, schema, about.get(field.name, ""), many=True)
        else:
            yield Parameter(field.name, *typed(kind), about.get(field.name, ""))


def _without_none(kind: Any) -> Any:
    """The type of a field that is set; a text where a text will do."""
    kinds = [each for each in get_args(kind) if each is not NoneType]
    return str if str in kinds else Union[tuple(kinds)]  # noqa: UP007 - of so many as there are


ZONE = Parameter(
    "tz", parse_zone, {"type": "string", "format": "time-zone", "default": "UTC"},
    "Time zone of days and hours, those in the filter too: UTC, +05:30 or Europe/Berlin.",
)  # fmt: skip
_OF_FILTER = (*_OWN_FORMS, *_of_fields())
FILTERS = (*_OF_FILTER, ZONE)

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
        raise _invalid(f"{name} is given twice", "Send it once")
    else:
        values[name] = read


def _add_pair(values: dict[str, Any], key: str, wanted: Any) -> None:
    pairs = values.setdefault("metadata", {})
    if key in pairs:
        raise _invalid(f"the metadata key {key!r:.80} is given twice", "Send it once")
    pairs[key] = wanted


def filter_of(values: Mapping[str, Any]) -> TraceFilter:
    """The filter that a query's values ask for."""
    asked = {
        parameter.field or parameter.name: values[parameter.name]
        for parameter in (*_OF_FILTER, ORDER_BY)
        if parameter.name in values
    }
    try:
        if "where" in asked:
            asked["where"] = parse_condition(asked["where"], zone=values.get("tz", UTC))
        return TraceFilter(**asked)
    except (TypeError, ValueError) as error:
        raise _invalid(str(error)) from error


def _invalid(message: str, hint: str | None = None) -> Problem:
    return Problem(400, "invalid_parameter", message, hint)
