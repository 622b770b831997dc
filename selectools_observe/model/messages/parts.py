"""The parts of messages of every framework, one reader a kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..json_values import loads
from .message import (
    BlobPart,
    FilePart,
    Json,
    Modality,
    Part,
    RawPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UriPart,
)

_DATA_URI = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,(.*)", re.DOTALL)
_MODALITIES: tuple[Modality, ...] = ("image", "audio", "video")

Block = Mapping[str, Any]
Reader = Callable[[Block], Part | None]


def parts_of(content: object) -> list[Part]:
    """The parts of a message's content: text, one block, or a list of blocks."""
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [TextPart(content=content)]
    if isinstance(content, list | tuple):
        return [part for block in content for part in parts_of(block)]
    if isinstance(content, Mapping):
        return list(_block_parts(content))
    return [RawPart(value=content)]


def _block_parts(block: Block) -> Iterator[Part]:
    block = nested(block)
    if isinstance(inner := block.get("message_content"), Mapping):  # OpenInference
        block = inner
    kind = block.get("type") or block.get("kind") or block.get("part_kind")
    reader = _reader_of(kind) if isinstance(kind, str) else None
    part = reader(block) if reader else None
    if part is None:
        part = next((part for read in _BY_KEY if (part := read(block)) is not None), None)
    yield part if part is not None else RawPart(value=dict(block))


def _reader_of(kind: str) -> Reader | None:
    reader = _BY_TYPE.get(kind)
    # Anthropic's own tools each have a kind of result: web_search_tool_result.
    return _tool_result if reader is None and kind.endswith("_tool_result") else reader


def nested(block: Block) -> Block:
    """A mapping with its dotted keys as mappings in mappings: ``message_content.text``."""
    if not any("." in key for key in block if key.__class__ is str):
        return block
    found: dict[str, Any] = {}
    for key, value in block.items():
        at = found
        *path, last = str(key).split(".")
        for name in path:
            inner = at.setdefault(name, {})
            if not isinstance(inner, dict):
                return block  # it says two things of one name
            at = inner
        at[last] = value
    return found


def arguments_of(value: object) -> Json:
    """A call's arguments: decoded if they are the JSON text of an object."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return loads(value.encode("utf-8", "surrogatepass"))
        except ValueError:
            return value
    return value


def tool_call_of(call: Block) -> ToolCallPart | None:
    """A tool call in any of its forms; None if it has no name."""
    call = nested(call)
    if isinstance(inner := call.get("tool_call"), Mapping):  # OpenInference
        call = inner
    function = call.get("function") if isinstance(call.get("function"), Mapping) else call
    assert isinstance(function, Mapping)  # noqa: S101 - one of the two, for the type checker
    name = function.get("name") or call.get("tool_name") or call.get("toolName")
    if not isinstance(name, str):
        return None
    given = next((function[key] for key in _ARGUMENTS if key in function), None)
    call_id = _text(call, *_IDS)
    extra = {key: value for key, value in call.items() if key not in _CALL_KEYS and value}
    if isinstance(inner := call.get("extra"), Mapping):
        extra |= inner
    if call_id != call.get("id") and isinstance(call.get("id"), str):
        extra["item_id"] = call["id"]
    return ToolCallPart(name=name, arguments=arguments_of(given), id=call_id, extra=extra or None)


# A call's own first: OpenAI's responses have an `id` of the item too.
_IDS = ("call_id", "tool_call_id", "tool_use_id", "toolCallId", "id")
_ARGUMENTS = ("arguments", "args", "input")
_CALL_KEYS = frozenset(
    {
        "type", "function", "name", "tool_name", "toolName", "toolCallType", "index", "status",
        "kind", "part_kind", "extra",
        *_IDS, *_ARGUMENTS,
    }
)  # fmt: skip


def _text(block: Block, *names: str) -> str | None:
    return next((block[name] for name in names if isinstance(block.get(name), str)), None)


def _said(block: Block) -> Part | None:
    text = _text(block, "text", "content", "refusal")
    if text is None:
        return None
    if block.get("thought") is True:  # Gemini
        return ReasoningPart(content=text)
    left = {key: value for key, value in block.items() if key not in _SAID and value}
    return TextPart(content=text, extra=left or None)


_SAID = frozenset({"type", "text", "content", "refusal", "part_kind", "kind"})


def _reasoning(block: Block) -> Part | None:
    for name in ("thinking", "reasoning", "content", "text", "summary"):
        text = _joined(block.get(name))
        if text is not None:
            return ReasoningPart(content=text, extra=_left(block, name, "type"))
    return ReasoningPart(content="", extra=_left(block, "type"))


def _joined(value: object) -> str | None:
    """Text, or the texts of a list of blocks."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        texts = [_text(item, "text", "content") for item in value if isinstance(item, Mapping)]
        return "\n".join([text for text in texts if text is not None])
    return None


def _left(block: Block, *known: str) -> dict[str, Json] | None:
    return {key: value for key, value in block.items() if key not in known and value} or None


def _tool_result(block: Block) -> Part | None:
    response = next((block[name] for name in _RESPONSES if name in block), None)
    status = block.get("status")
    return ToolResultPart(
        response=response,
        id=_text(block, *_IDS),
        name=_text(block, "name", "tool_name", "toolName"),
        is_error=block.get("is_error") is True or block.get("isError") is True or status == "error",
    )


_RESPONSES = ("response", "result", "output", "content")


def media(value: str, modality: Modality, mime_type: str | None = None) -> Part:
    """What an address stands for: a ``data:`` one holds the thing itself."""
    if match := _DATA_URI.fullmatch(value):
        return BlobPart(content=match[2], modality=modality, mime_type=match[1] or mime_type)
    return UriPart(uri=value, modality=modality, mime_type=mime_type)


def _modality(mime_type: object, otherwise: Modality = "file") -> Modality:
    text = mime_type if isinstance(mime_type, str) else ""
    return next((name for name in _MODALITIES if text.startswith(name)), otherwise)


def _image(block: Block) -> Part | None:
    image = block.get("image_url") or block.get("image") or block.get("source") or block
    if isinstance(image, Mapping) and isinstance(image.get("image"), Mapping):
        image = image["image"]
    return medium_of(image, "image")


def medium_of(value: object, modality: Modality) -> Part | None:
    """A picture, a sound or a file, by address, by content, or by the provider's id."""
    if isinstance(value, str):
        return media(value, modality)
    if not isinstance(value, Mapping):
        return None
    mime_type = _text(value, "media_type", "mime_type", "mimeType", "format")
    name = _text(value, "filename", "file_name", "name", "title", "displayName")
    if (address := _text(value, "url", "uri", "file_uri", "fileUri")) is not None:
        return media(address, modality, mime_type)
    if (data := _text(value, "data", "base64", "content", "file_data", "bytes")) is not None:
        if match := _DATA_URI.fullmatch(data):
            data, mime_type = match[2], match[1] or mime_type
        kind = _modality(mime_type, modality)
        return BlobPart(content=data, modality=kind, mime_type=mime_type, name=name)
    if (file_id := _text(value, "file_id", "id")) is not None:
        return FilePart(file_id=file_id, modality=modality, name=name)
    return None


def _of(key: str, modality: Modality) -> Reader:
    def read(block: Block) -> Part | None:
        return medium_of(block.get(key) if block.get(key) is not None else block, modality)

    return read


def _typed_medium(block: Block) -> Part | None:
    """The GenAI conventions' ``blob``, ``uri`` and ``file``, which name their modality."""
    named = block.get("modality")
    modality: Modality = next((name for name in _MODALITIES if name == named), "file")
    return medium_of(block, modality)


_BY_TYPE: dict[str, Reader] = {
    # OpenAI's chat and responses, Anthropic, LangChain, and the GenAI conventions.
    **dict.fromkeys(("text", "input_text", "output_text", "refusal", "summary_text"), _said),
    **dict.fromkeys(
        ("reasoning", "thinking", "redacted_thinking", "reasoning_content"), _reasoning
    ),
    **dict.fromkeys(
        (
            "tool_call", "tool_use", "function_call", "server_tool_use", "tool-call",
            "invalid_tool_call", "custom_tool_call", "mcp_tool_use",
        ),
        tool_call_of,
    ),
    **dict.fromkeys(
        (
            "tool_result", "tool_call_response", "function_call_output", "tool-return",
            "custom_tool_call_output", "mcp_tool_result",
        ),
        _tool_result,
    ),
    **dict.fromkeys(("image_url", "input_image", "image"), _image),
    "input_audio": _of("input_audio", "audio"),
    "audio": _of("source", "audio"),
    "video": _of("source", "video"),
    **dict.fromkeys(("file", "input_file"), _of("file", "file")),
    "document": _of("source", "file"),
    **dict.fromkeys(("blob", "uri"), _typed_medium),
}  # fmt: skip


def _named(*names: str) -> Callable[[Block], Block | None]:
    def find(block: Block) -> Block | None:
        return next((block[name] for name in names if isinstance(block.get(name), Mapping)), None)

    return find


_CALL = _named("function_call", "functionCall", "toolUse")
_RESULT = _named("function_response", "functionResponse", "toolResult")
_INLINE = _named("inline_data", "inlineData", "file_data", "fileData")


def _gemini_call(block: Block) -> Part | None:
    call = _CALL(block)
    return None if call is None else tool_call_of(call)


def _gemini_result(block: Block) -> Part | None:
    result = _RESULT(block)
    return None if result is None else _tool_result(result)


def _gemini_data(block: Block) -> Part | None:
    data = _INLINE(block)
    if data is None:
        return None
    return medium_of(data, _modality(data.get("mime_type") or data.get("mimeType")))


_BY_KEY: tuple[Reader, ...] = (_gemini_call, _gemini_result, _gemini_data, _said)
