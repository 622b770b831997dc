"""Attributes taken from a span by meaning, and put back by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from ...model.amounts import is_finite
from ...model.json_values import DEEPEST, SCALARS, is_nested_deeply, json_text
from ...model.limits import loads_limited
from .flattened import Unflattened, flat, unflattened
from .message_memory import Conversation
from .semconv import FIELDS, QUOTED, SECONDS, TEXT_LISTS, Kind

_COUNTS = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "audio_input_tokens",
        "audio_output_tokens",
    }
)
_NUMBERS = frozenset({"time_to_first_token_ms"})
_LISTS = frozenset({"input", "output"})
_JSON_TEXTS = frozenset({"input", "output", "tool_args"})
_TEXTS = frozenset({"model", "tool_name", "tool_result", "tool_call_id"})


class Attributes:
    """What is left of a span's attributes, and under which name each meaning was found.

    Attributes:
        left: What is left.
        found: Names by meaning.
        forms: The forms of messages that are kept in another, by meaning.
        requests: What attributes that held the messages once more said beside them, by name.
    """

    def __init__(
        self, attributes: dict[str, Any], conversation: Conversation | None = None
    ) -> None:
        self._all = attributes
        self._conversation = conversation or Conversation()
        self.left = dict(attributes)
        self.found: dict[str, str] = {}
        self.forms: dict[str, Any] = {}
        self.requests: dict[str, Any] = {}

    def take(self, meaning: str, names: tuple[str, ...]) -> Any:
        """The first of these attributes that can mean this; None if there is none.

        It is removed if the meaning alone tells what it was.
        """
        left = self.left
        for name in names:
            if (raw := left.get(name)) is not None:
                value = self._read(meaning, raw, name)
                if value is not None:
                    if _says(meaning, name, value, raw):
                        self.found[meaning] = name
                        del left[name]
                    return value
            elif name[-1] == "." and (found := self._unflattened(name)) is not None:
                if found.says_all and not found.is_deep:
                    self.found[meaning] = name
                    for key in [key for key in left if key.startswith(name)]:
                        del left[key]
                if meaning in _LISTS and not found.is_deep:
                    return found.value
                return read(meaning, found.value, name)
        return None

    def _read(self, meaning: str, raw: Any, name: str) -> Any:
        if meaning in _LISTS and name not in QUOTED and isinstance(raw, str) and raw[:1] == "[":
            return self._conversation.array(name, raw, parsed_text)
        return read(meaning, raw, name)

    def _unflattened(self, prefix: str) -> Unflattened | None:
        return unflattened(self.left, prefix, self._conversation)

    def take_all(self, kind: Kind) -> dict[str, Any]:
        """`take` of all that a span of this kind may say."""
        found = {}
        for meaning in _meanings(kind, self.left):
            value = self.take(meaning, FIELDS[kind][meaning])
            if value is not None:
                found[meaning] = value
        return found

    def keep(self, meaning: str) -> None:
        """Leave the attribute of this meaning as it was: the field says it otherwise."""
        name = self.found.pop(meaning, None)
        if name is not None:
            prefix = name.endswith(".")
            self.left |= {
                key: value
                for key, value in self._all.items()
                if key == name or (prefix and key.startswith(name))
            }


def _says(meaning: str, name: str, value: Any, raw: Any) -> bool:
    """Whether the value alone tells what the attribute was."""
    if value is raw and name not in TEXT_LISTS and name not in QUOTED:
        return True
    if meaning in _JSON_TEXTS and isinstance(raw, str) and not isinstance(value, str):
        # What was read from a JSON text says it, unless it was put into another object.
        return isinstance(value, list) or raw[:1] == "{"
    return _same(raw, write(name, value)[name])


def _meanings(kind: Kind, attributes: Mapping[str, Any]) -> Iterable[str]:
    """Those fields of a kind that some attribute is named for, in their order."""
    names, beginnings = _index(kind)
    named = {meaning for key in attributes if key in names for meaning in names[key]}
    for beginning, meaning in beginnings:
        if meaning not in named and any([key.startswith(beginning) for key in attributes]):
            named.add(meaning)
    return [meaning for meaning in FIELDS[kind] if meaning in named]


@cache
def _index(kind: Kind) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """The fields of a kind by the names of attributes, and by what names begin with."""
    names: dict[str, list[str]] = {}
    beginnings = []
    for meaning, known in FIELDS[kind].items():
        for name in known:
            names.setdefault(name, []).append(meaning)
            if name[-1] == ".":
                beginnings.append((name, meaning))
    return names, beginnings


def read(meaning: str, raw: Any, name: str = "") -> Any:
    """An attribute's value as the field wants it; None if it cannot be that."""
    reader = _READERS.get(meaning)
    if reader is not None:
        return reader(raw)
    if meaning in _NUMBERS:
        value = number(raw)
        return value * 1000 if value is not None and name in SECONDS else value
    if meaning in _TEXTS:
        return raw if isinstance(raw, str) else json_text(raw)
    parsed = parsed_text(raw)
    if meaning == "tool_args":
        return _arguments(parsed)
    return _unquoted(parsed) if name in QUOTED else parsed


def _unquoted(parsed: Any) -> Any:
    if isinstance(parsed, str) and parsed[:1] == '"':
        with suppress(ValueError):
            value = loads_limited(parsed)
            return value if isinstance(value, str) else parsed
    return parsed


def write(name: str, value: Any) -> dict[str, Any]:
    """The attributes that say this under that name: what `read` takes back."""
    if name.endswith("."):
        return flat(name, parsed_text(value))
    if name in SECONDS:
        return {name: value / 1000}
    if name in TEXT_LISTS:
        return {name: value if isinstance(value, list) else [value]}
    if name in QUOTED:
        return {name: json_text(value)}
    return {name: value if isinstance(value, str | bool | int | float) else json_text(value)}


def parsed_text(raw: Any) -> Any:
    """What a JSON text holds, if it is an object or an array; anything else as it is.

    What is nested more deeply than a store takes is a text, and stays one.
    """
    if isinstance(raw, str):
        if raw[:1] not in {"{", "["}:
            return raw
        try:
            value = loads_limited(raw)
        except ValueError:
            return raw
        if raw.count("[") + raw.count("{") <= DEEPEST:
            return value  # as most are
        return raw if is_nested_deeply([value]) else value
    if type(raw) in SCALARS:
        return raw
    return json_text(raw) if is_nested_deeply([raw]) else raw


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one, or JSON texts of one."""
    one, other = parsed_text(one), parsed_text(other)
    return one == other and isinstance(one, str) == isinstance(other, str)


def number(raw: Any) -> int | float | None:
    """A finite number, also one that is told as text."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, str):
        try:
            raw = float(raw) if not raw.strip().lstrip("+-").isdecimal() else int(raw)
        except ValueError:
            return None
    return raw if is_finite(raw) else None


def count(raw: Any) -> int | None:
    """A number of things, also one that is told as text or as a float."""
    value = number(raw)
    return int(value) if value is not None and value >= 0 and value == int(value) else None


def money(raw: Any) -> int | float | None:
    """US dollars: a number, a text such as ``$0.01``, or an object with a total or parts."""
    if isinstance(raw, str):
        raw = parsed_text(raw.strip())
    if isinstance(raw, Mapping):
        total = next((raw[name] for name in _TOTALS if raw.get(name) is not None), None)
        if total is not None:
            return money(total)
        parts = [part for part in map(number, raw.values()) if part is not None]
        return sum(parts) if parts and all(part >= 0 for part in parts) else None
    if isinstance(raw, str):
        raw = raw.removeprefix("$").removesuffix("USD").strip()
    value = number(raw)
    return value if value is not None and value >= 0 else None


_TOTALS = ("total", "total_cost", "totalCost", "cost", "usd", "amount", "cost_usd")


def _text_of(raw: Any) -> Any:
    """A text; of a list of texts the only one, or the list."""
    texts = parsed_text(raw)
    if isinstance(texts, list):
        different = list(dict.fromkeys(map(str, texts)))
        return different[0] if len(different) == 1 else different or None
    return texts if isinstance(texts, str) and texts else None


_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_COUNTS, count),
    "cost_usd": money,
    "finish_reason": _text_of,
}


def _arguments(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"input": value}
