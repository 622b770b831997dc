"""Live records: what runs did so far, on disk while they go on, and what is left of a killed one.

A record is a file in the folder ``<store>.live``. Who writes it holds its lock for as long as he
lives, so a record whose lock is free belongs to nobody: the next to open the store puts its runs
there, marked unfinished, and removes it. Each line stands for itself, with a checksum, so that one
that was being written when the program died takes no other with it::

    CRC32 RUN KIND STEP JSON

RUN is a number that stands for the run in this record; STEP the place of a step in its run. A later
line for the same step replaces the earlier. What `KIND` says:

* ``begin``: a run begins; JSON is the run without its steps.
* ``doing``: a step that has begun.
* ``step``: the same, over.
* ``end``: the run is over; JSON as for ``begin``. From here on it can be recovered whole.
* ``forget``: the run is in the store.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import stat
import time
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from ...errors import TraceStoreError
from ...model.codec import decode, decode_step
from ...model.trace import AgentTrace, TraceStep
from .atomic_file import sync_folder
from .filelock import try_to_lock
from .private_files import FILE_MODE, make_folder

log = logging.getLogger(__name__)

T = TypeVar("T")

UNFINISHED = "unfinished"
"""The metadata key that marks a run that has not ended, or never will: its program was killed."""

BEGIN, DOING, STEP, END, FORGET = b"begin", b"doing", b"step", b"end", b"forget"
SUFFIX = ".record"
BEING_MADE = ".new"  # not locked yet


class RecordForm(NamedTuple):
    """What the records of a folder are like: nothing else there is taken, or removed."""

    names: re.Pattern[str]
    begun: re.Pattern[bytes]  # a line without its end

    def has(self, line: bytes) -> bool:
        """Whether a line is one of ours, or how one begins."""
        if line.endswith(b"\n"):
            return payload_of(line) is not None
        return self.begun.fullmatch(line) is not None


RUN_RECORDS = RecordForm(
    re.compile(r"[0-9a-f]{16}\.(?:record|new)"),
    re.compile(
        rb"[0-9a-f]{0,8}|[0-9a-f]{8} \d*|[0-9a-f]{8} \d+ [a-z]*|[0-9a-f]{8} \d+ [a-z]+ \d*"
        rb"|[0-9a-f]{8} \d+ (?:begin|doing|step|end|forget) \d+ .*",
        re.DOTALL,
    ),
)
_NEW_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_RECORD_FLAGS = (
    os.O_RDWR
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for ever
    | getattr(os, "O_CLOEXEC", 0)
)
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FORGOTTEN = 60.0  # seconds after which nobody goes on making a record


def folder_of(path: str) -> str:
    """Where the records stand of a store in this file."""
    return f"{path}.live"


def owners_of(path: str | None) -> Collection[int]:
    """Who may leave records of a store in this file, besides the user who opens it."""
    if path is not None:
        with contextlib.suppress(OSError):
            return (os.stat(path).st_uid,)
    return ()


def to_line(run: int, kind: bytes, step: int, body: bytes) -> bytes:
    """A line of a record, with its newline."""
    return checked_line(b"%d %b %d %b" % (run, kind, step, body))


def checked_line(payload: bytes) -> bytes:
    """A line with the checksum of what it says."""
    return b"%08x %b\n" % (zlib.crc32(payload), payload)


def payload_of(line: bytes) -> bytes | None:
    """What a line says; None if it is damaged."""
    checksum, _, payload = line.removesuffix(b"\n").partition(b" ")
    try:
        return payload if payload and int(checksum, 16) == zlib.crc32(payload) else None
    except ValueError:
        return None


def new_record(folder: str, stem: str, suffix: str) -> tuple[str, int]:
    """A new record: locked before others can see it, or one of them would take it for dead.

    Raises:
        OSError: It cannot be made; the folder is a symbolic link.
    """
    path = os.path.join(folder, stem)
    fd = _new_file(folder, path + BEING_MADE)
    try:
        try_to_lock(fd)
        os.rename(path + BEING_MADE, path + suffix)
        with contextlib.suppress(OSError):  # where folders can be synced
            sync_folder(folder)
    except BaseException:
        os.close(fd)
        raise
    return path + suffix, fd


def _new_file(folder: str, path: str) -> int:
    while True:
        make_folder(folder)
        if os.path.islink(folder):
            raise OSError(errno.ELOOP, "the folder of journals is a link", folder)
        try:
            return os.open(path, _NEW_FLAGS, FILE_MODE)
        except FileNotFoundError:
            continue  # somebody removed the folder, since it was empty


class RecordedRun:
    """A run as a record tells it."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.steps: dict[int, bytes] = {}
        self.under_way: set[int] = set()
        self.has_ended = False

    def trace(self) -> AgentTrace:
        """The run with all steps that were written; marked, unless it had ended."""
        trace: AgentTrace = decode(self.head)
        trace.steps = list(self._steps())
        if not self.has_ended:
            trace.metadata[UNFINISHED] = True
        return trace

    def _steps(self) -> Iterator[TraceStep]:
        for place, body in sorted(self.steps.items()):
            try:
                step = decode_step(body)
            except ValueError as error:
                log.warning("A step in a run journal cannot be read: %s", error)
                continue
            if place in self.under_way:
                step.extra = {**(step.extra or {}), UNFINISHED: True}
            yield step


def runs_in(lines: Iterable[bytes]) -> list[RecordedRun]:
    """The runs of a record that were not forgotten, in the order of their beginnings."""
    runs: dict[int, RecordedRun] = {}
    damaged = 0
    for line in lines:
        payload = _checked(line)
        if payload is None:
            # Without a newline it is the one that was being written.
            damaged += line.endswith(b"\n")
            continue
        run, kind, step, body = payload
        if kind == BEGIN:
            runs[run] = RecordedRun(body)
        elif run in runs:
            _heed(runs, run, kind, step, body)
    if damaged:
        log.warning("%d damaged lines in a run journal were skipped", damaged)
    return list(runs.values())


def _heed(runs: dict[int, RecordedRun], run: int, kind: bytes, step: int, body: bytes) -> None:
    if kind in (STEP, DOING):
        runs[run].steps[step] = body
        (runs[run].under_way.add if kind == DOING else runs[run].under_way.discard)(step)
    elif kind == END:
        runs[run].head = body
        runs[run].has_ended = True
    elif kind == FORGET:
        del runs[run]


def _checked(line: bytes) -> tuple[int, bytes, int, bytes] | None:
    """What a line says, in its parts; None if it is damaged."""
    try:
        run, kind, step, body = (payload_of(line) or b"").split(b" ", 3)
        return int(run), kind, int(step), body
    except ValueError:
        return None


class Claim:
    """A record that belongs to nobody, held by us."""

    def __init__(self, path: str, fd: int, folder: JournalFolder) -> None:
        self.path = path
        self._fd = fd
        self._folder = folder
        self._is_ours = False

    def runs(self) -> list[RecordedRun]:
        """What it tells.

        Raises:
            ValueError: It is no record of ours.
        """
        return runs_in(self.lines())

    def lines(self) -> Iterator[bytes]:
        """Its lines.

        Raises:
            ValueError: It is no record of ours; said at the end.
        """
        self._is_ours = not os.fstat(self._fd).st_size
        with open(os.dup(self._fd), "rb") as file:
            for line in file:
                self._is_ours = self._is_ours or self._folder.form.has(line)
                yield line
        if not self._is_ours:
            raise ValueError("it is not a journal of ours; it is left unchanged")

    def remove(self) -> None:
        """Remove the record: its runs are in the store."""
        if self._is_ours:
            self._folder.remove(os.path.basename(self.path), self._fd)
            remove_if_empty(self._folder.path)

    def release(self) -> None:
        """Let others have it, if it is still there."""
        os.close(self._fd)


def remove_if_empty(folder: str) -> None:
    """Remove the folder of records that are gone; others may use it."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


class JournalFolder:
    """A folder of records, held open so that nobody puts another in its place meanwhile.

    What is in it may have been put there by somebody else: only regular files are taken, of the
    user himself or of the store's owner, with the names that we give, and by no second name.

    Args:
        path: The folder.
        owners: Whose records are taken, besides the user's own.
        form: What they are called and what is in them.

    Raises:
        FileNotFoundError: There is none.
        OSError: It is a link, no folder, or somebody else's.
    """

    def __init__(
        self, path: str, owners: Collection[int] = (), form: RecordForm = RUN_RECORDS
    ) -> None:
        self.path = path
        self.form = form
        self._owners = {*owners, *_own_id()}
        if stat.S_ISLNK(os.lstat(path).st_mode):
            raise OSError(errno.ELOOP, "it is a symbolic link")
        self._fd = None if os.name == "nt" else os.open(path, _FOLDER_FLAGS)
        try:
            self._check_owner(os.stat(path) if self._fd is None else os.fstat(self._fd))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def records(self) -> list[str]:
        """The paths of the records, alive or not."""
        names = os.listdir(self.path if self._fd is None else self._fd)
        found = []
        for name in sorted(filter(self.form.names.fullmatch, names)):
            if not name.endswith(BEING_MADE):
                found.append(os.path.join(self.path, name))
                continue
            with contextlib.suppress(OSError):
                self._remove_if_forgotten(name)
        return found

    def claim(self, path: str) -> Claim | None:
        """Take a record; None if its writer lives, or somebody else is recovering it.

        Raises:
            OSError: It is not one that is taken.
        """
        name = os.path.basename(path)
        try:
            fd = os.open(self._at(name), _RECORD_FLAGS, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        try:
            found = os.fstat(fd)
            if found.st_nlink:
                self._check_record(found)
            # Locked, it may have been removed meanwhile by who had the lock before.
            if try_to_lock(fd) and os.fstat(fd).st_nlink:
                return Claim(path, fd, self)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def read(self, path: str) -> list[bytes]:
        """The lines of a record, its writer alive or not; none if it is gone.

        Raises:
            OSError: It is not one that is taken.
        """
        name = os.path.basename(path)
        flags = (_RECORD_FLAGS & ~os.O_RDWR) | os.O_RDONLY
        try:
            fd = os.open(self._at(name), flags, dir_fd=self._fd)
        except FileNotFoundError:
            return []
        with open(fd, "rb") as file:
            self._check_record(os.fstat(fd))
            return file.readlines()

    def remove(self, name: str, fd: int) -> None:
        """Remove a record, if it still is the one that was opened."""
        found = os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)
        if os.path.samestat(found, os.fstat(fd)):
            os.unlink(self._at(name), dir_fd=self._fd)

    def _remove_if_forgotten(self, name: str) -> None:
        found = os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)
        self._check_record(found)
        if not found.st_size and time.time() - found.st_mtime > _FORGOTTEN:
            os.unlink(self._at(name), dir_fd=self._fd)

    def _check_record(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if found.st_nlink > 1:
            raise OSError(errno.EMLINK, "the file has another hard link")
        self._check_owner(found)

    def _check_owner(self, found: os.stat_result) -> None:
        if os.name == "posix" and found.st_uid not in self._owners:
            raise PermissionError(errno.EPERM, "it belongs to another user")

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name) if self._fd is None else name


def _own_id() -> tuple[int, ...]:
    return (os.geteuid(),) if hasattr(os, "geteuid") else ()


class RecoveryTarget(Protocol):
    """The store that runs are recovered into."""

    async def stored(self, run_ids: Sequence[str]) -> dict[str, Any]:
        """Those of these traces that are there and can be read."""

    async def keep(self, traces: Sequence[AgentTrace]) -> None:
        """Store the traces, all or none."""


class Call(Protocol):
    """Runs blocking work."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


async def recover(
    folder: str, keeper: RecoveryTarget, call: Call, owners: Collection[int] = ()
) -> list[str]:
    """Put the runs of all records that belong to nobody into the store; their ids.

    A run that the store has whole already stays as it is. Killed in the midst, it is done again by
    the next. What cannot be recovered now is logged and stays for later; so does what is not ours.
    """
    opened = await call(partial(_opened_or_none, folder, owners))
    if opened is None:
        return []
    recovered: list[str] = []
    try:
        for path in await call(partial(_records_or_none, opened)):
            try:
                recovered += await _recover_one(opened, path, keeper, call)
            except (TraceStoreError, OSError, ValueError) as error:
                # No traceback: an open store goes on without it.
                log.error("The run journal %s is not recovered yet: %s", path, _said(error))  # noqa: TRY400
    finally:
        opened.close()
    return recovered


def _opened_or_none(folder: str, owners: Collection[int]) -> JournalFolder | None:
    try:
        return JournalFolder(folder, owners)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        log.error("The run journals in %s are ignored: %s", folder, _said(error))  # noqa: TRY400
        return None


def _records_or_none(folder: JournalFolder) -> list[str]:
    try:
        return folder.records()
    except OSError as error:
        log.error("The run journals in %s cannot be listed: %s", folder.path, error)  # noqa: TRY400
        return []


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


async def _recover_one(
    folder: JournalFolder, path: str, keeper: RecoveryTarget, call: Call
) -> list[str]:
    held = await call(partial(folder.claim, path))
    if held is None:
        return []
    try:
        runs = {run.trace().run_id: run for run in await call(held.runs)}
        traces = await missing_runs(runs, keeper)
        if traces:
            await keeper.keep(traces)
            log.warning("Recovered %d runs from the run journal %s", len(traces), path)
        await call(held.remove)
    finally:
        held.release()
    return [trace.run_id for trace in traces]


async def missing_runs(runs: dict[str, RecordedRun], keeper: RecoveryTarget) -> list[AgentTrace]:
    """Those runs that the store has not, or has less of."""
    stored = await keeper.stored(list(runs))
    return [
        run.trace()
        for run_id, run in runs.items()
        if run_id not in stored or _says_more(run, stored[run_id])
    ]


def _says_more(run: RecordedRun, stored: Any) -> bool:
    if stored.metadata.get(UNFINISHED) is not True:
        return False
    return run.has_ended or len(run.steps) >= len(stored.steps)
