"""Spans made with the real SDK, as instrumentations make them."""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context

MODEL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}


class Spans:
    """Makes spans and keeps those that ended, in the order of their ends."""

    def __init__(self, exporter=None) -> None:
        self.provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
        self.memory = InMemorySpanExporter()
        for each in filter(None, [self.memory, exporter]):
            self.provider.add_span_processor(SimpleSpanProcessor(each))
        self.tracer = self.provider.get_tracer("test-instrumentation", "1.0")

    def start(self, name, attributes=None, parent=None, **options):
        context = None if parent is None else set_span_in_context(parent)
        return self.tracer.start_span(name, context, attributes=attributes, **options)

    def run(self, *, model=None, tool=None):
        """An agent with a model call and a tool call, ended; the finished spans, children first."""
        root = self.start("invoke_agent a", AGENT)
        self.start("chat m", MODEL | (model or {}), root).end()
        self.start("execute_tool t", TOOL | (tool or {}), root).end()
        root.end()
        return self.finished()

    def finished(self):
        return list(self.memory.get_finished_spans())


def trace_id_of(span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


def span_id_of(span) -> str:
    return f"{span.get_span_context().span_id:016x}"
