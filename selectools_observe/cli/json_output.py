"""JSON output, in the shapes of the HTTP API."""

from __future__ import annotations

from typing import Any

from ..model.codec import encode
from ..model.json_values import dumps
from ..model.trace import AgentTrace, TraceSummary


def summary_fields(run: TraceSummary) -> dict[str, Any]:
    """A summary as JSON values."""
    return {
        "run_id": run.run_id,
        "steps": run.steps,
        "total_ms": run.total_ms,
        "created_at": run.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "metadata": run.metadata,
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": run.completion_tokens,
        "cost_usd": run.cost_usd,
        "has_error": run.has_error,
    }


def as_json(value: object) -> str:
    """Any value of ours as JSON text."""
    return dumps(value).decode("utf-8", "surrogatepass")


def trace_json(trace: AgentTrace) -> str:
    """A trace in the shape that files hold, as JSON text."""
    return encode(trace).trace.decode("utf-8", "surrogatepass")
