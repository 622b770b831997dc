"""Lists that were flattened into attributes, one a leaf, whose names say the way to it.

An agent sends the whole conversation with every call, so what came of an item is remembered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...model.json_values import is_nested_deeply
from .remembered import Packed, PackedList, Remembered, pack, unpack


class Unflattened(NamedTuple):
    """What was flattened.

    Attributes:
        value: The list, or an item of it; a `PackedList` if all items can be packed.
        says_all: Whether `flat` makes the same attributes of it.
        is_deep: It is nested more deeply than a store takes.
        packed: An item, packed.
    """

    value: Any
    says_all: bool
    is_deep: bool
    packed: bytes | None = None


def unflattened(attributes: Mapping[str, Any], prefix: str) -> Unflattened | None:
    """The list that was flattened into names with dots and indices under this prefix.

    Gaps in the numbers are closed: an SDK's limit drops the attributes that were set first. None
    if there is no list.
    """
    items: dict[str, dict[str, Any]] = defaultdict(dict)
    start = len(prefix)
    for name, value in attributes.items():
        if name.startswith(prefix):
            number, dot, way = name[start:].partition(".")
            items[number][dot + way] = value
    if not items or not all([number.isdecimal() for number in items]):
        return None
    numbers = sorted(items, key=int)
    found = [_item(items[number]) for number in numbers]
    values: list[Any] = [each.value for each in found]
    packed = [each.packed for each in found if each.packed is not None]
    if len(packed) == len(found):
        values = PackedList(values)
        values.packed = packed
    return Unflattened(
        values,
        numbers == [*map(str, range(len(numbers)))] and all([each.says_all for each in found]),
        any([each.is_deep for each in found]),
    )


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


_remembered = Remembered()
_LONGEST_REMEMBERED = 4096  # bytes
_TEXTS = frozenset({str})


def _item(leaves: dict[str, Any]) -> Unflattened:
    """What one item's leaves, by the ways to them, are."""
    if not _TEXTS.issuperset(map(type, leaves.values())):  # 1, 1.0 and true are one key
        return _made(leaves)
    key = (*leaves.items(),)
    if (known := _remembered.get(key)) is not None:
        return Unflattened(unpack(known.packed), known.note, is_deep=False, packed=known.packed)
    made = _made(leaves)
    packed = None if made.is_deep else pack(made.value)
    if packed is not None and len(packed) <= _LONGEST_REMEMBERED:
        _remembered.keep(key, Packed(packed, made.says_all))
    return made._replace(packed=packed)


def _made(leaves: dict[str, Any]) -> Unflattened:
    item = _tree(leaves)
    value = _lists(item)
    says_all = isinstance(value, dict | list) and flat("", value) == {
        way.removeprefix("."): leaf for way, leaf in leaves.items()
    }
    return Unflattened(value, says_all, is_nested_deeply([value]))


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
