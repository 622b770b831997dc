"""Messages of selectools in the one shape that messages are kept in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter, is_
from typing import Any

import msgspec

from ...capture.foreign_values import plain_of
from ...model.messages import normalised

_says = attrgetter("content", "tool_calls", "content_parts", "image_base64")


class Given(msgspec.Struct, eq=False):
    """The messages that a call is given, and what each says then."""

    messages: list[Any]
    said: list[tuple[Any, ...]]
    system_prompt: object

    @classmethod
    def now(cls, messages: Iterable[Any], system_prompt: object = None) -> Given:
        """These messages, which are read later: when the run is over, and all at once."""
        given = [*messages]
        try:
            return cls(given, [*map(_says, given)], system_prompt)
        except Exception:  # noqa: BLE001 - contents of somebody's class may do anything
            return cls(given, [], system_prompt)

    def goes_on(self, before: Given) -> bool:
        """Whether it begins with all messages of a call before, which say what they said then."""
        known = len(before.messages)
        try:
            same = all(map(is_, self.messages, before.messages))
            return same and self.said[:known] == before.said and len(before.said) == known
        except Exception:  # noqa: BLE001 - as above
            return False


class Conversation:
    """Reads the messages of a run, which selectools hands on whole with every call.

    Args:
        called: The arguments that tools were called with, by the ids of the objects, and as they
            were then: tools may change them.
    """

    def __init__(self, called: Mapping[int, tuple[object, Any]]) -> None:
        self._called = called
        self._before = Given([], [], None)
        self._read: list[dict[str, Any]] = []
        self._has_system = False
        self._system: tuple[str, dict[str, Any]] | None = None

    def messages(self, given: Given) -> list[dict[str, Any]]:
        """Messages in the one shape, the system prompt first."""
        if not given.goes_on(self._before):
            self._read, self._has_system = [], False
        for message in given.messages[len(self._read) :]:
            says = given.said[len(self._read)] if given.said else None
            self._read.append(self._message(message, says))
            self._has_system = self._has_system or self._read[-1].get("role") == "system"
        self._before = given
        system = given.system_prompt
        if isinstance(system, str) and system and not self._has_system:
            return [self._prompt(str(system)), *self._read]
        return self._read.copy()

    def _prompt(self, text: str) -> dict[str, Any]:
        if self._system is None or self._system[0] != text:
            self._system = text, said("system", text)
        return self._system[1]

    def _message(self, message: Any, says: tuple[Any, ...] | None) -> dict[str, Any]:
        try:
            content, calls, parts, image = says or _says(message)
            role = str(getattr(message.role, "_value_", message.role))  # of an enumeration
            if role == "tool":
                return {"role": role, "parts": [_result(message, content)]}
            if type(content) is str and not (calls or parts or image):
                return said(role, content)
            told = [_part(part) for part in parts or ()]
            if content and not any(part.get("type") == "text" for part in told):
                told.insert(0, {"type": "text", "content": plain_of(content)})
            if image:
                told.append({"type": "blob", "content": image, "modality": "image"})
            return {"role": role, "parts": told + [self._call(call) for call in calls or ()]}
        except Exception:  # noqa: BLE001 - as above
            return _unknown(message)

    def _call(self, call: Any) -> dict[str, Any]:
        arguments = call.parameters
        known = self._called.get(id(arguments))
        found: dict[str, Any] = {"type": "tool_call", "name": str(call.tool_name)}
        found["arguments"] = plain_of(arguments) if known is None else known[1]
        if call.id:
            found["id"] = str(call.id)
        if signature := getattr(call, "thought_signature", None):
            found["extra"] = {"thought_signature": plain_of(signature)}
        return found


def said(role: str, text: str) -> dict[str, Any]:
    """A message that only says a text."""
    return {"role": role, "parts": [{"type": "text", "content": text}] if text else []}


def _result(message: Any, content: object) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_call_response"}
    named = ("response", content), ("id", message.tool_call_id), ("name", message.tool_name)
    for name, value in named:
        if value is not None:
            result[name] = value if type(value) is str else plain_of(value)
    return result


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


def _unknown(message: Any) -> dict[str, Any]:
    """Whatever else is handed on as a message."""
    to_dict = getattr(message, "to_dict", None)
    reported = plain_of(to_dict() if callable(to_dict) else message)
    if not isinstance(reported, dict):
        reported = {"role": "user", "content": str(reported)}
    found = normalised([reported])
    kept = found[0] if isinstance(found, list) and len(found) == 1 else None
    return kept if isinstance(kept, dict) else {"role": "user", "parts": []}
