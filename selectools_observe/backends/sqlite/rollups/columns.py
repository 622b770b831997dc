"""What statistics, groups and facets ask of the runs of a block: a column for each quantity.

A run's place is its id within the block. Columns hold the newest run first. What occurs in many
runs (a session, a value of the metadata, a tool) stands once, with the places of the runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from math import nan
from typing import NamedTuple, TypeAlias

import msgspec

from ....model.group_sums import CallColumns, RunColumns
from ....model.groups import FIELD_KEYS, field_values, texts_of
from ....model.stored_calls import Call, StoredCalls
from ....model.trace import TraceSummary
from ... import timestamps
from .packed import pack_floats, pack_integers, unpack_floats, unpack_integers

_MOST_METADATA = 512 * 1024  # characters of a block: what is larger is read from its runs

Values: TypeAlias = dict[str, bytes]
"""By value, the places of the runs that have it."""


class BlockRuns(msgspec.Struct, array_like=True, gc=False):
    """The runs of a block.

    Attributes:
        places: Their places, the newest first.
        created_us: When each was saved, packed, as those that follow.
        began_us: When each began, or else was saved.
        steps: How many steps each has.
        errors: Whether some step failed, a byte of 0 or 1.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens written.
        total_ms: Milliseconds.
        costs: US dollars; no number where they are unknown.
        fields: By what runs are grouped by (`stored_key`), its values; None if they are too long.
        present: By key of the metadata, as in ``fields``, the places of runs without a value of it.
        facts: The values of ``model``, ``tool`` and ``type``.
    """

    places: bytes
    created_us: bytes
    began_us: bytes
    steps: bytes
    errors: bytes
    prompt_tokens: bytes
    completion_tokens: bytes
    total_ms: bytes
    costs: bytes
    fields: dict[str, Values] | None
    present: Values
    facts: dict[str, Values]


class NamedCalls(msgspec.Struct, array_like=True, gc=False):
    """The calls of one model or tool, of all runs of a block.

    Attributes:
        name: The model or the tool.
        places: The place of the run of each call.
        errors: Whether each failed, a byte of 0 or 1.
        durations: Milliseconds, packed, as those that follow.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens written.
        costs: US dollars; nothing if none is known.
    """

    name: str
    places: bytes
    errors: bytes
    durations: bytes
    prompt_tokens: bytes
    completion_tokens: bytes
    costs: bytes


class BlockCalls(msgspec.Struct, array_like=True, gc=False):
    """The calls of a block's runs; of those that can be read."""

    models: list[NamedCalls]
    tools: list[NamedCalls]


class BlockBuilder:
    """Takes the runs of a block, the newest first."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, TraceSummary]] = []
        self._calls: tuple[dict[str, list[tuple[int, Call]]], ...] = ({}, {})
        self._facts: dict[str, dict[str, bytearray]] = {"model": {}, "tool": {}, "type": {}}

    def add(self, place: int, summary: TraceSummary, calls: StoredCalls | None) -> None:
        """Take a run; None for the calls of one that cannot be read."""
        self._runs.append((place, summary))
        if calls is None:
            return
        for kept, found in zip(self._calls, (calls.models, calls.tools), strict=True):
            for name, call in found:
                kept.setdefault(name, []).append((place, call))
        for kind, texts in (
            ("model", calls.model_names), ("tool", calls.tool_names), ("type", calls.step_types),
        ):  # fmt: skip
            _note(self._facts[kind], texts, place)

    def runs(self) -> BlockRuns:
        """The columns of the runs."""
        summaries = [summary for _, summary in self._runs]
        created = [timestamps.to_microseconds(one.created_at) for one in summaries]
        began = [
            saved if one.started_at is None else timestamps.to_microseconds(one.started_at)
            for one, saved in zip(summaries, created, strict=True)
        ]
        fields, present = self._fields()
        return BlockRuns(
            bytes([place for place, _ in self._runs]),
            pack_integers(created),
            pack_integers(began),
            pack_integers([one.steps for one in summaries]),
            bytes([one.has_error for one in summaries]),
            pack_integers([one.prompt_tokens for one in summaries]),
            pack_integers([one.completion_tokens for one in summaries]),
            pack_floats([one.total_ms for one in summaries]),
            pack_floats([nan if one.cost_usd is None else one.cost_usd for one in summaries]),
            fields,
            present,
            {kind: _as_bytes(values) for kind, values in self._facts.items()},
        )

    def _fields(self) -> tuple[dict[str, Values] | None, Values]:
        fields: dict[str, dict[str, bytearray]] = {key: {} for key in FIELD_KEYS}
        present: dict[str, bytearray] = {}
        metadata: dict[str, dict[str, bytearray]] = {}
        length = 0
        for place, summary in self._runs:
            for key, value in zip(FIELD_KEYS, field_values(summary), strict=True):
                if value is not None:
                    _note(fields[key], dict.fromkeys(texts_of(value)), place)
            for key, value in summary.metadata.items():
                texts = texts_of(value)
                if key not in metadata:
                    metadata[key] = {}
                _note(metadata[key], dict.fromkeys(texts) if len(texts) > 1 else texts, place)
                if not texts:
                    present.setdefault(f"metadata.{key}", bytearray()).append(place)
                length += sum(map(len, texts))
        fields |= {f"metadata.{key}": values for key, values in metadata.items()}
        if length > _MOST_METADATA:
            return None, {}
        return {key: _as_bytes(values) for key, values in fields.items()}, _as_bytes(present)

    def calls(self) -> BlockCalls:
        """The columns of their calls."""
        models, tools = (
            [_named(name, found) for name, found in kept.items()] for kept in self._calls
        )
        return BlockCalls(models, tools)


def _note(values: dict[str, bytearray], texts: Iterable[str], place: int) -> None:
    for text in texts:
        found = values.get(text)
        if found is None:
            values[text] = bytearray((place,))
        else:
            found.append(place)


def _as_bytes(values: dict[str, bytearray]) -> Values:
    return {text: bytes(places) for text, places in values.items()}


def _named(name: str, found: Sequence[tuple[int, Call]]) -> NamedCalls:
    failed, took, sent, written, costs = zip(*[call for _, call in found], strict=True)
    return NamedCalls(
        name,
        bytes([place for place, _ in found]),
        bytes(failed),
        pack_floats(took),
        pack_integers(sent),
        pack_integers(written),
        pack_floats(costs) if any([cost == cost for cost in costs]) else b"",  # noqa: PLR0124
    )


class Selection:
    """Those runs of a block that are asked for.

    Args:
        places: Their places; None for all.
    """

    def __init__(self, places: Iterable[int] | None) -> None:
        self._marks: bytes | None = None
        if places is not None:
            marks = bytearray(256)
            for place in places:
                marks[place] = 1
            self._marks = bytes(marks)

    def of(self, places: bytes) -> bytes | None:
        """For each of these places whether it is asked for, 0 or 1; None if all are."""
        return None if self._marks is None else places.translate(self._marks)

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
    assert runs.fields is not None  # noqa: S101 - who asks has looked
    numbers = {place: number for number, place in enumerate(chosen.places)}
    found: dict[str, list[int]] = {}
    for value, places in runs.fields.get(key, {}).items():
        those = [numbers[place] for place in places if place in numbers]
        if those:
            found[value] = those
    return dict(sorted(found.items(), key=lambda pair: pair[1][0]))


def facet_counts(
    runs: BlockRuns, selection: Selection
) -> Iterator[tuple[str, int, dict[str, int]]]:
    """Of each field and key: how many of the chosen runs have it, and how many each value."""
    assert runs.fields is not None  # noqa: S101 - who asks has looked
    for key, values in (*runs.fields.items(), *runs.facts.items()):
        having: set[int] = set(selection.among(runs.present.get(key, b"")))
        counts: dict[str, int] = {}
        for value, places in values.items():
            those = selection.among(places)
            if those:
                counts[value] = len(those)
                having.update(those)
        if having:
            yield key, len(having), counts


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
