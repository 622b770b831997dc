"""OpenTelemetry's OTLP as JSON, in every spelling in which tools write it.

Names in camelCase or snake_case; ``resourceSpans``, or ``batches`` as Grafana Tempo answers (also
inside ``trace``); ``instrumentationLibrarySpans`` of collectors before 0.60; ids in hexadecimal, or
in base64 as protobuf's own JSON has them. All become the one that the receiver reads.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

from ..integrations.opentelemetry.otlp_json import spans_of_json
from ..integrations.opentelemetry.otlp_logs import read_logs
from ..integrations.opentelemetry.spans import SpanRecord
from .form import JSONForm, JSONObject
from .span_runs import SpanReader

_REQUEST_KEYS = ("resourceSpans", "resource_spans", "batches", "resourceLogs", "resource_logs")
_RENAMED = {
    "resource_spans": "resourceSpans",
    "batches": "resourceSpans",
    "scope_spans": "scopeSpans",
    "resource_logs": "resourceLogs",
    "scope_logs": "scopeLogs",
    "log_records": "logRecords",
    "event_name": "eventName",
    "observed_time_unix_nano": "observedTimeUnixNano",
    "instrumentationLibrarySpans": "scopeSpans",
    "instrumentation_library_spans": "scopeSpans",
    "instrumentationLibrary": "scope",
    "instrumentation_library": "scope",
    "trace_id": "traceId",
    "span_id": "spanId",
    "parent_span_id": "parentSpanId",
    "trace_state": "traceState",
    "start_time_unix_nano": "startTimeUnixNano",
    "end_time_unix_nano": "endTimeUnixNano",
    "time_unix_nano": "timeUnixNano",
    "string_value": "stringValue",
    "bool_value": "boolValue",
    "int_value": "intValue",
    "double_value": "doubleValue",
    "bytes_value": "bytesValue",
    "array_value": "arrayValue",
    "kvlist_value": "kvlistValue",
}
_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{11,22}={0,2}")
# Values of attributes: nothing in them is a name of OTLP's.
_OPAQUE = frozenset({"stringValue", "string_value", "bytesValue", "bytes_value", "name", "key"})


def _request(value: JSONObject) -> JSONObject:
    inner = value.get("trace")  # as Tempo's second version answers
    return inner if isinstance(inner, dict) and _is_request(inner) else value


def _is_request(value: JSONObject) -> bool:
    return any(isinstance(value.get(key), list) for key in _REQUEST_KEYS)


def canonical(value: Any) -> Any:
    """A request in OTLP's own spelling: camelCase, ids in hexadecimal digits."""
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = _RENAMED.get(key, str(key))
        if name in _ID_BYTES:
            found[name] = _hexadecimal(item, _ID_BYTES[name])
        else:
            found[name] = item if key in _OPAQUE else canonical(item)
    return found


def _hexadecimal(value: Any, size: int) -> Any:
    if not isinstance(value, str) or len(value) == 2 * size or not _BASE64.fullmatch(value):
        return value
    try:
        raw = base64.b64decode(value.replace("-", "+").replace("_", "/") + "==")
    except binascii.Error:
        return value
    return raw.hex() if len(raw) == size else value


class _OtlpReader(SpanReader):
    def _spans(self, value: JSONObject, place: str) -> Iterator[SpanRecord]:
        def reject(reason: str) -> None:
            self._source.skipped(place, reason)

        request = canonical(_request(value))
        if "resourceSpans" in request:
            yield from spans_of_json(request, reject)
        if "resourceLogs" in request:
            logs = read_logs(request)
            yield from logs.spans
            for reason in logs.rejected:
                reject(reason)


FORM = JSONForm(
    "otlp",
    "OTLP as JSON",
    lambda value: _is_request(_request(value)),
    _OtlpReader,
    ("resourceSpans",),
    "the Collector's file exporter, Grafana Tempo, `curl` of an OTLP endpoint",
)
