"""Comparison of two runs, step by step."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..model.json_values import canonical, plain
from ..model.trace import AgentTrace, TraceStep
from .totals import RunTotals, totals_of

Change: TypeAlias = Literal["same", "changed", "removed", "added"]

COMPARED = (
    "type", "tool_name", "tool_args", "tool_result", "model", "output", "reasoning", "error",
    "node_name", "step_number", "interrupt_key", "from_node", "to_node", "children",
)  # fmt: skip
"""The fields in which steps can differ. When a step ran, how long it took, what it cost and the
summary made of the other fields are not among them: those differ between any two runs. Nor is the
input of a model call, which repeats what the calls before it said."""

# What makes two equal steps step, done differently.
_KIND = ("type", "tool_name", "node_name", "from_node", "to_node")

_MOST_CELLS = 500_000  # of the table of the alignment: about half a second
_PAIR = 1 << 20  # more than there are steps

_Place: TypeAlias = tuple[int | None, int | None]
_Kind: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepPair:
    """A step of the one run next to its counterpart in the other.

    Attributes:
        left: The number of the step in the one run, from 0; None if it has none there.
        right: The number of the step in the other run.
        change: ``same``; ``changed``: the same kind of step, done differently; ``removed``: only in
            the one; ``added``: only in the other.
        fields: Which fields differ, of a ``changed`` pair.
    """

    left: int | None
    right: int | None
    change: Change
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        pairs: All steps of both, in order.
        first_difference: The number of the first pair that is not ``same``, from 0; None if the
            runs did the same.
        metadata: The keys whose values differ, or that only one of them has, sorted.
        left: What the one adds up to.
        right: What the other adds up to.
    """

    pairs: tuple[StepPair, ...]
    first_difference: int | None
    metadata: tuple[str, ...]
    left: RunTotals
    right: RunTotals


def compare(trace: AgentTrace, other: AgentTrace) -> Comparison:
    """Lay the steps of two runs side by side and find where they part.

    Steps are counterparts if they are of one type with one tool, at the same node. Of all ways to
    pair them in order, one with the most pairs is taken, and among these one with the most equal
    pairs. Where more than 700 steps on each side differ, only counterparts that stand at
    about the same place are found.
    """
    left, right = trace.steps, other.steps
    pairs = tuple(_pair(left, right, *place) for place in _aligned(left, right))
    first = next((at for at, pair in enumerate(pairs) if pair.change != "same"), None)
    keys = {*trace.metadata, *other.metadata}
    differing = [
        key
        for key in keys
        if (key in trace.metadata) != (key in other.metadata)
        or not _equal(trace.metadata[key], other.metadata[key])
    ]
    return Comparison(pairs, first, tuple(sorted(differing)), totals_of(trace), totals_of(other))


def _pair(
    left: Sequence[TraceStep], right: Sequence[TraceStep], one: int | None, other: int | None
) -> StepPair:
    if one is None:
        return StepPair(None, other, "added")
    if other is None:
        return StepPair(one, None, "removed")
    fields = _differing(left[one], right[other])
    return StepPair(one, other, "changed" if fields else "same", fields)


def _differing(step: TraceStep, other: TraceStep) -> tuple[str, ...]:
    return tuple(name for name in COMPARED if not _equal(getattr(step, name), getattr(other, name)))


def _equal(one: object, other: object) -> bool:
    if one is other or (one.__class__ is str and other.__class__ is str):
        return bool(one == other)
    if one is None or other is None:
        return False
    return canonical(plain(one)) == canonical(plain(other))


def _aligned(left: Sequence[TraceStep], right: Sequence[TraceStep]) -> list[_Place]:
    """All steps in order, counterparts together."""
    kinds = [_kind(step) for step in left]
    others = [_kind(step) for step in right]
    shorter = min(len(kinds), len(others))
    head = 0
    while head < shorter and kinds[head] == others[head]:
        head += 1
    tail = 0
    while tail < shorter - head and kinds[-1 - tail] == others[-1 - tail]:
        tail += 1
    middle = _Table(
        left[head : len(left) - tail], right[head : len(right) - tail],
        kinds[head : len(left) - tail], others[head : len(right) - tail],
    ).best()  # fmt: skip
    places: list[_Place] = [(at, at) for at in range(head)]
    places += [_moved(place, head) for place in middle]
    places += [(len(left) - at, len(right) - at) for at in range(tail, 0, -1)]
    return places


def _kind(step: TraceStep) -> _Kind:
    return tuple(str(plain(getattr(step, name))) for name in _KIND)


def _moved(place: _Place, by: int) -> _Place:
    one, other = place
    return (None if one is None else one + by, None if other is None else other + by)


class _Table:
    """The best alignment of two sequences, by dynamic programming in a band about the diagonal."""

    def __init__(
        self,
        left: Sequence[TraceStep],
        right: Sequence[TraceStep],
        kinds: Sequence[_Kind],
        others: Sequence[_Kind],
    ) -> None:
        self._kinds = kinds
        self._others = others
        self._marks = [_mark(step) for step in left]
        self._other_marks = [_mark(step) for step in right]
        self._slope = len(others) / len(kinds) if kinds else 0.0
        # Wide enough that the bands of neighbouring rows always touch.
        narrowest = int(self._slope) + 2
        self._reach = max(narrowest, _MOST_CELLS // (2 * (len(kinds) + 1)))
        # For each place in the band, the best score of all that follows it.
        self._scores: list[array[int]] = []

    def best(self) -> list[_Place]:
        """Counterparts and single steps, in order; at equal places the left one first."""
        self._fill()
        row = column = 0
        places: list[_Place] = []
        while row < len(self._kinds) and column < len(self._others):
            here = self._score(row, column)
            if here == self._score_if_paired(row, column):
                places.append((row, column))
                row, column = row + 1, column + 1
            elif here == self._score(row + 1, column):
                places.append((row, None))
                row += 1
            else:
                places.append((None, column))
                column += 1
        places += [(at, None) for at in range(row, len(self._kinds))]
        places += [(None, at) for at in range(column, len(self._others))]
        return places

    def _fill(self) -> None:
        rows = len(self._kinds)
        self._scores = [array("q") for _ in range(rows)]
        for row in range(rows - 1, -1, -1):
            first, last = self._band(row)
            backwards = array("q")
            beside = 0  # the score of the column after
            for column in range(last, first - 1, -1):
                beside = max(
                    beside,
                    self._score(row + 1, column),
                    self._score_if_paired(row, column),
                )
                backwards.append(beside)
            self._scores[row] = backwards[::-1]

    def _band(self, row: int) -> tuple[int, int]:
        middle = int(row * self._slope)
        return max(0, middle - self._reach), min(len(self._others) - 1, middle + self._reach)

    def _score(self, row: int, column: int) -> int:
        """The best score from a place on; 0 outside of the band."""
        if row >= len(self._kinds):
            return 0
        first, last = self._band(row)
        return self._scores[row][column - first] if first <= column <= last else 0

    def _score_if_paired(self, row: int, column: int) -> int:
        """The same if these two are made a pair; -1 if they cannot be."""
        if self._kinds[row] != self._others[column]:
            return -1
        # An equal pair counts for a little more; so little that it never costs another pair.
        gain = _PAIR + (self._marks[row] == self._other_marks[column])
        return gain + self._score(row + 1, column + 1)


def _mark(step: TraceStep) -> int:
    """Equal for steps that did the same; unequal for nearly all that did not."""
    return hash(tuple(canonical(plain(getattr(step, name))) for name in COMPARED))
