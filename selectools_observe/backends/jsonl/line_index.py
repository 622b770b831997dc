"""The index of a JSONL file: which line holds which run, told by reading the file on."""

from __future__ import annotations

import logging
import time
import uuid
from datetime import datetime
from typing import BinaryIO

from ...model.reports import Progress
from ...model.trace import TraceFacts, TraceSummary
from ..queries.ordered_index import Entry, OrderedIndex
from .file_io import ByteRange, pread
from .line_format import Group, goes_on, group_of, has_checksum, read_line, run_id_of

log = logging.getLogger(__name__)

_LINES_AT_ONCE = 256
_BYTES_REMEMBERED = 256  # of the line read last: run id and time tell if another took its place


class Line(Entry):
    """A line of the file, as the index holds it."""

    __slots__ = ("_facts", "_summary", "place", "tiebreaker")

    def __init__(self, summary: TraceSummary, facts: TraceFacts, place: ByteRange) -> None:
        self.run_id = summary.run_id
        self._summary = summary
        self._facts = facts
        self.place = place
        self.tiebreaker = 0

    @property
    def summary(self) -> TraceSummary:
        return self._summary

    @property
    def facts(self) -> TraceFacts:
        return self._facts


class _Together:
    """Lines of one saving that were read, until it is known whether all of them are there."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.start: tuple[int, tuple[int, bytes]] = (0, (0, b""))
        self._group: Group | None = None

    def add(self, line: bytes, entry: Line, start: tuple[int, tuple[int, bytes]]) -> None:
        if not self.lines:
            self.start = start
        self.lines.append(entry)
        self._group = group_of(line)

    def goes_on(self, line: bytes) -> bool:
        """Whether a line, perhaps cut short, is the next of those."""
        return bool(self.lines) and self._group is not None and goes_on(self._group, line)

    def lacks(self, end: bytes) -> bool:
        """Whether the end of the file is a part of a saving that was cut short."""
        group = group_of(end)
        return self.goes_on(end) or (group is not None and group.left > 0)


class LineIndex:
    """Which line holds which run.

    Attributes:
        order: The lines, in the order of saving.
        damaged: Runs whose line cannot be read: where it is, and why.
        read_to: How far the file was read.
        read_last: Where the line read last begins, and how.
        ends_in_newline: Whether the last line is whole.
        half_saved: Whether the file ends in a part of a saving.
    """

    def __init__(self, path: str, progress: Progress | None) -> None:
        self._path = path
        self._progress = progress
        self.order: OrderedIndex[Line] = OrderedIndex(uuid.uuid4().hex)
        self.damaged: dict[str, tuple[ByteRange, str]] = {}
        self.read_to = 0
        self.read_last = (0, b"")
        self.ends_in_newline = True
        self.half_saved = False
        self._last_created: datetime | None = None
        self._last_rank = 0

    def is_continued(self, fd: int) -> bool:
        """Whether what was read last still stands where it stood."""
        offset, head = self.read_last
        return pread(fd, len(head), offset) == head

    def read(self, file: BinaryIO, size: int) -> None:
        """Index what was appended since, up to this size of the file."""
        file.seek(self.read_to)
        self.half_saved = False
        skipped = 0
        together = _Together()
        for number, line in enumerate(file, 1):
            if not number % _LINES_AT_ONCE:
                self._tell_progress(size)
            before = self.read_to, self.read_last
            if not together.goes_on(line):
                self._index_all(together)
            if not line.endswith(b"\n") and together.lacks(line):
                self.read_to, self.read_last = together.start if together.lines else before
                self.half_saved, self.ends_in_newline = True, False
                together.lines = []
                break
            entry = self._read_line(line)
            if entry is None:
                if not line.endswith(b"\n"):
                    break  # being written, or torn: the next append decides
                skipped += bool(line.strip())
            else:
                together.add(line, entry, before)
        self._index_all(together)
        self._tell_progress(size)
        if skipped:
            log.warning("%s: %d unreadable lines skipped", self._path, skipped)

    def _index_all(self, together: _Together) -> None:
        for entry in together.lines:
            self.add(entry)
        together.lines = []

    def _read_line(self, line: bytes) -> Line | None:
        """Go past one line; None if there is no trace in it, or if it is torn: then stay."""
        place = ByteRange(self.read_to, len(line.rstrip(b"\r\n")))
        finished = line.endswith(b"\n")
        entry = None
        try:
            if line.strip():
                summary, facts = read_line(line)
                entry = Line(summary, facts, place)
        except ValueError as error:
            self.ends_in_newline = finished
            if not finished:
                return None
            self.note_damage(line, place, str(error))
        self.read_last = (self.read_to, line[:_BYTES_REMEMBERED])
        self.read_to += len(line)
        self.ends_in_newline = finished
        return entry

    def note_damage(self, line: bytes, place: ByteRange, reason: str) -> None:
        """A line cannot be read: its run is damaged, unless an older line of it is good."""
        run_id = run_id_of(line)
        log.warning("%s, byte %d: unreadable line (%s)", self._path, place.offset, reason)
        if run_id is None:
            return
        if has_checksum(line):
            self.order.remove(run_id)  # it was whole once: what stands before it was replaced
        # Else an older line of the run is good: a torn write was never acknowledged.
        if self.order.get(run_id) is None:
            self.damaged[run_id] = (place, reason)

    def note_last(self, line: bytes) -> None:
        """This line of ours is the last of what was read."""
        self.read_last = (self.read_to - len(line), line[:_BYTES_REMEMBERED])
        self.ends_in_newline = True

    def add(self, line: Line) -> None:
        """Take up a line that is newer than all others."""
        self.damaged.pop(line.run_id, None)
        if line.summary.created_at == self._last_created:
            self._last_rank += 1
        else:
            self._last_created, self._last_rank = line.summary.created_at, 0
        line.tiebreaker = self._last_rank
        self.order.add(line)

    def _tell_progress(self, size: int) -> None:
        time.sleep(0)  # lets an event loop that shares the interpreter run
        if self._progress is not None:
            self._progress(self.read_to, size)

    def move(self, moved: dict[int, int]) -> None:
        """The same index, at new places."""
        for entry in self.order:
            if entry.place.offset in moved:
                entry.place = entry.place._replace(offset=moved[entry.place.offset])
        self.damaged = {
            run_id: (place._replace(offset=moved.get(place.offset, place.offset)), reason)
            for run_id, (place, reason) in self.damaged.items()
        }
