"""What LangChain hands to callbacks, as values of a step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...capture.foreign_values import plain_of
from ...extras import needs
from ...model.json_values import readable, replace_foreign
from ...model.messages import messages_from, normalised

with needs("langchain", "The LangChain callback handlers"):
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult
    from pydantic import BaseModel

_SHARES = {
    "cache_read_tokens": ("input_token_details", "cache_read"),
    "cache_write_tokens": ("input_token_details", "cache_creation"),
    "reasoning_tokens": ("output_token_details", "reasoning"),
    "audio_input_tokens": ("input_token_details", "audio"),
    "audio_output_tokens": ("output_token_details", "audio"),
    "cache_write_5m_tokens": ("input_token_details", "ephemeral_5m_input_tokens"),
    "cache_write_1h_tokens": ("input_token_details", "ephemeral_1h_input_tokens"),
}
"""Where usage says which share of the tokens was what."""


def plain(value: Any) -> Any:
    """A value with its messages, models and dataclasses as objects that JSON has a form for."""
    return plain_of(value, _opened)


def _opened(value: Any) -> Any:
    """What a value holds that JSON has no form for, as a dictionary or a text."""
    if isinstance(value, BaseMessage):
        return _message(value)
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return dict(value) if isinstance(value, Mapping) else replace_foreign(value)


def messages_in(value: Any, role: str) -> Any:
    """Messages, or texts that a role says, in the one shape that messages are kept in."""
    if isinstance(value, BaseMessage):
        return [plain(value)]
    if isinstance(value, list) and value and isinstance(value[0], BaseMessage):
        return plain(value)
    return normalised(plain(value), role)


_SPOKEN = {"human": "user", "ai": "assistant", "system": "system"}


def _spoken(message: BaseMessage, content: str) -> dict[str, Any]:
    """What `_message` gives of a message that is a text and calls of tools, as most are."""
    parts: list[dict[str, Any]] = [{"type": "text", "content": content}] if content else []
    for call in getattr(message, "tool_calls", None) or ():
        part = {"type": "tool_call", "name": call["name"], "arguments": call["args"]}
        parts.append(part | ({"id": call["id"]} if call.get("id") else {}))
    told: dict[str, Any] = {"role": _SPOKEN[message.type], "parts": parts}
    if message.name:
        told["name"] = message.name
    if message.id:
        told["id"] = message.id
    return told


def _message(message: BaseMessage) -> dict[str, Any]:
    """A message in the one shape that messages are kept in."""
    content = message.content
    if (
        type(content) is str
        and message.type in _SPOKEN
        and not any(message.additional_kwargs.values())
        and not message.response_metadata.get("refusal")
        and not getattr(message, "invalid_tool_calls", None)
    ):
        return _spoken(message, content)
    reported = {
        "role": message.type,
        "content": content if isinstance(content, str) else plain(content),
        "name": message.name,
        "tool_calls": plain(getattr(message, "tool_calls", None)),
        "invalid_tool_calls": plain(getattr(message, "invalid_tool_calls", None)),
        "additional_kwargs": plain(message.additional_kwargs),
        "response_metadata": {"refusal": message.response_metadata.get("refusal")},
        "tool_call_id": getattr(message, "tool_call_id", None),
        "status": getattr(message, "status", None),
        "artifact": plain(getattr(message, "artifact", None)),
        "id": message.id,
    }
    given = {name: value for name, value in reported.items() if value not in (None, [], "success")}
    return messages_from(given)[0].to_dict()


def text(value: Any) -> str:
    """What a tool gave back, as text."""
    if isinstance(value, BaseMessage):
        value = value.content
    if isinstance(value, str):
        return value
    return readable(plain(value))


def reply(result: LLMResult) -> BaseMessage | str | None:
    """What the model answered: a message, or a text if it is no chat model."""
    for generations in result.generations:
        for generation in generations:
            message = getattr(generation, "message", None)
            return message if isinstance(message, BaseMessage) else generation.text
    return None


def candidates(result: LLMResult) -> list[Any]:
    """What else the model answered, where it was asked for several answers."""
    found = [each for generations in result.generations for each in generations]
    return [getattr(each, "message", None) or each.text for each in found[1:]]


def usage(result: LLMResult) -> dict[str, Any]:
    """Tokens and cost that the model reported, by the names of a step's fields and extras."""
    answer = reply(result)
    output = result.llm_output or {}
    response = getattr(answer, "response_metadata", None) or {}
    standard: Mapping[str, Any] = getattr(answer, "usage_metadata", None) or {}
    older = _first([output, response], "token_usage", "usage") or {}
    older = older if isinstance(older, Mapping) else {}
    reported = {
        "prompt_tokens": _first([standard, older], "input_tokens", "prompt_tokens"),
        "completion_tokens": _first([standard, older], "output_tokens", "completion_tokens"),
        "cost_usd": _first([standard, older, response, output], "total_cost", "cost", "cost_usd"),
        "response_model": _first([response, output], "model_name", "model"),
        "finish_reason": _first([response, _info(result)], "finish_reason", "stop_reason"),
    }
    for name, (group, share) in _SHARES.items():
        reported[name] = (standard.get(group) or {}).get(share)
    parts = [reported[f"cache_write_{time}_tokens"] for time in ("5m", "1h")]
    if not reported["cache_write_tokens"] and any(parts):
        reported["cache_write_tokens"] = sum(part or 0 for part in parts)
    if reported["cache_read_tokens"] is None:
        reported["cache_read_tokens"] = (older.get("prompt_tokens_details") or {}).get(
            "cached_tokens"
        )
    return {name: value for name, value in reported.items() if value is not None}


def _first(places: Iterable[Mapping[str, Any]], *names: str) -> Any:
    """The first entry by one of these names that is set."""
    for place in places:
        for name in names:
            if place.get(name) is not None:
                return place[name]
    return None


def _info(result: LLMResult) -> Mapping[str, Any]:
    for generations in result.generations:
        for generation in generations:
            return getattr(generation, "generation_info", None) or {}
    return {}


def reasoning(messages: Any) -> str | None:
    """What the model says of its thinking, in messages of the one shape."""
    parts = [part for each in messages for part in each["parts"]] if _is_told(messages) else []
    thoughts = [part["content"] for part in parts if part["type"] == "reasoning"]
    return "\n".join([thought for thought in thoughts if thought]) or None


def _is_told(messages: Any) -> bool:
    return isinstance(messages, list) and all(
        isinstance(each, dict) and "parts" in each for each in messages
    )


def tool_calls(message: Any) -> list[tuple[str, dict[str, Any], str | None]]:
    """The tools that a message asks for: name, arguments, id."""
    return [
        (call["name"], call["args"], call.get("id"))
        for call in getattr(message, "tool_calls", None) or []
    ]


def interrupts(error: BaseException) -> list[dict[str, Any]] | None:
    """The interrupts by which a LangGraph node paused its graph; None if that is none."""
    if not _is_of(error, "GraphBubbleUp") or _is_of(error, "ParentCommand"):
        return None
    first = _first_argument(error)
    found = first if isinstance(first, list | tuple) else []
    return [{"id": getattr(i, "id", None), "value": plain(getattr(i, "value", i))} for i in found]


def goes_to(error: BaseException) -> list[str] | None:
    """Where a LangGraph node sends its parent graph; None if it does not."""
    return _places(_first_argument(error)) if _is_of(error, "ParentCommand") else None


def goes_on_to(outputs: Any) -> list[str]:
    """Where the commands that a LangGraph node gave back send its own graph."""
    given = outputs if isinstance(outputs, list | tuple) else [outputs]
    commands = [each for each in given if type(each).__name__ == "Command"]
    return [place for command in commands for place in _places(command)]


def _places(command: Any) -> list[str]:
    goto = getattr(command, "goto", None) or ()
    places = list(goto) if isinstance(goto, list | tuple) else [goto]
    return [str(getattr(place, "node", place)) for place in places]


def input_of(inputs: Any) -> Any:
    """What a graph is given; of a command, as one that brings an answer, what it says."""
    given = plain(inputs)
    if type(inputs).__name__ == "Command" and isinstance(given, dict):
        return {name: value for name, value in given.items() if value not in (None, [], ())}
    return given


def _first_argument(error: BaseException) -> Any:
    return error.args[0] if error.args else None


def resumed_with(inputs: Any) -> list[tuple[str | None, Any]]:
    """The answers by which a paused graph goes on, each with the id of what asked, if that is told.

    LangGraph takes a dictionary for answers by id if all of its keys have an id's form.
    """
    answer = getattr(inputs, "resume", None) if type(inputs).__name__ == "Command" else None
    if type(answer) is dict and answer and all(map(_is_interrupt_id, answer)):
        return list(answer.items())
    return [] if answer is None else [(None, answer)]


_INTERRUPT_ID = re.compile(r"[0-9a-f]{32}")


def _is_interrupt_id(key: object) -> bool:
    return isinstance(key, str) and _INTERRUPT_ID.fullmatch(key) is not None


def _is_of(error: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(error).__mro__)
