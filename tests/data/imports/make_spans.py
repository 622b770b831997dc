"""One agent's spans as OpenTelemetry's exporters write them, and as OTLP JSON in its spellings.

`pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-common`.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace import SpanKind, Status, StatusCode


class Collected(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def run_agent(provider: TracerProvider, city: str) -> None:
    tracer = provider.get_tracer("weather.agent", "1.2")
    with tracer.start_as_current_span("invoke_agent weather") as root:
        root.set_attribute("gen_ai.operation.name", "invoke_agent")
        root.set_attribute("gen_ai.agent.name", "weather")
        root.set_attribute("gen_ai.conversation.id", "session-1")
        for number in range(2):
            with tracer.start_as_current_span("chat gpt-4o-mini", kind=SpanKind.CLIENT) as span:
                span.set_attribute("gen_ai.operation.name", "chat")
                span.set_attribute("gen_ai.request.model", "gpt-4o-mini")
                span.set_attribute("gen_ai.usage.input_tokens", 40 + number)
                span.set_attribute("gen_ai.usage.output_tokens", 9)
                span.set_attribute("gen_ai.request.temperature", 0.5)
                span.set_attribute("gen_ai.response.finish_reasons", ["stop"])
            if number == 0:
                with tracer.start_as_current_span("execute_tool lookup") as span:
                    span.set_attribute("gen_ai.operation.name", "execute_tool")
                    span.set_attribute("gen_ai.tool.name", "lookup")
                    span.set_attribute("gen_ai.tool.call.arguments", json.dumps({"city": city}))
                    if city == "Atlantis":
                        span.record_exception(ValueError("there is no such city"))
                        span.set_status(Status(StatusCode.ERROR, "there is no such city"))


def hexadecimal(value: Any) -> Any:
    """Ids as OTLP's own JSON has them: in hexadecimal, not in protobuf's base64."""
    if isinstance(value, list):
        return [hexadecimal(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64decode(item).hex()
            if key in {"traceId", "spanId", "parentSpanId"}
            else hexadecimal(item)
            for key, item in value.items()
        }
    return value


def main(folder: Path) -> None:
    collected = Collected()
    with (folder / "console.txt").open("w") as console:
        provider = TracerProvider(resource=Resource.create({"service.name": "weather"}))
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=console)))
        provider.add_span_processor(SimpleSpanProcessor(collected))
        for city in ("Oslo", "Atlantis"):
            run_agent(provider, city)
        provider.shutdown()
    whole = encode_spans(collected.spans)
    camel = MessageToDict(whole)
    written = {
        "camel.json": hexadecimal(camel),
        "base64.json": camel,
        "snake.json": MessageToDict(whole, preserving_proto_field_name=True),
        "tempo.json": {"batches": camel["resourceSpans"]},
    }
    for name, value in written.items():
        (folder / name).write_text(json.dumps(value, indent=1))
    lines = [json.dumps(hexadecimal(MessageToDict(encode_spans([s])))) for s in collected.spans]
    (folder / "lines.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
