"""Messages of a span in the one shape that they are kept in, and back in the form they came in.

The attributes that messages were read from are left out of a step if the messages alone say what
they were: if they can be written in the same form again, which is tried with each message. Else the
attributes stay beside the messages, as they came.
"""

from __future__ import annotations

import json
import string
from typing import Any, NamedTuple

import msgspec

from ...model.json_values import copied, is_nested_deeply, json_text, loads
from ...model.limits import check_json
from ...model.messages import (
    Message,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    messages_from,
    normalised,
)
from .attributes import Attributes
from .message_memory import Conversation, ReadMessage, exactly

_ROLES = {"input": "user", "output": "assistant"}
_ANY = ""
_ABSENT = "absent"
_NULL = "null"
_EMPTY = "empty"
_FIELDS = 4
# How JSON texts are written, by frequency.
_JSON: tuple[dict[str, Any], ...] = (
    {"separators": (",", ":"), "ensure_ascii": False},
    {"ensure_ascii": False},
    {"separators": (",", ":")},
    {},
)


class _Form(NamedTuple):
    """A form of messages; what a message does not decide is empty.

    Attributes:
        shape: ``plain`` or ``openinference``, which wraps each message in a ``message``.
        calls: How tool calls are told: ``chat`` (OpenAI's) or ``flat`` (name and arguments beside
            the id), and how their arguments are written, a place in `_JSON`.
        empty: What a message without text says as its content: ``absent``, ``null`` or ``empty``.
        parts: The key of the content where it is a list of parts, or ``text``.
    """

    shape: str
    calls: str = _ANY
    empty: str = _ANY
    parts: str = _ANY

    def with_what(self, other: _Form) -> _Form | None:
        """A form for messages of both; None if there is none."""
        fields = []
        for own, others in zip(self, other, strict=True):
            if own and others and own != others:
                return None
            fields.append(own or others)
        return _Form(*fields)


class _Told(NamedTuple):
    """Messages in the one shape, and the form that gives them back."""

    messages: Any
    form: str | None


def normalise(
    found: dict[str, Any], attributes: Attributes, conversation: Conversation
) -> dict[str, Any]:
    """Put the messages of a call into the one shape; the forms of those whose attributes can go.

    Args:
        found: What was read by meaning; its ``input`` and ``output`` are replaced.
        attributes: Where they were read from: what they cannot say again is left there.
        conversation: What is known of the run's messages.
    """
    forms = {}
    for meaning, role in _ROLES.items():
        raw = found.get(meaning)
        if raw is None:
            continue
        told = _normalised(raw, role, conversation)
        if told.messages is raw or told.messages == raw:
            continue
        found[meaning], form = told.messages, told.form
        if meaning in attributes.found:
            if form is None:
                attributes.keep(meaning)
            else:
                forms[meaning] = form
    return forms


def take_requests(
    found: dict[str, Any], attributes: Attributes, conversation: Conversation
) -> dict[str, Any]:
    """What whole requests say beside the messages of a call, which are taken out of them.

    OpenInference tells messages twice: one by one, and in the request that was sent.
    """
    requests = {}
    for name in _REQUESTS:
        text = attributes.left.get(name)
        if not (isinstance(text, str) and text[:1] == "{" and '"messages"' in text):
            continue
        told = _request_in(text, found.get("input"), conversation)
        if told is not None:
            requests[name] = told
            del attributes.left[name]
    return requests


_REQUESTS = ("input.value",)


_fields_of = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _request_in(text: str, kept: Any, conversation: Conversation) -> dict[str, Any] | None:
    """What a request says beside messages that are kept; None if that does not give it back."""
    try:
        check_json(text)
        fields = _fields_of(text)
        said = conversation.array("messages", bytes(fields.pop("messages")).decode(), loads)
        rest = {name: loads(bytes(value)) for name, value in fields.items()}
    except (ValueError, KeyError, RecursionError):
        return None
    if not isinstance(said, list) or not isinstance(kept, list) or not len(said) == len(kept) > 0:
        return None
    found = [conversation.message(each, _ROLES["input"], _read_message) for each in said]
    known = [told for told in found if told is not None]
    form = _common([told.form for told in known]) if len(known) == len(kept) else None
    if form is None or is_nested_deeply(rest):
        return None
    # Attributes leave out what is empty: a few messages are kept as the request says them.
    others = [n for n, told in enumerate(known) if not _is_same(told.message, kept[n])]
    if not others:
        return {"form": form, "rest": rest}
    forms = _forms_named(form, len(kept))
    if len(others) > max(1, len(kept) // _FEW) or not all(
        _can_be_said(kept[n], forms[n]) for n in others
    ):
        return None
    return {"form": form, "rest": rest, "other": {str(n): copied(said[n]) for n in others}}


def _is_same(one: Any, other: Any) -> bool:
    return one is other or exactly(one) == exactly(other)


def _can_be_said(message: Any, form: Any) -> bool:
    messages = [message]
    return in_form(form, messages) is not messages


_FEW = 4


def request_of(told: Any, messages: Any) -> str | None:
    """A request of which `take_requests` took the messages out, with these messages."""
    if not isinstance(told, dict) or not isinstance(told.get("rest"), dict):
        return None
    said = in_form(told.get("form"), messages)
    other = told.get("other")
    if isinstance(said, list) and isinstance(other, dict):
        said = [other.get(str(n), each) for n, each in enumerate(said)]
    whole = {"messages": said, **told["rest"]}
    return json_text(whole)


def in_form(name: object, messages: Any) -> Any:
    """Messages in the form that they came in; as they are, if they cannot be written so."""
    if name == "text":
        text = _only_text(messages_from(messages))
        return messages if text is None else text
    if not isinstance(messages, list):
        return messages
    forms = _forms_named(name, len(messages))
    told = messages_from(messages)
    if not len(forms) == len(told) == len(messages):
        return messages
    known = [_form_named(each) for each in forms]
    written = [
        None if form is None else _written(message, form)
        for message, form in zip(told, known, strict=True)
    ]
    return messages if any(each is None for each in written) else written


def _normalised(raw: Any, role: str, conversation: Conversation) -> _Told:
    """Messages in the one shape, and what gives them back."""
    if isinstance(raw, list) and raw:
        known = [conversation.message(each, role, _read_message) for each in raw]
        found = [told for told in known if told is not None]
        if len(found) == len(raw):
            return _Told([told.message for told in found], _common([told.form for told in found]))
    messages = normalised(raw, role)
    form = "text" if isinstance(raw, str) and _only_text(messages_from(messages)) == raw else None
    return _Told(messages, form)


def _common(forms: list[_Form | None]) -> str | None:
    """The form of all of them; or the forms that there are, and a digit for each.

    Those of an agent's next call begin with the same text: it is stored once.
    """
    known = [form for form in forms if form is not None]
    if len(known) < len(forms):
        return None
    common = known[0]
    for form in set(known):  # a few, whatever the number of messages
        both = common.with_what(form)
        if both is None:
            kinds = list(dict.fromkeys(known))
            digits = {kind: _DIGITS[n % len(_DIGITS)] for n, kind in enumerate(kinds)}
            each = "".join([digits[form] for form in known])
            names = "|".join(map("/".join, kinds))
            return f"{names}#{each}" if len(kinds) <= len(_DIGITS) else None
        common = both
    return "/".join(common)


_DIGITS = string.digits + string.ascii_letters


def _forms_named(name: object, messages: int) -> list[Any]:
    """The form of each message, as `_common` names them."""
    if not isinstance(name, str) or "#" not in name:
        return [name] * messages
    kinds, _, each = name.partition("#")
    forms = dict(zip(_DIGITS, kinds.split("|"), strict=False))
    return [forms.get(digit) for digit in each]


_MESSAGE_KEYS = frozenset({"role", "message"})


def _read_message(raw: Any, role: str, conversation: Conversation) -> ReadMessage | None:
    """One of a list's messages in the one shape, with its form; None if it is not one message."""
    if not isinstance(raw, dict) or raw.keys().isdisjoint(_MESSAGE_KEYS):
        return None
    inner = raw.get("message")
    if len(raw) == 1 and isinstance(inner, dict) and _is_wrapped_only(inner):
        told = conversation.message(inner, role, _read_message)
        return told and ReadMessage(told.message, told.form and told.form._replace(shape=_WRAPPED))
    messages = messages_from(raw, role)
    if len(messages) != 1:
        return None
    message = messages[0]
    form = _form_of(raw, message)
    says_all = form is not None and _written(message, form) == raw
    return ReadMessage(message.to_dict(), form if says_all else None)


_WRAPPED = "openinference"


def _is_wrapped_only(inner: dict[str, Any]) -> bool:
    """Whether a message that is wrapped in another object says what it would say alone."""
    return type(inner.get("role")) is str and inner.keys().isdisjoint(("message", "tool_calls"))


def _form_of(raw: dict[str, Any], message: Message) -> _Form | None:
    """The form that a message may be in, told by what is in it."""
    inner = raw.get("message", raw)
    if not isinstance(inner, dict):
        return None
    shape = _WRAPPED if inner is not raw else "plain"
    if any(isinstance(part, ToolResultPart) for part in message.parts):
        return _Form(shape)
    parts = next(
        (name for name in ("contents", "content") if isinstance(inner.get(name), list)), ""
    )
    empty = _ANY
    if not message.text and not parts:
        empty = _empty(inner["content"]) if "content" in inner else _ABSENT
    calls = inner.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else None
    told = "" if call is None else _calls_of(call)
    return _Form(shape, told, empty, parts or ("text" if message.text else ""))


def _empty(content: Any) -> str:
    return _NULL if content is None else _EMPTY


def _calls_of(call: Any) -> str:
    if not isinstance(call, dict):
        return ""
    call = call["tool_call"] if isinstance(call.get("tool_call"), dict) else call
    function = call.get("function")
    if isinstance(function, dict):
        return f"chat{_style_of(function.get('arguments'))}"
    return f"flat{_style_of(call.get('arguments'))}"


def _style_of(text: Any) -> int:
    if not isinstance(text, str):
        return 0
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return 0
    return next((n for n in range(len(_JSON)) if _dumped(value, n) == text), 0)


def _dumped(value: Any, style: int) -> str | None:
    try:
        return json.dumps(value, **_JSON[style])
    except (TypeError, ValueError, RecursionError):
        return None


def _form_named(name: object) -> _Form | None:
    fields = name.split("/") if isinstance(name, str) else []
    return _Form(*fields) if len(fields) == _FIELDS else None


def _only_text(told: list[Message]) -> str | None:
    if len(told) != 1 or len(told[0].parts) != 1 or told[0].to_dict().keys() != {"role", "parts"}:
        return None
    (part,) = told[0].parts
    return part.content if isinstance(part, TextPart) and part.extra is None else None


def _written(message: Message, form: _Form) -> dict[str, Any] | None:
    """A message in a form; None if that cannot say all that it says."""
    written: dict[str, Any] = {"role": message.role, **(message.extra or {})}
    for name in ("name", "id", "finish_reason"):
        if getattr(message, name) is not None:
            written[name] = getattr(message, name)
    if len(message.parts) == 1 and isinstance(message.parts[0], ToolResultPart):
        written |= _result(message.parts[0])
    else:
        texts = [part for part in message.parts if _is_plain_text(part)]
        calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
        if len(texts) + len(calls) != len(message.parts):
            return None
        said = _content([part.content for part in texts if isinstance(part, TextPart)], form)
        if said is None:
            return None
        written |= said
        if calls:
            written["tool_calls"] = [_call(call, form) for call in calls]
    return {"message": written} if form.shape == _WRAPPED else written


def _is_plain_text(part: object) -> bool:
    return isinstance(part, TextPart) and part.extra is None


_NOTHING_SAID: dict[str, dict[str, Any]] = {_NULL: {"content": None}, _EMPTY: {"content": ""}}


def _content(texts: list[str], form: _Form) -> dict[str, Any] | None:
    if not texts:
        return _NOTHING_SAID.get(form.empty, {})
    if form.parts == "contents":
        parts = [{"message_content": {"type": "text", "text": text}} for text in texts]
        return {"contents": parts}
    if form.parts == "content":
        return {"content": [{"type": "text", "text": text} for text in texts]}
    return {"content": texts[0]} if len(texts) == 1 else None


def _result(part: ToolResultPart) -> dict[str, Any]:
    told = {"content": part.response, "tool_call_id": part.id, "name": part.name}
    return {name: value for name, value in told.items() if value is not None}


def _call(part: ToolCallPart, form: _Form) -> dict[str, Any]:
    kind, style = form.calls[:4], form.calls[4:]
    arguments = part.arguments
    if arguments is not None and not isinstance(arguments, str):
        arguments = _dumped(arguments, int(style) if style in {"0", "1", "2", "3"} else 0)
    said: dict[str, Any] = {"name": part.name}
    if arguments is not None:
        said["arguments"] = arguments
    call: dict[str, Any] = ({} if part.id is None else {"id": part.id}) | (part.extra or {})
    if form.shape == _WRAPPED:
        return {"tool_call": {**call, "function": said}}
    if kind == "chat":
        return {**call, "type": "function", "function": said}
    return call | said
