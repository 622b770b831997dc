"""Checking a file of lines from end to end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import BinaryIO

from ...model.reports import VerifyReport
from ...runtime.gil import GilYielder
from ..files.filelock import lock, unlock
from ..files.private_files import check_regular
from ..files.progress import Problems, Steps
from ..files.summary_check import wrong_in_summary
from .annotation_file import problems_in
from .line_format import Group, goes_on, group_of, parse_line, run_id_of
from .line_repair import restored_line

COPY_BYTES = 1024 * 1024
_AT_A_STRETCH = 0.05  # seconds of one step
_SOME_TIME = b"1970-01-01T00:00:00+00:00"
CUT_SHORT = "it is incomplete: the write never finished, or the file was truncated"


def verifying(path: str, where: str) -> Steps[VerifyReport]:
    """Check every line, by reading only."""
    check_regular(path)
    with open(path, "rb", buffering=COPY_BYTES) as file:
        return (yield from _Verification(file, where).steps())


class _Verification:
    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self._where = where
        self._problems = Problems()
        self._runs: set[str] = set()
        self._superseded = 0
        self._together: list[str] = []
        self._group: Group | None = None

    def steps(self) -> Steps[VerifyReport]:
        size = os.fstat(self._file.fileno()).st_size
        deadline, yielder = time.monotonic() + _AT_A_STRETCH, GilYielder()
        for offset, line in whole_lines(self._file):
            self._line(offset, line)
            yielder.maybe_yield()
            if time.monotonic() > deadline:
                done = offset + len(line)
                yield done, max(size, done)
                deadline = time.monotonic() + _AT_A_STRETCH
        for found in problems_in(self._file.name, self._where):
            self._problems.add(None, found.where, found.problem)
        return VerifyReport(
            self._where,
            len(self._runs),
            self._superseded,
            tuple(self._problems.kept),
            self._problems.further,
        )

    def _line(self, offset: int, line: bytes) -> None:
        if not line.strip():
            return
        if self._group is None or not goes_on(self._group, line):
            self._together = []
        elif not line.endswith(b"\n"):
            self._runs.difference_update(self._together)  # never acknowledged either
        self._group = group_of(line)
        lacks_others = self._group is not None and self._group.left > 0
        if lacks_others and not line.endswith(b"\n"):
            problem: str | None = CUT_SHORT
        else:
            problem = self._problem_of(line)
        if problem is None:
            return
        if not line.endswith(b"\n"):
            problem = CUT_SHORT
        run_id = _name_of(line)
        if run_id is not None:
            self._runs.discard(run_id)  # what stands before it is not what was saved last
        self._problems.add(run_id, f"{self._where}, byte {offset}", problem)

    def _problem_of(self, line: bytes) -> str | None:
        try:
            summary, trace = parse_line(line)
        except ValueError as error:
            return str(error)
        reported = (summary.steps, summary.total_ms, summary.metadata)
        for problem in wrong_in_summary(trace, *reported):
            return problem
        if trace.run_id != summary.run_id:
            return f"it holds the trace of run {trace.run_id!r}"
        self._superseded += summary.run_id in self._runs
        self._runs.add(summary.run_id)
        self._together.append(summary.run_id)
        return None


def _name_of(line: bytes) -> str | None:
    """The run of a damaged line, told by its beginning or by its trace."""
    try:
        return run_id_of(line) or restored_line(line, _SOME_TIME).run_id
    except ValueError:
        return None


def whole_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines and where they begin; the last one is waited for if somebody is writing it."""
    offset = 0
    for line in file:
        whole = line if line.endswith(b"\n") else line + _rest_of(file)
        yield offset, whole
        offset += len(whole)


def _rest_of(file: BinaryIO) -> bytes:
    """What a writer that was met in the middle has added to the line by the time it is done."""
    try:
        with contextlib.suppress(OSError):
            lock(file.fileno())
        return file.readline()
    finally:
        unlock(file.fileno())
