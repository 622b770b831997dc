"""The JSON schemas of requests and responses."""

from __future__ import annotations

from typing import Any

from ...analytics.conversation import Turn
from ...analytics.run_metrics import Delta
from ...model.annotations import LONGEST_NAME, SOURCES
from ...model.group_sums import Group, ModelUse
from ...model.groups import FacetValues, TraceFacets, TraceGroup
from ...model.percentiles import Percentiles
from ...model.retention import PruneReport
from ...model.text_query import SearchHit
from ...model.trace import TraceSummary
from ..request_trace import SentStep, SentTrace
from .model_schemas import components_of, fields_of

_TEXT = {"type": "string"}
_WHOLE = {"type": "integer"}
_COUNT = {"type": "integer", "minimum": 0}
_REAL = {"type": "number"}
_FLAG = {"type": "boolean"}
_WHEN = {"type": "string", "format": "date-time"}
_OBJECT = {"type": "object"}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _exactly(**fields: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _found(**fields: Any) -> dict[str, Any]:
    """An object with these fields, and a warning if nothing was found and that may be why."""
    schema = _exactly(**fields)
    return {**schema, "properties": {**fields, "warning": _TEXT}}


def _with_all(**fields: Any) -> dict[str, Any]:
    """An object with all of these fields; a newer service may send more."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def _at_least(needed: list[str], **fields: Any) -> dict[str, Any]:
    """An object that may have others: fields of other versions are kept."""
    return {"type": "object", "properties": fields, "required": needed}


_STEP = fields_of(SentStep)
_TRACE = {**fields_of(SentTrace), "steps": _list(_ref("SentStep"))}

_WORD = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": "^[^\\x00]*$"}
_ANNOTATION: dict[str, Any] = {
    "name": _WORD,
    "label": _WORD,
    "score": _REAL,
    "note": {"type": "string", "minLength": 1},
    "step": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "author": _WORD,
    "source": {"enum": list(SOURCES)},
    "id": _WORD,
}

_SUM = _or_null(_REAL)  # what is beyond any number is null
_SPREAD = _exactly(**{**fields_of(Percentiles), "total": _SUM, "mean": _SUM})
_FILTER = {"type": "string", "format": "trace-filter"}
_JUDGED = {"type": "object", "additionalProperties": _ref("AnnotationStatistics")}

SCHEMAS: dict[str, Any] = {
    "Error": _exactly(
        error={
            "type": "object",
            "properties": {"type": _TEXT, "message": _TEXT, "hint": _TEXT},
            "required": ["type", "message"],
            "additionalProperties": False,
        }
    ),
    "Health": _exactly(status={"const": "ok"}, answered_ms={"type": "number"}, read_only=_FLAG),
    "About": _exactly(version=_TEXT, read_only=_FLAG, runs=_COUNT),
    "Document": _at_least(["openapi", "info", "paths"]),
    "Saved": _exactly(run_id=_TEXT),
    "Count": _found(count=_COUNT, is_complete=_FLAG),
    "Summary": _with_all(**fields_of(TraceSummary)),
    "Annotation": _at_least(
        ["run_id", "name", "source", "created_at", "id"],
        run_id=_TEXT,
        created_at=_WHEN,
        **_ANNOTATION,
    ),
    "SentRetention": {
        **_at_least(
            [],
            older_than=_WHEN,
            keep_runs=_COUNT,
            keep_bytes=_COUNT,
            where=_FILTER,
            keep=_FILTER,
            keep_annotated=_FLAG,
            dry_run={**_FLAG, "default": True},
        ),
        "additionalProperties": False,
        "anyOf": [
            {"required": [name]} for name in ("older_than", "keep_runs", "keep_bytes", "where")
        ],
    },
    "PruneReport": _exactly(**fields_of(PruneReport)),
    "SentAnnotation": {
        **_at_least(["name"], created_at=_WHEN, **_ANNOTATION),
        "anyOf": [{"required": [one]} for one in ("label", "score", "note")],
        "additionalProperties": False,
    },
    "Annotations": _exactly(annotations=_list(_ref("Annotation"))),
    "Removed": _exactly(removed=_COUNT),
    "Page": _found(traces=_list(_ref("Summary")), next_cursor=_or_null(_TEXT)),
    "Histogram": _exactly(
        since=_or_null(_WHEN),
        until=_or_null(_WHEN),
        bucket_ms=_REAL,
        runs=_list(_COUNT),
        errors=_list(_COUNT),
        total=_COUNT,
    ),
    "Spread": _SPREAD,
    "AnnotationStatistics": _exactly(
        runs=_COUNT,
        score=_ref("Spread"),
        labels={"type": "object", "additionalProperties": _COUNT},
    ),
    "Group": _exactly(
        **{
            **fields_of(Group),
            "cost_usd": _ref("Spread"),
            "duration_ms": _ref("Spread"),
            "tokens": _ref("Spread"),
            "annotations": _JUDGED,
            "models": {"type": "object", "additionalProperties": _ref("ModelUse")},
        }
    ),
    "ModelUse": _exactly(**{**fields_of(ModelUse), "cost_usd": _SUM}),
    "SearchHit": _exactly(**fields_of(SearchHit)),
    "SearchPage": _found(hits=_list(_ref("SearchHit")), next_cursor=_or_null(_TEXT)),
    "Statistics": _with_all(
        runs=_COUNT,
        matching_runs=_COUNT,
        total=_ref("Group"),
        hours=_list(_ref("Group")),
        days=_list(_ref("Group")),
        models=_list(_ref("Group")),
        tools=_list(_ref("Group")),
        groups={"type": "object", "additionalProperties": _list(_ref("Group"))},
        annotations=_JUDGED,
    ),
    "TraceGroup": _exactly(
        **{
            **fields_of(TraceGroup),
            "cost_usd": _SUM,
            "total_ms": _ref("Spread"),
            "annotations": _JUDGED,
        }
    ),
    "GroupPage": _found(groups=_list(_ref("TraceGroup")), next_cursor=_or_null(_TEXT)),
    "FacetValues": _exactly(**fields_of(FacetValues)),
    "Facets": _exactly(**fields_of(TraceFacets)),
    "Step": _at_least(["type"], **_STEP, cut={"type": "object", "additionalProperties": _COUNT}),
    "Trace": _at_least(
        ["run_id", "start_time", "step_count", "steps"],
        **{
            **_TRACE,
            "steps": _list(_ref("Step")),
            "total_duration_ms": _REAL,
            "step_count": _COUNT,
            "step_offset": _COUNT,
            "cut": {"type": "object", "additionalProperties": _COUNT},
        },
    ),
    "Conversation": _at_least(
        ["run_id", "total", "offset", "turns"],
        run_id=_TEXT,
        total=_COUNT,
        offset=_COUNT,
        turns=_list(_ref("Turn")),
        steps=_list(_COUNT),
        errors=_list(_COUNT),
        found=_list(_COUNT),
        gaps=_at_least(
            ["texts", "characters", "lost_events", "message"],
            texts=_COUNT,
            characters=_COUNT,
            lost_events=_COUNT,
            message=_TEXT,
        ),
    ),
    "Turn": _at_least(
        ["kind", "step"], **{**fields_of(Turn), "parts": _list(_OBJECT), "cut": _COUNT}
    ),
    "SentStep": _at_least(["type"], **_STEP),
    "SentTrace": _at_least(["steps"], **{**_TRACE, "run_id": {"type": "string", "minLength": 1}}),
    "Pair": _exactly(
        one=_or_null(_COUNT),
        other=_or_null(_COUNT),
        change={"enum": ["same", "changed", "removed", "added"]},
        fields=_list(_TEXT),
    ),
    "Comparison": _with_all(
        one=_ref("Summary"),
        other=_ref("Summary"),
        first_difference=_or_null(_COUNT),
        metadata=_list(_TEXT),
        run_fields=_list({"enum": ["input", "output"]}),
        deltas=_list(_ref("Delta")),
        pairs=_list(_ref("Pair")),
    ),
    "Delta": _with_all(**fields_of(Delta)),
    "RunningPage": _with_all(traces=_list(_ref("Summary"))),
    "Differences": _with_all(differences=_list(_ref("Difference"))),
    "Difference": _at_least(["field"], field=_TEXT, path=_TEXT, left={}, right={}),
    "RunTable": _with_all(
        metrics=_list(_TEXT), metadata=_list(_TEXT), rows=_list(_ref("ComparedRun"))
    ),
    "ComparedRun": _with_all(
        summary=_ref("Summary"),
        run_id=_TEXT,
        name=_or_null(_TEXT),
        outcome=_TEXT,
        input=_or_null(_TEXT),
        output=_or_null(_TEXT),
        metrics={"type": "object", "additionalProperties": _or_null(_REAL)},
        differing_steps=_COUNT,
        first_difference=_or_null(_COUNT),
    ),
    "Candidates": _with_all(groups=_list(_ref("CandidateGroup"))),
    "CandidateGroup": _with_all(
        reason={"enum": ["task", "input", "session", "user"]},
        key=_or_null(_TEXT),
        value={},
        traces=_list(_ref("Summary")),
    ),
}
SCHEMAS = {**components_of(TraceSummary, SearchHit), **SCHEMAS}
