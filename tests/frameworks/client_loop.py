"""An agent by hand, for the clients of model providers, with spans of its own around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Status, StatusCode
from script import AGENT, SESSION, USER, find_order, refund

TOOLS: dict[str, Callable[..., str]] = {"find_order": find_order, "refund": refund}
"""By name."""

SCHEMAS: dict[str, Any] = {
    "find_order": {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
    },
    "refund": {
        "type": "object",
        "properties": {"order": {"type": "integer"}, "amount": {"type": "integer"}},
        "required": ["order", "amount"],
    },
}
"""Of the tools' arguments."""


def run_agent(provider: Any, step: Callable[[Any], bool]) -> None:
    """Call ``step`` with a function that calls tools until it says that it is done."""
    tracer = provider.get_tracer("by-hand")
    agent = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": AGENT,
        "gen_ai.conversation.id": SESSION,
        "user.id": USER,
    }

    def call(call_id: str, name: str, arguments: dict[str, Any]) -> str:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call_id,
        }
        with tracer.start_as_current_span(
            f"execute_tool {name}", attributes=attributes, record_exception=True
        ) as span:
            try:
                return TOOLS[name](**arguments)
            except ValueError as error:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                return str(error)

    with tracer.start_as_current_span(f"invoke_agent {AGENT}", attributes=agent):
        while not step(call):
            pass
