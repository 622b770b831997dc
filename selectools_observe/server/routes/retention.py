"""The route that prunes: which runs are to go, and then their deletion."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ...model.retention import Retention
from ..query_params import parse
from ..request_body import media_type
from ..responses import JSON, Problem, answer
from ..state import state_of
from .ingest import json_body

_FIELDS = tuple(Retention.__dataclass_fields__)
_ERROR = "invalid_retention"


async def prune(request: Request) -> Response:
    """Delete what the rule says; unless ``dry_run`` is false, only report what would go."""
    parse(request.scope["query_string"], ())
    state = state_of(request)
    media_type(request, {JSON}, f"Send {JSON}")
    async with json_body(state, request) as (value, _):
        options = _options_of(value)
    try:
        report = await state.store.prune(**options)
    except (TypeError, ValueError) as error:
        raise Problem(422, _ERROR, f"{error!s:.300}") from error
    return answer(msgspec.to_builtins(report))


def _options_of(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Problem(422, _ERROR, "A rule is a JSON object")
    unknown = sorted(value.keys() - {*_FIELDS, "dry_run"})
    if unknown:
        known = ", ".join((*_FIELDS, "dry_run"))
        raise Problem(422, _ERROR, f"unknown field {unknown[0]!r:.80}", f"Fields: {known}")
    options = {"dry_run": True} | {name: one for name, one in value.items() if one is not None}
    for name in ("dry_run", "keep_annotated"):
        if not isinstance(options.get(name, False), bool):
            raise Problem(422, _ERROR, f"{name} must be true or false")
    for name in ("where", "keep"):
        if not isinstance(options.get(name, ""), str):
            raise Problem(422, _ERROR, f"{name} must be a filter as text")
    for name in ("keep_runs", "keep_bytes"):
        bound = options.get(name)
        if isinstance(bound, float) and bound.is_integer():  # as JSON may write a whole number
            options[name] = int(bound)
    if "older_than" in options:
        options["older_than"] = _moment_of(options["older_than"])
    return options


def _moment_of(value: Any) -> datetime:
    try:
        return msgspec.convert(value, datetime)
    except msgspec.ValidationError as error:
        message = f"older_than must be a time with a timezone, not {value!r:.80}"
        raise Problem(422, _ERROR, message) from error
