"""Traces, observations and scores of Langfuse: its API, tables exported, blob storage export.

Names in camelCase or snake_case. A trace may hold the others, or stand next to them; scores alone
are of runs that were imported from another file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..integrations.opentelemetry.spans import SpanRecord
from ..model.annotations import Source as AnnotationSource
from ..model.trace import AgentTrace
from .builders import parsed, parsed_object, seconds
from .form import JSONForm, JSONObject, SavedRun
from .observations import (
    RowRuns,
    attributes,
    failure,
    hex_id,
    kind_of,
    nanoseconds,
    runs_of_trace,
)
from .scores import Judgement, Score, add_score
from .source import Source

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_OBSERVATION_KEYS = ("id", "type", "trace_id", "start_time")
_TRACE_KEYS = ("id", "timestamp", "user_id", "session_id")
_SCORE_KEYS = ("id", "name", "data_type")
_SOURCES: dict[str, AnnotationSource] = {"ANNOTATION": "human", "EVAL": "llm"}
_NODES = frozenset({"AGENT", "CHAIN"})
_TYPES = frozenset(
    {"SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR",
     "EMBEDDING", "GUARDRAIL"}
)  # fmt: skip


def _snake(value: JSONObject) -> JSONObject:
    """The object with its own names in snake_case; what is in them is left alone."""
    return {_CAPITAL.sub(r"_\1", key).lower(): item for key, item in value.items()}


def _is_observation(row: JSONObject) -> bool:
    return all(key in row for key in _OBSERVATION_KEYS) and str(row["type"]).upper() in _TYPES


def _is_score(row: JSONObject) -> bool:
    has_value = "value" in row or "string_value" in row
    has_place = "trace_id" in row or isinstance(row.get("subject"), dict)
    return has_value and has_place and all(key in row for key in _SCORE_KEYS)


def _placed(row: JSONObject) -> JSONObject:
    """A score with the ids of what it is about; the newest API has them in its ``subject``."""
    subject = _snake(parsed_object(row.get("subject")))
    kind, about = subject.get("kind"), subject.get("id")
    if kind == "trace":
        return row | {"trace_id": about}
    if kind == "observation":
        return row | {"trace_id": subject.get("trace_id"), "observation_id": about}
    return {"trace_id": None} | row


def _is_trace(row: JSONObject) -> bool:
    return "type" not in row and all(key in row for key in _TRACE_KEYS)


def _spans_of(rows: list[JSONObject]) -> Iterator[SpanRecord]:
    """The spans of one trace; the trace itself is their root, unless one of them is already."""
    observations = {str(row["id"]): row for row in rows if _is_observation(row)}
    trace = next((row for row in reversed(rows) if _is_trace(row)), None)
    spans = [_span(row, alone=trace is None) for row in observations.values()]
    known = {span.span_id for span in spans}
    tops = [span for span in spans if span.parent_span_id not in known]
    if trace is not None:
        root = _root(trace, list(observations.values()))
        if len(tops) == 1 and tops[0].attributes["openinference.span.kind"] in _NODES:
            tops[0].attributes = root.attributes | tops[0].attributes
        else:
            yield root
            for span in tops:
                span.parent_span_id = root.span_id
    yield from spans


def _score(row: JSONObject) -> Score:
    kind = str(row.get("data_type") or "").upper()
    value, word = row.get("value"), row.get("string_value")
    if kind == "BOOLEAN":
        value = bool(value)
    elif kind != "NUMERIC" and word is not None:
        value = word
    return Score(
        id=f"langfuse-{row['id']}",
        name=row["name"],
        value=value,
        note=row.get("comment"),
        author=row.get("author_user_id"),
        source=_SOURCES.get(str(row.get("source")), "code"),
        when=row.get("timestamp") or row.get("created_at"),
    )


def _about(row: JSONObject) -> str | None:
    """The span that a score is about."""
    return hex_id(row["observation_id"], 16) if row.get("observation_id") else None


def _span(row: JSONObject, *, alone: bool) -> SpanRecord:
    kind = kind_of(row["type"])
    began = nanoseconds(seconds(row["start_time"]))
    ended = nanoseconds(seconds(row.get("end_time"))) or began
    level = str(row.get("level") or "")
    parent = row.get("parent_observation_id")
    about = alone and not parent  # the first of them tells of the trace, if nothing else does
    error = (row.get("status_message") or "error") if level == "ERROR" else None
    return SpanRecord(
        trace_id=hex_id(row["trace_id"], 32),
        span_id=hex_id(row["id"], 16),
        parent_span_id=hex_id(parent, 16) if parent else None,
        name=str(row.get("name") or row["type"]),
        start_ns=began,
        end_ns=ended,
        scope="langfuse",
        attributes=attributes(
            kind,
            input=_parsed(row.get("input")),
            output=_parsed(row.get("output")),
            session_id=row.get("session_id") if about else None,
            user_id=row.get("user_id") if about else None,
            metadata=_metadata(row) if about else None,
            **(_usage(row) if kind in {"LLM", "EMBEDDING"} else {}),
        )
        | ({"tool.name": row["name"]} if kind == "TOOL" and row.get("name") else {}),
        **failure(error, ended),
    )


def _root(trace: JSONObject, observations: list[JSONObject]) -> SpanRecord:
    times = [seconds(row.get(name)) for row in observations for name in ("start_time", "end_time")]
    known = [moment for moment in times if moment is not None]
    reported = seconds(trace["timestamp"])
    return SpanRecord(
        trace_id=hex_id(trace["id"], 32),
        span_id=hex_id(f"trace {trace['id']}", 16),
        name=str(trace.get("name") or ""),
        start_ns=nanoseconds(min(known, default=reported)),
        end_ns=nanoseconds(max(known, default=reported)),
        scope="langfuse",
        attributes=attributes(
            "AGENT",
            input=_parsed(trace.get("input")),
            output=_parsed(trace.get("output")),
            session_id=trace.get("session_id"),
            user_id=trace.get("user_id"),
            tags=_parsed(trace.get("tags")) or None,
            metadata=_metadata(trace),
        ),
    )


def _metadata(row: JSONObject) -> JSONObject:
    given = _parsed(row.get("metadata"))
    kept = given if isinstance(given, dict) else {} if given is None else {"metadata": given}
    about = {name: row[name] for name in ("release", "version", "environment") if row.get(name)}
    trace_id = row.get("trace_id") or row["id"]
    return kept | about | {"source": "langfuse", "langfuse.trace_id": trace_id}


def _usage(row: JSONObject) -> JSONObject:
    """What a generation used: sums of the kinds of usage, which do not overlap."""
    details = parsed_object(row.get("usage_details"))
    older = _snake(parsed_object(row.get("usage")))
    cost = parsed_object(row.get("cost_details")).get("total")
    costs = (cost, row.get("total_cost"), row.get("calculated_total_cost"))
    parameters = parsed_object(row.get("model_parameters"))
    return {
        "model": row.get("model") or row.get("provided_model_name"),
        "parameters": parameters,
        "prompt_tokens": _sum(details, "input") or older.get("input") or row.get("prompt_tokens"),
        "completion_tokens": _sum(details, "output")
        or older.get("output")
        or row.get("completion_tokens"),
        "cache_read_tokens": _sum(details, "input_cached") or _sum(details, "input_cache_read")
        or details.get("cache_read_input_tokens"),
        "cache_write_tokens": _sum(details, "input_cache_creation")
        or details.get("cache_creation_input_tokens"),
        "reasoning_tokens": _sum(details, "output_reasoning"),
        "cost_usd": next((float(c) for c in costs if c is not None and _is_number(c)), None),
    }  # fmt: skip


def _sum(details: JSONObject, beginning: str) -> int | None:
    """The usage of all kinds whose names begin so: Langfuse's own rule for its sums.

    Kinds of caches as Anthropic names them are input as well.
    """
    found = [
        int(count)
        for name, count in details.items()
        if isinstance(count, int | float)
        and (name.startswith(beginning) or (beginning == "input" and name.endswith("input_tokens")))
    ]
    return sum(found) if found else None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _parsed(value: Any) -> Any:
    """A value; exports have objects as JSON text, and texts as they are."""
    is_plain = isinstance(value, str) and value[:1] not in {"{", "[", '"'}
    return value if is_plain else parsed(value)


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._rows = RowRuns()

    def take(self, value: JSONObject, place: str) -> Iterator[AgentTrace]:
        rows = value.get("data")
        for each in rows if isinstance(rows, list) else [value]:
            if isinstance(each, dict):
                self._take(_snake(each), place)
        yield from ()

    def _take(self, row: JSONObject, place: str) -> None:
        for inside in row.pop("observations", None) or []:
            if isinstance(inside, dict):
                self._rows.add(row["id"], {"trace_id": row["id"]} | _snake(inside))
        for score in row.pop("scores", None) or []:
            if isinstance(score, dict):  # or only its id
                self._take({"trace_id": row["id"]} | _snake(score), place)
        if _is_observation(row):
            self._rows.add(row["trace_id"] or row["id"], row)
        elif _is_score(row):
            row = _placed(row)
            if row["trace_id"]:
                self._rows.add(row["trace_id"], row)
            else:
                self._source.skipped(place, f"score {row['id']} is not of a trace")
        elif _is_trace(row):
            self._rows.add(row["id"], row)
        else:
            reason = "neither a trace nor an observation nor a score of Langfuse"
            self._source.skipped(place, reason)

    def _place(self, score: JSONObject) -> str:
        return f"{self._source.path}, score {score['id']}"

    def rest(self) -> Iterator[SavedRun]:
        for rows in self._rows.traces():
            scores = [row for row in rows if _is_score(row)]
            if any(map(_is_observation, rows)):
                spans = list(_spans_of(rows))
                for row in scores:
                    add_score(
                        self._source.skipped, self._place(row), spans, _about(row), _score(row)
                    )
                yield from runs_of_trace(spans, self._source)
            else:
                self._judge(rows, scores)

    def _judge(self, rows: list[JSONObject], scores: list[JSONObject]) -> None:
        """Tell of the scores of a trace whose observations are not in the file."""
        trace = next((row for row in rows if row not in scores), None)
        if trace is not None:
            self._source.skipped(
                f"{self._source.path}, trace {trace.get('id')}",
                "no observation of this trace of Langfuse is in the file: export them too, "
                "and import both as one file",
            )
        for row in scores:
            run_id = hex_id(row["trace_id"], 32)
            self._source.judge(Judgement(self._place(row), run_id, _about(row), _score(row)))


def _recognises(value: JSONObject) -> bool:
    rows = value.get("data")
    first = rows[0] if isinstance(rows, list) and rows and "traceID" not in value else value
    row = _snake(first) if isinstance(first, dict) else {}
    return _is_observation(row) or _is_trace(row) or _is_score(row)


FORM = JSONForm(
    "langfuse",
    "traces of Langfuse",
    _recognises,
    _Reader,
    ("id", "traceId", "type", "startTime", "observations"),
    "its API (`/api/public/traces/ID`), its tables' export, blob storage export",
)
