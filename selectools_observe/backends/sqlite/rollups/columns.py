"""What filters, statistics, groups and facets ask of the runs of a block: a column for each.

A run's place is its id within the block. Columns hold the newest run first. What occurs in many
runs (a session, a value of the metadata, a tool) stands once, with the places of the runs; it is
decoded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from math import nan
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from ....model import timestamps
from ....model.group_sums import CallColumns, RunColumns
from ....model.groups import FIELD_KEYS, field_values, texts_of
from ....model.json_values import dumps, loads
from ....model.stored_calls import Call, StoredCalls
from ....model.trace import TraceFacts, TraceSummary
from .packed import (
    pack_floats,
    pack_integers,
    pack_text,
    unpack_floats,
    unpack_integers,
    unpack_text,
)

_MOST_METADATA = 512 * 1024  # bytes of a block: what is larger is read from its runs
_METADATA = "metadata."
T = TypeVar("T")

Values: TypeAlias = dict[bytes, bytes]
"""By value (`pack_text`), the places of the runs that have it."""

_pack = msgspec.msgpack.Encoder().encode
_unpack_values = msgspec.msgpack.Decoder(Values).decode
_NO_VALUES = msgspec.Raw(_pack({}))


class BlockRuns(msgspec.Struct, array_like=True, gc=False):
    """The runs of a block.

    Attributes:
        places: Their places, the newest first.
        created_us: When each was saved, packed, as those that follow.
        began_us: When each began, or else was saved.
        unstarted: The places of those of which nothing tells when they began.
        steps: How many steps each has.
        errors: Whether some step failed, a byte of 0 or 1.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens written.
        total_ms: Milliseconds.
        costs: US dollars; no number where they are unknown.
        wall_ms: Milliseconds from the first beginning to the last end; likewise.
        fields: Of each of `FIELD_KEYS`, its values.
        metadata: Of each key, its values as JSON; None if they are too long.
        facts: The values of the fields of `TraceFacts`.
    """

    places: bytes
    created_us: bytes
    began_us: bytes
    unstarted: bytes
    steps: bytes
    errors: bytes
    prompt_tokens: bytes
    completion_tokens: bytes
    total_ms: bytes
    costs: bytes
    wall_ms: bytes
    fields: dict[str, msgspec.Raw]
    metadata: dict[bytes, msgspec.Raw] | None
    facts: dict[str, msgspec.Raw]

    @property
    def is_told(self) -> bool:
        """Whether the columns tell all that is asked of these runs."""
        return self.metadata is not None

    def values_of_field(self, key: str) -> Values:
        """The values of one of `FIELD_KEYS`."""
        return _unpack_values(self.fields.get(key, _NO_VALUES))

    def values_of_key(self, key: str) -> Values:
        """The values of a key of the metadata, as JSON."""
        assert self.metadata is not None  # noqa: S101 - who asks has looked
        return _unpack_values(self.metadata.get(pack_text(key), _NO_VALUES))

    def values_of_facts(self, field: str) -> Values:
        """The values of a field of `TraceFacts`."""
        return _unpack_values(self.facts.get(field, _NO_VALUES))


class NamedCalls(msgspec.Struct, array_like=True, gc=False):
    """The calls of one model or tool, of all runs of a block.

    Attributes:
        packed_name: The model or the tool.
        places: The place of the run of each call.
        errors: Whether each failed, a byte of 0 or 1.
        durations: Milliseconds, packed, as those that follow.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens written.
        costs: US dollars; nothing if none is known.
    """

    packed_name: bytes
    places: bytes
    errors: bytes
    durations: bytes
    prompt_tokens: bytes
    completion_tokens: bytes
    costs: bytes

    @property
    def name(self) -> str:
        """The model or the tool."""
        return unpack_text(self.packed_name)


class BlockCalls(msgspec.Struct, array_like=True, gc=False):
    """The calls of a block's runs; of those that can be read."""

    models: list[NamedCalls]
    tools: list[NamedCalls]


_FACTS = tuple(name for name in TraceFacts.__struct_fields__ if name != "has_error")


class BlockBuilder:
    """Takes the runs of a block, the newest first."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, TraceSummary]] = []
        self._calls: tuple[dict[str, list[tuple[int, Call]]], ...] = ({}, {})
        self._facts: dict[str, dict[str, bytearray]] = {name: {} for name in _FACTS}

    def add(self, place: int, summary: TraceSummary, calls: StoredCalls | None) -> None:
        """Take a run; None for the calls of one that cannot be read."""
        self._runs.append((place, summary))
        if calls is None:
            return
        for kept, found in zip(self._calls, (calls.models, calls.tools), strict=True):
            for name, call in found:
                kept.setdefault(name, []).append((place, call))
        for name, values in self._facts.items():
            found_here = getattr(calls.facts, name)
            if found_here is not None:
                _note(values, (found_here,) if found_here.__class__ is str else found_here, place)

    def runs(self) -> BlockRuns:
        """The columns of the runs."""
        summaries = [summary for _, summary in self._runs]
        created = [timestamps.to_microseconds(one.created_at) for one in summaries]
        began = [
            saved if one.started_at is None else timestamps.to_microseconds(one.started_at)
            for one, saved in zip(summaries, created, strict=True)
        ]
        return BlockRuns(
            bytes([place for place, _ in self._runs]),
            pack_integers(created),
            pack_integers(began),
            bytes([place for place, one in self._runs if one.started_at is None]),
            pack_integers([one.steps for one in summaries]),
            bytes([one.has_error for one in summaries]),
            pack_integers([one.prompt_tokens for one in summaries]),
            pack_integers([one.completion_tokens for one in summaries]),
            pack_floats([one.total_ms for one in summaries]),
            pack_floats([nan if one.cost_usd is None else one.cost_usd for one in summaries]),
            pack_floats([nan if one.wall_ms is None else one.wall_ms for one in summaries]),
            self._fields(),
            self._metadata(),
            {name: _packed_texts(values) for name, values in self._facts.items()},
        )

    def _fields(self) -> dict[str, msgspec.Raw]:
        fields: dict[str, dict[str, bytearray]] = {key: {} for key in FIELD_KEYS}
        for place, summary in self._runs:
            for key, value in zip(FIELD_KEYS, field_values(summary), strict=True):
                if value is not None:
                    _note(fields[key], dict.fromkeys(texts_of(value)), place)
        return {key: _packed_texts(values) for key, values in fields.items()}

    def _metadata(self) -> dict[bytes, msgspec.Raw] | None:
        metadata: dict[str, dict[bytes, bytearray]] = {}
        length = 0
        for place, summary in self._runs:
            for key, value in summary.metadata.items():
                written = dumps(value)
                if key not in metadata:
                    metadata[key] = {}
                _note(metadata[key], (written,), place)
                length += len(written)
        if length > _MOST_METADATA:
            return None
        return {pack_text(key): _packed(values) for key, values in metadata.items()}

    def calls(self) -> BlockCalls:
        """The columns of their calls."""
        models, tools = (
            [_named(name, found) for name, found in kept.items()] for kept in self._calls
        )
        return BlockCalls(models, tools)


def _note(values: dict[T, bytearray], found: Iterable[T], place: int) -> None:
    for value in found:
        places = values.get(value)
        if places is None:
            values[value] = bytearray((place,))
        else:
            places.append(place)


def _packed(values: Mapping[bytes, bytearray]) -> msgspec.Raw:
    return msgspec.Raw(_pack(values))


def _packed_texts(values: Mapping[str, bytearray]) -> msgspec.Raw:
    return _packed({pack_text(text): places for text, places in values.items()})


def _named(name: str, found: Sequence[tuple[int, Call]]) -> NamedCalls:
    failed, took, sent, written, costs = zip(*[call for _, call in found], strict=True)
    return NamedCalls(
        pack_text(name),
        bytes([place for place, _ in found]),
        bytes(failed),
        pack_floats(took),
        pack_integers(sent),
        pack_integers(written),
        pack_floats(costs) if any([cost == cost for cost in costs]) else b"",  # noqa: PLR0124
    )


def marks_of(places: bytes) -> bytes:
    """For each place of a block whether it is among these, 0 or 1."""
    marks = bytearray(256)
    for place in places:
        marks[place] = 1
    return bytes(marks)


class Selection:
    """Those runs of a block that are asked for.

    Args:
        places: Their places, the newest first.
    """

    def __init__(self, places: bytes) -> None:
        self.places = places
        self._marks = marks_of(places)

    def of(self, places: bytes) -> bytes | None:
        """For each of these places whether it is asked for, 0 or 1; None if all are."""
        marks = places.translate(self._marks)
        return marks if 0 in marks else None

    def count(self, places: bytes) -> int:
        """How many runs at these places are asked for, each once."""
        return len(set(self.among(places)))

    def counts(self, values: Iterable[tuple[str, bytes]]) -> dict[str, int]:
        """By value, how many of its runs are asked for; those of which some are."""
        marks = self._marks
        found: dict[str, int] = {}
        for value, places in values:
            number = marks[places[0]] if len(places) == 1 else sum(places.translate(marks))
            if number:
                found[value] = number
        return found

    def among(self, places: bytes) -> bytes:
        """Those of these places that are asked for."""
        marks = self.of(places)
        return places if marks is None else bytes(compress(places, marks))


class ChosenRuns(NamedTuple):
    """Those runs of a block that are asked for.

    Attributes:
        places: Their places, the newest first.
        columns: What statistics ask of them.
        created_us: When each was saved.
        began_us: When each began, or else was saved.
    """

    places: bytes
    columns: RunColumns
    created_us: Sequence[int]
    began_us: Sequence[int]


def chosen_runs(runs: BlockRuns, selection: Selection) -> ChosenRuns:
    """The columns of those runs that are asked for."""
    marks = selection.of(runs.places)
    count = len(runs.places)

    def integers(packed: bytes) -> Sequence[int]:
        return _among(unpack_integers(packed) or [0] * count, marks)

    def floats(packed: bytes) -> Sequence[float]:
        return _among(unpack_floats(packed), marks)

    return ChosenRuns(
        selection.among(runs.places),
        RunColumns(
            integers(runs.steps),
            _among(runs.errors, marks),
            integers(runs.prompt_tokens),
            integers(runs.completion_tokens),
            floats(runs.total_ms),
            floats(runs.costs),
        ),
        integers(runs.created_us),
        integers(runs.began_us),
    )


def values_of(runs: BlockRuns, chosen: ChosenRuns, key: str) -> dict[str, list[int]]:
    """By value of a key, which of the chosen runs have it; the newest run's values first."""
    numbers = {place: number for number, place in enumerate(chosen.places)}
    found: dict[str, list[int]] = {}
    for value, places in _texts(runs, key).items():
        if len(places) == 1:
            those = [numbers[places[0]]] if places[0] in numbers else []
        else:
            those = [numbers[place] for place in places if place in numbers]
        if those:
            found[value] = those
    return dict(sorted(found.items(), key=lambda pair: pair[1][0]))


def _texts(runs: BlockRuns, key: str) -> dict[str, bytes]:
    """By value of a key that runs are grouped by, their places, the newest first."""
    if not key.startswith(_METADATA):
        values = runs.values_of_field(key)
        return {unpack_text(value): places for value, places in values.items()}
    return _texts_of_json(runs.values_of_key(key.removeprefix(_METADATA)), runs.places)


def _texts_of_json(values: Values, order: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for written, places in values.items():
        for text in texts_of_json(written):
            if text in found:
                both = Selection(found[text] + places)
                found[text] = both.among(order)
            else:
                found[text] = places
    return found


@lru_cache(maxsize=4096)
def texts_of_json(written: bytes) -> tuple[str, ...]:
    """`texts_of` a value of the metadata, each once."""
    return tuple(dict.fromkeys(texts_of(loads(written))))


def facet_counts(
    runs: BlockRuns, selection: Selection
) -> Iterator[tuple[str, int, dict[str, int]]]:
    """Of each field and key: how many of the chosen runs have it, and how many each value."""
    assert runs.metadata is not None  # noqa: S101 - who asks has looked
    fields = {key: runs.values_of_field(key) for key in runs.fields}
    fields |= {name: runs.values_of_facts(field) for name, field in _FACETS.items()}
    for key, values in fields.items():
        having = selection.count(b"".join(values.values()))
        if having:
            texts = ((unpack_text(value), places) for value, places in values.items())
            yield key, having, selection.counts(texts)
    for packed_key, packed in runs.metadata.items():
        values = _unpack_values(packed)
        having = selection.count(b"".join(values.values()))
        if having:
            texts_of_key = _texts_of_json(values, runs.places)
            key = f"{_METADATA}{unpack_text(packed_key)}"
            yield key, having, selection.counts(texts_of_key.items())


_FACETS = {"model": "models", "tool": "tool_names", "type": "step_types"}


def chosen_calls(
    calls: Sequence[NamedCalls], selection: Selection
) -> Iterator[tuple[str, bytes, CallColumns]]:
    """By name, the places of the runs that made the calls, and the calls."""
    for one in calls:
        marks = selection.of(one.places)
        places = selection.among(one.places)
        if not places:
            continue
        sent, written = unpack_integers(one.prompt_tokens), unpack_integers(one.completion_tokens)
        if sent or written:
            none = [0] * len(one.places)
            sent, written = _among(sent or none, marks), _among(written or none, marks)
        yield (
            one.name,
            places,
            CallColumns(
                _among(one.errors, marks),
                sent,
                written,
                _among(unpack_floats(one.durations), marks),
                _among(unpack_floats(one.costs), marks) if one.costs else (),
            ),
        )


def _among(column: Sequence, marks: bytes | None) -> Sequence:  # type: ignore[type-arg]
    return column if marks is None else list(compress(column, marks))
