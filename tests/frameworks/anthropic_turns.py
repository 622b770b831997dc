"""The script played through Anthropic's client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
from capturing import URL
from client_loop import SCHEMAS, run_agent
from script import CLAUDE, QUESTION, SYSTEM

TOOLS = [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()]


def run(provider: Any) -> None:
    """Play it."""
    client = anthropic.Anthropic(base_url=URL, api_key="none", max_retries=0)
    messages: list[Any] = [{"role": "user", "content": QUESTION}]

    def step(call: Callable[..., str]) -> bool:
        said = client.messages.create(
            model=CLAUDE, max_tokens=500, system=SYSTEM, messages=messages, tools=TOOLS
        )
        messages.append(
            {
                "role": "assistant",
                "content": [b.model_dump(exclude_none=True) for b in said.content],
            }
        )
        results = [
            {
                "type": "tool_result",
                "tool_use_id": block.id,
                "content": call(block.id, block.name, dict(block.input)),
            }
            for block in said.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})
        return not results

    run_agent(provider, step)
