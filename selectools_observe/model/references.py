"""Each message of a run once: what was said in an earlier step stands there, and here a reference.

An agent sends the whole conversation with every call, so a run's JSON would grow with the square of
its turns. A run in which something repeats is written with ``"$refs": 1`` next to its other keys,
and then in a step's ``input``, ``output`` and further keys, and in the run's ``input``, ``output``
and further keys:

* ``{"$ref": "steps/3/input/0"}`` is the value at that place of the run;
* ``{"$items": "steps/3/input", "to": 12}`` in an array is the first twelve items of that array;
* ``{"$like": 3, "id": 5}`` is the object at the same place of step 3, but for these keys;
* ``{"$text": [...]}`` is one text made of pieces: text as it is, ``{"$ref": 3, "to": 500}`` (the
  first 500 characters of the text at the same place of step 3), and ``{"$json": "steps/0/output"}``
  (that text as it stands between the quotes of JSON; with ``"utf8": true`` without escapes of what
  is not ASCII);
* ``{"$value": {...}}`` is an object of the user's own that has one of these keys.

Places are those of the run with all references replaced; they lead to what stands earlier, so that
a reader needs one pass. ``/`` and ``~`` in a key are written ``~1`` and ``~0``, as in JSON Pointer.
A step's number may stand for the same place of that step, and a path for a number. The fields that
selectools has are never references. A run without ``"$refs"`` has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from .json_values import dumps, loads
from .trace import STEP_FIELDS

KEY = "$refs"
"""The key of a run that has references; its value is `VERSION`, or an array of that and of the
value of a key of the same name that the run has itself."""

VERSION = 1

MARKS = frozenset({"$ref", "$items", "$like", "$text", "$json", "$value"})
STEP_LITERAL = frozenset(STEP_FIELDS) - {"input", "output"}
"""The fields of a step that are never references."""
RUN_LITERAL = frozenset(
    {
        "run_id", "start_time", "total_duration_ms", "step_count", "steps", "parent_run_id",
        "metadata", "name", "session_id", "user_id", "agent", "tags", "outcome", "end_time",
        KEY,
    }
)  # fmt: skip
"""The fields of a run that are never references."""

MOST_CHARACTERS = 2**30
"""How many characters references may expand to: a file could ask for any number of them."""
_CHARACTERS_A_KEY = 64  # that a key of an object counts as: about what it takes in memory

Place: TypeAlias = tuple[str | int, ...]
"""Where something is in its step, or in the run."""


def escaped(key: str) -> str:
    """A key as it is written in a path."""
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
        raise ValueError("not a trace: its steps are not objects")
    reader = _Reader(run, most)
    try:
        for step in steps:
            reader.fields(step, STEP_LITERAL)
        reader.fields(run, RUN_LITERAL)
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
        # What is being read, by the id of what the run still has in its place: a reference may lead
        # to the part that is read already.
        self._unfinished: dict[int, Any] = {}

    def fields(self, holder: dict[str, Any], literal: frozenset[str]) -> None:
        """Replace references in all but some fields."""
        for name, value in holder.items():
            if name not in literal and (value.__class__ is dict or value.__class__ is list):
                holder[name] = self._value(value, (name,))

    def _value(self, value: Any, place: Place) -> Any:
        if value.__class__ is dict:
            return self._object(value, place)
        if value.__class__ is list:
            return self._array(value, place)
        return value

    def _object(self, value: dict[str, Any], place: Place) -> Any:
        if not MARKS.isdisjoint(value):
            if "$ref" in value:
                return self._at(value["$ref"], place)
            if "$text" in value:
                return self._text(value["$text"], place)
            if "$like" in value:
                return self._like(value, place)
            if not isinstance(value.get("$value"), dict):
                raise ValueError(f"it has an unknown reference: {value!r:.80}")
            self._unfinished[id(value)] = value["$value"]
            self._items(value["$value"], place)
            return self._unfinished.pop(id(value))
        self._items(value, place)
        return value

    def _items(self, value: dict[str, Any], place: Place) -> None:
        for key, item in value.items():
            if item.__class__ is dict or item.__class__ is list:
                value[key] = self._value(item, (*place, key))

    def _like(self, value: dict[str, Any], place: Place) -> dict[str, Any]:
        earlier = self._at(value.pop("$like"), place)
        if not isinstance(earlier, dict):
            raise ValueError("its reference to an object leads to something else")  # noqa: TRY004
        self._count(len(earlier) * _CHARACTERS_A_KEY)
        self._items(value, place)
        return {**earlier, **value}

    def _array(self, value: list[Any], place: Place) -> list[Any]:
        expanded: list[Any] = []
        self._unfinished[id(value)] = expanded
        for item in value:
            if item.__class__ is dict:
                if "$items" in item:
                    expanded += self._beginning(item["$items"], item.get("to"), list, place)
                else:
                    expanded.append(self._object(item, (*place, len(expanded))))
            elif item.__class__ is list:
                expanded.append(self._array(item, (*place, len(expanded))))
            else:
                expanded.append(item)
        del self._unfinished[id(value)]
        return expanded

    def _text(self, pieces: Any, place: Place) -> str:
        if not isinstance(pieces, list):
            raise ValueError(f"it has an unknown reference: {pieces!r:.80}")  # noqa: TRY004
        return "".join([self._piece(piece, place) for piece in pieces])

    def _piece(self, piece: Any, place: Place) -> str:
        if isinstance(piece, str):
            return piece
        if isinstance(piece, dict) and "$ref" in piece:
            beginning: str = self._beginning(piece["$ref"], piece.get("to"), str, place)
            return beginning
        if isinstance(piece, dict) and isinstance(text := self._at(piece.get("$json"), place), str):
            self._count(len(text))
            return json.dumps(text, ensure_ascii=piece.get("utf8") is not True)[1:-1]
        raise ValueError(f"it has an unknown reference: {piece!r:.80}")

    def _beginning(self, path: Any, to: Any, kind: type, place: Place) -> Any:
        found = self._at(path, place)
        if not isinstance(found, kind) or type(to) is not int or not 0 <= to <= len(found):  # type: ignore[arg-type]
            raise ValueError(f"its reference to {path!r:.80} does not fit")
        self._count(to)
        return found[:to]  # type: ignore[index]

    def _count(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise ValueError("its references expand to too much")

    def _at(self, path: Any, place: Place) -> Any:
        """The value at a path, or at the same place of the step with a number."""
        if type(path) is int and path >= 0:
            return self._follow(f"step {path}", ("steps", path, *place))
        if not isinstance(path, str):
            raise ValueError(f"it has an unknown reference: {path!r:.80}")  # noqa: TRY004
        if path not in self._known:
            self._known[path] = self._follow(path, [_unescaped(key) for key in path.split("/")])
        return self._known[path]

    def _follow(self, path: str, keys: Sequence[str | int]) -> Any:
        found = self._run
        try:
            for key in keys:
                found = found[int(key)] if isinstance(found, list) else found[key]
                found = self._unfinished.get(id(found), found)
        except (KeyError, IndexError, TypeError, ValueError):
            raise ValueError(f"its reference to {path!r:.80} has no target") from None
        return found


def _unescaped(key: str) -> str:
    return key.replace("~1", "/").replace("~0", "~") if "~" in key else key


def expanded_json(trace: bytes) -> bytes:
    """A run's JSON without references, for readers that do not know them.

    Raises:
        ValueError: As `expand`, or it is not JSON.
    """
    run = loads(trace)
    return dumps(expand(run)) if isinstance(run, dict) and KEY in run else trace
