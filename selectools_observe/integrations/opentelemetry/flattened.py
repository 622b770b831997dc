"""Lists that were flattened into attributes, one a leaf, whose names say the way to it.

An agent sends the whole conversation with every call: what the call before said is not read again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...model.json_values import is_nested_deeply
from .message_memory import Conversation, FlatList


class Unflattened(NamedTuple):
    """What was flattened.

    Attributes:
        value: The list, or an item of it.
        says_all: Whether `flat` makes the same attributes of it.
        is_deep: It is nested more deeply than a store takes.
    """

    value: Any
    says_all: bool
    is_deep: bool


def unflattened(
    attributes: Mapping[str, Any], prefix: str, conversation: Conversation | None = None
) -> Unflattened | None:
    """The list that was flattened into names with dots and indices under this prefix.

    Gaps in the numbers are closed: an SDK's limit drops the attributes that were set first. None
    if there is no list.
    """
    leaves = [leaf for leaf in attributes.items() if leaf[0].startswith(prefix)]
    if not leaves:
        return None
    conversation = conversation or Conversation()
    key = prefix, "".join([leaf[:_BEGINNING] for _, leaf in leaves[:2] if type(leaf) is str])
    known = conversation.flat.get(key)
    found = (known and _continued(known, leaves, prefix)) or _items(leaves, prefix)
    if not all([number.isdecimal() for number in found]):
        return None
    if _TEXTS.issuperset([type(leaf) for _, leaf in leaves]):  # 1, 1.0 and true are equal
        conversation.flat[key] = FlatList(leaves, found)
    numbers = sorted(found, key=int)
    items = [found[number] for number in numbers]
    return Unflattened(
        [item.value for item in items],
        numbers == [*map(str, range(len(numbers)))] and all([item.says_all for item in items]),
        any([item.is_deep for item in items]),
    )


_BEGINNING = 256
_TEXTS = frozenset({str})


def _continued(
    known: FlatList, leaves: list[tuple[str, Any]], prefix: str
) -> dict[str, Unflattened] | None:
    """The items of a list that begins as a known one does; None if it does not."""
    length = len(known.leaves)
    if leaves[:length] != known.leaves:
        return None
    more = _items(leaves[length:], prefix)
    return known.items | more if more.keys().isdisjoint(known.items) else None


def _items(leaves: list[tuple[str, Any]], prefix: str) -> dict[str, Unflattened]:
    items: dict[str, dict[str, Any]] = defaultdict(dict)
    start = len(prefix)
    for name, value in leaves:
        number, dot, way = name[start:].partition(".")
        items[number][dot + way] = value
    return {number: _made(item) for number, item in items.items()}


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


def _made(leaves: dict[str, Any]) -> Unflattened:
    if _says_texts(leaves):
        message = {way[len(_MESSAGE) :]: leaf for way, leaf in leaves.items()}
        return Unflattened({"message": message}, says_all=True, is_deep=False)
    item = _tree(leaves)
    value = _lists(item)
    says_all = isinstance(value, dict | list) and flat("", value) == {
        way.removeprefix("."): leaf for way, leaf in leaves.items()
    }
    return Unflattened(value, says_all, is_nested_deeply([value]))


_MESSAGE = ".message."


def _says_texts(leaves: dict[str, Any]) -> bool:
    """Whether it is a message of OpenInference that says nothing nested, as most do."""
    return _TEXTS.issuperset(map(type, leaves.values())) and all(
        [way.startswith(_MESSAGE) and way.count(".") == _DOTS and way[-1] > "9" for way in leaves]
    )


_DOTS = _MESSAGE.count(".")


def _tree(leaves: dict[str, Any]) -> Any:
    """Dictionaries in each other, by the parts of the ways; what others are inside of counts."""
    tree: dict[str, Any] = {}
    for way, leaf in leaves.items():
        at = tree
        *parts, last = way.split(".")
        for part in parts:
            if not isinstance(at.get(part), dict):
                at[part] = {}
            at = at[part]
        if not isinstance(at.get(last), dict):
            at[last] = {**leaf} if isinstance(leaf, dict) else leaf
    return tree[""]  # a way is empty, or begins with a dot


def _lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    children = {name: _lists(child) for name, child in tree.items()}
    if children and all(name.isdecimal() for name in children):
        return [children[name] for name in sorted(children, key=int)]
    return children
