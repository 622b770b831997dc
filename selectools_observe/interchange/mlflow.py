"""Traces of MLflow: ``trace.to_json()``, and the rows of ``mlflow.search_traces()``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator

from ..integrations.opentelemetry.spans import SpanEvent, SpanRecord
from ..model.annotations import Source
from ..model.trace import AgentTrace
from .builders import objects, parsed, parsed_object, total
from .form import JSONForm, JSONObject, SavedRun
from .observations import attributes, hex_id, kind_of, runs_of_trace
from .scores import Score, add_score
from .source import Source as File

_OWN = "mlflow."
_SOURCES: dict[str, Source] = {"HUMAN": "human", "LLM_JUDGE": "llm", "AI_JUDGE": "llm"}
_SPAN_ID = 16
_TRACE_ID = 32


def runs_of(trace: JSONObject, source: File) -> Iterator[SavedRun]:
    """The run of a trace, with its assessments."""
    info, data = parsed_object(trace.get("info")), parsed_object(trace.get("data"))
    spans = objects(data.get("spans"))
    records = [_span(span, info) for span in spans]
    for said in info.get("assessments") or []:
        if isinstance(said, dict) and records:
            about = _span_id(said["span_id"]) if said.get("span_id") else None
            place = f"{source.path}, assessment {said.get('assessment_id')}"
            add_score(source.skipped, place, records, about, _score(said))
    return runs_of_trace(records, source)


def _score(said: JSONObject) -> Score:
    """An assessment; of an expectation the name says that it is one."""
    by = parsed_object(said.get("source"))
    feedback, expectation = (
        parsed_object(said.get("feedback")),
        parsed_object(said.get("expectation")),
    )
    name = said.get("assessment_name") or said.get("name")
    told = said.get("assessment_id") or f"{name}-{said.get('create_time')}"
    value = expectation.get(
        "value", parsed_object(expectation.get("serialized_value")).get("value")
    )
    error = parsed_object(feedback.get("error")).get("error_message")
    return Score(
        id=f"mlflow-{told}",
        name=f"expectation.{name}" if expectation else name,
        value=value if expectation else feedback.get("value"),
        note=said.get("rationale") or error,
        author=by.get("source_id") if by.get("source_id") != "default" else None,
        source=_SOURCES.get(str(by.get("source_type")), "code"),
        when=said.get("last_update_time") or said.get("create_time"),
    )


def _span(span: JSONObject, info: JSONObject) -> SpanRecord:
    context = parsed_object(span.get("context"))  # until version 3
    reported = parsed_object(span.get("attributes"))
    own = {name.removeprefix(_OWN): parsed(value) for name, value in reported.items()
           if name.startswith(_OWN)}  # fmt: skip
    others = {name: parsed(value) for name, value in reported.items() if not name.startswith(_OWN)}
    parent = span.get("parent_span_id", span.get("parent_id"))
    status = span.get("status") or span.get("status_code")
    code, message = (
        (status.get("code"), status.get("message"))
        if isinstance(status, dict)
        else (status, span.get("status_message"))
    )
    return SpanRecord(
        trace_id=hex_id(_trace_id(info, span, context), _TRACE_ID),
        span_id=_span_id(span.get("span_id") or context.get("span_id")),
        parent_span_id=_span_id(parent) if parent else None,
        name=str(span.get("name") or ""),
        start_ns=int(span.get("start_time_unix_nano") or span.get("start_time") or 0),
        end_ns=int(span.get("end_time_unix_nano") or span.get("end_time") or 0),
        status=str(code or "").removeprefix("STATUS_CODE_").lower() or "unset",
        status_message=str(message or ""),
        scope="mlflow",
        attributes=others | _attributes(own, span, None if parent else info),
        events=[_event(event) for event in objects(span.get("events"))],
    )


def _attributes(own: JSONObject, span: JSONObject, info: JSONObject | None) -> JSONObject:
    """MLflow's attributes in OpenInference's words; those of the trace at its root."""
    kind = kind_of(own.get("spanType"))
    usage = parsed_object(own.get("chat.tokenUsage"))
    cost = parsed_object(own.get("llm.cost")).get("total_cost")
    about = {} if info is None else _about(info)
    found = attributes(
        kind,
        input=own.get("spanInputs"),
        output=own.get("spanOutputs"),
        model=own.get("llm.model") or own.get("chat.model"),
        provider=own.get("llm.provider"),
        prompt_tokens=total(usage.get("input_tokens")),
        completion_tokens=total(usage.get("output_tokens")),
        cache_read_tokens=total(usage.get("cache_read_input_tokens")),
        cache_write_tokens=total(usage.get("cache_creation_input_tokens")),
        cost_usd=cost,
        **about,
    )
    return found | ({"tool.name": str(span.get("name"))} if kind == "TOOL" else {})


def _about(info: JSONObject) -> JSONObject:
    kept = parsed_object(info.get("trace_metadata") or info.get("request_metadata"))
    tags = parsed_object(info.get("tags"))
    given = {
        name: value
        for name, value in (kept | tags).items()
        if not name.startswith(_OWN) and name != "metadata"
    }
    trace_id = info.get("trace_id") or info.get("request_id")
    location = parsed_object(parsed_object(info.get("trace_location")).get("mlflow_experiment"))
    experiment = location.get("experiment_id") or info.get("experiment_id")
    about = {"source": "mlflow", "mlflow.trace_id": trace_id, "mlflow.experiment_id": experiment}
    return {
        "session_id": kept.get("mlflow.trace.session"),
        "user_id": kept.get("mlflow.trace.user"),
        "metadata": given | {name: value for name, value in about.items() if value},
    }


def _event(event: JSONObject) -> SpanEvent:
    when = event.get("time_unix_nano") or event.get("timestamp") or 0
    reported = parsed_object(event.get("attributes"))
    return SpanEvent(str(event.get("name") or ""), int(when), reported)


def _trace_id(info: JSONObject, span: JSONObject, context: JSONObject) -> object:
    """The trace's own id, which has the digits of OpenTelemetry's."""
    found = info.get("trace_id") or info.get("request_id")
    return found or context.get("trace_id") or _hexadecimal(span.get("trace_id"))


def _span_id(value: object) -> str:
    return hex_id(_hexadecimal(value), _SPAN_ID)


def _hexadecimal(value: object) -> str:
    """An id's digits; version 3 writes them in base64."""
    text = str(value)
    if text.endswith("="):
        try:
            return base64.b64decode(text).hex()
        except binascii.Error:
            return text
    return text


class _Reader:
    def __init__(self, source: File) -> None:
        self._source = source

    def take(self, value: JSONObject, _: str) -> Iterator[SavedRun]:
        inside = parsed(value.get("trace"))
        return runs_of(inside if isinstance(inside, dict) else value, self._source)

    def rest(self) -> Iterable[AgentTrace]:
        return ()


def recognises(value: JSONObject) -> bool:
    """Whether an object is a trace of MLflow's, or a row of its search that holds one."""
    inside = value.get("trace")
    if isinstance(inside, str):
        return "trace_id" in value or "request_id" in value
    found = inside if isinstance(inside, dict) else value
    return "spans" in parsed_object(found.get("data")) and isinstance(found.get("info"), dict)


FORM = JSONForm(
    "mlflow",
    "traces of MLflow",
    recognises,
    _Reader,
    ("info", "data"),
    "`trace.to_json()`, `mlflow.search_traces().to_json(orient='records')`",
)
