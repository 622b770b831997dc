"""What the programs of the frameworks have in common: the store, the spans, and what was reported.

A program is called with the address of the model server, the path of the store, and that of a file
for what the framework reported, as it came.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

URL, STORE, REPORTED = sys.argv[1:4]
os.environ |= {
    "OPENAI_API_KEY": "none",
    "ANTHROPIC_API_KEY": "none",
    "GEMINI_API_KEY": "none",
    "OPENAI_BASE_URL": f"{URL}/v1",
}


def report(*said: Any) -> None:
    """Write down what a framework told, as text."""
    with open(REPORTED, "a", encoding="utf-8") as file:
        for each in said:
            file.write(each if isinstance(each, str) else json.dumps(each, default=repr))
            file.write("\n")


def provider(*, everywhere: bool = False) -> Any:
    """A tracer provider whose spans go to the store and to the report.

    Args:
        everywhere: Make it the global one, for frameworks that take no other.
    """
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SimpleSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    from selectools_observe import SQLiteTraceStore
    from selectools_observe.integrations.opentelemetry import TraceStoreSpanExporter

    class Reporter(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            report(*[span.to_json(indent=None) for span in spans])
            return SpanExportResult.SUCCESS

    store = SQLiteTraceStore(STORE)
    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(TraceStoreSpanExporter(store)))
    made.add_span_processor(SimpleSpanProcessor(Reporter()))
    if everywhere:
        trace.set_tracer_provider(made)

    def close() -> None:
        made.shutdown()
        store.close()

    atexit.register(close)
    return made
