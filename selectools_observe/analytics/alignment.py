"""The steps of two runs in one order, counterparts next to each other."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TypeAlias

from ..model.json_values import canonical
from .step_contents import StepContents

# What makes two equal steps steps of one kind, done differently.
_KIND = ("type", "tool_name", "node_name", "from_node", "to_node")

_MOST_CELLS = 500_000  # of the table of the alignment: about half a second
_PAIR = 1 << 20  # more than there are steps

Place: TypeAlias = tuple[int | None, int | None]
"""The numbers of two counterparts, from 0; None where a step has none."""

_Kind: TypeAlias = tuple[str, ...]


def aligned(left: Sequence[StepContents], right: Sequence[StepContents]) -> list[Place]:
    """All steps of both in order, counterparts together.

    Counterparts are of one type with one tool, at the same node. Of all ways to pair steps in
    order, one with the most pairs is taken, and among these one with the most equal pairs. Where
    more than 700 steps on each side differ, only counterparts at about the same place are found.
    """
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
    places: list[Place] = [(at, at) for at in range(head)]
    places += [_moved(place, head) for place in middle]
    places += [(len(left) - at, len(right) - at) for at in range(tail, 0, -1)]
    return places


def _kind(step: StepContents) -> _Kind:
    return tuple(canonical(step.get(name)) for name in _KIND)


def _moved(place: Place, by: int) -> Place:
    one, other = place
    return (None if one is None else one + by, None if other is None else other + by)


class _Table:
    """The best alignment of two sequences, by dynamic programming in a band about the diagonal."""

    def __init__(
        self,
        left: Sequence[StepContents],
        right: Sequence[StepContents],
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

    def best(self) -> list[Place]:
        """Counterparts and single steps, in order; at equal places the left one first."""
        self._fill()
        row = column = 0
        places: list[Place] = []
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


def _mark(step: StepContents) -> int:
    """Equal for steps that did the same; unequal for nearly all that did not."""
    return hash(canonical(dict(step)))
