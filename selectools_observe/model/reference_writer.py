"""The writer of references: what a run says a second time becomes a reference to the first.

What references mean, and how they are replaced, is in `references`.

Equal values are found by their msgpack form, which is made at the speed of copying and is the same
only for values of the same types in the same order: an array that goes on from an earlier one
begins with its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, NamedTuple, TypeAlias

import msgspec

from .json_values import SCALARS, dumps, plain, replace_foreign
from .references import KEY, MARKS, RUN_LITERAL, STEP_LITERAL, VERSION, escaped

_WORTH = 64  # characters: more than most references take
_LEAST_REPEATED = 400  # bytes: what could be saved in a run, at most, to be worth looking for
_LONG = 1024  # characters whose hash takes longer than comparing a candidate does
_LEAST_LIKE = 16  # characters that an object has in common with an earlier one
_DEEPEST = 64
_CANDIDATES = 32  # texts that are looked for in another

_STRINGS = frozenset({str})
_TEXT_FIELDS = ("tool_result", "reasoning", "error", "summary")

_packer = msgspec.msgpack.Encoder(enc_hook=replace_foreign)
# What is before the 0xff of a timestamp, in its three sizes.
_BEFORE_TIMESTAMPS = frozenset({0xD6, 0xD7, 0x0C})
_NEVER = b"\xc1"  # begins no value in msgpack

TextKey: TypeAlias = str | tuple[int, str, str]


class TooDeepError(Exception):
    """A value is nested more deeply than references are looked for."""


def may_repeat(steps: Sequence[Any]) -> bool:
    """Whether it is worth looking for repetitions among these steps."""
    total = largest = 0
    for step in steps:
        if step.input is not None or step.extra:
            size = _size(step.input) + _size(step.extra)
            largest = max(size, largest)
            total += size
            if total - largest > _LEAST_REPEATED:
                return True
    return False


def _size(value: Any) -> int:
    if value is None:
        return 0
    try:
        return len(_packer.encode(value))
    except Exception:  # noqa: BLE001 - the slow way does it or says why not
        return _LEAST_REPEATED


def with_references(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run's JSON with references for what repeats; as it is, if nothing does.

    Args:
        run: The run, its ``steps`` as dictionaries; values may be of any type. It is not changed.

    Raises:
        TooDeepError: Something is nested too deeply.
        UnstorableValueError: Something has no JSON form.
    """
    writer = _Writer()
    # The mark comes first, so that a reader knows before it has read the rest.
    written = {"run_id": run["run_id"], KEY: VERSION, **run}
    written["steps"] = [writer.step(n, step) for n, step in enumerate(run["steps"])]
    writer.end_of_steps()
    for name, value in run.items():
        if name not in RUN_LITERAL:
            written[name] = writer.field(value, escaped(name))
    if KEY in run:
        written[KEY] = [VERSION, run[KEY]]
    elif not writer.has_references:
        del written[KEY]
    return written


class _Array(NamedTuple):
    """An array that was met, at the same place of an earlier step."""

    path: str
    packed: bytes
    items: list[Any]


class _Writer:
    """Replaces what was met before, in the order in which a reader will meet it.

    A place is where something is in its step, as a path (``input``, ``otel/attributes/input``).
    """

    def __init__(self) -> None:
        self.has_references = False
        self._number: int | None = 0  # of the step; None after the last
        self._prefix = ""
        self._values: dict[bytes, str] = {}
        self._texts: dict[TextKey, tuple[str, str]] = {}
        # The latest array that begins with the same item at the same place.
        self._arrays: dict[tuple[str, bytes], _Array] = {}
        # The latest object with the same keys at the same place, and the number of its step.
        self._objects: dict[tuple[str, tuple[str, ...]], tuple[int, dict[str, Any]]] = {}
        # The latest text at the same place, its step, and how many texts were met before that.
        self._latest: dict[str, tuple[str, int, int]] = {}
        self._met: list[tuple[str, str]] = []
        self._met_before = 0
        # Of a field that is not finished, a reader could not follow a reference yet.
        self._pending_values: list[tuple[bytes, str]] = []
        self._pending_texts: list[tuple[TextKey, str, str]] = []

    def step(self, number: int, step: Mapping[str, Any]) -> dict[str, Any]:
        """A step as it is written."""
        self._number, self._prefix = number, f"steps/{number}/"
        self._met_before = len(self._met)
        written = dict(step)
        for name in _TEXT_FIELDS:
            text = step.get(name)
            if text.__class__ is str and len(text) >= _WORTH:
                self._meet(text, f"{self._prefix}{name}")
                self._settle()
        for name, value in step.items():
            if name not in STEP_LITERAL:
                written[name] = self.field(value, escaped(name))
        return written

    def end_of_steps(self) -> None:
        """What follows is the run's own."""
        self._number, self._prefix = None, ""

    def field(self, value: Any, place: str) -> Any:
        """A field of the step, or of the run."""
        written = self._at_place(value, place, 0)
        self._settle()
        return written

    def _settle(self) -> None:
        if self._pending_values:
            for packed, path in self._pending_values:
                self._values.setdefault(packed, path)
            self._pending_values.clear()
        if self._pending_texts:
            for key, text, path in self._pending_texts:
                self._texts.setdefault(key, (text, path))
                self._met.append((text, path))
            self._pending_texts.clear()

    # What has a place of its own in the step: not inside of an array.

    def _at_place(self, value: Any, place: str, depth: int) -> Any:
        kind = value.__class__
        if kind is str:
            return self._text_at(value, place) if len(value) >= _WORTH else value
        if kind in SCALARS:
            return value
        if depth > _DEEPEST:
            raise TooDeepError
        if kind is list:
            return self._array(value, place, depth)
        if kind is dict and _STRINGS.issuperset(map(type, value)):
            return self._object(value, place, depth)
        return self._at_place(plain(value, self._prefix + place), place, depth + 1)

    def _object(self, value: dict[str, Any], place: str, depth: int) -> dict[str, Any]:
        if not MARKS.isdisjoint(value):
            written = {
                key: self._at_place(item, f"{place}/{escaped(key)}", depth + 1)
                for key, item in value.items()
            }
            return self._reference({"$value": written})
        if self._number is None:
            return {
                key: self._at_place(item, f"{place}/{escaped(key)}", depth + 1)
                for key, item in value.items()
            }
        key = (place, tuple(value))
        earlier = self._objects.get(key)
        self._objects[key] = (self._number, value)
        if earlier is not None:
            return self._like(value, *earlier, place, depth)
        return {
            key: item
            if (item.__class__ is str and len(item) < _WORTH) or item.__class__ in _NUMBERS
            else self._at_place(item, f"{place}/{escaped(key)}", depth + 1)
            for key, item in value.items()
        }

    def _like(
        self, value: dict[str, Any], number: int, before: dict[str, Any], place: str, depth: int
    ) -> dict[str, Any]:
        """An object by what is different from an earlier one with the same keys."""
        changed: dict[str, Any] = {}
        same = {"$like": number}
        saved = 0
        for key, item in value.items():
            kind = item.__class__
            if kind is str:
                other = before[key]
                if other.__class__ is str and item == other:
                    saved += len(key) + len(item)
                elif len(item) < _WORTH:
                    changed[key] = item
                else:
                    changed[key] = self._text_at(item, f"{place}/{escaped(key)}")
            elif kind in _NUMBERS:
                # Floats are equal that are not the same.
                if kind is not float and before[key].__class__ is kind and item == before[key]:
                    saved += len(key) + 4
                else:
                    changed[key] = item
            else:
                written = self._at_place(item, f"{place}/{escaped(key)}", depth + 1)
                if kind is dict and written == same:
                    saved += len(key) + 8
                else:
                    changed[key] = written
        if saved < _LEAST_LIKE:
            return {key: changed.get(key, item) for key, item in value.items()}
        return self._reference(same | changed)

    def _text_at(self, text: str, place: str) -> Any:
        known, key = self._known(text)
        if known is not None:
            return known
        self._pending_texts.append((key, text, self._prefix + place))
        earlier = self._latest.get(place)
        if self._number is not None:
            self._latest[place] = (text, self._number, self._met_before)
        if earlier is not None:
            before, number, met = earlier
            shared = _shared_beginning(before, text)
            if shared >= _WORTH:
                pieces = [{"$ref": number, "to": shared}]
                pieces += self._with_known_texts(text[shared:], self._met[met:])
                return self._reference({"$text": pieces})
        if text[0] not in "{[":
            return text
        pieces = [*self._with_known_texts(text, self._met)]
        return text if len(pieces) == 1 else self._reference({"$text": pieces})

    def _array(self, value: list[Any], place: str, depth: int) -> list[Any]:
        kinds = set(map(type, value))
        if kinds <= SCALARS and (str not in kinds or all([_is_short(item) for item in value])):
            return value
        if list in kinds:
            return [
                self._at_place(item, f"{place}/{number}", depth + 1)
                for number, item in enumerate(value)
            ]
        packed = _packed_items(value)
        key = (place, _packed(value[0]))
        earlier = self._arrays.get(key)
        written: list[Any] = []
        shared = 0
        path = self._prefix + place
        if earlier is not None:
            shared = _shared_items(earlier, packed, value)
            if shared > 1 or len(key[1]) >= _WORTH:
                written.append(self._reference({"$items": earlier.path, "to": shared}))
            else:
                shared = 0
        written += [
            self._item(value[number], f"{path}/{number}", depth + 1)
            for number in range(shared, len(value))
        ]
        self._arrays[key] = _Array(path, packed, value)
        return written

    # What is inside of an array.

    def _item(self, item: Any, path: str, depth: int) -> Any:
        if item.__class__ is str:
            return self._text_inside(item, path) if len(item) >= _WORTH else item
        packed = _packed(item)
        if len(packed) < _WORTH:
            return item if b"$" not in packed else self._inside(item, path, depth)
        known = self._values.get(packed)
        if known is not None:
            return self._reference({"$ref": known})
        self._pending_values.append((packed, path))
        return self._inside(item, path, depth)

    def _inside(self, value: Any, path: str, depth: int) -> Any:
        """The value; a copy, where something in it is replaced."""
        kind = value.__class__
        if kind is str:
            return self._text_inside(value, path) if len(value) >= _WORTH else value
        if kind in SCALARS:
            return value
        if depth > _DEEPEST:
            raise TooDeepError
        if kind is dict and _STRINGS.issuperset(map(type, value)):
            return self._object_inside(value, path, depth)
        if kind is list:
            return [
                self._inside(item, f"{path}/{number}", depth + 1)
                for number, item in enumerate(value)
            ]
        return self._inside(plain(value, path), path, depth + 1)

    def _object_inside(self, value: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        written = value
        for key, item in value.items():
            kind = item.__class__
            if kind is str:
                if len(item) < _WORTH:
                    continue
                new = self._text_inside(item, f"{path}/{escaped(key)}")
            elif kind in _NUMBERS:
                continue
            else:
                new = self._inside(item, f"{path}/{escaped(key)}", depth + 1)
            if new is not item:
                written = dict(value) if written is value else written
                written[key] = new
        return written if MARKS.isdisjoint(value) else self._reference({"$value": written})

    def _text_inside(self, text: str, path: str) -> Any:
        known, key = self._known(text)
        if known is not None:
            return known
        self._pending_texts.append((key, text, path))
        return text

    # Texts.

    def _meet(self, text: str, path: str) -> None:
        self._pending_texts.append((_text_key(text), text, path))

    def _known(self, text: str) -> tuple[dict[str, Any] | None, TextKey]:
        """A reference to a text that was met before; the key that it is found by."""
        key = _text_key(text)
        known = self._texts.get(key)
        if known is None or known[0] != text:
            return None, key
        self._met.append(known)
        return self._reference({"$ref": known[1]}), key

    def _with_known_texts(self, text: str, candidates: list[tuple[str, str]]) -> Iterator[Any]:
        """The text, with references to texts that stand in it as JSON writes them."""
        found: list[tuple[int, int, dict[str, Any]]] = []
        for known, path in candidates[-_CANDIDATES:]:
            if len(known) <= len(text):
                found += _occurrence(known, path, text)
        place = 0
        for start, end, reference in sorted(found, key=_place_of):
            if start >= place:
                if start > place:
                    yield text[place:start]
                yield reference
                place = end
        if place < len(text):
            yield text[place:]

    def _reference(self, reference: dict[str, Any]) -> dict[str, Any]:
        self.has_references = True
        return reference


_NUMBERS = SCALARS - {str}


def _is_short(value: Any) -> bool:
    return value.__class__ is not str or len(value) < _WORTH


def _packed(value: Any) -> bytes:
    """Bytes that are the same for the same values only."""
    try:
        packed = _packer.encode(value)
    except Exception:  # noqa: BLE001 - the slow way does it or says why not
        return _NEVER + dumps(value)
    return packed if not may_hold_timestamp(packed) else _NEVER + dumps(value)


def _packed_items(items: list[Any]) -> bytes:
    """The items of an array, one after another; nothing if they cannot all be packed."""
    try:
        packed = _packer.encode(items)
    except Exception:  # noqa: BLE001 - then they are compared one by one
        return b""
    if may_hold_timestamp(packed):
        return b""
    size = len(items)
    return packed[1 if size < 16 else 3 if size < 65536 else 5 :]


def may_hold_timestamp(packed: bytes) -> bool:
    """Whether there may be a timestamp, which has lost its zone; some numbers look like one."""
    place = packed.find(b"\xff")
    while place > 0:
        if packed[place - 1] in _BEFORE_TIMESTAMPS:
            return True
        place = packed.find(b"\xff", place + 1)
    return False


def _shared_items(earlier: _Array, packed: bytes, items: list[Any]) -> int:
    """How many items two arrays have in common at their beginning."""
    if packed and earlier.packed:
        if packed.startswith(earlier.packed):
            return len(earlier.items)
        if earlier.packed.startswith(packed):
            return len(items)
    shared = 0
    for one, other in zip(earlier.items, items, strict=False):
        if _packed(one) != _packed(other):
            break
        shared += 1
    return shared


def _text_key(text: str) -> TextKey:
    return text if len(text) < _LONG else (len(text), text[:_WORTH], text[-_WORTH:])


def _place_of(found: tuple[int, int, dict[str, Any]]) -> tuple[int, int]:
    return found[:2]


def _occurrence(known: str, path: str, text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    quoted = encode_basestring_ascii(known)[1:-1]
    start = text.find(quoted)
    if start >= 0:
        yield start, start + len(quoted), {"$json": path}
    elif not known.isascii():
        quoted = encode_basestring(known)[1:-1]
        start = text.find(quoted)
        if start >= 0:
            yield start, start + len(quoted), {"$json": path, "utf8": True}


def _shared_beginning(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    if one[:_WORTH] != other[:_WORTH]:
        return 0
    low, high = 0, min(len(one), len(other))
    # The end of JSON is closing brackets: most of the earlier text, or nearly all of it.
    middle = max(high - 8, 0)
    while low < high:
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
        middle = (low + high + 1) // 2
    return low
