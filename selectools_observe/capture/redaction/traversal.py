"""Walking through all that a step or metadata holds, JSON inside of text included."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

from ...model.json_values import json_text
from ...model.trace import STEP_FIELDS, TraceStep

REDACTED = "[redacted]"
"""What stands where a secret was."""

Redacted: TypeAlias = TraceStep | dict[str, Any]
"""What a redactor is given: a step, or the metadata."""


class Redactor(Protocol):
    """Takes what must not be stored out of a step, or out of the metadata."""

    def __call__(self, item: Any, /) -> Any:
        """The step or the metadata as it is to be stored."""


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
# A word of a longer text; mixed, as base64 is and the words of languages are not.
_BASE64_WORD = re.compile(
    r"(?<![A-Za-z0-9+/_=.-])(?=[a-z]{0,12}[A-Z0-9+/])[A-Za-z0-9+/_-]{16,}+={0,2}(?![\w+/=-])"
)
_SHORTEST_BASE64 = 16
# Characters of the texts that are remembered as holding nothing to redact.
_REMEMBERED = 2_000_000
# Text of JSON in text of JSON; deeper than this nobody nests what he wants to read again.
_DEEPEST_TEXT = 6
_STEP_PARTS = [name for name in STEP_FIELDS if name != "type"] + ["extra"]


class Walk:
    """A redactor that looks at every text of an item, at any depth.

    Text that is JSON is looked into, and rewritten if something in it was redacted; so is text
    that is base64 of text, which is what stores make of bytes.

    Args:
        text: What becomes of a text; keys are given to it too.
        secret: Whether the value under a key is to go as a whole.
        number: What becomes of an integer.
        replacement: What stands for a value that went as a whole.
        is_pure: Whether ``text`` always answers the same, so that a text which it left as it is
            need not be looked at again. The calls of a run mostly repeat what was said before.
    """

    def __init__(
        self,
        text: Callable[[str], str],
        *,
        secret: Callable[[str], bool] | None = None,
        number: Callable[[int], int | str] | None = None,
        replacement: str = REDACTED,
        is_pure: bool = False,
    ) -> None:
        self._text = text
        self._is_pure = is_pure
        self._clean_texts = _CleanTexts()
        self._clean_keys = _CleanTexts()
        self._secrets = [] if secret is None else [(secret, replacement)]
        self._numbers = [] if number is None else [number]

    def text(self, text: str) -> str:
        """What becomes of a text."""
        return self._any_text(text, 0)

    def then(self, other: Walk) -> Walk:
        """Both in one go: to walk costs more than to look."""
        first, second = self._text, other._text
        both = Walk(lambda text: second(first(text)), is_pure=self._is_pure and other._is_pure)
        both._secrets = self._secrets + other._secrets
        both._numbers = self._numbers + other._numbers
        return both

    def __call__(self, item: Redacted) -> Redacted:
        if isinstance(item, dict):
            return self._object(item, 0)
        for name in _STEP_PARTS:
            value = getattr(item, name)
            if isinstance(value, str | dict | list):
                setattr(item, name, self._value(value, 0))
        return item

    def _value(self, value: Any, inside: int) -> Any:
        if isinstance(value, str):
            return self._any_text(value, inside)
        if isinstance(value, dict):
            return self._object(value, inside)
        if isinstance(value, list):
            return self._array(value, inside)
        if self._numbers and isinstance(value, int) and not isinstance(value, bool):
            return self._integer(value)
        return value

    def _integer(self, value: int) -> int | str:
        for change in self._numbers:
            changed = change(value)
            if isinstance(changed, str):
                return changed
            value = changed
        return value

    def _object(self, fields: dict[str, Any], inside: int) -> dict[str, Any]:
        named = self._stand_in(fields.get("name", fields.get("key")))
        redacted: dict[str, Any] = {}
        for key, value in fields.items():
            name = self._key(key)
            while name in redacted:  # two keys that look the same now
                name += "'"
            stand_in = self._stand_in(key) or (named if key == "value" else None)
            redacted[name] = (
                self._value(value, inside) if stand_in is None else _replaced(value, stand_in)
            )
        return redacted

    def _key(self, key: str) -> str:
        if key in self._clean_keys:
            return key
        name = self._text(key)
        if self._is_pure and name == key:
            self._clean_keys.add(key)
        return name

    def _array(self, items: list[Any], inside: int) -> list[Any]:
        if len(items) == 2:
            stand_in = self._stand_in(items[0])  # as of a header
            if stand_in is not None:
                return [items[0], _replaced(items[1], stand_in)]
        redacted = []
        stand_in = None
        for item in items:
            changed = self._value(item, inside)
            redacted.append(changed if stand_in is None else _replaced(item, stand_in))
            # What follows a flag of a command line, unless it is one too.
            is_flag = isinstance(item, str) and item.startswith("-") and "=" not in item
            stand_in = self._stand_in(item) if is_flag else None
        return redacted

    def _stand_in(self, name: object) -> str | None:
        """What stands for the value under this name, if it names a secret."""
        if isinstance(name, str):
            for is_secret, replacement in self._secrets:
                if is_secret(name):
                    return replacement
        return None

    def _any_text(self, text: str, inside: int) -> str:
        if text in self._clean_texts:
            return text
        redacted = self._redacted(text, inside)
        if self._is_pure and not inside and redacted == text:  # deeper inside, less is looked at
            self._clean_texts.add(text)
        return redacted

    def _redacted(self, text: str, inside: int) -> str:
        if inside < _DEEPEST_TEXT:
            opened = self._inside_json(text, inside)
            if opened is None:
                opened = self._inside_base64(text, inside)
            if opened is not None:
                return opened
        return self._text(self._with_base64_words(text, inside))

    def _with_base64_words(self, text: str, inside: int) -> str:
        """The text, its words that are base64 of text with secrets redacted."""
        if inside >= _DEEPEST_TEXT or len(text) < _SHORTEST_BASE64:
            return text
        return _BASE64_WORD.sub(lambda found: self._base64_word(found[0], inside), text)

    def _base64_word(self, word: str, inside: int) -> str:
        padded = word.rstrip("=")
        padded += "=" * (-len(padded) % 4)
        return self._inside_base64(padded, inside) or word

    def _inside_json(self, text: str, inside: int) -> str | None:
        """The text with what it holds as JSON redacted; None if it is not JSON with parts."""
        if text.lstrip()[:1] not in ("{", "[", '"'):
            return None
        try:
            value = json.loads(text, object_pairs_hook=_distinct)
        except (ValueError, RecursionError):
            return None
        redacted = self._value(value, inside + 1)
        return text if redacted == value else json_text(redacted)

    def _inside_base64(self, text: str, inside: int) -> str | None:
        """The text with what it holds as base64 redacted; None if there is nothing to redact."""
        if len(text) % 4 or not _BASE64.fullmatch(text):
            return None
        try:
            held = base64.b64decode(text, altchars=b"-_" if "-" in text or "_" in text else None)
            value = held.decode()
        except (binascii.Error, ValueError):
            return None
        redacted = self._any_text(value, inside + 1)
        return None if redacted == value else base64.b64encode(redacted.encode()).decode()


class _CleanTexts(set[str]):
    """Texts with nothing to redact in them, forgotten when they have become too much."""

    _size = 0

    def add(self, text: str) -> None:
        if len(text) > _REMEMBERED:
            return
        self._size += len(text)
        if self._size > _REMEMBERED:
            self.clear()
            self._size = len(text)
        super().add(text)


def _replaced(value: object, stand_in: str) -> object:
    """The stand-in for a secret; what says nothing may stay."""
    says_nothing = value is None or isinstance(value, bool) or value == ""
    return value if says_nothing else stand_in


def fuse_redactors(redactors: Iterable[Redactor]) -> list[Redactor]:
    """The same redactors, with walks that follow each other made one."""
    fewer: list[Redactor] = []
    for redactor in redactors:
        if fewer and isinstance(redactor, Walk) and isinstance(fewer[-1], Walk):
            fewer[-1] = fewer[-1].then(redactor)
        else:
            fewer.append(redactor)
    return fewer


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs.

    Raises:
        ValueError: A key comes twice; of such text a reader sees a part only.
    """
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("duplicate key")
    return fields
