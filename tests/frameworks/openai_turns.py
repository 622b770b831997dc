"""The script played through OpenAI's client, or one that has its interface."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from capturing import URL
from client_loop import SCHEMAS, run_agent
from script import ASKED_MODEL, QUESTION, SYSTEM

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": schema}}
    for name, schema in SCHEMAS.items()
]


def run(provider: Any, create: Callable[..., Any] | None = None) -> None:
    """Play it; ``create`` is the client's method."""
    if create is None:
        from openai import OpenAI

        client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
        create = client.chat.completions.create
    messages: list[Any] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": QUESTION},
    ]

    def step(call: Callable[..., str]) -> bool:
        said = create(model=ASKED_MODEL, messages=messages, tools=TOOLS).choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        for each in said.tool_calls or ():
            result = call(each.id, each.function.name, json.loads(each.function.arguments))
            messages.append({"role": "tool", "tool_call_id": each.id, "content": result})
        return not said.tool_calls

    run_agent(provider, step)
