"""Traces of MLflow as it exports them, out of a database of its own: `pip install mlflow`."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow.entities import AssessmentSource, SpanType


@mlflow.trace(span_type=SpanType.TOOL)
def lookup(city: str) -> str:
    if city == "Atlantis":
        raise ValueError("there is no such city")
    return f"12 degrees in {city}"


@mlflow.trace(span_type=SpanType.CHAT_MODEL)
def chat(messages: list[dict[str, str]], text: str) -> dict[str, object]:
    span = mlflow.get_current_active_span()
    usage = {"input_tokens": 40, "output_tokens": 9, "total_tokens": 49}
    span.set_attribute("mlflow.chat.tokenUsage", usage)
    span.set_attribute("mlflow.llm.model", "gpt-4o-mini")
    span.set_attribute("mlflow.llm.provider", "openai")
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


@mlflow.trace(name="weather_agent", span_type=SpanType.AGENT)
def agent(question: str, city: str) -> str:
    mlflow.update_current_trace(
        tags={"team": "weather"},
        metadata={"mlflow.trace.session": "session-1", "mlflow.trace.user": "ada"},
    )
    messages = [{"role": "user", "content": question}]
    chat(messages, "I look it up.")
    found = lookup(city)
    messages.append({"role": "tool", "content": found})
    chat(messages, "It is 12 degrees.")
    return "It is 12 degrees."


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as there:
        mlflow.set_tracking_uri(f"sqlite:///{there}/mlflow.db")
        mlflow.set_experiment("weather")
        agent("How warm is Oslo?", "Oslo")
        with contextlib.suppress(ValueError):
            agent("How warm is Atlantis?", "Atlantis")
        mlflow.flush_trace_async_logging()
        for trace in mlflow.search_traces(return_type="list"):
            by = AssessmentSource(source_type="HUMAN", source_id="ada")
            mlflow.log_feedback(
                trace_id=trace.info.trace_id, name="correct", value=True,
                rationale="It names a number.", source=by,
            )  # fmt: skip
            chat_span = next(span for span in trace.data.spans if span.name.startswith("chat"))
            judge = AssessmentSource(source_type="LLM_JUDGE", source_id="gpt-4o")
            mlflow.log_feedback(
                trace_id=trace.info.trace_id, name="brevity", value=0.25, source=judge,
                span_id=chat_span.span_id,
            )  # fmt: skip
            mlflow.log_expectation(
                trace_id=trace.info.trace_id, name="answer", value="12 degrees", source=by
            )
        traces = mlflow.search_traces(return_type="list")
        (folder / "traces.jsonl").write_text("".join(f"{t.to_json()}\n" for t in traces))
        frame = mlflow.search_traces(return_type="pandas")
        frame.to_json(folder / "frame.json", orient="records", indent=1)
        reported = [
            {
                "trace_id": t.info.trace_id, "tokens": t.info.token_usage,
                "duration_ms": t.info.execution_duration, "state": str(t.info.state),
                "started_ms": t.info.timestamp_ms, "spans": len(t.data.spans),
            }
            for t in traces
        ]  # fmt: skip
        (folder / "reported.json").write_text(json.dumps(reported, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
