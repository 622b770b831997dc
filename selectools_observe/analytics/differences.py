"""In what two values differ: objects key by key, texts word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from ..model.json_values import canonical, readable

Side: TypeAlias = Literal[-1, 0, 1]
"""-1: only in the left text; 1: only in the right one; 0: in both."""

_MOST = 500  # differences of one field
_DEEPEST = 50
_MOST_WORDS = 4_000  # of both texts, beyond what they begin and end with
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_PLAIN_KEY = re.compile(r"[^\W\d][\w-]*")


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value that differs.

    Attributes:
        field: The field of the step.
        path: Where in the field: ``[0].tool_calls[0].arguments.order``; empty for all of it.
        left: The value in the one run; unset if there is none.
        right: The value in the other.
    """

    field: str
    path: str = ""
    left: Any | UnsetType = UNSET
    right: Any | UnsetType = UNSET


def differences_between(field: str, left: Any, right: Any) -> list[Difference]:
    """All places in which two JSON values differ; at most 500.

    Args:
        field: Whose values they are.
        left: The one value; `msgspec.UNSET` for none.
        right: The other.
    """
    found: list[Difference] = []
    for one in _between(field, "", left, right, 0):
        found.append(one)
        if len(found) == _MOST:
            break
    return found


def _between(field: str, path: str, left: Any, right: Any, depth: int) -> Iterator[Difference]:
    if depth < _DEEPEST and isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in dict.fromkeys((*left, *right)):
            inner = _inside(path, key)
            yield from _between(
                field, inner, left.get(key, UNSET), right.get(key, UNSET), depth + 1
            )
    elif depth < _DEEPEST and isinstance(left, list) and isinstance(right, list):
        for at in range(max(len(left), len(right))):
            one, other = (side[at] if at < len(side) else UNSET for side in (left, right))
            yield from _between(field, f"{path}[{at}]", one, other, depth + 1)
    elif not same(left, right):
        yield Difference(field, path, left, right)


def _inside(path: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{readable(key)}]"
    return f"{path}.{key}" if path else key


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: ``1`` is ``1.0``, ``True`` is not ``1``."""
    if left is right or (left.__class__ is str and right.__class__ is str):
        return bool(left == right)
    if left is UNSET or right is UNSET or left is None or right is None:
        return False
    return canonical(left) == canonical(right)


def word_diff(left: str, right: str) -> list[tuple[Side, str]]:
    """Two texts as one: what both say, and what only one does, word by word.

    Long texts that share little are given as one removal and one addition.
    """
    one, other = _WORDS.findall(left), _WORDS.findall(right)
    head = _shared(one, other)
    tail = _shared(one[head:][::-1], other[head:][::-1])
    middle = one[head : len(one) - tail], other[head : len(other) - tail]
    parts: list[tuple[Side, str]] = [
        (0, "".join(one[:head])),
        *_middle(*middle),
        (0, "".join(one[len(one) - tail :])),
    ]
    return [(side, text) for side, text in parts if text]


def _shared(one: list[str], other: list[str]) -> int:
    """How many words both begin with."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _middle(one: list[str], other: list[str]) -> Iterator[tuple[Side, str]]:
    if len(one) + len(other) > _MOST_WORDS:
        yield -1, "".join(one)
        yield 1, "".join(other)
        return
    for kind, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind == "equal":
            yield 0, "".join(one[a:b])
        else:
            yield -1, "".join(one[a:b])
            yield 1, "".join(other[c:d])
