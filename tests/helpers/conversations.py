"""200 real conversations as runs, in the shapes of several frameworks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selectools_observe import AgentTrace, TraceStep

_FILE = Path(__file__).resolve().parents[1] / "data" / "airline" / "conversations.json.gz"
_START = 1_780_000_000.0

Message = dict[str, Any]
Shape = Callable[[Message], Any]


def conversations() -> list[dict[str, Any]]:
    """What was said: ``task_id``, ``trial``, ``reward``, ``user_id`` and ``messages`` each."""
    found: list[dict[str, Any]] = json.loads(gzip.decompress(_FILE.read_bytes()))
    return found


def openai(message: Message) -> Message:
    """A message of OpenAI's chat completions, as the file has them."""
    return message


def openinference(message: Message) -> Message:
    """The same as OpenInference's attributes hold it."""
    return {"message": message}


def langchain(message: Message) -> Message:
    """The same as LangChain's `message_to_dict` writes it."""
    kinds = {"user": "human", "assistant": "ai", "tool": "tool", "system": "system"}
    data: Message = {"content": message.get("content") or "", "id": f"run-{id(message)}"}
    if message.get("tool_calls"):
        data["tool_calls"] = [
            {"id": call["id"], "name": call["function"]["name"], "type": "tool_call",
             "args": json.loads(call["function"]["arguments"])}
            for call in message["tool_calls"]
        ]  # fmt: skip
    if message["role"] == "tool":
        data |= {"tool_call_id": message["tool_call_id"], "name": message.get("name")}
    return {"type": kinds[message["role"]], "data": data}


def run_of(
    conversation: Mapping[str, Any], shape: Shape = openai, *, run_id: str | None = None
) -> AgentTrace:
    """A model call for each answer, with all that was said before it; a step for each tool call."""
    messages: Sequence[Message] = conversation["messages"]
    steps = []
    for at, message in enumerate(messages):
        place = {"timestamp": _START + at * 3, "duration_ms": 800.0 + at}
        if message["role"] == "assistant":
            given = [shape(one) for one in messages[:at]]
            steps.append(
                TraceStep("llm_call", model="gpt-4o", input=given, output=shape(message), **place)
            )
        elif message["role"] == "tool":
            steps.append(TraceStep("tool_execution", **place, **_tool(messages[:at], message)))
    keys = ("task_id", "trial", "reward", "user_id")
    return AgentTrace(
        run_id=run_id or f"task-{conversation['task_id']}-{conversation['trial']}",
        name="airline-agent",
        start_time=_START,
        steps=steps,
        metadata={key: conversation[key] for key in keys},
    )


def _tool(before: Sequence[Message], message: Message) -> dict[str, Any]:
    calls = [call for one in reversed(before) for call in one.get("tool_calls") or []]
    call = next(call for call in calls if call["id"] == message["tool_call_id"])
    return {
        "tool_name": call["function"]["name"],
        "tool_args": json.loads(call["function"]["arguments"]),
        "tool_result": message["content"],
    }


def with_other_ids(conversation: Mapping[str, Any]) -> dict[str, Any]:
    """The same conversation as another run of it has it: the provider gave other ids."""
    text = json.dumps(conversation["messages"]).replace('"call_', '"call_other_')
    return {**conversation, "messages": json.loads(text)}
