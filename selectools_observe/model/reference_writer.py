"""The writer of references: what a run says a second time becomes a reference to the first.

What references mean, and how they are replaced, is in `references`.

Equal values are found by their msgpack form, which is made at the speed of copying and is the same
only for values of the same types in the same order: an array that goes on from an earlier one
begins with its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii
from operator import is_
from typing import Any, TypeAlias

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


def with_references(run: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A run's JSON with references for what repeats; as it is, if nothing does.

    And whether each word of ASCII letters that the run has stands in it as it is.

    Args:
        run: The run, its ``steps`` as dictionaries; values may be of any type. It is not changed,
            but for the steps: they become what is written.

    Raises:
        TooDeepError: Something is nested too deeply.
        UnstorableValueError: Something has no JSON form.
    """
    writer = _Writer()
    # The mark comes first, so that a reader knows before it has read the rest.
    written = {"run_id": run["run_id"], KEY: VERSION, **run}
    for number, step in enumerate(run["steps"]):
        writer.step(number, step)
    writer.end_of_steps()
    for name, value in run.items():
        if name not in RUN_LITERAL:
            written[name] = writer.field(value, name)
    if KEY in run:
        written[KEY] = [VERSION, run[KEY]]
    elif not writer.has_references:
        del written[KEY]
    return written, writer.shows_words


class _Array:
    """An array that was met.

    Attributes:
        path: Where it is in the run.
        items: Its items.
        first: Its first item, packed.
    """

    __slots__ = ("_packed", "first", "items", "path")

    def __init__(self, path: str, items: list[Any], first: bytes) -> None:
        self.path = path
        self.items = items
        self.first = first
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        """The items, as `_packed_items` gives them."""
        if self._packed is None:
            self._packed = _packed_items(self.items)
        return self._packed


class _Place:
    """Where something is in its step (``input``, ``otel/attributes/input``), and what was there.

    Attributes:
        path: The place's path in the step.
        objects: The latest object by its keys, and the number of its step.
        arrays: The latest array by its first item.
        array: The latest of them.
        text: The latest text, the number of its step, and how many texts were met before that.
    """

    __slots__ = ("_inner", "array", "arrays", "objects", "path", "text")

    def __init__(self, path: str) -> None:
        self.path = path
        self._inner: dict[str, _Place] = {}
        self.objects: dict[tuple[str, ...], tuple[int, dict[str, Any]]] = {}
        self.arrays: dict[bytes, _Array] = {}
        self.array: _Array | None = None
        self.text: tuple[str, int, int] | None = None

    def at(self, key: str) -> _Place:
        """The place under a key."""
        found = self._inner.get(key)
        if found is None:
            found = self._inner[key] = _Place(f"{self.path}/{escaped(key)}")
        return found


class _Writer:
    """Replaces what was met before, in the order in which a reader will meet it."""

    def __init__(self) -> None:
        self.has_references = False
        self.shows_words = True
        self._number: int | None = 0  # of the step; None after the last
        self._prefix = ""
        self._places: dict[str, _Place] = {}
        self._values: dict[bytes, str] = {}
        self._texts: dict[TextKey, tuple[str, str]] = {}
        self._met: list[tuple[str, str]] = []
        self._met_before = 0
        # Of a field that is not finished, a reader could not follow a reference yet.
        self._pending_values: list[tuple[bytes, str]] = []
        self._pending_texts: list[tuple[TextKey, str, str]] = []

    def step(self, number: int, step: dict[str, Any]) -> None:
        """Make of a step what is written."""
        self._number, self._prefix = number, f"steps/{number}/"
        self._met_before = len(self._met)
        for name in _TEXT_FIELDS:
            text = step.get(name)
            if text.__class__ is str and len(text) >= _WORTH:
                self._meet(text, f"{self._prefix}{name}")
                self._settle()
        for name in [name for name in step if name not in STEP_LITERAL]:
            step[name] = self.field(step[name], name)

    def end_of_steps(self) -> None:
        """What follows is the run's own."""
        self._number, self._prefix = None, ""

    def field(self, value: Any, name: str) -> Any:
        """A field of the step, or of the run."""
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = _Place(escaped(name))
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

    def _at_place(self, value: Any, place: _Place, depth: int) -> Any:
        kind = value.__class__
        if kind in SCALARS:
            is_long = kind is str and len(value) >= _WORTH
            return self._text_at(value, place) if is_long else value
        if depth > _DEEPEST:
            raise TooDeepError
        if kind is dict and _STRINGS.issuperset(map(type, value)):
            return self._object(value, place, depth)
        if kind is list:
            return self._array(value, place, depth)
        return self._at_place(plain(value, self._prefix + place.path), place, depth + 1)

    def _object(self, value: dict[str, Any], place: _Place, depth: int) -> dict[str, Any]:
        if not MARKS.isdisjoint(value):
            return self._reference({"$value": self._items(value, place, depth)})
        if self._number is None:
            return self._items(value, place, depth)
        keys = tuple(value)
        earlier = place.objects.get(keys)
        place.objects[keys] = (self._number, value)
        if earlier is not None:
            return self._like(value, *earlier, place, depth)
        return self._items(value, place, depth)

    def _items(self, value: dict[str, Any], place: _Place, depth: int) -> dict[str, Any]:
        return {
            key: item
            if (item.__class__ is str and len(item) < _WORTH) or item.__class__ in _NUMBERS
            else self._at_place(item, place.at(key), depth + 1)
            for key, item in value.items()
        }

    def _like(
        self, value: dict[str, Any], number: int, before: dict[str, Any], place: _Place, depth: int
    ) -> dict[str, Any]:
        """An object by what is different from an earlier one with the same keys."""
        changed: dict[str, Any] = {}
        same = {"$like": number}
        saved = 0
        for (key, item), other in zip(value.items(), before.values(), strict=True):
            kind = item.__class__
            if kind is str:
                if item == other and other.__class__ is str:
                    saved += len(key) + len(item)
                elif len(item) < _WORTH:
                    changed[key] = item
                else:
                    changed[key] = self._text_at(item, place.at(key))
            elif kind in _NUMBERS:
                # Floats are equal that are not the same.
                if item == other and kind is not float and other.__class__ is kind:
                    saved += len(key) + 4
                else:
                    changed[key] = item
            else:
                written = self._at_place(item, place.at(key), depth + 1)
                if kind is dict and written == same:
                    saved += len(key) + 8
                else:
                    changed[key] = written
        if saved < _LEAST_LIKE:
            return {key: changed.get(key, item) for key, item in value.items()}
        return self._reference(same | changed)

    def _text_at(self, text: str, place: _Place) -> Any:
        known, key = self._known(text)
        if known is not None:
            return known
        self._pending_texts.append((key, text, self._prefix + place.path))
        earlier = place.text
        if self._number is not None:
            place.text = (text, self._number, self._met_before)
        if earlier is not None:
            before, number, met = earlier
            shared = self._whole_words(text, _shared_beginning(before, text))
            if shared >= _WORTH:
                pieces = [{"$ref": number, "to": shared}]
                pieces += self._with_known_texts(text[shared:], self._met[met:])
                return self._reference({"$text": pieces})
        if text[0] not in "{[":
            return text
        pieces = self._with_known_texts(text, self._met)
        return text if len(pieces) == 1 else self._reference({"$text": pieces})

    def _whole_words(self, text: str, shared: int) -> int:
        """Where to divide a text, so that a search finds each word in what is written."""
        for place in range(shared, max(0, shared - _LONG), -1):
            if not _cuts_word(text, place):
                return place
        self.shows_words = False
        return shared

    def _array(self, value: list[Any], place: _Place, depth: int) -> list[Any]:
        path = self._prefix + place.path
        earlier = place.array
        if earlier is not None and _is_continued(earlier.items, value):
            array = _Array(path, value, earlier.first)
            return self._new_items(array, earlier, len(earlier.items), place, depth)
        kinds = set(map(type, value))
        if kinds <= SCALARS and (str not in kinds or all([_is_short(item) for item in value])):
            return value
        if list in kinds:
            return [
                self._at_place(item, place.at(str(number)), depth + 1)
                for number, item in enumerate(value)
            ]
        array = _Array(path, value, _packed(value[0]))
        earlier = place.arrays.get(array.first)
        shared = 0 if earlier is None else _shared_items(earlier, array)
        return self._new_items(array, earlier, shared, place, depth)

    def _new_items(
        self, array: _Array, earlier: _Array | None, shared: int, place: _Place, depth: int
    ) -> list[Any]:
        """An array by how much of it is as in an earlier one, and the items that follow."""
        written: list[Any] = []
        if earlier is not None and (shared > 1 or len(array.first) >= _WORTH):
            written.append(self._reference({"$items": earlier.path, "to": shared}))
        else:
            shared = 0
        for number, item in enumerate(array.items[shared:], shared):
            packed = _packed(item) if number else array.first
            written.append(self._item(item, packed, f"{array.path}/{number}", depth + 1))
        place.array = place.arrays[array.first] = array
        return written

    # What is inside of an array.

    def _item(self, item: Any, packed: bytes, path: str, depth: int) -> Any:
        if item.__class__ is str:
            return self._text_inside(item, path) if len(item) >= _WORTH else item
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
        if kind in SCALARS:
            is_long = kind is str and len(value) >= _WORTH
            return self._text_inside(value, path) if is_long else value
        if depth > _DEEPEST:
            raise TooDeepError
        if kind is list:
            return [
                self._inside(item, f"{path}/{number}", depth + 1)
                for number, item in enumerate(value)
            ]
        if kind is not dict or not _STRINGS.issuperset(map(type, value)):
            return self._inside(plain(value, path), path, depth + 1)
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

    def _with_known_texts(self, text: str, candidates: list[tuple[str, str]]) -> list[Any]:
        """The text, with references to texts that stand in it as JSON writes them."""
        found: list[tuple[int, int, dict[str, Any]]] = []
        length = len(text)
        # Texts are met again and again.
        for path, known in {path: known for known, path in candidates[-_CANDIDATES:]}.items():
            if len(known) <= length:
                _find(known, path, text, found)
        if not found:
            return [text]
        pieces: list[Any] = []
        place = 0
        for start, end, reference in sorted(found, key=_place_of):
            if start >= place and not (_cuts_word(text, start) or _cuts_word(text, end)):
                if start > place:
                    pieces.append(text[place:start])
                pieces.append(reference)
                place = end
        if place < length:
            pieces.append(text[place:])
        return pieces

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
    if b"\xff" not in packed or not may_hold_timestamp(packed):
        return packed
    return _NEVER + dumps(value)


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


def _is_continued(items: list[Any], value: list[Any]) -> bool:
    """Whether an array begins with these very items, as that of an agent does which goes on."""
    end = len(items)
    return (
        len(value) >= end
        and value[end - 1] is items[-1]
        and all(map(is_, items, value))
        and list not in set(map(type, value[end:]))
    )


def _shared_items(earlier: _Array, array: _Array) -> int:
    """How many items two arrays have in common at their beginning."""
    before, packed = earlier.packed, array.packed
    if packed and before:
        if packed.startswith(before):
            return len(earlier.items)
        if before.startswith(packed):
            return len(array.items)
    shared = 0
    for one, other in zip(earlier.items, array.items, strict=False):
        if _packed(one) != _packed(other):
            break
        shared += 1
    return shared


def _text_key(text: str) -> TextKey:
    return text if len(text) < _LONG else (len(text), text[:_WORTH], text[-_WORTH:])


def _place_of(found: tuple[int, int, dict[str, Any]]) -> tuple[int, int]:
    return found[:2]


def _find(known: str, path: str, text: str, found: list[tuple[int, int, dict[str, Any]]]) -> None:
    """Add where a known text stands in another, in quotes, if it does."""
    # Most do not: their beginning tells.
    beginning = known[:_WORTH]
    start = text.find(encode_basestring_ascii(beginning)[1:-1])
    if start >= 0:
        quoted = encode_basestring_ascii(known)[1:-1]
        start = text.find(quoted, start)
        if start >= 0:
            found.append((start, start + len(quoted), {"$json": path}))
            return
    if not known.isascii():
        start = text.find(encode_basestring(beginning)[1:-1])
        if start >= 0:
            quoted = encode_basestring(known)[1:-1]
            start = text.find(quoted, start)
            if start >= 0:
                found.append((start, start + len(quoted), {"$json": path, "utf8": True}))


def _cuts_word(text: str, place: int) -> bool:
    """Whether the text divided there would have half a word on each side."""
    return 0 < place < len(text) and text[place - 1].isalnum() and text[place].isalnum()


def _shared_beginning(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    if not other.startswith(one[:_WORTH]):
        return 0
    low, high = 0, min(len(one), len(other))
    # The end of JSON is closing brackets: most of the earlier text, or nearly all of it.
    away = 8
    middle = max(high - away, 0)
    while low < high:
        if other.startswith(one[low:middle], low):
            low = middle
            middle = (low + high + 1) // 2
        else:
            high = middle - 1
            away *= 16
            middle = max((low + high + 1) // 2, high - away)
    return low
