"""Attributes taken from a span by meaning, and put back by name."""

from __future__ import annotations

from typing import Any

from ...model.json_values import dumps, is_nested_deeply, loads

_NUMBERS = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
    }
)
_TEXTS = frozenset({"model", "tool_name", "tool_result", "tool_call_id"})


class Attributes:
    """What is left of a span's attributes, and under which name each meaning was found."""

    def __init__(self, attributes: dict[str, Any]) -> None:
        self.left = dict(attributes)
        self.found: dict[str, str] = {}

    def take(self, meaning: str, names: tuple[str, ...]) -> Any:
        """The first of these attributes that can mean this; None if there is none.

        It is removed if the meaning alone tells what it was.
        """
        for name in names:
            raw = self.left.get(name)
            if raw is None and name[-1] == ".":
                raw = nested(self.left, name)
            value = None if raw is None else read(meaning, raw)
            if value is not None:
                if value is raw or name[-1] == "." or _same(raw, write(name, value)[name]):
                    self.found[meaning] = name
                    self._remove(name)
                return value
        return None

    def _remove(self, name: str) -> None:
        if name.endswith("."):
            for key in [key for key in self.left if key.startswith(name)]:
                del self.left[key]
        else:
            del self.left[name]


def read(meaning: str, raw: Any) -> Any:
    """An attribute's value as the field wants it; None if it cannot be that."""
    if meaning in _NUMBERS:
        return _number(raw)
    if meaning in _TEXTS:
        return raw if isinstance(raw, str) else dumps(raw).decode()
    parsed = parsed_text(raw)
    if meaning == "tool_args":
        return _arguments(parsed)
    return parsed


def write(name: str, value: Any) -> dict[str, Any]:
    """The attributes that say this under that name: what `read` takes back."""
    if name.endswith("."):
        return flat(name, parsed_text(value))
    return {name: value if isinstance(value, str | bool | int | float) else dumps(value).decode()}


def parsed_text(raw: Any) -> Any:
    """What a JSON text holds, if it is an object or an array; anything else as it is.

    What is nested more deeply than a store takes is a text, and stays one.
    """
    if isinstance(raw, str):
        if raw[:1] not in {"{", "["}:
            return raw
        try:
            value = loads(raw)
        except ValueError:
            return raw
        return raw if is_nested_deeply([value]) else value
    return dumps(raw).decode() if is_nested_deeply([raw]) else raw


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one, or JSON texts of one."""
    one, other = parsed_text(one), parsed_text(other)
    return one == other and isinstance(one, str) == isinstance(other, str)


def _number(raw: Any) -> int | float | None:
    if isinstance(raw, bool):
        return None
    if isinstance(raw, str):
        try:
            return int(raw)
        except ValueError:
            return None
    return raw if isinstance(raw, int | float) else None


def _arguments(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"input": value}


def nested(attributes: dict[str, Any], prefix: str) -> Any:
    """The value that was flattened into names with dots and indices under this prefix.

    None if there is none, or if it would not flatten to the same again.
    """
    under = {name: value for name, value in attributes.items() if name.startswith(prefix)}
    if not under:
        return None
    tree: dict[str, Any] = {}
    for name, value in under.items():
        at = tree
        *way, last = name[len(prefix) :].split(".")
        for part in way:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                return None
        if last in at:
            return None
        at[last] = value
    value = _lists(tree)
    return value if isinstance(value, list) and flat(prefix, value) == under else None


def flat(prefix: str, value: Any) -> dict[str, Any]:
    """The attributes that a nested value is flattened into."""
    if isinstance(value, list) and value and all(isinstance(item, dict | list) for item in value):
        parts: Any = enumerate(value)
    elif isinstance(value, dict) and value:
        parts = value.items()
    else:
        return {prefix.removesuffix("."): value}
    return {
        name: leaf
        for part, child in parts
        for name, leaf in flat(f"{prefix}{part}.", child).items()
    }


def _lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    children = {name: _lists(child) for name, child in tree.items()}
    in_order = [str(number) for number in range(len(children))]
    if children and children.keys() == set(in_order):
        return [children[number] for number in in_order]
    return children
