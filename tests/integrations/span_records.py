"""Spans written down by hand: times in seconds, ids as short words."""

from __future__ import annotations

import hashlib

from selectools_observe.integrations.opentelemetry import runs_of_spans
from selectools_observe.integrations.opentelemetry.spans import SpanEvent, SpanRecord
from selectools_observe.integrations.opentelemetry.to_spans import spans_of_run

MODEL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
TOOL = {"gen_ai.operation.name": "execute_tool"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
CHAIN = {"openinference.span.kind": "CHAIN"}
LLM = {"openinference.span.kind": "LLM"}
TRACE = "ab" * 16


def ident(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def span(name, start, end, attributes=None, parent="root", *, events=(), **fields) -> SpanRecord:
    """One span; its id is made of its name, or of ``id``."""
    return SpanRecord(
        trace_id=TRACE,
        span_id=ident(fields.pop("id", name)),
        parent_span_id=None if parent is None else ident(parent),
        name=name,
        start_ns=int(start * 10**9),
        end_ns=int(end * 10**9),
        attributes=attributes or {},
        events=[SpanEvent(event, 0, said) for event, said in events],
        **fields,
    )


def root(end=10, attributes=None, **fields) -> SpanRecord:
    return span("root", 0, end, AGENT if attributes is None else attributes, None, **fields)


def tool(name, **more):
    return TOOL | {"gen_ai.tool.name": name} | more


def run_of(*records, **options):
    """The run of these spans; it goes out and comes back as it is."""
    (run,) = runs_of_spans(records, **options)
    if not options:
        assert runs_of_spans(spans_of_run(run)) == [run]
        sent = {record.span_id: record for record in spans_of_run(run)}
        assert sent.keys() == {record.span_id for record in records}
    return run


def kinds(run) -> list[str]:
    return [step.type.value for step in run.steps]
