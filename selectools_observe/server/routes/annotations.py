"""The routes of annotations: what is said of a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from ...model.annotations import Annotation
from ..query_params import Parameter, parse
from ..query_params import text as any_text
from ..request_body import media_type
from ..responses import JSON, Problem, answer
from ..state import state_of
from .ingest import json_body
from .traces import run_id_of

NAME = Parameter("name", any_text, {"type": "string"}, "Remove those of this name.", needed=True)
_MOST = 1000  # in one request


async def list_annotations(request: Request) -> Response:
    parse(request.scope["query_string"], ())
    found = await state_of(request).store.annotations(run_id_of(request))
    return answer({"annotations": [one.to_dict() for one in found]})


async def annotate(request: Request) -> Response:
    parse(request.scope["query_string"], ())
    state, run_id = state_of(request), run_id_of(request)
    media_type(request, {JSON}, f"Send {JSON}")
    async with json_body(state, request) as (value, _):
        values = value if isinstance(value, list) else [value]
        if len(values) > _MOST:
            message = f"At most {_MOST} annotations in one request, not {len(values)}"
            raise Problem(422, "invalid_annotation", message)
        said = [_annotation_of(run_id, one) for one in values]
    kept = [one.to_dict() for one in await state.store.annotate_many(said)]
    return answer({"annotations": kept} if isinstance(value, list) else kept[0], 201)


async def remove_annotations(request: Request) -> Response:
    values = parse(request.scope["query_string"], (NAME,))
    removed = await state_of(request).store.remove_annotation(
        run_id_of(request), name=values["name"]
    )
    if not removed:
        raise _not_found()
    return answer({"removed": removed})


async def remove_annotation(request: Request) -> Response:
    parse(request.scope["query_string"], ())
    annotation_id = unquote(request.path_params["annotation_id"], errors="surrogateescape")
    removed = await state_of(request).store.remove_annotation(
        run_id_of(request), annotation_id=annotation_id
    )
    if not removed:
        raise _not_found()
    return Response(status_code=204)


def _not_found() -> Problem:
    return Problem(404, "annotation_not_found", "This run has no such annotation")


def _annotation_of(run_id: str, value: Any) -> Annotation:
    if not isinstance(value, dict):
        raise Problem(422, "invalid_annotation", "An annotation is an object with a name")
    if value.get("run_id", run_id) != run_id:
        raise Problem(422, "invalid_annotation", "run_id differs from the one in the URL")
    unknown = sorted(value.keys() - set(Annotation.__struct_fields__))
    if unknown:
        message = f"Unknown field {unknown[0]!r:.80}"
        known = ", ".join(name for name in Annotation.__struct_fields__ if name != "run_id")
        raise Problem(422, "invalid_annotation", message, f"Fields: {known}")
    try:
        return Annotation.from_dict({**value, "run_id": run_id})
    except (ValueError, TypeError) as error:
        raise Problem(422, "invalid_annotation", f"{error!s:.300}") from error
