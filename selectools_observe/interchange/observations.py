"""What other tools call an observation, a run or a span, as a span in OpenInference's words.

Readers of tools that are no OpenTelemetry (LangSmith, Langfuse) or that have words of their own
(MLflow) make one of these for each row, and leave it to the span reader what becomes of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..integrations.opentelemetry.from_spans import saved_runs_of_spans
from ..integrations.opentelemetry.spans import SpanEvent, SpanRecord
from ..model.json_values import dumps, json_text, loads
from .form import JSONObject, SavedRun
from .source import Source
from .span_spool import SpanSpool

_KINDS = frozenset(
    {"LLM", "EMBEDDING", "TOOL", "RETRIEVER", "RERANKER", "GUARDRAIL", "AGENT", "CHAIN",
     "EVALUATOR"}
)  # fmt: skip
_SAME_KINDS = {
    "CHAT_MODEL": "LLM",
    "GENERATION": "LLM",
    "COMPLETION": "LLM",
    "SPAN": "CHAIN",
    "PARSER": "CHAIN",
    "PROMPT": "CHAIN",
    "EVENT": "CHAIN",
    "UNKNOWN": "CHAIN",
}
_NOT_HEX = re.compile(r"[^0-9a-f]")


def hex_id(text: object, digits: int) -> str:
    """An id of OpenTelemetry's form for a tool's own: itself, a UUID's digits, or a digest.

    Of a UUID that must become shorter the end counts: its beginning may be a time.
    """
    plain = str(text).lower().removeprefix("0x").removeprefix("tr-").replace("-", "")
    if not _NOT_HEX.search(plain) and digits <= len(plain) <= 32 and plain.strip("0"):
        return plain[-digits:]
    return hashlib.blake2b(
        str(text).encode("utf-8", "replace"), digest_size=digits // 2
    ).hexdigest()


def kind_of(name: object) -> str:
    """OpenInference's kind of span for a tool's own word; ``CHAIN`` if it is unknown."""
    upper = str(name).upper()
    return upper if upper in _KINDS else _SAME_KINDS.get(upper, "CHAIN")


def as_text(value: Any) -> str | None:
    """A value as an attribute: text as it is, anything else as JSON; None if there is none."""
    if value is None or value in ({}, []):
        return None
    return value if isinstance(value, str) else json_text(value)


def attributes(kind: str, **reported: Any) -> dict[str, Any]:
    """OpenInference's attributes of a span; what is None is absent."""
    names = {
        "input": "input.value",
        "output": "output.value",
        "model": "llm.model_name",
        "provider": "llm.provider",
        "parameters": "llm.invocation_parameters",
        "prompt_tokens": "llm.token_count.prompt",
        "completion_tokens": "llm.token_count.completion",
        "cache_read_tokens": "llm.token_count.prompt_details.cache_read",
        "cache_write_tokens": "llm.token_count.prompt_details.cache_write",
        "reasoning_tokens": "llm.token_count.completion_details.reasoning",
        "cost_usd": "llm.cost.total",
        "session_id": "session.id",
        "user_id": "user.id",
        "agent": "agent.name",
        "metadata": "metadata",
        "tags": "tag.tags",
    }
    for name in ("input", "output", "parameters", "metadata"):
        reported[name] = as_text(reported.get(name))
    found = {names[name]: value for name, value in reported.items() if value is not None}
    return {"openinference.span.kind": kind} | found


def failure(error: str | None, when_ns: int) -> dict[str, Any]:
    """The fields of a span that failed, or that did not; a traceback may follow the message."""
    if not error:
        return {}
    message, _, trace = error.partition("\n\nTraceback ")
    reported = {"exception.message": message.strip()}
    if trace:
        reported["exception.stacktrace"] = f"Traceback {trace}"
    event = SpanEvent("exception", when_ns, reported)
    return {"status": "error", "status_message": message.strip(), "events": [event]}


def nanoseconds(moment: float | None) -> int:
    """Nanoseconds of seconds, to the microsecond: a float has no more."""
    return 0 if moment is None else round(moment * 10**6) * 1000


class RowRuns:
    """Puts rows together by trace, and makes runs of them when all have come."""

    def __init__(self) -> None:
        self._spool: SpanSpool | None = None

    def add(self, trace: object, row: JSONObject) -> None:
        """Keep a row of a trace."""
        self._spool = self._spool or SpanSpool()
        self._spool.add(str(trace), dumps(row))

    def traces(self) -> Iterator[list[JSONObject]]:
        """The rows of each trace."""
        if self._spool is None:
            return
        with self._spool as spool:
            self._spool = None
            for rows in spool.groups():
                yield [loads(row) for row in rows]


def runs_of_trace(spans: Iterable[SpanRecord], source: Source) -> Iterator[SavedRun]:
    """The runs of one trace's spans; a parent that is not among them is none."""
    records = list(spans)
    known = {record.span_id for record in records}
    for record in records:
        if record.parent_span_id not in known:
            record.parent_span_id = None
    for run in saved_runs_of_spans(records, lambda why: source.skipped(source.path, why)):
        yield SavedRun(*run)
