"""The file, and the index of it that is held in memory. All of this blocks; nothing here waits.

One `JSONLFile` serves all threads and event loops of a process, one at a time. Between processes,
writers take a lock on the file; readers need none: a line that is not finished is not there yet.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar

from ...errors import CorruptTraceError, StoreClosedError
from ...model import timestamps
from ...model.annotations import Annotation
from ...model.codec import EncodedTrace
from ...model.pagination import Position
from ...model.reports import Progress
from ...model.trace import TraceFacts
from ...runtime.fork import rest_during_forks
from ..files.atomic_file import sync_folder, write_all
from ..files.filelock import lock, unlock
from ..files.private_files import FILE_MODE, check_regular, make_folder
from ..queries.ordered_index import OrderedIndex, ScanRequest, ScanResult
from ..queries.paging import PageRow
from ..queries.row_queries import Loaded
from .annotation_file import AnnotationFile, Change
from .file_io import ByteRange, Drop, clear_away, copy_lines, is_at, read_at, take_back
from .line_format import (
    Group,
    read_line,
    run_id_of,
    shared,
    to_line,
    trace_of,
)
from .line_index import Line, LineIndex

log = logging.getLogger(__name__)

Unit: TypeAlias = Sequence[EncodedTrace]
T = TypeVar("T")

_FOR_OTHERS = 0.002  # seconds after each rewrite
_COPY_BYTES = 1024 * 1024
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class JSONLFile:
    """A JSONL file with an index: which line holds which run."""

    def __init__(self, path: str, *, sync: bool, progress: Progress | None) -> None:
        self.path = path
        self.file = os.path.abspath(path)  # the working directory may change
        self._sync = sync
        self._progress = progress
        self._turn = threading.RLock()
        self._fd: int | None = None
        self._closed = False
        self._notes = AnnotationFile(self.file, sync=sync)
        self._forget()
        rest_during_forks(self)

    def before_fork(self) -> None:
        self._turn.acquire()

    def after_fork_in_parent(self) -> None:
        self._turn.release()

    def after_fork_in_child(self) -> None:
        # The file is shared with the parent: so would a lock on it be.
        self._turn = threading.RLock()
        self._let_go()

    def _forget(self) -> None:
        """Begin a new index."""
        self._lines = LineIndex(self.path, self._progress)
        self._notes.forget()
        self._lines.order.annotations = self._notes.index

    # Methods.

    def append(self, units: Sequence[Unit]) -> list[None]:
        """Write the traces' lines in one go, all or none."""
        return self._do(lambda: self._locked(lambda fd: self._append(fd, units)))

    def _append(self, fd: int, units: Sequence[Unit]) -> list[None]:
        self._read_to_end(fd)
        traces = [trace for unit in units for trace in unit]
        now = timestamps.now()
        lines = [line for unit in units for line in _lines_of(unit, now)]
        start = self._write(fd, lines)
        if start is None:
            self._forget()
            return [None] * len(units)
        for trace, line in zip(traces, lines, strict=True):
            place = ByteRange(start, len(line) - 1)
            summary = trace.summary(trace.created_at or now)
            self._lines.add(Line(summary, shared(trace.facts), place))
            start += len(line)
        return [None] * len(units)

    def update(self, run_id: str, change: Callable[[bytes | None], EncodedTrace | None]) -> bool:
        """Append what a function makes of a trace; whether it made something."""
        return self._do(lambda: self._locked(lambda fd: self._update(fd, run_id, change)))

    def _update(
        self, fd: int, run_id: str, change: Callable[[bytes | None], EncodedTrace | None]
    ) -> bool:
        self._read_to_end(fd)
        stored = self._load(fd, run_id)
        if isinstance(stored, CorruptTraceError):
            raise stored
        changed = change(stored)
        if changed is not None:
            self._append(fd, [[changed]])
        return changed is not None

    def load(self, run_ids: Sequence[str]) -> list[Loaded]:
        """The JSON of traces; None for each that is not there."""
        return self._do(lambda: self._loaded(self._refreshed(), run_ids))

    def look(self, look: ScanRequest) -> ScanResult:
        """Look through a part of the traces."""
        return self._do(lambda: self._refreshed_order().look(look))

    def facts(self, run_ids: Sequence[str]) -> list[TraceFacts | None]:
        """What filters ask of the steps of each run; None for one that is not there."""

        def look() -> list[TraceFacts | None]:
            order = self._refreshed_order()
            entries = [order.get(run_id) for run_id in run_ids]
            return [None if entry is None else entry.facts for entry in entries]

        return self._do(look)

    def newest(self, kind: str) -> Position | None:
        """The place of the newest trace."""
        return self._do(lambda: self._refreshed_order().newest(kind))

    def delete(self, run_id: str) -> bool:
        """Remove all lines of a run by rewriting the file."""
        return self._do(lambda: self._locked(lambda fd: self._delete(fd, run_id)))

    def _delete(self, fd: int, run_id: str) -> bool:
        self._read_to_end(fd)
        if not self._is_there(run_id):
            return False
        is_annotated = run_id in self._notes.index
        if is_annotated:
            self._notes.append(Change(deleting=[run_id]))
        self._rewrite(fd, lambda _, line: run_id_of(line) == run_id)
        self._lines.damaged.pop(run_id, None)
        self._lines.order.remove(run_id)
        if is_annotated:
            self._notes.append(Change(deleted=[run_id]))
            if self._notes.is_wasteful:
                self._compact_annotations()
        return True

    def delete_many(self, run_ids: Sequence[str]) -> int:
        """Remove all lines of runs by rewriting the file; how many runs there were."""

        def delete(fd: int) -> int:
            self._read_to_end(fd)
            gone = [run_id for run_id in run_ids if self._is_there(run_id)]
            self._delete_all(fd, gone)
            return len(gone)

        return self._do(lambda: self._locked(delete))

    def delete_rows(
        self, rows: Sequence[PageRow], epoch: str, *, spare_annotated: bool
    ) -> list[str]:
        """Remove the runs of those rows that are as they were when they were read."""

        def is_same(row: PageRow) -> bool:
            entry = self._lines.order.get(row.summary.run_id)
            if entry is None or (spare_annotated and entry.run_id in self._notes.index):
                return False
            if self._lines.order.epoch == epoch:
                return entry.number == row.key
            return entry.summary.created_at == row.summary.created_at

        def delete(fd: int) -> list[str]:
            self._read_to_end(fd)
            gone = [row.summary.run_id for row in rows if is_same(row)]
            self._delete_all(fd, gone)
            return gone

        return self._do(lambda: self._locked(delete))

    def _delete_all(self, fd: int, run_ids: Sequence[str]) -> None:
        """Remove runs, and the lines that newer ones replace besides."""
        if not run_ids:
            return
        gone = set(run_ids)
        annotated = [run_id for run_id in run_ids if run_id in self._notes.index]
        current = {e.place.offset for e in self._lines.order if e.run_id not in gone}
        damaged = {place.offset for place, _ in self._lines.damaged.values()}

        def is_gone(offset: int, line: bytes) -> bool:
            if offset in current or offset >= self._lines.read_to:
                return False
            if offset in damaged:
                return run_id_of(line) in gone
            return not line.strip() or run_id_of(line) in gone or _is_readable(line)

        if annotated:
            self._notes.append(Change(deleting=annotated))
        self._rewrite(fd, is_gone)
        for run_id in run_ids:
            self._lines.damaged.pop(run_id, None)
            self._lines.order.remove(run_id)
        if annotated:
            self._notes.append(Change(deleted=annotated))
            self._compact_annotations()

    def _compact_annotations(self) -> None:
        self._notes.compact()
        self._lines.order.annotations = self._notes.index

    def sizes_of(self, run_ids: Sequence[str]) -> list[int]:
        """The bytes of runs' lines, and of their annotations."""

        def look() -> list[int]:
            entries = [self._refreshed_order().get(run_id) for run_id in run_ids]
            return [
                0 if entry is None else entry.place.length + 1 + self._notes.size_of(entry.run_id)
                for entry in entries
            ]

        return self._do(look)

    def size(self) -> int:
        """The bytes of the file, and of that of its annotations."""
        return self._do(lambda: os.fstat(self._refreshed()).st_size + self._notes.size)

    def _is_there(self, run_id: str) -> bool:
        return self._lines.order.get(run_id) is not None or run_id in self._lines.damaged

    def annotate(self, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        """Append annotations, all or none; or say which run is not there."""
        return self._do(lambda: self._locked(lambda fd: self._annotate(fd, annotations)))

    def _annotate(self, fd: int, annotations: Sequence[Annotation]) -> Sequence[Annotation] | str:
        self._read_to_end(fd)
        for one in annotations:
            if not self._is_there(one.run_id):
                return one.run_id
        made = self._notes.index.stamped(annotations, timestamps.now())
        self._tell_summaries(self._notes.append(Change(put=made)))
        return made

    def annotations(self, run_ids: Sequence[str]) -> list[list[Annotation] | None]:
        """The annotations of runs; None for each that is not there."""

        def look() -> list[list[Annotation] | None]:
            self._refreshed()
            index = self._notes.index
            return [index.of(run_id) if self._is_there(run_id) else None for run_id in run_ids]

        return self._do(look)

    def remove_annotations(self, run_id: str, name: str | None, annotation_id: str | None) -> int:
        """Remove annotations of a run; how many there were."""

        def remove(fd: int) -> int:
            self._read_to_end(fd)
            gone = self._notes.index.ids(run_id, name, annotation_id)
            if gone:
                removed = [(run_id, one) for one in gone]
                self._tell_summaries(self._notes.append(Change(removed=removed)))
            return len(gone)

        return self._do(lambda: self._locked(remove))

    def _tell_summaries(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            self._lines.order.annotated(run_id)

    def _do(self, work: Callable[[], T]) -> T:
        with self._turn:
            try:
                return work()
            except Exception:
                raise
            except BaseException:
                self._forget()  # a signal handler raised, and may have left the index half made
                raise

    def compact(self) -> tuple[int, int, int]:
        """Drop the lines that newer ones replace; bytes before and after, and lines dropped."""
        return self._do(lambda: self._locked(self._compact))

    def _compact(self, fd: int) -> tuple[int, int, int]:
        self._read_to_end(fd)
        self._compact_annotations()
        before, dropped = os.fstat(fd).st_size, 0
        current = {entry.place.offset for entry in self._lines.order}

        def is_superseded(offset: int, line: bytes) -> bool:
            nonlocal dropped
            if offset in current or offset >= self._lines.read_to:
                return False
            gone = not line.strip() or _is_readable(line)
            dropped += gone and bool(line.strip())
            return gone

        self._rewrite(fd, is_superseded)
        return before, self._lines.read_to, dropped

    def snapshot(self) -> tuple[int, int, int | None]:
        """A descriptor of one's own, and how many bytes nobody will change any more.

        The third is a descriptor of the annotations, if there are any.
        """

        def take(fd: int) -> tuple[int, int, int | None]:
            self._read_to_end(fd)
            return os.dup(fd), os.fstat(fd).st_size, self._notes.snapshot()

        return self._do(lambda: self._locked(take))

    def epoch(self) -> str:
        """Which numbering the keys of pages belong to."""
        return self._lines.order.epoch

    def open(self) -> None:
        """Open the file, making it and its folders if need be, and read what is there."""
        self._do(self._refreshed)

    def close(self) -> None:
        """Close the file, for good."""
        with self._turn:
            self._closed = True
            self._let_go()

    @property
    def is_open(self) -> bool:
        """Whether a file is held open."""
        return self._fd is not None

    def place_of(self, run_id: str) -> str:
        """Where a run's line stands, for people."""
        entry = self._lines.order.get(run_id)
        place = entry.place if entry is not None else self._lines.damaged.get(run_id, (None,))[0]
        return self.path if place is None else f"{self.path}, byte {place.offset}"

    # The file.

    def _descriptor(self, replaced: list[int] | None = None) -> int:
        """The file, reopened if another took its place, or if a fork shares it.

        What it was before is closed, or put into ``replaced``.
        """
        if self._closed:
            raise StoreClosedError(self.path)
        if self._fd is not None and not is_at(self._fd, self.file):
            if replaced is not None:
                # Never in both places: a signal handler's exception may come between.
                old, self._fd = self._fd, None
                replaced.append(old)
            self._let_go()
        if self._fd is None:
            self._fd = self._open()
            self._forget()
        return self._fd

    def _let_go(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _open(self) -> int:
        check_regular(self.file)
        folder = os.path.dirname(self.file)
        make_folder(folder)
        fd = os.open(self.file, _FLAGS, FILE_MODE)
        if self._sync:
            try:
                sync_folder(folder)
            except BaseException:
                os.close(fd)
                raise
        return fd

    def _locked(self, work: Callable[[int], T]) -> T:
        """Do work on the file while no other program writes."""
        began = time.monotonic()
        # Closing a large file that is gone takes long, and others would replace the next meanwhile.
        replaced: list[int] = []
        try:
            while True:
                fd = self._descriptor(replaced)
                try:
                    lock(fd, began)
                    if is_at(fd, self.file):  # else it was replaced while we waited
                        return work(fd)
                finally:
                    self._unlock(fd)
        finally:
            for old in replaced:
                os.close(old)

    def _unlock(self, fd: int) -> None:
        if fd != self._fd:  # we replaced it ourselves; its lock goes with it
            os.close(fd)
            # Who waits has to open the new file first: do not be there again before.
            time.sleep(_FOR_OTHERS)
            return
        try:
            unlock(fd)
        except BaseException:  # a signal handler's
            unlock(fd)
            raise

    def _refreshed(self) -> int:
        fd = self._descriptor()
        self._read_on(fd)
        return fd

    def _refreshed_order(self) -> OrderedIndex[Line]:
        self._refreshed()
        return self._lines.order

    def _write(self, fd: int, lines: Sequence[bytes]) -> int | None:
        """Append; where the first line begins, or None if a program without a lock came between.

        What fails half way is taken back.
        """
        self._take_back_half(fd)
        end = os.fstat(fd).st_size
        if end and not self._lines.ends_in_newline:
            self._give_up_torn_line(fd, end)
            lines = [b"\n", *lines]
        data = b"".join(lines)
        try:
            write_all(fd, data)
            if self._sync:
                os.fsync(fd)
        except BaseException:
            take_back(fd, end, len(data))
            raise
        self._lines.read_to = os.fstat(fd).st_size
        if self._lines.read_to != end + len(data):
            return None
        start = end + (0 if self._lines.ends_in_newline else 1)
        self._lines.note_last(lines[-1])
        return start

    def _take_back_half(self, fd: int) -> None:
        """What a crash has left of lines that were to be there together."""
        if self._lines.half_saved:
            message = "%s, byte %d: an incomplete save_many was rolled back"
            log.warning(message, self.path, self._lines.read_to)
            os.ftruncate(fd, self._lines.read_to)
            self._lines.half_saved, self._lines.ends_in_newline = False, True

    def _give_up_torn_line(self, fd: int, end: int) -> None:
        """What stands after the last newline stays there, and the file goes on below it."""
        if self._lines.read_to < end:
            place = ByteRange(self._lines.read_to, end - self._lines.read_to)
            self._lines.note_damage(read_at(fd, place), place, "truncated")

    def _loaded(self, fd: int, run_ids: Sequence[str]) -> list[Loaded]:
        return [self._load(fd, run_id) for run_id in run_ids]

    def _load(self, fd: int, run_id: str) -> Loaded:
        entry = self._lines.order.get(run_id)
        if entry is None and run_id not in self._lines.damaged:
            return None
        if entry is None:
            place, reason = self._lines.damaged[run_id]
            return CorruptTraceError(run_id, f"{self.path}, byte {place.offset}", reason)
        line = read_at(fd, entry.place)
        try:
            if run_id_of(line) in (run_id, None):
                return trace_of(line)
            reason = "another line is in its place: the file was edited"
        except ValueError as error:
            reason = str(error)
        return CorruptTraceError(run_id, self.place_of(run_id), reason)

    # Reading.

    def _read_to_end(self, fd: int) -> None:
        """Read on, with the file locked: what a killed program left half done is settled."""
        self._read_on(fd)
        self._notes.settle(self._is_there)

    def _read_on(self, fd: int) -> None:
        """Index what was appended since; all of it, if the file is shorter than it was."""
        size = os.fstat(fd).st_size
        if size < self._lines.read_to or (
            size > self._lines.read_to and not self._lines.is_continued(fd)
        ):
            log.warning("%s: another program rewrote the file; reading it again", self.path)
            self._forget()
        self._tell_summaries(self._refreshed_notes())
        if size > self._lines.read_to:
            with open(fd, "rb", buffering=_COPY_BYTES, closefd=False) as file:
                self._lines.read(file, size)

    def _refreshed_notes(self) -> set[str]:
        """Read the annotations that were written since; the runs that they are about."""
        known = len(self._notes.broken)
        changed = self._notes.refresh()
        self._lines.order.annotations = self._notes.index
        for offset, reason in self._notes.broken[known:]:
            message = "%s, byte %d: unreadable line of annotations (%s)"
            log.warning(message, self._notes.path, offset, reason)
        return changed

    # Rewriting.

    def _rewrite(self, fd: int, drop: Drop) -> None:
        """Replace the file by a copy without some lines, at once for all who look."""
        self._take_back_half(fd)
        folder, base = os.path.split(self.file)
        clear_away(folder, base)
        name = os.path.join(folder, f".{base}.{uuid.uuid4().hex}")
        copy = os.open(name, _FLAGS | os.O_EXCL, 0o600)
        try:
            os.chmod(name, os.fstat(fd).st_mode & 0o777)
            with (
                open(fd, "rb", buffering=_COPY_BYTES, closefd=False) as source,
                open(copy, "wb", buffering=_COPY_BYTES, closefd=False) as target,
            ):
                source.seek(0)  # the descriptors share their place
                moved = copy_lines(source, target, drop)
                os.fsync(copy)
                size = os.fstat(copy).st_size
                os.replace(name, self.file)
                self._fd = copy
                # What a program without a lock has appended meanwhile.
                copy_lines(source, target, drop)
        except BaseException:
            if self._fd != copy:
                os.close(copy)
                with contextlib.suppress(OSError):
                    os.unlink(name)
            self._forget()
            raise
        try:
            sync_folder(folder)
        except BaseException:
            self._forget()
            raise
        self._lines.read_to = size
        self._lines.read_last = (0, b"")
        self._lines.move(moved)


def _lines_of(unit: Unit, now: datetime) -> list[bytes]:
    if len(unit) == 1:
        return [to_line(unit[0], now)]
    number, last = int.from_bytes(os.urandom(4), "big"), len(unit) - 1
    return [to_line(trace, now, Group(number, last - n)) for n, trace in enumerate(unit)]


def _is_readable(line: bytes) -> bool:
    try:
        read_line(line)
    except ValueError:
        return False
    return True
