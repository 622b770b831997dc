"""Each message of a run once: what was said in an earlier step stands there, and here a reference.

An agent sends the whole conversation with every call, so a run's JSON would grow with the square of
its turns. A run in which something repeats is written with ``"$refs": 1`` beside its other keys,
and then in a step's ``input``, ``output`` and further keys, and in the run's further keys:

* ``{"$ref": "steps/3/input/0"}`` is the value at that place of the run;
* ``{"$items": "steps/3/input", "to": 12}`` in an array is the first twelve items of that array;
* ``{"$text": [...]}`` is one text made of pieces: text as it is, ``{"$ref": ..., "to": 500}`` (the
  first 500 characters of that text), and ``{"$json": ...}`` (that text as it stands between the
  quotes of JSON; with ``"utf8": true`` without escapes of what is not ASCII);
* ``{"$value": {...}}`` is an object of the user's own that has one of these keys.

Places are those of the run with all references replaced; they lead to what stands earlier, so that
a reader needs one pass. ``/`` and ``~`` in a key are written ``~1`` and ``~0``, as in JSON Pointer.
The fields that selectools has are never references. A run without ``"$refs"`` has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .json_values import SCALARS, dumps, loads, plain
from .trace import STEP_FIELDS

KEY = "$refs"
"""The key of a run that has references; its value is `VERSION`, or an array of that and of the
value of a key of the same name that the run has itself."""

VERSION = 1

_MARKS = frozenset({"$ref", "$items", "$text", "$json", "$value"})
_MESSAGES = ("input", "output")
_LITERAL = frozenset(STEP_FIELDS) - frozenset(_MESSAGES)
_WORTH = 64  # characters: more than most references take
_DEEPEST = 64
_CANDIDATES = 64  # texts that are looked for in another
MOST_CHARACTERS = 2**30
"""How many characters references may expand to: a file could ask for any number of them."""


class TooDeepError(Exception):
    """A value is nested more deeply than references are looked for."""


def with_references(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """A run's JSON with references for what repeats; None if nothing does.

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
    for name, value in run.items():
        if name not in _RUN_LITERAL:
            written[name] = writer.field(value, _escaped(name), name)
    if not writer.has_references and KEY not in run:
        return None
    written[KEY] = [VERSION, run[KEY]] if KEY in run else VERSION
    return written


_RUN_LITERAL = frozenset(
    {
        "run_id", "start_time", "total_duration_ms", "step_count", "steps", "parent_run_id",
        "metadata", "name", "input", "output", "session_id", "user_id", "agent", "tags", "outcome",
        KEY,
    }
)  # fmt: skip


def may_repeat(steps: Sequence[Any]) -> bool:
    """Whether it is worth looking for repetitions among these steps."""
    telling = 0
    for step in steps:
        if step.input is not None or step.extra:
            telling += 1
            if telling > 1:
                return True
    return False


class _Writer:
    """Replaces what was seen before, in the order in which a reader will meet it."""

    def __init__(self) -> None:
        self.has_references = False
        self._values: dict[bytes, str] = {}
        self._texts: dict[str, str] = {}
        # The latest array that begins with the same item at the same place of a step.
        self._arrays: dict[tuple[str, bytes], tuple[str, list[bytes], list[Any]]] = {}
        # The latest text at the same place of a step, and how many texts were known before it.
        self._latest: dict[str, tuple[str, str, int]] = {}
        self._new_texts: list[tuple[str, str]] = []
        self._known_before = 0
        # Of a field that is not finished, a reader could not follow a reference yet.
        self._pending_values: list[tuple[bytes, str]] = []
        self._pending_texts: list[tuple[str, str]] = []

    def step(self, number: int, step: Mapping[str, Any]) -> dict[str, Any]:
        path = f"steps/{number}"
        self._known_before = len(self._new_texts)
        written = {}
        for name, value in step.items():
            if name in _LITERAL:
                written[name] = value
                if value.__class__ is str and len(value) >= _WORTH:
                    self._pending_texts.append((value, f"{path}/{name}"))
                    self._settle()
            else:
                written[name] = self.field(value, f"{path}/{_escaped(name)}", name)
        return written

    def field(self, value: Any, path: str, place: str) -> Any:
        written = self._value(value, path, place, 0)
        self._settle()
        return written

    def _settle(self) -> None:
        for value, path in self._pending_values:
            self._values.setdefault(value, path)
        for text, path in self._pending_texts:
            if text not in self._texts:
                self._texts[text] = path
                self._new_texts.append((text, path))
        self._pending_values.clear()
        self._pending_texts.clear()

    def _value(self, value: Any, path: str, place: str, depth: int) -> Any:
        kind = value.__class__
        if kind is str:
            return self._text(value, path, place) if len(value) >= _WORTH else value
        if kind in SCALARS:
            return value
        if depth > _DEEPEST:
            raise TooDeepError
        if kind is dict:
            return self._object(value, path, place, depth)
        if kind is list:
            return self._array(value, path, place, depth)
        return self._value(plain(value, path), path, place, depth)

    def _object(self, value: dict[Any, Any], path: str, place: str, depth: int) -> Any:
        if any([key.__class__ is not str for key in value]):
            return self._value(plain(value, path), path, place, depth)
        written: Any = value
        if not _is_small(value):
            written = {
                key: self._value(item, f"{path}/{_escaped(key)}", f"{place}/{key}", depth + 1)
                for key, item in value.items()
            }
        elif len(value) > 3:
            encoded = dumps(value)
            if len(encoded) >= _WORTH:
                if encoded in self._values:
                    return self._reference({"$ref": self._values[encoded]})
                self._pending_values.append((encoded, path))
        if not _MARKS.isdisjoint(value):
            return self._reference({"$value": written})
        return written

    def _array(self, value: list[Any], path: str, place: str, depth: int) -> list[Any]:
        if _is_small_array(value):
            return value
        if any([item.__class__ is list for item in value]):
            return [
                self._value(item, f"{path}/{n}", f"{place}/*", depth + 1)
                for n, item in enumerate(value)
            ]
        first = dumps(value[0])
        _, before, same = self._arrays.get((place, first), ("", [], []))
        encoded = [
            before[n] if n < len(same) and same[n] is item else dumps(item)
            for n, item in enumerate(value)
        ]
        written = self._known_beginning(place, encoded)
        for n in range(written[0]["to"] if written else 0, len(value)):
            written.append(self._item(value[n], encoded[n], f"{path}/{n}", place, depth))
        self._arrays[place, first] = (path, encoded, value)
        return written

    def _known_beginning(self, place: str, encoded: list[bytes]) -> list[Any]:
        """A reference to the items that an earlier array begins with too."""
        earlier, before, _ = self._arrays.get((place, encoded[0]), ("", [], []))
        many = next(
            (
                n
                for n, (one, other) in enumerate(zip(before, encoded, strict=False))
                if one != other
            ),
            min(len(before), len(encoded)),
        )
        if many < 2 and (not many or len(encoded[0]) < _WORTH):
            return []
        return [self._reference({"$items": earlier, "to": many})]

    def _item(self, item: Any, encoded: bytes, path: str, place: str, depth: int) -> Any:
        if len(encoded) < _WORTH or item.__class__ is str:
            return self._value(item, path, f"{place}/*", depth + 1)
        if encoded in self._values:
            return self._reference({"$ref": self._values[encoded]})
        self._pending_values.append((encoded, path))
        return self._value(item, path, f"{place}/*", depth + 1)

    def _text(self, text: str, path: str, place: str) -> Any:
        if text in self._texts:
            return self._reference({"$ref": self._texts[text]})
        pieces = [*self._pieces(text, place)]
        self._pending_texts.append((text, path))
        if "*" not in place:
            self._latest[place] = (path, text, self._known_before)
        if len(pieces) == 1 and pieces[0].__class__ is str:
            return text
        return self._reference({"$text": pieces})

    def _pieces(self, text: str, place: str) -> Iterator[Any]:
        path, latest, known = self._latest.get(place, ("", "", 0))
        shared = _shared_beginning(latest, text)
        if shared >= _WORTH:
            yield {"$ref": path, "to": shared}
            text = text[shared:]
        elif text[0] not in "{[":
            yield text
            return
        else:
            known = 0
        yield from self._with_known_texts(text, self._new_texts[known:][-_CANDIDATES:])

    def _with_known_texts(self, text: str, candidates: list[tuple[str, str]]) -> Iterator[Any]:
        """The text, with references to texts that stand in it as JSON writes them."""
        found: list[tuple[int, int, dict[str, Any]]] = []
        for known, path in candidates:
            if len(known) <= len(text):
                found += _occurrence(known, path, text)
        place = 0
        for start, end, reference in sorted(found, key=lambda each: each[:2]):
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


def _occurrence(known: str, path: str, text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    escaped = json.dumps(known)[1:-1]
    start = text.find(escaped)
    if start >= 0:
        yield start, start + len(escaped), {"$json": path}
    elif not known.isascii():
        escaped = json.dumps(known, ensure_ascii=False)[1:-1]
        start = text.find(escaped)
        if start >= 0:
            yield start, start + len(escaped), {"$json": path, "utf8": True}


def _shared_beginning(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    if one[:_WORTH] != other[:_WORTH]:
        return 0
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _is_small(value: dict[str, Any]) -> bool:
    """Whether it holds nothing that could be a reference."""
    return all(
        [
            len(item) < _WORTH if item.__class__ is str else item.__class__ in SCALARS
            for item in value.values()
        ]
    )


def _is_small_array(value: list[Any]) -> bool:
    kinds = set(map(type, value))
    if not kinds <= SCALARS:
        return False
    return str not in kinds or all([len(i) < _WORTH for i in value if i.__class__ is str])


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1") if "/" in key or "~" in key else key


def expand(run: dict[str, Any], most: int = MOST_CHARACTERS) -> dict[str, Any]:
    """A run's JSON with all references replaced, in place; a run without any as it is.

    Values that several places have are one object.

    Raises:
        ValueError: A reference leads nowhere, or they expand to too much.
    """
    if not _is_marked(run):
        return run
    mark = run.pop(KEY)
    if isinstance(mark, list):
        mark, run[KEY] = mark
    if mark != VERSION:
        raise ValueError(f"its references are of version {mark!r}; this version knows {VERSION}")
    steps = run.get("steps")
    if not isinstance(steps, list) or not all([isinstance(step, dict) for step in steps]):
        raise ValueError("it is not of a trace's shape: its steps are not objects")
    reader = _Reader(run, most)
    try:
        for step in steps:
            reader.fields(step, _LITERAL)
        reader.fields(run, _RUN_LITERAL)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return run


def _is_marked(run: Mapping[str, Any]) -> bool:
    """Whether the key is ours; a run may have one of the same name, with another value."""
    mark = run.get(KEY)
    return type(mark) is int or (isinstance(mark, list) and len(mark) == 2 and type(mark[0]) is int)


class _Reader:
    """Replaces references, from the first step on."""

    def __init__(self, run: Any, most: int) -> None:
        self._run = run
        self._left = most
        self._known: dict[str, Any] = {}

    def fields(self, holder: dict[str, Any], literal: frozenset[str]) -> None:
        """Replace references in all but some fields."""
        for name, value in holder.items():
            if name not in literal:
                holder[name] = self.value(value)

    def value(self, value: Any) -> Any:
        if value.__class__ is dict:
            return self._object(value)
        if value.__class__ is list:
            return self._array(value)
        return value

    def _object(self, value: dict[str, Any]) -> Any:
        if not _MARKS.isdisjoint(value):
            if "$ref" in value:
                return self._at(value["$ref"])
            if "$text" in value:
                return self._text(value["$text"])
            if not isinstance(value.get("$value"), dict):
                raise ValueError(f"it has an unknown reference: {value!r:.80}")
            value = value["$value"]
        for key, item in value.items():
            if item.__class__ is dict or item.__class__ is list:
                value[key] = self.value(item)
        return value

    def _array(self, value: list[Any]) -> list[Any]:
        expanded: list[Any] = []
        for item in value:
            if item.__class__ is dict and "$items" in item:
                expanded += self._beginning(item["$items"], item.get("to"), list)
            else:
                expanded.append(self.value(item))
        return expanded

    def _text(self, pieces: Any) -> str:
        if not isinstance(pieces, list):
            raise ValueError(f"it has an unknown reference: {pieces!r:.80}")  # noqa: TRY004
        return "".join([self._piece(piece) for piece in pieces])

    def _piece(self, piece: Any) -> str:
        if isinstance(piece, str):
            return piece
        if isinstance(piece, dict) and "$ref" in piece:
            beginning: str = self._beginning(piece["$ref"], piece.get("to"), str)
            return beginning
        if isinstance(piece, dict) and isinstance(text := self._at(piece.get("$json")), str):
            self._count(len(text))
            return json.dumps(text, ensure_ascii=piece.get("utf8") is not True)[1:-1]
        raise ValueError(f"it has an unknown reference: {piece!r:.80}")

    def _beginning(self, path: Any, to: Any, kind: type) -> Any:
        found = self._at(path)
        if not isinstance(found, kind) or type(to) is not int or not 0 <= to <= len(found):  # type: ignore[arg-type]
            raise ValueError(f"its reference to {path!r:.80} does not fit")
        self._count(to)
        return found[:to]  # type: ignore[index]

    def _count(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise ValueError("its references expand to too much")

    def _at(self, path: Any) -> Any:
        if not isinstance(path, str):
            raise ValueError(f"it has an unknown reference: {path!r:.80}")  # noqa: TRY004
        if path not in self._known:
            found = self._run
            try:
                for key in path.split("/"):
                    place = key.replace("~1", "/").replace("~0", "~") if "~" in key else key
                    found = found[int(place)] if isinstance(found, list) else found[place]
            except (KeyError, IndexError, TypeError, ValueError):
                raise ValueError(f"its reference to {path!r:.80} leads nowhere") from None
            self._known[path] = found
        return self._known[path]


def expanded_json(trace: bytes) -> bytes:
    """A run's JSON without references, for readers that do not know them.

    Raises:
        ValueError: As `expand`, or it is no JSON.
    """
    run = loads(trace)
    return dumps(expand(run)) if isinstance(run, dict) and KEY in run else trace
