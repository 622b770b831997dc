"""Spans into a trace store, beside a no-op exporter: ``python -m benchmarks.integrations.otel``.

A run is an agent with 5 model calls and 5 tool calls, about 6 KB of attributes.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

from selectools_observe import InMemoryTraceStore, SQLiteTraceStore, TraceStore
from selectools_observe.integrations.opentelemetry import (
    TraceStoreSpanExporter,
    otlp_of_runs,
    runs_of_otlp,
)

from .rounds import TimedStore, blocking, show, show_save

TEXT = "All is well that ends well, said the model. " * 11
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
MODEL: dict[str, str | int] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 150,
    "gen_ai.output.messages": f'[{{"role":"assistant","content":"{TEXT}"}}]',
}
TOOL = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "find_order",
    "gen_ai.tool.call.arguments": '{"number": 7}',
    "gen_ai.tool.call.result": TEXT,
}


class Keep(SpanExporter):
    """Does nothing, or keeps the spans."""

    def __init__(self, kept: list[ReadableSpan] | None = None) -> None:
        self.kept = kept

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.kept is not None:
            self.kept.extend(spans)
        return SpanExportResult.SUCCESS


def agent(stack: contextlib.ExitStack, *processors: SpanProcessor) -> Callable[[], None]:
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    stack.callback(provider.shutdown)
    tracer = provider.get_tracer("benchmark")

    def run() -> None:
        with tracer.start_as_current_span("invoke_agent support", attributes=AGENT):
            for _ in range(5):
                with tracer.start_as_current_span("chat gpt-4o", attributes=MODEL):
                    pass
                with tracer.start_as_current_span("execute_tool find_order", attributes=TOOL):
                    pass

    return run


def batch(exporter: SpanExporter) -> BatchSpanProcessor:
    return BatchSpanProcessor(exporter, max_queue_size=100_000)


def simple(store: TraceStore) -> SimpleSpanProcessor:
    return SimpleSpanProcessor(TraceStoreSpanExporter(store))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        timed = stack.enter_context(TimedStore(Path(name) / "simple.db"))
        other = stack.enter_context(SQLiteTraceStore(Path(name) / "batch.db"))
        bare = agent(stack)
        medians = blocking(
            {
                "spans, no processor": bare,
                "BatchSpanProcessor, no-op exporter": agent(stack, batch(Keep())),
                "SimpleSpanProcessor, no-op exporter": agent(stack, SimpleSpanProcessor(Keep())),
                "SimpleSpanProcessor, in memory": agent(stack, simple(InMemoryTraceStore())),
                "SimpleSpanProcessor, SQLite": agent(stack, simple(timed)),
            },
            rounds,
        )
        show("An agent's own thread, one processor", medians)
        show_save(timed)
        # In turns of its own: its thread works on while the others would be measured.
        batched = agent(stack, batch(TraceStoreSpanExporter(other)))
        medians = blocking(
            {"spans, no processor": bare, "BatchSpanProcessor, SQLite": batched}, rounds
        )
        show("The exporter at work in its own thread", medians)
        throughput(stack, other)


def throughput(stack: contextlib.ExitStack, store: SQLiteTraceStore) -> None:
    """How many runs a second the exporter takes, and the way out and back."""
    kept: list[ReadableSpan] = []
    run = agent(stack, SimpleSpanProcessor(Keep(kept)))
    for _ in range(1000):
        run()
    exporter = TraceStoreSpanExporter(store)
    begin = time.perf_counter()
    for at in range(0, len(kept), 512):
        exporter.export(kept[at : at + 512])
    seconds = time.perf_counter() - begin
    print(f"\nThe exporter saves {1000 / seconds:,.0f} runs a second, batches of 512 spans.")
    runs = [store.load(summary.run_id) for summary in store.list(200)]
    begin = time.perf_counter()
    body = otlp_of_runs(runs)
    middle = time.perf_counter()
    found = runs_of_otlp(body)
    end = time.perf_counter()
    print(f"As OTLP {len(runs) / (middle - begin):,.0f} runs a second out, ", end="")
    print(f"{len(found) / (end - middle):,.0f} in, {len(body) / len(runs):,.0f} bytes a run.")


if __name__ == "__main__":
    main()
