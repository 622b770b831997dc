"""The OpenAPI document of the service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ... import __version__
from ..query_params import CURSOR, FILTERS, LIMIT, ORDER_BY, Parameter
from ..responses import JSON, NDJSON
from ..routes.annotations import NAME
from ..routes.compare import LEFT, MOST, ONE, OTHER, RIGHT, RUN_IDS, TEXTS
from ..routes.otlp import PROTOBUF
from ..routes.stats import (
    BUCKETS,
    BY,
    GROUP_BY,
    GROUP_LIMIT,
    GROUP_ORDER,
    MAX_RUNS,
    MOST_VALUES,
    TIME,
)
from ..routes.traces import CONVERSATION, COUNT_LIMIT, HITS, SEARCH_FILTERS, WINDOW, WORDS
from .schemas import SCHEMAS

Json: TypeAlias = dict[str, Any]

_RUN_ID: Json = {
    "name": "run_id", "in": "path", "required": True, "description": "A run's id.",
    # A segment of dots is taken out of a URL before it is sent.
    "schema": {"type": "string", "minLength": 1, "not": {"enum": [".", ".."]}},
}  # fmt: skip
_ANNOTATION_ID: Json = {**_RUN_ID, "name": "annotation_id", "description": "An annotation's id."}
_INDEX: Json = {
    "name": "index", "in": "path", "required": True, "description": "The step's index, from 0.",
    "schema": {"type": "integer", "minimum": 0},
}  # fmt: skip
_LAST_ID: Json = {
    "name": "Last-Event-ID", "in": "header", "description": "The last event that was received.",
    "schema": {"type": "string"},
}  # fmt: skip
_IF_NONE_MATCH: Json = {
    "name": "If-None-Match", "in": "header", "description": "The ETag of an earlier answer.",
    "schema": {"type": "string"},
}  # fmt: skip

_ERRORS = {
    400: "A parameter or the body is invalid.",
    401: "The token is missing or wrong.",
    403: "A cross-site request, or the service is read-only.",
    404: "Not found.",
    408: "Timed out while receiving the body.",
    413: "The body is too large.",
    415: "Unsupported media type.",
    421: "Unknown host name.",
    422: "The run cannot be stored as it is, or the body would become too much.",
    429: "Too many wrong tokens.",
    431: "The request line and its headers are too large.",
    500: "A stored run cannot be read, or an internal error occurred.",
    501: "An optional package is missing on the server.",
    503: "The store is unavailable, or there are too many clients.",
}
_ALWAYS = (400, 401, 403, 421, 429, 431, 500, 503)
_WITH_BODY = (408, 413, 415, 422)


def document(root: str, *, has_token: bool) -> Json:
    """The document of a service that is mounted at a path."""
    reported: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "selectools-observe",
            "version": __version__,
            "description": "The runs of agents that a store keeps.",
        },
        "servers": [{"url": root or "/"}],
        "paths": _paths(),
        "components": {"schemas": SCHEMAS},
    }
    for path, methods in reported["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                operation["operationId"] = _operation_id(method, path)
    if has_token:
        reported["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        reported["security"] = [{"token": []}]
        reported["paths"]["/health"]["get"]["security"] = []
    return reported


def _operation_id(method: str, path: str) -> str:
    """What generated clients call an operation: ``get_traces_by_run_id_steps``."""
    words = [part for part in path.removeprefix("/api").split("/") if part]
    names = [f"by_{word[1:-1]}" if word.startswith("{") else word for word in words]
    return "_".join([method, *names]).replace(".", "_")


def _paths() -> Json:
    listed = _query(LIMIT, CURSOR, ORDER_BY, *FILTERS)
    return {
        "/health": {"get": _operation("Health check.", "Health")},
        "/api/about": {"get": _operation("About the service.", "About")},
        "/api/openapi.json": {"get": _operation("This document.", "Document")},
        "/api/traces": {
            "get": _operation("Summaries, newest first.", "Page", listed, [404]),
            "post": _saving(),
        },
        "/api/count": {
            "get": _operation("Count of matching runs.", "Count", _query(COUNT_LIMIT, *FILTERS))
        },
        "/api/search": {
            "get": _operation(
                "Matches in the texts of runs.",
                "SearchPage",
                _query(WORDS, LIMIT, CURSOR, HITS, *SEARCH_FILTERS),
                [404],
            )
        },
        "/api/running": {"get": _operation("Running runs, by their journals.", "RunningPage")},
        "/api/histogram": {
            "get": _operation("Runs over time.", "Histogram", _query(BUCKETS, TIME, *FILTERS))
        },
        "/api/stats": {
            "get": _operation(
                "Totals and percentiles.",
                "Statistics",
                _query(BY, TIME, MAX_RUNS, *FILTERS),
            )
        },
        "/api/groups": {
            "get": _operation(
                "Totals of the runs of each session, user or key.",
                "GroupPage",
                _query(GROUP_BY, GROUP_ORDER, GROUP_LIMIT, CURSOR, *FILTERS),
                [404],
            )
        },
        "/api/facets": {
            "get": _operation(
                "Keys and values of runs, with counts.",
                "Facets",
                _query(MOST_VALUES, MAX_RUNS, *FILTERS),
            )
        },
        "/api/compare": {
            "get": _operation(
                "Compare two runs step by step.", "Comparison", _query(ONE, OTHER), [404]
            )
        },
        "/api/compare/steps": {
            "get": _operation(
                "Differences between two steps, key by key.",
                "Differences",
                _query(ONE, OTHER, LEFT, RIGHT, TEXTS),
                [404],
            )
        },
        "/api/prune": {"post": _pruning()},
        "/api/compare/runs": {
            "get": _operation("Runs next to each other.", "RunTable", _query(RUN_IDS), [404])
        },
        "/api/live": {"get": _live()},
        "/api/traces/{run_id}": {"parameters": [_RUN_ID], "get": _run(), "delete": _deletion()},
        "/api/traces/{run_id}/candidates": {
            "parameters": [_RUN_ID],
            "get": _operation(
                "Similar runs, to compare with it.", "Candidates", _query(MOST), [404]
            ),
        },
        "/api/traces/{run_id}/annotations": {
            "parameters": [_RUN_ID],
            "get": _operation("Annotations of a run, oldest first.", "Annotations", [], [404]),
            "post": _annotating(),
            "delete": _operation(
                "Remove the annotations of one name.", "Removed", _query(NAME), [404]
            ),
        },
        "/api/traces/{run_id}/annotations/{annotation_id}": {
            "parameters": [_RUN_ID, _ANNOTATION_ID],
            "delete": {
                "summary": "Remove one annotation.",
                "responses": {"204": {"description": "Removed."}, **_errors([404])},
            },
        },
        "/api/traces/{run_id}/children": {
            "parameters": [_RUN_ID],
            "get": _operation("Child runs.", "Page", _query(LIMIT, CURSOR), [404]),
        },
        "/api/traces/{run_id}/conversation": {
            "parameters": [_RUN_ID],
            "get": _operation(
                "The conversation of a run, each message once.",
                "Conversation",
                _query(*CONVERSATION),
                [404],
            ),
        },
        "/api/traces/{run_id}/steps/{index}": {
            "parameters": [_RUN_ID, _INDEX],
            "get": _operation("One step, in full.", "Step", [], [404]),
        },
        "/v1/traces": {"post": _telemetry("spans")},
        "/v1/logs": {"post": _telemetry("logs: messages of model calls, joined to their spans")},
        "/v1/metrics": {"post": _telemetry("metrics: accepted, counted and not stored")},
    }


def _operation(
    about: str, schema: str, parameters: Sequence[Json] = (), errors: Sequence[int] = ()
) -> Json:
    return {
        "summary": about,
        "parameters": list(parameters),
        "responses": {"200": _response("OK.", {JSON: _ref(schema)}), **_errors(errors)},
    }


def _run() -> Json:
    reported = _operation("A run, or a window of it.", "Trace", _query(*WINDOW), [404])
    reported["parameters"].append(_IF_NONE_MATCH)
    reported["responses"]["304"] = {"description": "Not modified."}
    return reported


def _deletion() -> Json:
    done = {"204": {"description": "Deleted."}}
    return {"summary": "Delete a run.", "responses": {**done, **_errors([404])}}


def _pruning() -> Json:
    sent = {JSON: {"schema": {"$ref": "#/components/schemas/SentRetention"}}}
    return {
        "summary": "Delete the runs that a rule is against, or report them (the default).",
        "requestBody": {"required": True, "content": sent},
        "responses": {
            "200": _response("What was deleted, or would be.", {JSON: _ref("PruneReport")}),
            **_errors([408, 413, 415, 422]),
        },
    }


def _annotating() -> Json:
    sent = {JSON: {"schema": {"anyOf": [
        {"$ref": "#/components/schemas/SentAnnotation"},
        {"type": "array", "items": {"$ref": "#/components/schemas/SentAnnotation"},
         "description": "Annotations; all or none are stored."},
    ]}}}  # fmt: skip
    either = {"anyOf": [_ref("Annotation")["schema"], _ref("Annotations")["schema"]]}
    return {
        "summary": "Annotate a run or one of its steps.",
        "requestBody": {"required": True, "content": sent},
        "responses": {
            "201": _response("The annotation as stored.", {JSON: {"schema": either}}),
            **_errors([404, *_WITH_BODY]),
        },
    }


def _live() -> Json:
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        "summary": "New runs as they are saved (server-sent events).",
        "parameters": [*_query(*FILTERS), _LAST_ID],
        "responses": {"200": _response("Events.", stream), **_errors(())},
    }


def _saving() -> Json:
    lines = {"schema": {"type": "string"}}
    sent = {
        JSON: {"schema": {"anyOf": [
            {"$ref": "#/components/schemas/SentTrace"},
            {"type": "array", "description": "Runs; each is accepted or rejected on its own."},
        ]}},
        NDJSON: lines,
    }  # fmt: skip
    return {
        "summary": "Save a run, an array of runs, or one run per line.",
        "requestBody": {"required": True, "content": sent},
        "responses": {
            "200": _response("The result for each run.", {NDJSON: lines}),
            "201": _response("One run was saved.", {JSON: _ref("Saved")}),
            **_errors([*_WITH_BODY, 422]),
        },
    }


def _telemetry(what: str) -> Json:
    content = {JSON: {"schema": {"type": "object"}}, PROTOBUF: {"schema": {}}}
    return {
        "summary": f"OpenTelemetry (OTLP over HTTP) {what}.",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _response("Accepted.", content),
            **_errors([*_WITH_BODY, 501]),
        },
    }


def _query(*parameters: Parameter) -> list[Json]:
    return [_parameter(parameter) for parameter in parameters]


def _parameter(parameter: Parameter) -> Json:
    reported: Json = {
        "name": parameter.name,
        "in": "query",
        "required": parameter.needed,
        "description": parameter.about,
    }
    if parameter.as_json:
        return {**reported, "content": {JSON: {"schema": parameter.schema}}}
    return {**reported, "schema": parameter.schema}


def _errors(more: Sequence[int]) -> Json:
    statuses = sorted({*_ALWAYS, *more})
    return {str(n): _response(_ERRORS[n], {JSON: _ref("Error")}) for n in statuses}


def _response(about: str, content: Json) -> Json:
    return {"description": about, "content": content}


def _ref(name: str) -> Json:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}
