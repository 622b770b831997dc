"""Messages of selectools in the one shape that messages are kept in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...capture.foreign_values import plain_of
from ...model.messages import normalised


class Conversation:
    """The messages of a run, which selectools hands on whole with every call.

    What came of a message that is only a text, also a tool's, is remembered with the message: as
    long as that is its text, nothing else can have changed.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, str, dict[str, Any]]] = {}
        self._system: tuple[str, dict[str, Any]] | None = None

    def messages(self, reported: Iterable[Any] | None, system_prompt: object) -> list[Any] | None:
        """Messages in the one shape, the system prompt first; None if they are not to be kept."""
        if reported is None:
            return None
        told = [self._message(message) for message in reported]
        is_prompt = isinstance(system_prompt, str) and bool(system_prompt)
        if is_prompt and not any([each.get("role") == "system" for each in told]):
            told.insert(0, self._prompt(str(system_prompt)))
        return told

    def _prompt(self, text: str) -> dict[str, Any]:
        if self._system is None or self._system[0] != text:
            self._system = text, said("system", text)
        return self._system[1]

    def _message(self, message: Any) -> dict[str, Any]:
        try:
            content = message.content
            known = self._known.get(id(message))
            if known is not None and known[1] is content and _is_text(message, content):
                return known[2]
            if not _is_text(message, content):
                return _whole(message)
            role = _role(message)
            told = _whole(message) if role == "tool" else said(role, content)
        except Exception:  # noqa: BLE001 - contents of somebody's class may do anything
            return _unknown(message)
        self._known[id(message)] = message, content, told
        return told


def _is_text(message: Any, content: object) -> bool:
    """Whether a message says a text and nothing else, as most do."""
    return type(content) is str and not (
        message.tool_calls or message.content_parts or message.image_base64
    )


def _role(message: Any) -> str:
    return str(getattr(message.role, "_value_", message.role))  # of an enumeration


def said(role: str, text: str) -> dict[str, Any]:
    """A message that only says a text."""
    parts = [{"type": "text", "content": text}] if text else []
    return {"role": role, "parts": parts}


def _whole(message: Any) -> dict[str, Any]:
    """A message with calls of tools, a result, or pictures."""
    role = _role(message)
    if role == "tool":
        result: dict[str, Any] = {"type": "tool_call_response"}
        named = (
            ("response", message.content),
            ("id", message.tool_call_id),
            ("name", message.tool_name),
        )
        for name, value in named:
            if value is not None:
                result[name] = value if type(value) is str else plain_of(value)
        return {"role": role, "parts": [result]}
    parts: list[dict[str, Any]] = [_part(part) for part in message.content_parts or ()]
    if message.content and not any(part.get("type") == "text" for part in parts):
        parts.insert(0, {"type": "text", "content": plain_of(message.content)})
    if message.image_base64:
        parts.append({"type": "blob", "content": message.image_base64, "modality": "image"})
    parts += [_call(call) for call in message.tool_calls or ()]
    return {"role": role, "parts": parts}


def _part(part: Any) -> dict[str, Any]:
    if part.type == "text":
        return {"type": "text", "content": plain_of(part.text)}
    picture = part.image_url or part.image_base64
    if picture is None:
        return {"type": "raw", "value": plain_of(part)}
    kept = "uri" if part.image_url else "blob"
    media = {"mime_type": part.media_type} if part.media_type else {}
    name = "uri" if part.image_url else "content"
    return {"type": kept, name: plain_of(picture), "modality": "image", **media}


def _call(call: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "tool_call", "name": str(call.tool_name)}
    found["arguments"] = plain_of(call.parameters)
    if call.id:
        found["id"] = str(call.id)
    if signature := getattr(call, "thought_signature", None):
        found["extra"] = {"thought_signature": plain_of(signature)}
    return found


def _unknown(message: Any) -> dict[str, Any]:
    """Whatever else is handed on as a message."""
    to_dict = getattr(message, "to_dict", None)
    reported = plain_of(to_dict() if callable(to_dict) else message)
    if not isinstance(reported, dict):
        reported = {"role": "user", "content": str(reported)}
    found = normalised([reported])
    kept = found[0] if isinstance(found, list) and len(found) == 1 else None
    return kept if isinstance(kept, dict) else {"role": "user", "parts": []}
