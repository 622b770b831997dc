"""Messages in one shape, whatever framework they come from.

The shape and the names are those of OpenTelemetry's GenAI conventions (input and output messages):
a role, and parts that each have a type. What a source has beyond them is kept in ``extra``, and a
part of a kind that nobody knows is kept as it came.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

Json: TypeAlias = Any
"""Any JSON value."""

Role: TypeAlias = str
"""``system``, ``user``, ``assistant`` or ``tool``; a source's own word where it is another."""

Modality: TypeAlias = Literal["image", "audio", "video", "file"]


class _Part(
    msgspec.Struct, tag_field="type", omit_defaults=True, kw_only=True, forbid_unknown_fields=True
):
    """What all parts have in common.

    Attributes:
        extra: What the source says of the part beyond its fields.
    """

    extra: dict[str, Json] | None = None


class TextPart(_Part, tag="text"):
    """Text that was said."""

    content: str


class ReasoningPart(_Part, tag="reasoning"):
    """What a model thought before it answered; empty where the provider withholds it."""

    content: str


class ToolCallPart(_Part, tag="tool_call"):
    """A model's wish to have a tool called.

    Attributes:
        name: The tool.
        arguments: Decoded where they came as JSON text; as they came where they are not JSON.
        id: What the result refers to.
    """

    name: str
    arguments: Json = None
    id: str | None = None


class ToolResultPart(_Part, tag="tool_call_response"):
    """What came of a tool call.

    Attributes:
        response: Text, or any JSON value.
        id: The call's.
        name: The tool, where the source says it.
        is_error: The tool failed, and the response says how.
    """

    response: Json = None
    id: str | None = None
    name: str | None = None
    is_error: bool = False


class BlobPart(_Part, tag="blob"):
    """An image, a sound or a file that is in the message itself, in base64."""

    content: str
    modality: Modality = "file"
    mime_type: str | None = None
    name: str | None = None


class UriPart(_Part, tag="uri"):
    """An image, a sound or a file elsewhere."""

    uri: str
    modality: Modality = "file"
    mime_type: str | None = None


class FilePart(_Part, tag="file"):
    """A file that the provider keeps."""

    file_id: str
    modality: Modality = "file"
    name: str | None = None


class RawPart(_Part, tag="raw"):
    """A part of a kind that is not known here, as it came."""

    value: Json


Part: TypeAlias = (
    TextPart
    | ReasoningPart
    | ToolCallPart
    | ToolResultPart
    | BlobPart
    | UriPart
    | FilePart
    | RawPart
)


class Message(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One message of a conversation with a model.

    Attributes:
        role: Who says it.
        parts: What is said, in order.
        name: The name of who says it, where there is one.
        id: The source's id of the message.
        finish_reason: Why a model stopped: ``stop``, ``length``, ``tool_call``, ...
        extra: What the source says of the message beyond these fields.
    """

    role: Role
    parts: list[Part] = []
    name: str | None = None
    id: str | None = None
    finish_reason: str | None = None
    extra: dict[str, Json] | None = None

    @property
    def text(self) -> str:
        """What is said in words; reasoning and tool calls left out."""
        return "\n".join([part.content for part in self.parts if isinstance(part, TextPart)])

    @property
    def tool_calls(self) -> list[ToolCallPart]:
        """The tool calls that it asks for."""
        return [part for part in self.parts if isinstance(part, ToolCallPart)]

    def to_dict(self) -> dict[str, Json]:
        """The message as JSON values, in the form of the GenAI conventions."""
        found: dict[str, Json] = msgspec.to_builtins(self)
        if not self.parts:
            found["parts"] = []
        return found
