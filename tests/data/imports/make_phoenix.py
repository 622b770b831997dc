"""Span frames of Phoenix, which its client fetches from its server: `pip install arize-phoenix`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode
from phoenix.client import Client

PORT = 16006
URL = f"http://127.0.0.1:{PORT}"


def run_agent(provider: TracerProvider, city: str) -> None:
    tracer = provider.get_tracer("weather.agent")
    with tracer.start_as_current_span("weather") as root:
        root.set_attribute("openinference.span.kind", "AGENT")
        root.set_attribute("input.value", f"How warm is {city}?")
        root.set_attribute("output.value", "It is 12 degrees.")
        root.set_attribute("session.id", "session-1")
        root.set_attribute("user.id", "ada")
        root.set_status(Status(StatusCode.OK))
        with tracer.start_as_current_span("chat") as span:
            span.set_attribute("openinference.span.kind", "LLM")
            span.set_attribute("llm.model_name", "gpt-4o-mini")
            span.set_attribute("llm.input_messages.0.message.role", "user")
            span.set_attribute("llm.input_messages.0.message.content", f"How warm is {city}?")
            span.set_attribute("llm.output_messages.0.message.role", "assistant")
            call = "llm.output_messages.0.message.tool_calls.0.tool_call"
            span.set_attribute(f"{call}.function.name", "lookup")
            span.set_attribute(f"{call}.function.arguments", json.dumps({"city": city}))
            span.set_attribute("llm.token_count.prompt", 40)
            span.set_attribute("llm.token_count.completion", 9)
            span.set_attribute("llm.token_count.total", 49)
        with tracer.start_as_current_span("lookup") as span:
            span.set_attribute("openinference.span.kind", "TOOL")
            span.set_attribute("tool.name", "lookup")
            span.set_attribute("input.value", json.dumps({"city": city}))
            span.set_attribute("input.mime_type", "application/json")
            if city == "Atlantis":
                span.record_exception(ValueError("there is no such city"))
                span.set_status(Status(StatusCode.ERROR, "there is no such city"))
            else:
                span.set_attribute("output.value", f"12 degrees in {city}")


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as there:
        env = os.environ | {
            "PHOENIX_WORKING_DIR": there, "PHOENIX_PORT": str(PORT), "PHOENIX_GRPC_PORT": "16317",
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }  # fmt: skip
        program = Path(sys.executable).with_name("phoenix")
        server = subprocess.Popen([program, "serve"], env=env)
        try:
            wait_until_up()
            provider = TracerProvider()
            exporter = OTLPSpanExporter(f"{URL}/v1/traces")
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            for city in ("Oslo", "Atlantis"):
                run_agent(provider, city)
            provider.shutdown()
            client = Client(base_url=URL)
            while len(frame := client.spans.get_spans_dataframe()) < 6:
                time.sleep(0.5)
            frame.to_parquet(folder / "spans.parquet")
            frame.reset_index(drop=True).to_json(folder / "frame.json", orient="records", indent=1)
            spans = client.spans.get_spans(project_identifier="default")
            (folder / "spans.json").write_text(json.dumps(spans, indent=1))
            annotate(client, spans)
            frame = client.spans.get_span_annotations_dataframe(
                spans_dataframe=client.spans.get_spans_dataframe()
            )
            frame.to_parquet(folder / "annotations.parquet")
            said = client.spans.get_span_annotations(spans=spans, project_identifier="default")
            (folder / "annotations.json").write_text(json.dumps(said, indent=1))
            traces = {span["context"]["trace_id"] for span in spans}
            query = "&".join(f"trace_ids={trace}" for trace in sorted(traces))
            url = f"{URL}/v1/projects/default/trace_annotations?{query}"
            with urllib.request.urlopen(url) as answer:
                (folder / "trace_annotations.json").write_bytes(answer.read())
        finally:
            server.terminate()
            server.wait()


def annotate(client: Client, spans: list[dict[str, Any]]) -> None:
    for span in spans:
        if span["name"] == "chat":
            client.spans.add_span_annotation(
                span_id=span["context"]["span_id"], annotation_name="correct",
                annotator_kind="LLM", label="yes", score=0.75, explanation="It names a number.",
                metadata={"prompt": "v2"}, sync=True,
            )  # fmt: skip
        elif span["name"] == "weather":
            client.traces.add_trace_annotation(
                trace_id=span["context"]["trace_id"], annotation_name="tone",
                annotator_kind="HUMAN", label="curt", sync=True,
            )  # fmt: skip


def wait_until_up() -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{URL}/healthz")
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit("Phoenix does not start")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
