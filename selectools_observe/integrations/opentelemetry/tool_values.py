"""Arguments and results of tools, taken out of what frameworks wrap them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...capture.foreign_values import as_text
from ...model.json_values import is_one_of
from .attributes import parsed_text

_ANSWERS = ("content", "output", "raw_output", "text", "result", "response", "message", "blocks")
"""Where a wrapped result has what the tool gave back, the first that is there."""
_WRAPPERS = (
    {"is_error"},  # LlamaIndex's ToolOutput, Anthropic's tool_result
    {"isError"},  # MCP's CallToolResult
    {"type", "status", "content"},  # LangChain's ToolMessage, Strands' tool result
    {"toolUseId", "status"},
    {"output", "kwargs"},  # OpenLLMetry
    {"tool_call_id", "content"},  # a message that answers a call
)
# By its type or kind, a result that says whether its tool failed, and where it has what it says:
# of Vercel's AI SDK and of Pydantic AI.
_KINDS = {
    "text": ("value", False), "json": ("value", False),
    "error-text": ("value", True), "error-json": ("value", True),
    "tool-error": ("error", True), "retry-prompt": ("content", True),
}  # fmt: skip
_FAILED = frozenset({"error", "failed", "failure"})


class ToolResult(NamedTuple):
    """What a tool gave back.

    Attributes:
        text: As text.
        error: The same text, if the tool says of itself that it failed.
        wrapped: The text is not the whole value, but taken out of it.
    """

    text: str
    error: str | None = None
    wrapped: bool = False


def result_of(value: Any, *, is_wrapped: bool = False) -> ToolResult:
    """What a tool gave back, told by the value that was reported.

    Args:
        value: The value.
        is_wrapped: Its source puts what is no object under ``result``, as Google's ADK does.
    """
    reported = parsed_text(value)
    if isinstance(reported, list):
        return _result_in_parts(reported, value)
    if not isinstance(reported, Mapping):
        return ToolResult(as_text(value))
    if is_wrapped and reported.keys() == {"result"}:
        return ToolResult(as_text(reported["result"]), wrapped=True)
    inner = reported.get("kwargs") if reported.get("lc") is not None else None
    reported = inner if isinstance(inner, Mapping) else reported
    return _told_by_kind(reported) or _unwrapped(reported, value)


def _result_in_parts(parts: list[Any], value: Any) -> ToolResult:
    """What a list of texts says, or of one message that answers a call."""
    if parts and all(map(_is_text_part, parts)):
        return ToolResult(_texts_of(parts), wrapped=True)
    if len(parts) == 1 and isinstance(parts[0], Mapping):
        only = result_of(parts[0])
        if only.wrapped:
            return only
    return ToolResult(as_text(value))


def _told_by_kind(reported: Mapping[str, Any]) -> ToolResult | None:
    kind = reported.get("part_kind", reported.get("type"))
    place, has_failed = _KINDS.get(kind, ("", False)) if isinstance(kind, str) else ("", False)
    is_other = place == "value" and reported.keys() != {"type", "value"}
    if is_other or reported.get(place) is None:
        return None
    text = _texts_of(reported[place])
    return ToolResult(text, (text or "error") if has_failed else None, wrapped=True)


def _unwrapped(reported: Mapping[str, Any], value: Any) -> ToolResult:
    is_message = reported.get("role") == "tool" and "content" in reported
    if not is_message and not any(names <= reported.keys() for names in _WRAPPERS):
        return ToolResult(as_text(value))
    found = next(
        (reported[name] for name in _ANSWERS if reported.get(name) not in (None, "", [])), ""
    )
    text = _texts_of(found)
    failed = (
        reported.get("is_error") is True
        or reported.get("isError") is True
        or (isinstance(reported.get("status"), str) and reported["status"].lower() in _FAILED)
    )
    return ToolResult(text, (text or "error") if failed else None, wrapped=True)


def error_in(value: Any) -> str | None:
    """The text of a result that is nothing but an error: ``{"error": "database is locked"}``.

    Or one that says ``"success": false`` beside it, or how its tool failed: ``{"error_type":
    "ValueError", "error_details": "..."}``.
    """
    reported = parsed_text(value)
    if isinstance(reported, Mapping) and isinstance(reported.get("error_type"), str):
        details = reported.get("error_details") or reported.get("error_message")
        if isinstance(details, str) and details:
            return f"{reported['error_type']}: {details}"
    if isinstance(reported, Mapping) and is_one_of(reported.get("status"), _FAILED):
        # As Google ADK's manual has tools say it.
        reported = {name: said for name, said in reported.items() if name != "status"}
        if len(reported) == 1 and reported.keys() <= {"error_message", "message"}:
            reported = {"error": next(iter(reported.values()))}
    if isinstance(reported, Mapping) and (len(reported) == 1 or reported.get("success") is False):
        text = reported.get("error")
        if isinstance(text, str) and text:
            return text
        if isinstance(text, Mapping) and isinstance(text.get("message"), str):
            return str(text["message"])
    return None


def arguments_in(value: Any) -> dict[str, Any] | None:
    """The arguments inside of messages that ask for one tool call; None if there are none."""
    call = _part(value, "tool_call")
    if call is None:
        return None
    arguments = parsed_text(call.get("arguments"))
    return arguments if isinstance(arguments, dict) else {"input": arguments}


def response_in(value: Any) -> Any:
    """The result inside of messages that answer a tool call; None if there is none."""
    part = _part(value, "tool_call_response")
    if part is None:
        return None
    return next((part[name] for name in ("response", "result") if part.get(name) is not None), None)


def _part(value: Any, kind: str) -> Mapping[str, Any] | None:
    messages = parsed_text(value)
    for message in messages if isinstance(messages, list) else []:
        parts = message.get("parts") if isinstance(message, Mapping) else None
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, Mapping) and part.get("type") == kind:
                return part
    return None


def _is_text_part(part: Any) -> bool:
    """A part of a result's content, as Strands and MCP write it: ``{"text": ...}``."""
    return (
        isinstance(part, Mapping)
        and isinstance(part.get("text"), str)
        and (part.keys() == {"text"} or (part.keys() <= _TEXT_PART and part["type"] == "text"))
    )


_TEXT_PART = {"type", "text", "annotations"}


def _texts_of(value: Any) -> str:
    """The text of a result's content: a text, or parts of which some are texts."""
    parts = value if isinstance(value, list) else [value]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            return as_text(value)
        texts.append(text)
    return "\n".join(texts)
