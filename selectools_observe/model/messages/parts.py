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
    if (reader := _BY_TYPE.get(kind)) is not None:
        return reader
    # Anthropic's own tools each have a kind of result, OpenAI's each a kind of call.
    if kind.endswith(("_tool_result", "_call_output")):
        return _tool_result
    return _own_tool if kind.endswith("_call") else None


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
_IDS = ("call_id", "tool_call_id", "tool_use_id", "toolCallId", "toolUseId", "id")
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
    if block.get("type") == "refusal":
        left["refusal"] = True
    return TextPart(content=text, extra=left or None)


_SAID = frozenset({"type", "text", "content", "refusal", "part_kind", "kind"})


def reasoning_of(block: Block) -> Part:
    """What a model thought, by whatever name the block has it; empty where it is withheld."""
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
    failed = block.get("is_error") is True or block.get("isError") is True
    if isinstance(response, Mapping) and response.keys() == {"type", "value"}:  # Vercel's AI SDK
        failed |= str(response["type"]).startswith("error")
        response = response["value"]
    return ToolResultPart(
        response=response,
        id=_text(block, *_IDS),
        name=_text(block, "name", "tool_name", "toolName"),
        is_error=failed or block.get("status") == "error",
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
    if isinstance(image, str) and _BASE64_TEXT.fullmatch(image):  # Vercel's AI SDK
        image = {**block, "data": image}
    return medium_of(image, "image")


_BASE64_TEXT = re.compile(r"[A-Za-z0-9+/]+={0,2}")


_BASE64 = ("base64_image", "base64_data")  # Haystack


def medium_of(value: object, modality: Modality) -> Part | None:
    """A picture, a sound or a file, by address, by content, or by the provider's id."""
    if isinstance(value, str):
        return media(value, modality)
    if not isinstance(value, Mapping):
        return None
    if isinstance(inner := value.get("source"), Mapping):  # Amazon Bedrock
        value = {**value, **inner}
    mime_type = _text(value, "media_type", "mime_type", "mimeType", "mediaType", "format")
    if mime_type is not None and "/" not in mime_type and modality != "file":
        mime_type = f"{modality}/{mime_type}"  # a format: OpenAI's sounds, Bedrock's pictures
    name = _text(value, "filename", "file_name", "name", "title", "displayName")
    if (address := _text(value, "url", "uri", "file_uri", "fileUri")) is not None:
        return media(address, modality, mime_type)
    if (
        data := _text(value, "data", "base64", "content", "file_data", "bytes", *_BASE64)
    ) is not None:
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


def _own_tool(block: Block) -> Part | None:
    """A call of a tool that OpenAI runs itself, named by its kind: ``web_search_call``."""
    name = _text(block, "name") or str(block["type"]).removesuffix("_call")
    given = {key: kept for key, kept in block.items() if key not in _OWN_TOOL and kept}
    told = {key: block[key] for key in _OWN_RESULTS if block.get(key)}
    return ToolCallPart(
        name=name, arguments=given or None, id=_text(block, "call_id", "id"), extra=told or None
    )


_OWN_RESULTS = ("status", "error", "outputs", "output", "results", "result")
_OWN_TOOL = frozenset({"type", "name", "id", "call_id", *_OWN_RESULTS})


_CODE = "code_execution"
"""Google's tool that runs the code a model writes has no name of its own in messages."""


def _code(block: Block) -> Part | None:
    """Code that Gemini has Google run: an object, or in LangChain text beside its language."""
    code = block.get("executable_code") or block.get("executableCode")
    told = code if isinstance(code, Mapping) else {**block, "code": code}
    if not isinstance(told.get("code"), str):
        return None
    arguments = {name: told[name] for name in ("language", "code") if told.get(name)}
    return ToolCallPart(name=_CODE, arguments=arguments, id=_text(told, "id"))


def _code_result(block: Block) -> Part | None:
    """What came of code that Gemini had Google run: an object, or in LangChain text."""
    result = block.get("code_execution_result") or block.get("codeExecutionResult")
    told = result if isinstance(result, Mapping) else {**block, "output": result}
    outcome = told.get("outcome")
    if outcome is None and not isinstance(told.get("output"), str):
        return None
    return ToolResultPart(
        response=told.get("output"),
        id=_text(told, "tool_call_id", "id"),
        name=_CODE,
        is_error=outcome not in _WENT_WELL,
        extra=None if outcome is None else {"outcome": outcome},
    )


_WENT_WELL = frozenset({None, "OUTCOME_OK", "OUTCOME_UNSPECIFIED", 0, 1})


_BY_TYPE: dict[str, Reader] = {
    # OpenAI's chat and responses, Anthropic, LangChain, and the GenAI conventions.
    **dict.fromkeys(("text", "input_text", "output_text", "refusal", "summary_text"), _said),
    **dict.fromkeys(
        ("reasoning", "thinking", "redacted_thinking", "reasoning_content"), reasoning_of
    ),
    **dict.fromkeys(
        (
            "tool_call", "tool_use", "function_call", "server_tool_use", "tool-call",
            "invalid_tool_call", "custom_tool_call", "mcp_tool_use", "server_tool_call",
        ),
        tool_call_of,
    ),
    **dict.fromkeys(
        (
            "tool_result", "tool_call_response", "function_call_output", "tool-return",
            "custom_tool_call_output", "mcp_tool_result", "tool-result",
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
    "executable_code": _code,
    "code_execution_result": _code_result,
}  # fmt: skip


def _named(*names: str) -> Callable[[Block], Block | None]:
    def find(block: Block) -> Block | None:
        return next((block[name] for name in names if isinstance(block.get(name), Mapping)), None)

    return find


_CALL = _named("function_call", "functionCall", "toolUse", "tool_call")
_RESULT = _named("function_response", "functionResponse", "toolResult")
_HAYSTACK_RESULT = _named("tool_call_result")
_HAYSTACK_THOUGHT = _named("reasoning")
_BEDROCK_THOUGHT = _named("reasoningContent")
_SAYS_WHY = _named("reasoningText")
_MEDIUM: dict[str, Modality] = {
    "image": "image",
    "video": "video",
    "file": "file",
    "document": "file",
}
_INLINE = _named("inline_data", "inlineData", "file_data", "fileData")


def _gemini_call(block: Block) -> Part | None:
    call = _CALL(block)
    return None if call is None else tool_call_of(call)


def _gemini_result(block: Block) -> Part | None:
    result = _RESULT(block)
    return None if result is None else _tool_result(result)


def _haystack_result(block: Block) -> Part | None:
    told = _HAYSTACK_RESULT(block)
    if told is None:
        return None
    call = tool_call_of(told["origin"]) if isinstance(told.get("origin"), Mapping) else None
    return ToolResultPart(
        response=told.get("result"),
        id=None if call is None else call.id,
        name=None if call is None else call.name,
        is_error=told.get("error") is True,
    )


def _haystack_thought(block: Block) -> Part | None:
    told = _HAYSTACK_THOUGHT(block)
    return None if told is None else reasoning_of({**told, "text": told.get("reasoning_text")})


def _bedrock_thought(block: Block) -> Part | None:
    told = _BEDROCK_THOUGHT(block)
    return None if told is None else reasoning_of(_SAYS_WHY(told) or told)


def _named_medium(block: Block) -> Part | None:
    """A picture, a video or a file by its name, as Haystack and Amazon Bedrock have it."""
    for name, modality in _MEDIUM.items():
        if isinstance(told := block.get(name), Mapping):
            return medium_of(told, modality)
    return None


def _gemini_data(block: Block) -> Part | None:
    data = _INLINE(block)
    if data is None:
        return None
    return medium_of(data, _modality(data.get("mime_type") or data.get("mimeType")))


_BY_KEY: tuple[Reader, ...] = (
    _gemini_call, _gemini_result, _gemini_data, _code, _code_result,
    _haystack_result, _haystack_thought, _bedrock_thought, _named_medium, _said,
)  # fmt: skip
