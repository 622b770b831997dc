"""Span frames of Phoenix: rows of ``get_spans_dataframe()``, and spans of its API.

Annotations come in files of their own, of spans whose run they do not name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ..integrations.opentelemetry.spans import SpanEvent, SpanRecord
from ..model.annotations import Source as AnnotationSource
from .builders import objects, seconds
from .form import JSONForm, JSONObject
from .observations import hex_id, nanoseconds
from .scores import Judgement, Score
from .span_runs import SpanReader

_RESULT = ("label", "score", "explanation")
_SOURCES: dict[str, AnnotationSource] = {"human": "human", "llm": "llm"}
_PREFIX = "attributes."
_LISTS = ("messages", "documents", "tools", "embeddings", "contents", "tool_calls")
FRAME_COLUMNS = frozenset({"context.trace_id", "context.span_id", "start_time"})


def span_of(row: JSONObject) -> SpanRecord:
    """The span of a row."""
    context = row.get("context")
    reported = context if isinstance(context, dict) else {}
    parent = row.get("parent_id")
    kind = row.get("span_kind")
    found = _attributes(row)
    if isinstance(kind, str) and kind:
        found.setdefault("openinference.span.kind", kind)
    return SpanRecord(
        trace_id=hex_id(reported.get("trace_id") or row.get("context.trace_id"), 32),
        span_id=hex_id(reported.get("span_id") or row.get("context.span_id"), 16),
        parent_span_id=hex_id(parent, 16) if isinstance(parent, str) and parent else None,
        name=str(row.get("name") or ""),
        start_ns=_nanoseconds(row.get("start_time")),
        end_ns=_nanoseconds(row.get("end_time")),
        status=str(row.get("status_code") or "unset").lower(),
        status_message=str(row.get("status_message") or ""),
        scope="phoenix",
        attributes=found,
        events=[_event(event) for event in objects(row.get("events"))],
    )


def _attributes(row: JSONObject) -> JSONObject:
    reported = row.get("attributes")
    found = dict(reported) if isinstance(reported, dict) else {}
    found |= {name.removeprefix(_PREFIX): value for name, value in row.items()
              if name.startswith(_PREFIX)}  # fmt: skip
    flat: JSONObject = {}
    for name, value in found.items():
        _flatten(name, value, flat)
    return flat


def _flatten(name: str, value: Any, into: JSONObject) -> None:
    """Lists of objects as OpenInference's spans have them: a name for each of their parts."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            for key, inner in item.items():
                _flatten(f"{name}.{number}.{key}", inner, into)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, into)
    else:
        # A column of a frame with gaps has its integers as floats.
        whole = isinstance(value, float) and value.is_integer() and "token_count" in name
        into[name] = int(value) if whole else value


def _event(event: JSONObject) -> SpanEvent:
    reported = event.get("attributes")
    kept = (
        {}
        if not isinstance(reported, dict)
        else {n: v for n, v in reported.items() if v is not None}
    )
    return SpanEvent(str(event.get("name") or ""), _nanoseconds(event.get("timestamp")), kept)


def _nanoseconds(value: Any) -> int:
    """A time of a row: ISO text, a datetime, or a number in the unit that pandas chose."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return nanoseconds(aware.timestamp())
    if isinstance(value, int | float) and math.isfinite(value):
        number = int(value)
        while 0 < abs(number) < 10**17:  # milliseconds or microseconds since the epoch
            number *= 1000
        return number
    return nanoseconds(seconds(value))


def _is_annotation(row: JSONObject) -> bool:
    return "annotator_kind" in row and not row.keys().isdisjoint({"span_id", "trace_id"})


def _score(row: JSONObject) -> Score:
    """An annotation, as the client gives it or as a row of its frame."""
    result = row.get("result")
    told = result if isinstance(result, dict) else {}
    label, score, why = (_present(told.get(name, row.get(f"result.{name}"))) for name in _RESULT)
    kind = str(row["annotator_kind"]).lower()
    metadata = row.get("metadata")
    about = metadata if isinstance(metadata, dict) else {}
    return Score(
        # One of ours that was sent there has kept its id.
        id=str(_present(row.get("identifier")) or f"phoenix-{row.get('id')}"),
        name=_present(row.get("annotation_name")) or row.get("name"),
        value=score,
        label=label,
        note=why,
        author=about.get("author") or _present(row.get("user_id")),
        source=_SOURCES.get(kind, "code"),
        when=_nanoseconds(row.get("updated_at") or row.get("created_at")) / 10**9 or None,
    )


def _present(value: Any) -> Any:
    """What a frame has; it has NaN where there is nothing."""
    return None if isinstance(value, float) and math.isnan(value) else value


class _Reader(SpanReader):
    def _spans(self, value: JSONObject, place: str) -> Iterator[SpanRecord]:
        for row in objects(value.get("data")) or [value]:
            if _is_annotation(row):
                trace_id, span_id = row.get("trace_id"), row.get("span_id")
                run = hex_id(trace_id, 32) if trace_id else None
                span = hex_id(span_id, 16) if span_id else None
                self._source.judge(Judgement(place, run, span, _score(row)))
            else:
                yield span_of(row)


def _recognises(value: JSONObject) -> bool:
    rows = objects(value.get("data"))
    row = rows[0] if rows else value
    has_context = isinstance(row.get("context"), dict)
    is_span = has_context and {"span_kind", "start_time"} <= row.keys()
    return is_span or row.keys() >= FRAME_COLUMNS or _is_annotation(row)


FORM = JSONForm(
    "phoenix",
    "spans of Phoenix",
    _recognises,
    _Reader,
    ("name", "span_kind", "context.trace_id", "context.span_id", "start_time"),
    "`client.spans.get_spans_dataframe()`, `.get_spans()`, `.get_span_annotations()`",
)
