"""Runs of LangSmith, as its client and its bulk export write them: a trace is a run of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..integrations.opentelemetry.spans import SpanRecord
from ..model.annotations import Source as AnnotationSource
from ..model.trace import AgentTrace
from .builders import parsed, parsed_object, seconds, total
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

_SOURCES: dict[str, AnnotationSource] = {"app": "human", "model": "llm"}
_SESSIONS = ("session_id", "thread_id", "conversation_id")


def span_of(row: JSONObject) -> SpanRecord:
    """A run of LangSmith's as a span."""
    extra = parsed_object(row.get("extra"))
    metadata = parsed_object(extra.get("metadata"))
    kind = kind_of(row.get("run_type"))
    began = seconds(_text(row.get("start_time")))
    ended = seconds(_text(row.get("end_time"))) or began
    end_ns = nanoseconds(ended)
    tells = kind in {"LLM", "EMBEDDING"}  # its parents tell the sums of those inside
    return SpanRecord(
        trace_id=hex_id(row.get("trace_id") or row["id"], 32),
        span_id=hex_id(row["id"], 16),
        parent_span_id=hex_id(row["parent_run_id"], 16) if row.get("parent_run_id") else None,
        name=str(row.get("name") or ""),
        start_ns=nanoseconds(began),
        end_ns=end_ns,
        scope="langsmith",
        attributes=attributes(
            kind,
            input=parsed(row.get("inputs")),
            output=_output(row.get("outputs")),
            session_id=next((metadata[name] for name in _SESSIONS if metadata.get(name)), None),
            user_id=metadata.get("user_id"),
            metadata=None if row.get("parent_run_id") else _own(metadata, row),
            tags=row.get("tags") or None,
            **(_usage(row, extra, metadata) if tells else {}),
        )
        | ({"tool.name": row["name"]} if kind == "TOOL" and row.get("name") else {}),
        **failure(row.get("error"), end_ns),
    )


def _output(outputs: Any) -> Any:
    """What a run returned; LangSmith wraps what is not an object."""
    found = parsed(outputs)
    if isinstance(found, dict) and found.keys() == {"output"}:
        return found["output"]
    return found


def _usage(row: JSONObject, extra: JSONObject, metadata: JSONObject) -> JSONObject:
    """What a call of a model used: LangSmith's own counts, or those that the model reported."""
    reported = parsed_object(
        parsed_object(row.get("outputs")).get("usage_metadata")
    ) or parsed_object(metadata.get("usage_metadata"))
    details = parsed_object(row.get("prompt_token_details")) or parsed_object(
        reported.get("input_token_details")
    )
    written = parsed_object(row.get("completion_token_details")) or parsed_object(
        reported.get("output_token_details")
    )
    parameters = parsed_object(extra.get("invocation_params"))
    return {
        "model": metadata.get("ls_model_name") or parameters.get("model"),
        "provider": metadata.get("ls_provider"),
        "parameters": parameters,
        "prompt_tokens": _count(row.get("prompt_tokens"), reported.get("input_tokens")),
        "completion_tokens": _count(row.get("completion_tokens"), reported.get("output_tokens")),
        "cache_read_tokens": total(details.get("cache_read")),
        "cache_write_tokens": total(details.get("cache_creation")),
        "reasoning_tokens": total(written.get("reasoning")),
        "cost_usd": _number(row.get("total_cost")),
    }


def _own(metadata: JSONObject, row: JSONObject) -> JSONObject:
    kept = {key: value for key, value in metadata.items() if not key.startswith("ls_")}
    return kept | {"source": "langsmith", "langsmith.trace_id": row.get("trace_id") or row["id"]}


def _count(*values: Any) -> int | None:
    return next((int(v) for v in values if isinstance(v, int | float) and v), None)


def _number(value: Any) -> float | None:
    """A cost: a number, or the text of a decimal one."""
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _is_feedback(row: JSONObject) -> bool:
    known = {"feedback_source", "score", "value", "comment", "correction"}
    return {"id", "key", "run_id"} <= row.keys() and not known.isdisjoint(row)


def _score(row: JSONObject) -> Score:
    """A feedback: a score, a category, or both."""
    told = parsed_object(row.get("feedback_source"))
    about = parsed_object(told.get("metadata"))
    value, number = row.get("value"), row.get("score")
    return Score(
        id=f"langsmith-{row['id']}",
        name=row["key"],
        value=value if number is None else number,
        label=value if number is not None and isinstance(value, str) else None,
        note=row.get("comment"),
        author=told.get("user_name") or about.get("user_name") or told.get("user_id"),
        source=_SOURCES.get(str(told.get("type")), "code"),
        when=row.get("modified_at") or row.get("created_at"),
    )


class _RunReader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._rows = RowRuns()

    def take(self, value: JSONObject, _: str) -> Iterator[AgentTrace]:
        todo = [value]
        while todo:  # with the runs inside it, where they were asked for
            row = todo.pop()
            children = row.pop("child_runs", None) or []
            todo += [child for child in children if isinstance(child, dict)]
            self._rows.add(row.get("trace_id") or row.get("run_id") or row["id"], row)
        yield from ()

    def rest(self) -> Iterator[SavedRun]:
        for rows in self._rows.traces():
            spans = [span_of(row) for row in rows if not _is_feedback(row)]
            for row in filter(_is_feedback, rows):
                place = f"{self._source.path}, feedback {row['id']}"
                span_id = hex_id(row["run_id"], 16)
                if spans:
                    add_score(self._source.skipped, place, spans, span_id, _score(row))
                else:
                    run_id = hex_id(row.get("trace_id") or row["run_id"], 32)
                    self._source.judge(Judgement(place, run_id, span_id, _score(row)))
            if spans:
                yield from runs_of_trace(spans, self._source)


def recognises(value: JSONObject) -> bool:
    """Whether an object is a run of LangSmith's, or feedback to one."""
    return all(key in value for key in ("id", "run_type", "start_time")) or _is_feedback(value)


FORM = JSONForm(
    "langsmith",
    "runs of LangSmith",
    recognises,
    _RunReader,
    ("id", "run_type", "trace_id", "dotted_order"),
    "`client.list_runs`, `client.list_feedback`, one a line",
)
