"""Messages of every framework as `Message`: OpenAI, Anthropic, Gemini, LangChain, OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..json_values import loads
from .message import (
    Json,
    Message,
    Part,
    RawPart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from .parts import Block, arguments_of, medium_of, nested, parts_of, reasoning_of, tool_call_of

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "AIMessageChunk": "assistant",
    "HumanMessageChunk": "user",
    "developer": "system",
    "function": "tool",
    "tool-call": "assistant",  # smolagents
    "tool-response": "tool",
    "chat": "user",
}
_SPOKEN = frozenset({"system", "user", "assistant", "tool", *_ROLES})
# A class name of LangChain's serialised form: ["langchain", "schema", "messages", "HumanMessage"].
_CLASSES = {
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "FunctionMessage": "tool",
}
_CONTENTS = ("content", "parts", "contents")
# Items of OpenAI's responses that are parts without a message around them.
_ITEMS = {
    "reasoning": "assistant",
    "function_call": "assistant",
    "custom_tool_call": "assistant",
    "tool_use": "assistant",
    "thinking": "assistant",
    "function_call_output": "tool",
    "custom_tool_call_output": "tool",
    "tool_result": "tool",
}


def _item_role(kind: str) -> str | None:
    """Who says an item of OpenAI's responses; its own tools each have a kind of call."""
    said = _ITEMS.get(kind)
    if said is None and kind.endswith(("_call", "_call_output")) and kind != "tool_call":
        return "assistant" if kind.endswith("_call") else "tool"
    return said


_KNOWN = frozenset(
    {
        "role", "type", "content", "parts", "contents", "name", "id", "finish_reason", "tool_calls",
        "toolCalls", "invalid_tool_calls", "function_call", "tool_call_id", "refusal", "status",
        "tool_outputs", "additional_kwargs", "response_metadata", "index", "object",
        "audio",
    }
)  # fmt: skip


def messages_from(value: object, role: str = "user") -> list[Message]:
    """The messages that a value is or holds, in order.

    Takes text, one message or a list of them in the shapes of OpenAI (chat and responses),
    Anthropic, Gemini, LangChain, OpenInference and the GenAI conventions (attributes and events),
    and requests and responses that hold such. A value that is none of these is one message with a
    raw part.

    Args:
        value: JSON values.
        role: Who says what does not tell it.
    """
    try:
        return list(_messages(value, role))
    except RecursionError:  # it contains itself, or is nested more deeply than a store takes
        return [Message(role, [RawPart(value=value)])]


def _messages(value: object, role: str) -> Iterator[Message]:
    if value is None or value in ("", []):
        return
    if isinstance(value, str):
        yield Message(role, [TextPart(content=value)])
    elif isinstance(value, list | tuple):
        yield from _of_list(value, role)
    elif isinstance(value, Mapping):
        own = _simple(value) or _own(value)
        if own is not None:
            yield own
        else:
            yield from _of_mapping(nested(value), role)
    else:
        yield Message(role, [RawPart(value=value)])


_SIMPLE = {"system": "system", "user": "user", "assistant": "assistant", "developer": "system"}


def _simple(value: Block) -> Message | None:
    """A message that only says a text, as most do; None for any other."""
    if len(value) != 2:
        return None
    content = value.get("content")
    if type(content) is not str or not content:
        return None
    role = value.get("role")
    said = _SIMPLE.get(role) if type(role) is str else None
    return None if said is None else Message(said, [TextPart(content=content)])


_OWN_KEYS = frozenset(Message.__struct_fields__)


def _own(value: Block) -> Message | None:
    """A message that is in our own shape already; None for any other."""
    if "role" not in value or not _OWN_KEYS.issuperset(value):
        return None
    try:
        message = msgspec.convert(value, Message)
    except (msgspec.ValidationError, RecursionError):
        return None
    message.role = _ROLES.get(message.role, message.role)
    is_result = False
    for part in message.parts:
        if part.__class__ is ToolCallPart:
            part.arguments = arguments_of(part.arguments)
        elif part.__class__ is ToolResultPart:
            is_result = True
    return message if is_result or message.role != "tool" else None


def normalised(value: object, role: str = "user") -> Any:
    """The messages that a value is or holds as JSON values, in the form of `Message.to_dict`.

    A value that says nothing in a known form is given back as it is. What is in this form already
    stays as it is: ``normalised(normalised(value)) == normalised(value)``.

    Args:
        value: JSON values.
        role: Who says what does not tell it.
    """
    if type(value) is list and value:
        found = [remembered(item, role) for item in value]
        if None not in found:
            return found
    messages = messages_from(value, role)
    parts = [part for message in messages for part in message.parts]
    if not messages or (parts and all([isinstance(part, RawPart) for part in parts])):
        return value
    return [message.to_dict() for message in messages]


_MESSAGE_KEYS = frozenset({"role", "message"})
_packer = msgspec.msgpack.Encoder()
_known: dict[tuple[str, bytes], dict[str, Json] | None] = {}
_MOST_KNOWN = 2048
_LONGEST_KNOWN = 4096  # bytes


def remembered(item: object, role: str) -> dict[str, Json] | None:
    """A list's item that is one message, normalised; None if it is not.

    An agent sends the whole conversation with every call, so what came of a message is remembered.
    Whoever changes what is given changes it for all: it is to be stored.
    """
    if type(item) is not dict or _MESSAGE_KEYS.isdisjoint(item):
        return None
    try:
        packed = _packer.encode(item)
    except Exception:  # noqa: BLE001 - a large integer, an object of somebody's class: rare
        return _one(item, role)
    if len(packed) > _LONGEST_KNOWN:
        return _one(item, role)
    key = role, packed
    found = _known.get(key)
    if found is None:
        found = _one(item, role)
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = found
    return found


def _one(item: object, role: str) -> dict[str, Json] | None:
    messages = messages_from(item, role)
    return messages[0].to_dict() if len(messages) == 1 else None


def _of_list(items: list[Any] | tuple[Any, ...], role: str) -> Iterator[Message]:
    """Messages, batches of them, or the parts of one message."""
    if _holds_messages(items):
        for item in items:
            yield from _messages(item, role)
    else:
        yield Message(role, parts_of(items))


def _holds_messages(items: list[Any] | tuple[Any, ...]) -> bool:
    return any(_is_message(item) or isinstance(item, list | tuple) for item in items) or all(
        isinstance(item, str) for item in items
    )


def _is_message(item: object) -> bool:
    if not isinstance(item, Mapping):
        return False
    item = nested(item)
    kind = item.get("type")
    return (
        "role" in item
        or "message" in item
        or "choices" in item
        or _word(item, "kind") in {"request", "response"}
        or (
            isinstance(kind, str)
            and (kind in _SPOKEN or kind == "message" or _item_role(kind) is not None)
        )
        or item.get("type") == "constructor"
    )


def _of_mapping(value: Block, role: str) -> Iterator[Message]:
    holder = _holder(value)
    if holder is not None:
        yield from _of_holder(value, holder, role)
    elif isinstance(value.get("message"), Mapping | list):
        # A choice of OpenAI's, an event of the GenAI conventions, or OpenInference's wrapping.
        inner = value["message"]
        said = "assistant" if "finish_reason" in value or "index" in value else role
        for message in _messages(inner, said):
            message.finish_reason = message.finish_reason or _string(value.get("finish_reason"))
            _keep_beside(message, value)
            yield message
    elif isinstance(value.get("type"), str) and isinstance(value.get("data"), Mapping):
        yield _message({"type": value["type"], **value["data"]}, role)  # LangChain's dictionaries
    elif value.get("type") == "constructor" and isinstance(value.get("kwargs"), Mapping):
        names = value.get("id")
        name = names[-1] if isinstance(names, list) and names else ""
        yield _message({"role": _CLASSES.get(str(name), role), **value["kwargs"]}, role)
    elif _word(value, "kind") in {"request", "response"} and isinstance(value.get("parts"), list):
        yield from _of_pydantic_ai(value)
    elif (sayer := _item_role(_word(value, "type"))) and not isinstance(value.get("role"), str):
        yield Message(sayer, parts_of(value))
    elif _is_message(value) or any(name in value for name in _CONTENTS):
        yield _message(value, role)
    else:
        yield Message(role, [RawPart(value=dict(value))])


# What is next to a message without being a part of it: a choice's place.
_BESIDE = frozenset({"message", "finish_reason", "index", "logprobs", "id", "type"})


def _keep_beside(message: Message, value: Block) -> None:
    """Keep what is next to a message in what holds it, as AutoGen's results of tools are."""
    results = value.get("function")
    if message.role == "tool" and isinstance(results, list):
        reported = [_decoded(result) for result in results]
        parts = [_result_beside(result) for result in reported if isinstance(result, Mapping)]
        if parts and len(parts) == len(results):
            message.parts = [*parts]
            return
    rest = {key: kept for key, kept in value.items() if key not in _BESIDE and kept}
    if rest:
        message.extra = {**(message.extra or {}), **rest}


def _decoded(value: object) -> object:
    """What a JSON text holds; anything else as it is."""
    try:
        return loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _result_beside(result: Block) -> ToolResultPart:
    return ToolResultPart(
        response=result.get("content"),
        id=_string(result.get("call_id")),
        name=_string(result.get("name")),
        is_error=result.get("is_error") is True,
    )


_HOLDERS = ("messages", "choices", "candidates", "generations")


def _holder(value: Block) -> str | None:
    """The key under which a request or a response has its messages."""
    if "role" in value:
        return None
    for name in _HOLDERS:
        if isinstance(value.get(name), list):
            return name
    for name in ("output", "input", "contents"):  # OpenAI's responses, Gemini
        if isinstance(value.get(name), list) and _item_role(_word(value, "type")) is None:
            return name
    for name in ("items", "replies"):  # a context of LiveKit's, what Haystack's models answer
        if isinstance(value.get(name), list) and any(map(_is_message, value[name])):
            return name
    return None


def _of_holder(value: Block, name: str, role: str) -> Iterator[Message]:
    system = value.get("system") or value.get("instructions") or value.get("system_instruction")
    if system and name in {"messages", "input", "contents"}:
        yield from _system(system)
    said = "assistant" if name in {"choices", "candidates", "output", "generations"} else role
    for item in value[name]:
        if name == "candidates" and isinstance(item, Mapping) and "content" in item:
            for message in _messages(item["content"], "assistant"):
                message.finish_reason = _string(item.get("finish_reason", item.get("finishReason")))
                yield message
        else:
            yield from _messages(item, said)


def _system(value: object) -> Iterator[Message]:
    if isinstance(value, Mapping) and isinstance(value.get("parts"), list):
        value = value["parts"]
    parts = parts_of(value)
    if parts:
        yield Message("system", parts)


def system_message(instructions: object) -> list[Message]:
    """``gen_ai.system_instructions`` or a system prompt as a message; none if it is empty."""
    return list(_system(instructions))


_PYDANTIC_AI = {
    "system-prompt": "system",
    "user-prompt": "user",
    "tool-return": "tool",
}


def _of_pydantic_ai(value: Block) -> Iterator[Message]:
    """A request's parts are each said by somebody else; a response's are the model's."""
    if value["kind"] == "response":
        yield Message("assistant", parts_of(value["parts"]))
        return
    for part in value["parts"]:
        kind = part.get("part_kind") if isinstance(part, Mapping) else None
        said = _PYDANTIC_AI.get(str(kind), "user")
        if kind == "retry-prompt":
            yield _retry(part)
            continue
        given = part if said == "tool" else part.get("content") if kind else part
        yield Message(said, parts_of(given))


def _retry(part: Block) -> Message:
    """What pydantic-ai answers to a call that failed, or to an answer that will not do."""
    if not isinstance(part.get("tool_name"), str):
        return Message("user", parts_of(part.get("content")))
    result = ToolResultPart(
        response=part.get("content"),
        id=_string(part.get("tool_call_id")),
        name=_string(part.get("tool_name")),
        is_error=True,
    )
    return Message("tool", [result])


def _message(value: Block, role: str) -> Message:
    value = _with_beside(value)
    said = _role_of(value, role)
    content = _content(value, said)
    thoughts, source = _thoughts(value)
    parts = [*[each for each in thoughts if each not in content], *content, *_calls(value)]
    return Message(
        said,
        parts,
        _string(value.get("name")) if said != "tool" else None,
        _string(value.get("id")) if said != "tool" or value.get("tool_call_id") else None,
        _string(value.get("finish_reason") or value.get("stop_reason") or _in_meta(value)),
        _extra(value, source),
    )


def _in_meta(value: Block) -> object:
    """Why a model stopped, as Haystack says it."""
    meta = value.get("meta")
    return meta.get("finish_reason") if isinstance(meta, Mapping) else None


def _with_beside(value: Block) -> Block:
    """A message with what LangChain keeps beside it as its own."""
    beside, response = value.get("additional_kwargs"), value.get("response_metadata")
    found = {**beside} if isinstance(beside, Mapping) else {}
    if isinstance(response, Mapping) and response.get("refusal"):
        found["refusal"] = response["refusal"]
    if value.get("tool_calls") or value.get("invalid_tool_calls"):
        found.pop("tool_calls", None)
        found.pop("function_call", None)
    own = {name: kept for name, kept in value.items() if kept not in (None, "", [])}
    return {**value, **found, **own} if found else value


def _role_of(value: Block, role: str) -> str:
    named = value.get("role")
    if not isinstance(named, str):
        kind = value.get("type")
        named = kind if isinstance(kind, str) and kind in _SPOKEN else role
    return _ROLES.get(named, named)


def _content(value: Block, role: str) -> list[Part]:
    content = next((value[name] for name in _CONTENTS if value.get(name) not in (None, "")), None)
    if content is None and value.get("content") == "":
        content = ""
    if role == "tool" and not _has_results(content):
        return [
            ToolResultPart(
                response=content,
                id=_string(value.get("tool_call_id") or value.get("id")),
                name=_string(value.get("name")),
                is_error=value.get("status") == "error" or value.get("is_error") is True,
            )
        ]
    parts = parts_of(content)
    refusal = value.get("refusal")
    if isinstance(refusal, str) and refusal:
        refused = TextPart(content=refusal, extra={"refusal": True})
        parts += [] if refused in parts else [refused]
    return parts + _spoken(value.get("audio"))


def _spoken(audio: object) -> list[Part]:
    """What a model said aloud: the sound, by content or by the provider's id, and its words."""
    if audio is None:
        return []
    if not isinstance(audio, Mapping):
        return [RawPart(value=audio)]
    sound, words = medium_of(audio, "audio"), _string(audio.get("transcript"))
    said = [TextPart(content=words, extra={"transcript": True})] if words else []
    return [*said, *([sound] if sound is not None else [] if said else [RawPart(value=audio)])]


def _has_results(content: object) -> bool:
    """Whether tool results are parts of their own: Anthropic, Gemini, the GenAI conventions."""
    return isinstance(content, list) and any(
        isinstance(part, ToolResultPart) for part in parts_of(content)
    )


# By whom: DeepSeek and most others, OpenAI (text, or an item with summaries), Ollama, LiteLLM,
# OpenRouter.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thinking_blocks", "reasoning_details")


def _thoughts(value: Block) -> tuple[list[Part], str | None]:
    """What a model thought, where that is told beside the content, and the key it stands under."""
    for name in _THOUGHTS:
        found = [*_thoughts_in(value.get(name))]
        if found:
            return found, name
    return [], None


def _thoughts_in(told: object) -> Iterator[Part]:
    if isinstance(told, str) and told:
        yield ReasoningPart(content=told)
    elif isinstance(told, Mapping) and told:
        yield reasoning_of(told)
    elif isinstance(told, list):
        for each in told:
            yield from _thoughts_in(each)


def _calls(value: Block) -> Iterator[Part]:
    listed = [value[name] for name in _CONTENTS if isinstance(value.get(name), list)]
    parts = [part for content in listed for part in parts_of(content)]
    seen = {part.id for part in parts if isinstance(part, ToolCallPart) and part.id}
    for name in ("tool_calls", "toolCalls", "invalid_tool_calls"):
        calls = value.get(name)
        for call in calls if isinstance(calls, list) else ():
            part = tool_call_of(call) if isinstance(call, Mapping) else None
            if part is None:
                yield RawPart(value=call)
            elif part.id is None or part.id not in seen:
                yield part
    if isinstance(ran := value.get("tool_outputs"), list):  # by OpenAI itself, as LangChain has it
        yield from parts_of(ran)
    single = value.get("function_call")
    if isinstance(single, Mapping) and (part := tool_call_of(single)) is not None:
        yield part


def _extra(value: Block, thoughts: str | None) -> dict[str, Json] | None:
    known = _KNOWN if thoughts is None else {*_KNOWN, thoughts}
    return {key: kept for key, kept in value.items() if key not in known and kept} or None


def _word(value: Block, name: str) -> str:
    """A text under a name; empty where there is none, or something else."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
