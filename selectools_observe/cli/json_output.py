"""JSON output, in the shapes of the HTTP API."""

from __future__ import annotations

from ..model.codec import encode
from ..model.json_values import dumps
from ..model.references import expanded_json
from ..model.trace import AgentTrace


def as_json(value: object) -> str:
    """Any value of ours as JSON text."""
    return dumps(value).decode("utf-8", "surrogatepass")


def trace_json(trace: AgentTrace) -> str:
    """A trace in the shape that files hold, as JSON text."""
    return expanded_json(encode(trace).trace).decode("utf-8", "surrogatepass")
