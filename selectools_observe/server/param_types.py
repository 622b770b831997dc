"""How the text of a query parameter becomes a value: msgspec reads it by its type.

The same type makes the JSON schema that the OpenAPI document shows.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta

from ..model.amounts import Number

Schema: TypeAlias = dict[str, Any]
Reader: TypeAlias = Callable[[str], Any]

AWARE: TypeAlias = Annotated[datetime, Meta(tz=True)]

_WANTED: dict[Any, str] = {
    int: "an integer",
    Number: "a number",
    bool: "true or false",
    datetime: "an RFC 3339 time such as 2026-03-01T00:00:00Z; a + is written %2B",
}
_SHOWN_AS: dict[Any, Any] = {Number: float, datetime: AWARE}
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)


def typed(kind: Any) -> tuple[Reader, Schema]:
    """What reads a value of this type from a text, and its JSON schema.

    A `ValueError` of the reader says what the value must be, as in 'min_steps must be ...'.
    """
    plain, bounds = _parts(kind)

    def read(text: str) -> Any:
        try:
            value = _read(text, plain)
        except msgspec.MsgspecError:
            raise ValueError(_WANTED.get(plain, f"of type {plain}")) from None
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError:
            raise ValueError(_shown(bounds)) from None

    return read, msgspec.json.schema(_SHOWN_AS.get(plain, kind))


def bounded(low: int, high: int, default: int) -> tuple[Reader, Schema]:
    """A count within bounds, and its schema."""
    return typed(Annotated[int, Meta(ge=low, le=high, extra_json_schema={"default": default})])


def from_nought(default: int | None = None) -> tuple[Reader, Schema]:
    """A count of any size, and its schema."""
    shown = {} if default is None else {"default": default}
    return typed(Annotated[int, Meta(ge=0, extra_json_schema=shown)])


def _parts(kind: Any) -> tuple[Any, Meta]:
    """A type without its bounds, and they."""
    if get_origin(kind) is not Annotated:
        return kind, Meta()
    plain, meta = get_args(kind)
    return plain, meta


def _read(text: str, plain: Any) -> Any:
    if plain is str:
        return text
    if plain is datetime:
        return msgspec.convert(text, AWARE)
    if text != text.strip():
        raise msgspec.ValidationError
    return msgspec.json.decode(text, type=plain)  # JSON's numbers: no nan, no 0x1, no 1_000


def _shown(bounds: Meta) -> str:
    return f"{bounds.ge} or more" if bounds.le is None else f"from {bounds.ge} to {bounds.le}"


def documented_attributes(kind: type) -> dict[str, str]:
    """What a class's docstring says of its attributes, each on one line, without markup."""
    section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    return {
        name: " ".join(about.replace("`", "").split())
        for name, about in _ATTRIBUTE.findall(section)
    }
