"""Values of user code as plain JSON values, whatever their classes do when they are looked at."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from ..model.json_values import (
    DEEPEST,
    SCALARS,
    UnstorableValueError,
    is_nested_deeply,
    json_text,
    replace_foreign,
)
from .error_text import error_text

Opener: TypeAlias = Callable[[Any], Any]
"""What stands for an object that JSON has no form for: a dictionary, a list or a text."""


_ARE_PLAIN = SCALARS.issuperset
_ARE_TEXTS = frozenset({str}).issuperset
_DEEPEST = DEEPEST - 16  # what it becomes a part of has some depth of its own
# From Python 3.12 on C code may go some 10,000 levels down: what contains itself would be copied
# as often before it is known.
_LOOK_FIRST = sys.version_info >= (3, 12)


def plain_of(value: Any, opened: Opener | None = None) -> Any:
    """A deep copy of a value, made of plain JSON values; it never raises.

    What cannot be read, contains itself or is nested too deeply is replaced by a note in its place.

    Args:
        value: The value.
        opened: What to make of objects that JSON has no form for; `opened_model` unless given.
    """
    if (
        type(value) is dict
        and _ARE_PLAIN(map(type, value.values()))
        and _ARE_TEXTS(map(type, value))
    ):
        return value.copy()  # as arguments of tools mostly are
    opened = opened or opened_model
    try:
        if not (_LOOK_FIRST and is_nested_deeply(value)):
            return msgspec.to_builtins(value, str_keys=True, enc_hook=opened)
    except Exception:  # noqa: BLE001, S110 - their classes may do anything when looked at
        pass
    return copied_piecewise(value, opened)


def as_text(value: object) -> str:
    """A value as text: text as it is, anything else as JSON."""
    if issubclass(type(value), str):  # isinstance() would look at the value too
        return str.__str__(value)
    try:
        return json_text(value)
    except UnstorableValueError:
        return json_text(copied_piecewise(value))


def plain_attribute(holder: Any, name: str) -> Any:
    """`plain_of` an attribute; None if there is none."""
    try:
        value = getattr(holder, name, None)
    except Exception as error:  # noqa: BLE001 - a property of somebody's class
        return note(error_text(error))
    return value if type(value) in SCALARS else plain_of(value)


def copied_piecewise(value: Any, opened: Opener = replace_foreign) -> Any:
    """`plain_of`, slowly: for a value of which some part is known to be unreadable."""
    return _Copier(opened).copy(value)


def opened_model(value: Any) -> Any:
    """What a pydantic model holds; a readable stand-in for anything else."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        reported = dump(exclude_unset=True)
        if isinstance(reported, dict):
            return reported
    return replace_foreign(value)


def note(reason: str) -> str:
    """What stands in the place of a value that cannot be stored."""
    return f"[cannot be stored: {reason}]"


class _Copier:
    """Copies a value piece by piece, so that one that cannot be read costs no other."""

    def __init__(self, opened: Opener) -> None:
        self._opened = opened
        self._around: list[int] = []

    def copy(self, value: Any) -> Any:
        if type(value) in SCALARS:
            return value
        if id(value) in self._around:
            return note("it contains itself")
        if len(self._around) >= _DEEPEST:
            return note("it is nested too deeply")
        self._around.append(id(value))
        try:
            return self._copied(value)
        except Exception as error:  # noqa: BLE001 - as above
            return note(f"{type(value).__name__}, {error_text(error)}")
        finally:
            self._around.pop()

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            # Of a dictionary what it holds, whatever its class says.
            items = dict.items(value) if isinstance(value, dict) else value.items()
            return {_key(key): self.copy(item) for key, item in list(items)}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.copy(item) for item in list(value)]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return {name: self._attribute(value, name) for name in names}
        try:
            return msgspec.to_builtins(value, str_keys=True, enc_hook=self._opened)
        except Exception:
            reported = self._opened(value)
            if reported is value or not isinstance(reported, dict | list):
                raise
            return self.copy(reported)

    def _attribute(self, value: Any, name: str) -> Any:
        try:
            return self.copy(getattr(value, name))
        except Exception as error:  # noqa: BLE001 - as above
            return note(error_text(error))


def _key(key: Any) -> str:
    if type(key) is str:
        return key
    try:
        return str(key)
    except Exception as error:  # noqa: BLE001 - as above
        return note(error_text(error))
