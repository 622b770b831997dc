"""The text of messages of whatever shape: what a summary shows of a run's input and output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .json_values import DEEPEST, UnstorableValueError, dumps, is_nested_deeply, is_one_of

_ENOUGH = 400  # characters: no summary shows more
_DEEPEST = 8
_PEOPLE = frozenset({"user", "human"})
_MODELS = frozenset({"assistant", "ai", "model", "AIMessageChunk"})
# Where messages and their contents stand in one another.
_INSIDE = (
    "text", "content", "parts", "contents", "message_content", "kwargs", "data", "message", "input",
    "output", "query", "question", "answer", "result", "task", "prompt", "user_msg", "input_args",
    "raw", "resume",
)  # fmt: skip
_NO_TEXT = frozenset(
    {
        "reasoning", "thinking", "redacted_thinking", "tool_call", "tool_use", "blob", "image",
        "audio", "video", "file", "input_file", "input_image", "input_audio", "image_url", "media",
    }
)  # fmt: skip


def text_of(value: Any, role: str, *, as_json: bool = True) -> str | None:
    """The text that a value says: of messages, the first of a user or the last of an assistant.

    Args:
        value: Text, messages of any framework, or any JSON value, which stands for itself.
        role: ``"user"`` or ``"assistant"``.
        as_json: A value in which nobody says anything is told as JSON.
    """
    if isinstance(value, str):
        return value
    messages = _messages(value)
    if messages is not None:
        wanted = _PEOPLE if role == "user" else _MODELS
        own = [message for message in messages if _role(message) in wanted]
        if not own and any(_role(message) for message in messages):
            return None
        for message in own if role == "user" else reversed(own or messages):
            text = _joined(message)
            if text:
                return text
        if own:
            return None
    text = _joined(value)
    return text or (_as_json(value) if as_json else None)


def _messages(value: Any, depth: int = 0) -> list[Any] | None:
    """The messages that a value is or holds."""
    if isinstance(value, dict):
        for name in ("messages", "choices", "candidates", "replies"):
            if isinstance(value.get(name), list):
                return _messages(value[name])
        only = next(iter(value.values())) if len(value) == 1 else None
        if isinstance(only, dict) and depth < DEEPEST:  # Haystack: by the name of a component
            return _messages(only, depth + 1)
        return [value] if _role(value) else None
    if isinstance(value, list | tuple):
        items = list(value)
        for _ in range(DEEPEST):
            if not (len(items) == 1 and isinstance(items[0], list | tuple)):
                break
            items = list(items[0])  # batches of one
        return items if any(_role(item) for item in items) else None
    return None


def _role(message: Any) -> str | None:
    """Who says a message."""
    if not isinstance(message, dict):
        return None
    for name in ("role", "message.role"):
        if isinstance(message.get(name), str):
            return str(message[name])
    for name in ("message", "data", "kwargs", "content"):
        inner = message.get(name)
        if isinstance(inner, dict) and isinstance(inner.get("role") or inner.get("type"), str):
            return str(inner.get("role") or inner.get("type"))
    kind = message.get("type")
    return str(kind) if is_one_of(kind, _PEOPLE | _MODELS | {"system", "tool"}) else None


def _joined(value: Any) -> str:
    found: list[str] = []
    size = 0
    for text in _texts(value, 0):
        found.append(text)
        size += len(text)
        if size > _ENOUGH:
            break
    return "\n".join(found)


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif depth > _DEEPEST:
        return
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict) and not _is_unsaid(value):
        for name in _INSIDE:
            if name in value:
                yield from _texts(value[name], depth + 1)
                return
        if isinstance(value.get("message.content"), str):
            yield value["message.content"]


def _is_unsaid(value: dict[str, Any]) -> bool:
    return is_one_of(value.get("type"), _NO_TEXT) or bool(value.get("thought"))


def _as_json(value: Any) -> str | None:
    """The value as JSON; None for one that is empty, or that no store takes."""
    if value in ({}, []) or is_nested_deeply(value):  # what still fits the stack differs by Python
        return None
    try:
        return dumps(value).decode("utf-8", "replace")
    except UnstorableValueError:
        return None
