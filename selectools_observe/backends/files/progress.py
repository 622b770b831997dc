"""Long work in short steps: other work goes on meanwhile, and a cancelled caller can stop it.

The work is a generator that yields how much is done and how much there is, and returns a report.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Generic, TypeAlias, TypeVar

import msgspec

from ...model.reports import Problem, Progress

T = TypeVar("T")

Steps: TypeAlias = Generator[tuple[int, int], None, T]

MOST_PROBLEMS = 10_000  # that a report lists: a file of nothing else must not fill the memory


class Done(msgspec.Struct, Generic[T]):
    """The end of the work."""

    result: T


def take(steps: Steps[T]) -> tuple[int, int] | Done[T]:
    """Do the next step; what it tells, or the end."""
    try:
        return next(steps)
    except StopIteration as end:
        return Done(end.value)


def run(steps: Steps[T], progress: Progress | None) -> T:
    """Do all steps where we stand."""
    with closing(steps):
        while True:
            taken = take(steps)
            if isinstance(taken, Done):
                return taken.result
            if progress is not None:
                progress(*taken)


class Problems:
    """Problems as they are found; the first of them are kept, and all are counted."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.further = 0
        self.in_runs = 0

    def add(
        self, run_id: str | None, where: str, problem: str, *, index_only: bool = False
    ) -> None:
        """Note one."""
        self.in_runs += not index_only
        if len(self.kept) < MOST_PROBLEMS:
            self.kept.append(Problem(run_id, where, problem, index_only))
        else:
            self.further += 1
