"""The file next to an archive that holds its annotations: a log of changes, one a line.

A line is written under the archive's own lock, whole or not at all, and carries a checksum as the
archive's lines do. selectools would show such a line in the archive itself as an empty run.

A run is deleted by rewriting the archive, which no line here can be one step with. So a line
says before that the run is about to go, and another afterwards that it is gone; where the second
is missing the archive tells which it is.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from ...model.annotations import Annotation
from ...model.json_values import dumps, loads
from ...model.reports import Problem
from ..files.atomic_file import sync_folder, write_all
from ..files.private_files import FILE_MODE, check_regular
from ..queries.annotation_index import AnnotationIndex
from .file_io import clear_away, take_back
from .line_format import check_checksum, resealed

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_NEGLIGIBLE = 64 * 1024
_KEYS = frozenset({"put", "removed", "deleting", "deleted", "kept"})


def path_for(archive: str) -> str:
    """The file of an archive's annotations."""
    return f"{archive}.annotations"


class AnnotationFile:
    """The log, and what it comes to. Its owner takes turns, and locks the archive to write.

    Attributes:
        path: The file; it is made by the first annotation.
        index: What is in it.
        broken: Places and reasons of lines that cannot be read.
    """

    def __init__(self, archive: str, *, sync: bool) -> None:
        self.path = path_for(archive)
        self._sync = sync
        self._compact_size = 0
        self.forget()

    def forget(self) -> None:
        """Read all of it again at the next look."""
        self.index = AnnotationIndex()
        self.broken: list[tuple[int, str]] = []
        self._deleting: dict[str, None] = {}
        self._read_to = 0
        self._identity: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """The bytes of the file that were read."""
        return self._read_to

    @property
    def is_wasteful(self) -> bool:
        """Whether it has grown to more than twice what it was when it was compact."""
        return self._read_to > 2 * self._compact_size + _NEGLIGIBLE

    def size_of(self, run_id: str) -> int:
        """The bytes that the annotations of a run take when the file is compact."""
        return len(Change(put=self.index.of(run_id)).to_line()) if run_id in self.index else 0

    def refresh(self) -> set[str]:
        """Take in what was written since; the runs whose annotations may have changed."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return self._begin_again() if self._identity is not None else set()
        identity = (found.st_dev, found.st_ino)
        changed: set[str] = set()
        if identity != self._identity or found.st_size < self._read_to:
            changed = self._begin_again()
            self._identity = identity
        if found.st_size > self._read_to:
            check_regular(self.path)
            with open(self.path, "rb") as file:
                file.seek(self._read_to)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # being written, or torn: it was never acknowledged
                    changed.update(self._take(line))
                    self._read_to += len(line)
        return changed

    def _begin_again(self) -> set[str]:
        before = set(self.index.runs())
        self.forget()
        return before

    def _take(self, line: bytes) -> set[str]:
        try:
            change = _change_of(line)
        except ValueError as error:
            self.broken.append((self._read_to, str(error)))
            return set()
        return self._apply(change)

    def _apply(self, change: Change) -> set[str]:
        self.index.put(change.put)
        for run_id, annotation_id in change.removed:
            self.index.remove(run_id, [annotation_id])
        self._deleting.update(dict.fromkeys(change.deleting))
        for run_id in (*change.deleted, *change.kept):
            self._deleting.pop(run_id, None)
        for run_id in change.deleted:
            self.index.forget(run_id)
        removed = [run_id for run_id, _ in change.removed]
        return {*(one.run_id for one in change.put), *removed, *change.deleted}

    def append(self, change: Change) -> set[str]:
        """Write a change, durable as the archive's lines are; the runs that it is about."""
        line = change.to_line()
        is_new = not os.path.exists(self.path)
        check_regular(self.path)
        fd = os.open(self.path, _FLAGS, FILE_MODE)
        try:
            end = self._read_to
            if os.fstat(fd).st_size > end:
                os.ftruncate(fd, end)  # what a crash left half written
            try:
                write_all(fd, line)
                if self._sync:
                    os.fsync(fd)
            except BaseException:
                take_back(fd, end, len(line))
                raise
            status = os.fstat(fd)
            self._identity = (status.st_dev, status.st_ino)
            self._read_to = end + len(line)
        finally:
            os.close(fd)
        if self._sync and is_new:
            sync_folder(os.path.dirname(self.path))
        return self._apply(change)

    def settle(self, is_there: Callable[[str], bool]) -> None:
        """Say what became of runs whose deletion was cut short; the archive is locked."""
        if self._deleting:
            kept = [run_id for run_id in self._deleting if is_there(run_id)]
            gone = [run_id for run_id in self._deleting if not is_there(run_id)]
            self.append(Change(kept=kept, deleted=gone))

    def compact(self) -> None:
        """Rewrite the file with what counts still; the archive is locked."""
        if self._identity is None or self.broken:
            return  # what cannot be read is not thrown away
        folder, base = os.path.split(self.path)
        clear_away(folder, base)
        name = os.path.join(folder, f".{base}.{uuid.uuid4().hex}")
        fd = os.open(name, _FLAGS | os.O_EXCL, FILE_MODE)
        try:
            os.fchmod(fd, os.stat(self.path).st_mode & 0o777)
            lines = (Change(put=self.index.of(run_id)).to_line() for run_id in self.index.runs())
            with open(fd, "wb", closefd=False) as file:
                file.writelines(lines)
            os.fsync(fd)
            os.replace(name, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        finally:
            os.close(fd)
        sync_folder(folder)
        self.forget()
        self.refresh()
        self._compact_size = self._read_to

    def snapshot(self) -> int | None:
        """A descriptor of one's own, or None if there is no file; the archive is locked."""
        try:
            return os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return None


class Change:
    """What one line says.

    Attributes:
        put: Annotations that were added, or put in place of those with their ids.
        removed: The runs and ids of annotations that were removed.
        deleting: Runs that are about to be deleted.
        deleted: Runs that are deleted, and their annotations with them.
        kept: Runs that were about to be deleted and are there still.
    """

    def __init__(
        self,
        put: Sequence[Annotation] = (),
        removed: Sequence[tuple[str, str]] = (),
        deleting: Sequence[str] = (),
        deleted: Sequence[str] = (),
        kept: Sequence[str] = (),
    ) -> None:
        self.put = put
        self.removed = removed
        self.deleting = deleting
        self.deleted = deleted
        self.kept = kept

    def to_line(self) -> bytes:
        """The line, with its newline."""
        fields = {
            "put": [one.to_dict() for one in self.put],
            "removed": [list(pair) for pair in self.removed],
            "deleting": list(self.deleting),
            "deleted": list(self.deleted),
            "kept": list(self.kept),
        }
        return resealed(dumps({name: value for name, value in fields.items() if value}))


def _change_of(line: bytes) -> Change:
    """What a line says.

    Raises:
        ValueError: It cannot be read.
    """
    check_checksum(line)
    found = loads(line)
    if not isinstance(found, dict) or not found.keys() <= _KEYS:
        raise ValueError("it is not a line of annotations")
    try:
        return Change(
            [Annotation.from_dict(one) for one in found.get("put", ())],
            [(str(run_id), str(one)) for run_id, one in found.get("removed", ())],
            *(
                [str(run_id) for run_id in found.get(n, ())]
                for n in ("deleting", "deleted", "kept")
            ),
        )
    except (TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def sound_lines(archive: str) -> Iterator[tuple[int, bytes, str | None]]:
    """The lines of an archive's annotations, their places, and what is wrong with each if anything.

    What stands after the last newline was never acknowledged, and is left out.
    """
    path = path_for(archive)
    check_regular(path)
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        yield from _checked(file)


def _checked(file: BinaryIO) -> Iterator[tuple[int, bytes, str | None]]:
    offset = 0
    for line in file:
        if not line.endswith(b"\n"):
            return
        problem = None
        try:
            _change_of(line)
        except ValueError as error:
            problem = str(error)
        yield offset, line, problem
        offset += len(line)


def problems_in(archive: str, where: str) -> Iterable[Problem]:
    """What is wrong in the annotations of an archive."""
    for offset, _, problem in sound_lines(archive):
        if problem is not None:
            yield Problem(None, f"{path_for(where)}, byte {offset}", problem)
