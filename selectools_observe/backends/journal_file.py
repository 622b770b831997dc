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
import logging
import os
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from ..errors import TraceStoreError
from ..model.codec import decode, decode_step
from ..model.trace import AgentTrace, TraceStep
from .filelock import try_to_lock

log = logging.getLogger("selectools_observe")

T = TypeVar("T")

UNFINISHED = "unfinished"
"""The metadata key that marks a run that has not ended, or never will: its program was killed."""

BEGIN, DOING, STEP, END, FORGET = b"begin", b"doing", b"step", b"end", b"forget"
SUFFIX = ".record"
BEING_MADE = ".new"  # not locked yet
_FORGOTTEN = 60.0  # seconds after which nobody goes on making a record


def folder_of(path: str) -> str:
    """Where the records stand of a store in this file."""
    return f"{path}.live"


def to_line(run: int, kind: bytes, step: int, body: bytes) -> bytes:
    """A line of a record, with its newline."""
    said = b"%d %b %d %b" % (run, kind, step, body)
    return b"%08x %b\n" % (zlib.crc32(said), said)


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
        said = _checked(line)
        if said is None:
            # Without a newline it is the one that was being written.
            damaged += line.endswith(b"\n")
            continue
        run, kind, step, body = said
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
    """What a line says; None if it is damaged."""
    checksum, _, said = line.removesuffix(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(said):
            return None
        run, kind, step, body = said.split(b" ", 3)
        return int(run), kind, int(step), body
    except ValueError:
        return None


class Claim:
    """A record that belongs to nobody, held by us."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def runs(self) -> list[RecordedRun]:
        """What it tells."""
        with open(self._fd, "rb", closefd=False) as file:
            return runs_in(file)

    def remove(self) -> None:
        """Remove the record: its runs are in the store."""
        os.unlink(self.path)
        remove_if_empty(os.path.dirname(self.path))

    def release(self) -> None:
        """Let others have it, if it is still there."""
        os.close(self._fd)


def remove_if_empty(folder: str) -> None:
    """Remove the folder of records that are gone; others may use it."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)


def records_in(folder: str) -> list[str]:
    """The paths of the records, alive or not; none if there is no such folder."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in names:
        if name.endswith(BEING_MADE):
            _remove_if_forgotten(os.path.join(folder, name))
    return sorted(os.path.join(folder, name) for name in names if name.endswith(SUFFIX))


def _remove_if_forgotten(path: str) -> None:
    try:
        if time.time() - os.stat(path).st_mtime > _FORGOTTEN:
            os.unlink(path)
    except FileNotFoundError:
        pass


def claim(path: str) -> Claim | None:
    """Take a record; None if its writer lives, or somebody else is recovering it."""
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    try:
        # Locked, it may have been removed meanwhile by who had the lock before.
        if try_to_lock(fd) and os.fstat(fd).st_nlink:
            return Claim(path, fd)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


class RecoveryTarget(Protocol):
    """The store that runs are recovered into."""

    async def stored(self, run_ids: Sequence[str]) -> dict[str, Any]:
        """Those of these traces that are there and can be read."""

    async def keep(self, traces: Sequence[AgentTrace]) -> None:
        """Store the traces, all or none."""


class Call(Protocol):
    """Runs blocking work."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


async def recover(folder: str, keeper: RecoveryTarget, call: Call) -> list[str]:
    """Put the runs of all records that belong to nobody into the store; their ids.

    A run that the store has whole already stays as it is. Killed in the midst, it is done again by
    the next. What cannot be recovered now is logged and stays for later.
    """
    recovered: list[str] = []
    for path in await call(partial(_records_or_none, folder)):
        try:
            recovered += await _recover_one(path, keeper, call)
        except (TraceStoreError, OSError, ValueError) as error:
            # No traceback: an open store goes on without it.
            log.error("The run journal %s is not recovered yet: %s", path, error)  # noqa: TRY400
    return recovered


def _records_or_none(folder: str) -> list[str]:
    try:
        return records_in(folder)
    except OSError as error:
        log.error("The run journals in %s cannot be listed: %s", folder, error)  # noqa: TRY400
        return []


async def _recover_one(path: str, keeper: RecoveryTarget, call: Call) -> list[str]:
    held = await call(partial(claim, path))
    if held is None:
        return []
    try:
        runs = {run.trace().run_id: run for run in await call(held.runs)}
        traces = await _missing(runs, keeper)
        if traces:
            await keeper.keep(traces)
            log.warning("Recovered %d runs from the run journal %s", len(traces), path)
        await call(held.remove)
    finally:
        held.release()
    return [trace.run_id for trace in traces]


async def _missing(runs: dict[str, RecordedRun], keeper: RecoveryTarget) -> list[AgentTrace]:
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
