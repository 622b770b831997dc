"""The reports of `verify`, `backup`, `repair` and `compact`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how much is done and how much there is: bytes of a JSONL file, runs of a database."""

_SHOWN = 20


class Problem(msgspec.Struct, frozen=True):
    """Something that is not as it was saved.

    Attributes:
        run_id: The run it is about; None if that is not known, or if it is about none.
        where: The place: a line's byte, a row, a table.
        problem: What is wrong there.
        index_only: The index or the free space is damaged and no run is: ``compact`` repairs it,
            or, where it cannot, ``repair``.
    """

    run_id: str | None
    where: str
    problem: str
    index_only: bool = False

    def __str__(self) -> str:
        run = "" if self.run_id is None else f"run {self.run_id!r}, "
        return f"{run}{self.where}: {self.problem}"


class VerifyReport(msgspec.Struct, frozen=True):
    """What `verify` found.

    Attributes:
        where: The file.
        checked: Runs that are whole: read, compared with their checksums and decoded.
        superseded: Lines of a JSONL file that a newer line of the same run replaces.
        problems: What is wrong; at most 10,000 of them.
        further: How many more problems there are.
    """

    where: str
    checked: int
    superseded: int = 0
    problems: Sequence[Problem] = ()
    further: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing at all is wrong."""
        return not self.problems

    @property
    def index_only(self) -> bool:
        """Whether something is wrong, and all runs are whole all the same."""
        return bool(self.problems) and all([problem.index_only for problem in self.problems])

    def __str__(self) -> str:
        head = f"{self.where}: {_runs(self.checked)} intact, {_problems(self)}"
        if self.superseded:
            head += f", {_number(self.superseded, 'superseded line')}"
        if self.index_only:
            head += ", all of them in the index: nothing is lost"
        return _listed(head, self.problems, self.further)


class BackupReport(msgspec.Struct, frozen=True):
    """What `backup` wrote.

    Attributes:
        where: The file that was copied.
        path: The copy.
        size: Its bytes.
        verified: What `verify` found in the copy.
    """

    where: str
    path: str
    size: int
    verified: VerifyReport

    @property
    def ok(self) -> bool:
        """Whether the copy is whole."""
        return self.verified.ok

    def __str__(self) -> str:
        return f"{self.where} copied to {self.path}, {_bytes(self.size)}\n{self.verified}"


class RepairReport(msgspec.Struct, frozen=True):
    """What `repair` saved from a damaged file.

    Attributes:
        where: The damaged file, which is as it was.
        path: The new file.
        saved: Runs that are in the new file as they were saved.
        lost: What could not be saved, and why.
        suspect: Runs that can be read but may not be what was saved: their checksum differs, the
            time of saving is unknown, or an older line stands for a damaged newer one. They are in
            the new file too, unless they were to be left out.
    """

    where: str
    path: str
    saved: int
    lost: Sequence[Problem] = ()
    suspect: Sequence[Problem] = ()

    @property
    def ok(self) -> bool:
        """Whether everything was saved, beyond doubt."""
        return not self.lost and not self.suspect

    def __str__(self) -> str:
        head = (
            f"{self.where} repaired into {self.path}: {_runs(self.saved)} saved, "
            f"{len(self.suspect)} suspect, {len(self.lost)} lost"
        )
        return _listed(head, [*self.lost, *self.suspect])


class CompactReport(msgspec.Struct, frozen=True):
    """What `compact` gave back.

    Attributes:
        where: The file.
        size_before: Its bytes before, those of the write-ahead log among them.
        size_after: Its bytes after.
        dropped: Superseded lines that were removed.
        repaired: What was wrong with the index and no longer is.
        left: What it could not do, and why; usually nothing.
    """

    where: str
    size_before: int
    size_after: int
    dropped: int = 0
    repaired: Sequence[Problem] = ()
    left: Sequence[str] = ()

    def __str__(self) -> str:
        sizes = f"{_bytes(self.size_before)} before, {_bytes(self.size_after)} after"
        head = f"{self.where}: {sizes}"
        if self.dropped:
            head += f", {_number(self.dropped, 'superseded line')} dropped"
        if self.repaired:
            head += f", {_number(len(self.repaired), 'fault')} in the index repaired"
        return "\n".join([head, *self.left])


def _number(many: int, what: str) -> str:
    return f"{many} {what}" if many == 1 else f"{many} {what}s"


def _runs(many: int) -> str:
    return _number(many, "run")


def _bytes(many: int) -> str:
    return _number(many, "byte")


def _problems(report: VerifyReport) -> str:
    many = len(report.problems) + report.further
    return _number(many, "problem") if many else "no problems"


def _listed(head: str, problems: Sequence[Problem], further: int = 0) -> str:
    lines = [head, *(f"  {problem}" for problem in problems[:_SHOWN])]
    rest = len(problems) - _SHOWN
    if rest > 0 or further:
        lines.append(f"  and {max(rest, 0) + further} more")
    return "\n".join(lines)
