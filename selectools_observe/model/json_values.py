"""JSON without loss: any Python value to JSON text, JSON text to plain values, and their equality.

msgspec does the ordinary work. What it refuses (lone surrogates, integers of any length, keys and
values of foreign types) goes through the slower functions here, which write the same text for
whatever both can write; a property test holds them to it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable, Container, Iterable, Mapping
from enum import Enum
from typing import Any, TypeAlias, TypeGuard, TypeVar

import msgspec

from .integers import from_text, to_text

T = TypeVar("T")

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# Below what the interpreter can follow from any reasonable depth of its own stack.
DEEPEST = 256
"""How deep containers may be nested in a value."""
_MANY = 1000  # containers of a level

_LONG_INTEGER = 4096  # bits

SCALARS = frozenset({str, int, float, bool, type(None)})
"""The types that hold no others."""


class UnstorableValueError(ValueError):
    """A value has no JSON form at all; ``path`` says where it stands, ``reason`` why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def replace_foreign(value: object) -> object:
    """The hook of msgspec for types it does not know: a readable stand-in for the value."""
    # Subclasses by their base's own conversion: an overridden __str__ may lie about the value.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool):
        return str(value)  # asked for keys only
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return str(value)


_encoder = msgspec.json.Encoder(enc_hook=replace_foreign)


def dumps(value: object, path: str = "") -> bytes:
    """The value as JSON, compact, UTF-8.

    Raises:
        UnstorableValueError: It has no JSON form: a cycle, or something that cannot be read.
    """
    try:
        return _encoder.encode(value)
    except Exception:  # noqa: BLE001 - whatever it was, the slow way does it or says why not
        return dumps_slowly(value, path)


def json_text(value: object) -> str:
    """`dumps` as text; lone surrogates stay what they are."""
    return dumps(value).decode("utf-8", "surrogatepass")


def dumps_slowly(value: object, path: str = "") -> bytes:
    """`dumps` without msgspec's limits."""
    try:
        return _write(value, path)
    except RecursionError:
        pass
    try:
        return on_fresh_stack(lambda: _write(value, path))
    except RecursionError:
        raise UnstorableValueError(path or "it", "is nested too deeply") from None


def _write(value: object, path: str) -> bytes:
    written: list[str] = []
    try:
        _Writer(written.append).write(value, path)
    except (UnstorableValueError, RecursionError):
        raise
    except Exception as error:
        raise UnstorableValueError(path or "it", f"cannot be read: {_reported(error)}") from error
    return "".join(written).encode()


class _Writer:
    """Writes JSON text piece by piece, knowing at every moment where it is."""

    def __init__(self, out: Callable[[str], object]) -> None:
        self._out = out
        self._open: set[int] = set()

    def write(self, value: object, path: str) -> None:
        if isinstance(value, Enum):
            self.write(value.value, path)
        elif value is None or isinstance(value, bool | int | float | str):
            self._out(_scalar(value))
        elif isinstance(value, dict):
            self._container(value, path, self._object)
        elif isinstance(value, list | tuple | set | frozenset):
            self._container(value, path, self._array)
        elif isinstance(value, msgspec.Struct):
            self._container(value, path, lambda v, p: self._object(_struct_fields(v), p))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            self._container(value, path, lambda v, p: self._object(_dataclass_fields(v), p))
        else:
            self._out(_foreign(value, path))

    def _container(self, value: Any, path: str, write: Callable[[Any, str], None]) -> None:
        if id(value) in self._open:
            raise UnstorableValueError(path, "contains itself")
        self._open.add(id(value))
        write(value, path)
        self._open.discard(id(value))

    def _object(self, fields: Mapping[Any, object], path: str) -> None:
        self._out("{")
        for number, (key, value) in enumerate(fields.items()):
            name = key if key.__class__ is str else _key(key, path)
            self._out(f"{',' if number else ''}{_string(name)}:")
            self.write(value, f"{path}.{name}" if path else name)
        self._out("}")

    def _array(self, items: Any, path: str) -> None:
        self._out("[")
        for number, item in enumerate(items):
            if number:
                self._out(",")
            self.write(item, f"{path}[{number}]")
        self._out("]")


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(str.__str__(value))
    if isinstance(value, int):
        return to_text(int.__int__(value))
    number = float.__float__(value)  # type: ignore[arg-type]
    return msgspec.json.encode(number).decode() if math.isfinite(number) else "null"


def _string(text: str) -> str:
    try:
        return msgspec.json.encode(text).decode()
    except UnicodeEncodeError:
        return json.dumps(text)


def _key(key: object, path: str) -> str:
    """A key as msgspec writes it, or else as text."""
    try:
        plain = msgspec.to_builtins({key: None}, str_keys=True, enc_hook=replace_foreign)
        return str(next(iter(plain)))
    except Exception:  # noqa: BLE001 - foreign code may raise anything
        return _text(key, path)


def _foreign(value: object, path: str) -> str:
    try:
        plain = msgspec.to_builtins(value, enc_hook=replace_foreign)
    except Exception:  # noqa: BLE001 - foreign code may raise anything
        plain = _text(value, path)
    return _scalar(plain) if not isinstance(plain, dict | list) else dumps(plain, path).decode()


def _text(value: object, path: str) -> str:
    try:
        return str(value)
    except Exception as error:
        problem = f"({type(value).__name__}) has no text form: {_reported(error)}"
        raise UnstorableValueError(path, problem) from error


def _reported(error: Exception) -> str:
    """An exception's own words, if it has any."""
    try:
        return repr(error)
    except Exception:  # noqa: BLE001 - foreign code may raise anything
        return type(error).__name__


def _struct_fields(value: msgspec.Struct) -> Mapping[Any, object]:
    return msgspec.structs.asdict(value)


def _dataclass_fields(value: Any) -> Mapping[Any, object]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def loads(data: bytes | str) -> Any:
    """The plain value of JSON text: dicts, lists, strings, numbers, booleans, None.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return loads_slowly(data)


def loads_slowly(data: bytes | str) -> Any:
    """`loads` without msgspec's limits, and with its stricter errors."""
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogatepass")
    try:
        return json.loads(text, parse_int=from_text)
    except RecursionError:
        pass
    try:
        return on_fresh_stack(lambda: json.loads(text, parse_int=from_text))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def readable(value: object, indent: int | None = None) -> str:
    """A plain value as JSON for people: of an integer of thousands of digits only the first."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    except ValueError:  # Python writes no integers that long
        shortened = _with_short_integers(value)
        return json.dumps(shortened, ensure_ascii=False, indent=indent, default=str)


def _with_short_integers(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_short_integers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_short_integers(item) for item in value]
    if isinstance(value, int) and value.bit_length() > _LONG_INTEGER:
        text = to_text(value)
        return f"{text[:12]}… ({len(text.removeprefix('-')):,} digits)"
    return value


def plain(value: object, path: str = "") -> Any:
    """The value as it would come back from a store: a deep copy made of plain JSON values.

    Raises:
        UnstorableValueError: It has no JSON form.
    """
    return loads(dumps(value, path))


def _is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    return issubclass(type(value), dict)


def _children(value: Any) -> Iterable[Any]:
    """What is in a container, told by its type: isinstance() would look at the value too."""
    kind = type(value)
    if kind is list or kind is str:
        return value if kind is list else ()
    if issubclass(kind, dict):
        return dict.values(value)
    if issubclass(kind, list):
        return list.__iter__(value)
    return value if issubclass(kind, tuple | set | frozenset) else ()


def is_one_of(value: object, words: Container[str]) -> bool:
    """Whether it is one of these texts; what others wrote there may be anything, lists too."""
    return isinstance(value, str) and value in words


def is_nested_deeply(value: object) -> bool:
    """Whether containers are nested beyond `DEEPEST`."""
    if _is_dict(value) and SCALARS.issuperset(map(type, dict.values(value))):
        return False  # as most are
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            child
            for container in level
            for child in _children(container)
            if type(child) not in SCALARS
        ]
        if not level:
            return False
        if len(level) > _MANY:  # what contains itself twice would double with each level
            level = list({id(container): container for container in level}.values())
    return True


def copied(value: Any) -> Any:
    """A deep copy of a plain value."""
    try:
        return msgspec.to_builtins(value)
    except RecursionError:
        return on_fresh_stack(lambda: msgspec.to_builtins(value))


def deep_copy(value: Any) -> Any:
    """`copy.deepcopy`, of lists and dictionaries also where they are nested without end.

    Raises:
        RecursionError: What is nested so deeply is in tuples or objects.
    """
    try:
        return copy.deepcopy(value)
    except RecursionError:
        pass
    whole: list[Any] = [None]
    copies: dict[int, Any] = {}  # what stands twice, or contains itself, does so in the copy
    todo: list[tuple[Any, Any, Any]] = [(whole, 0, value)]
    while todo:
        holder, key, item = todo.pop()
        if id(item) in copies:
            holder[key] = copies[id(item)]
        elif type(item) is list:
            holder[key] = copies[id(item)] = [None] * len(item)
            todo += [(holder[key], place, each) for place, each in enumerate(item)]
        elif type(item) is dict:
            holder[key] = copies[id(item)] = dict.fromkeys(item)
            todo += [(holder[key], name, each) for name, each in item.items()]
        else:
            holder[key] = copy.deepcopy(item)
    return whole[0]


def on_fresh_stack(function: Callable[[], T]) -> T:
    """The function's result, with all of the depth that Python allows for itself.

    What was nested as deep as could be written must also be read by callers who are deep already.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - slow, seldom used

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result()


def canonical(value: Json) -> str:
    """A text that is the same for equal JSON values and for no others.

    ``1`` equals ``1.0``; ``true`` is not ``1``; the order of keys does not count.
    """
    if not isinstance(value, list | dict):
        return _canonical_scalar(value)
    # Not recursive: values may be nested as deep as Python can go.
    out: list[str] = []
    todo: list[Any] = [value]
    while todo:
        item = todo.pop()
        if item.__class__ is _Written:
            out.append(item)
        elif isinstance(item, list):
            out.append("[")
            todo.append(_Written("]"))
            todo.extend(reversed(item))
        elif isinstance(item, dict):
            out.append("{")
            todo.append(_Written("}"))
            for key in sorted(item, reverse=True):
                todo += (item[key], _Written(_canonical_scalar(key)))
        else:
            out.append(_canonical_scalar(item))
    return ",".join(out)


class _Written(str):
    """Text that stands for itself, among values that are yet to be written."""

    __slots__ = ()


def _canonical_scalar(value: float | str | None) -> str:
    if isinstance(value, str):
        return f"s{len(value)}:{value}"
    if value is None:
        return "n"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int):
        return f"i{value:x}"  # hexadecimal has no limit of length
    return _canonical_float(value)


def _canonical_float(value: float) -> str:
    if not math.isfinite(value):
        return "n"  # as it would be stored
    return f"i{int(value):x}" if value.is_integer() else f"d{value!r}"
