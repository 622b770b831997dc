"""Saving what can be saved from a damaged file of lines into a new one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from ...model.reports import Problem, RepairReport
from ..files.atomic_file import new_file_for
from ..files.private_files import check_regular
from ..files.progress import Problems, Steps
from .annotation_file import path_for, sound_lines
from .line_format import Group, goes_on, group_of, run_id_of
from .line_repair import BEGINNING, restored_line
from .verify import COPY_BYTES, whole_lines

_MOST_BEGINNINGS = 50  # looked at in one damaged line
_LINES_AT_ONCE = 256
_OLDER = "a newer line of this run is damaged; this is the previous one"

_UNFINISHED = (
    "it was saved in one batch with a run whose line is incomplete: "
    "the save may never have been acknowledged"
)


class _Piece(NamedTuple):
    """Bytes that hold a run."""

    offset: int
    length: int
    doubt: str | None
    created_at: bytes
    """For one whose own time is lost."""


def repairing(path: str, where: str, into: str, *, keep_suspect: bool) -> Steps[RepairReport]:
    """Save what can be saved; nothing is written to the damaged file."""
    check_regular(path)
    with new_file_for(into, overwrite=False) as name, open(path, "rb", COPY_BYTES) as source:
        found = _Found(where, keep_suspect=keep_suspect)
        for number, (offset, line) in enumerate(whole_lines(source), 1):
            found.look_at(offset, line)
            if not number % _LINES_AT_ONCE:
                yield offset, offset
        with open(name, "wb", COPY_BYTES) as target:
            target.writelines(_line_of(source, piece) for piece in found.pieces())
        broken = _save_annotations(path, where, into)
        return found.report(into, broken)


def _save_annotations(path: str, where: str, into: str) -> list[Problem]:
    """Copy the annotations that can be read; what could not be."""
    lines = list(sound_lines(path))
    if any(problem is None for _, _, problem in lines):
        with (
            new_file_for(path_for(into), overwrite=True) as name,
            open(name, "wb", COPY_BYTES) as target,
        ):
            target.writelines(line for _, line, problem in lines if problem is None)
    return [
        Problem(None, f"{path_for(where)}, byte {offset}", problem)
        for offset, _, problem in lines
        if problem is not None
    ]


def _line_of(source: BinaryIO, piece: _Piece) -> bytes:
    source.seek(piece.offset)
    line = source.read(piece.length)
    again = restored_line(line, piece.created_at)
    return line.rstrip(b"\0\r\n") + b"\n" if again.line is None else again.line


class _Found:
    """The newest readable line of each run."""

    def __init__(self, where: str, *, keep_suspect: bool) -> None:
        self._where = where
        self._keep_doubtful = keep_suspect
        self._best: dict[str, _Piece] = {}
        self._damaged: dict[str, tuple[int, str]] = {}
        self._left_out: dict[str, _Piece] = {}
        self._nameless = Problems()
        self._group: Group | None = None
        self._before: dict[str, _Piece | None] = {}
        self._created_at = b"1970-01-01T00:00:00.000000+00:00"

    def look_at(self, offset: int, line: bytes) -> None:
        """Take a line, or what can be had of it."""
        if not line.strip():
            return
        if self._group is None or not goes_on(self._group, line):
            self._before = {}
        elif not line.endswith(b"\n"):
            self._doubt_group()
        self._group = group_of(line)
        try:
            self._take(offset, line, inside=False)
            if not line.endswith(b"\n") and self._group is not None and self._group.left:
                self._doubt_group()  # those that were to follow it are not there
        except ValueError as error:
            self._look_inside(offset, line, str(error))

    def _doubt_group(self) -> None:
        """Lines saved together with one that has no end: a store takes none of them for saved."""
        for run_id, before in self._before.items():
            piece = self._best.pop(run_id)._replace(doubt=_UNFINISHED)
            if self._keep_doubtful:
                self._best[run_id] = piece
                continue
            self._left_out[run_id] = piece
            if before is not None:
                self._best[run_id] = before
        self._before = {}

    def _look_inside(self, offset: int, line: bytes, reason: str) -> None:
        """Whole records in a line that is none: after a torn one, after NULs, two on one line."""
        starts = [match.start() for match in BEGINNING.finditer(line)][:_MOST_BEGINNINGS]
        ends = [*starts[1:], len(line)]
        if not starts:
            self._note_damage(offset, line, reason)
        place, in_damage = 0, False
        while place < len(starts):
            start = starts[place]
            end = self._record_from(offset, line, start, ends[place:])
            # A beginning within what is damaged may be that of the trace itself.
            if end is None and not in_damage:
                self._note_damage(offset + start, line[start:], reason)
            in_damage = end is None
            place = place + 1 if end is None else ends.index(end) + 1

    def _record_from(self, offset: int, line: bytes, start: int, ends: list[int]) -> int | None:
        for end in reversed(ends):
            try:
                self._take(offset + start, line[start:end], inside=True)
            except ValueError:
                continue
            return end
        return None

    def _take(self, offset: int, line: bytes, *, inside: bool) -> None:
        found = restored_line(line, self._created_at, inside=inside)
        self._created_at = found.created_at
        piece = _Piece(offset, len(line), found.doubt, found.created_at)
        if found.doubt is not None and not self._keep_doubtful:
            self._left_out[found.run_id] = piece
            return
        self._before.setdefault(found.run_id, self._best.get(found.run_id))
        # The newest counts: a damaged one before it is of no interest any more.
        self._best[found.run_id] = piece
        self._damaged.pop(found.run_id, None)
        self._left_out.pop(found.run_id, None)

    def _note_damage(self, offset: int, line: bytes, reason: str) -> None:
        run_id = run_id_of(line)
        if run_id is None:
            self._nameless.add(None, f"{self._where}, byte {offset}", reason)
        else:
            self._damaged[run_id] = (offset, reason)

    def pieces(self) -> Iterator[_Piece]:
        """What goes to the new file, in its order."""
        return iter(sorted(self._best.values()))

    def report(self, into: str, broken: Iterable[Problem]) -> RepairReport:
        """What became of the runs and of their annotations."""
        lost, suspect = self._nameless, Problems()
        for one in broken:
            lost.add(None, one.where, one.problem)
        for run_id, (offset, reason) in self._damaged.items():
            if run_id not in self._best and run_id not in self._left_out:
                lost.add(run_id, f"{self._where}, byte {offset}", reason)
        saved = 0
        for run_id, piece in (self._best | self._left_out).items():
            newer = run_id in self._damaged or run_id in self._left_out
            is_older = newer and run_id in self._best
            doubt = _OLDER if is_older else piece.doubt
            if doubt is None:
                saved += 1
            else:
                suspect.add(run_id, f"{self._where}, byte {piece.offset}", doubt)
        return RepairReport(self._where, into, saved, tuple(lost.kept), tuple(suspect.kept))
