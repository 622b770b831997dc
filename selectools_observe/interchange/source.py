"""A file to import from: its bytes, how far it is read, and who hears of what is left out."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, TypeAlias

from ..model.limits import Limits
from .gzip_file import GzipFile

if TYPE_CHECKING:
    from .scores import Judgement

Skipped: TypeAlias = Callable[[str, str], None]
"""Called with the place of what cannot be imported, and the reason."""
Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with how much is read and how much there is, if that is known."""

Judged: TypeAlias = "Callable[[Judgement], None]"
"""Called with what a file says of runs that are not in it."""

STANDARD_INPUT = "-"
IMPORT_LIMITS = Limits(values=5_000_000, metadata=1024 * 1024)
"""What is taken of one JSON value of a file, and of a run in it: more than a service takes."""
LONGEST = 256 * 1024 * 1024
"""The most bytes of a line, and of a JSON value, also when unpacked: they are held in memory."""
LONGEST_TEXT = "256 MiB"
_GZIP = b"\x1f\x8b"
_PART = re.compile(r"(.*)/day=[^/]*/(part-[0-9]+\.parquet)", re.DOTALL)


def files_in(folder: str) -> list[str]:
    """The files in a folder and those in it, by their names; parts of an export by their numbers.

    Runs of one day are in several parts where others were saved between them.
    """
    found = [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names]

    def place(path: str) -> tuple[str, str]:
        part = _PART.fullmatch(path)
        return (part[1], part[2]) if part else (os.path.dirname(path), os.path.basename(path))

    return sorted(found, key=place)


def ignore_skipped(place: str, reason: str) -> None:
    """Nobody wants to hear of it."""


def ignore_progress(done: int, total: int | None) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to import from.

    Attributes:
        path: Its name; ``-`` is standard input.
        skipped: Called with the place of what cannot be imported, and the reason.
        progress: Called with the bytes (or rows) read, and how many there are.
        judged: Called with what the file says of runs that are not in it; None: it is skipped.
        limits: What is taken of a JSON value.
    """

    path: str
    skipped: Skipped = ignore_skipped
    progress: Progress = ignore_progress
    judged: Judged | None = None
    limits: Limits = IMPORT_LIMITS

    def judge(self, judgement: Judgement) -> None:
        """Tell of a judgement of a run that is not in the file."""
        if self.judged is None:
            self.skipped(judgement.place, "what it says is of a run that is not in the file")
        else:
            self.judged(judgement)

    def first_bytes(self, count: int) -> bytes:
        """How the file begins; nothing of standard input, which can be read but once."""
        if self.path == STANDARD_INPUT:
            return b""
        with open(self.path, "rb") as file:
            return file.read(count)

    @contextmanager
    def lines(self) -> Iterator[Iterator[bytes]]:
        """The lines of the file, unpacked if it is packed with gzip; they report progress."""
        with self._opened() as file:
            size = None if self.path == STANDARD_INPUT else os.fstat(file.fileno()).st_size
            if self.path != STANDARD_INPUT and self.first_bytes(2) == _GZIP:
                unpacked = GzipFile(file, self.limits.members)
                lines = io.BufferedReader(unpacked)
                yield self._watched(lines, lambda _: file.tell(), size)
                if unpacked.damage:
                    self.skipped(f"{self.path}, the rest", unpacked.damage)
            else:
                yield self._watched(file, lambda done: done, size)

    def _opened(self) -> IO[bytes]:
        if self.path == STANDARD_INPUT:
            return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
        return open(self.path, "rb")

    def _watched(
        self, lines: IO[bytes] | io.BufferedReader, position: Callable[[int], int], size: int | None
    ) -> Iterator[bytes]:
        done = number = 0
        while line := lines.readline(LONGEST + 1):
            number += 1
            done += len(line)
            self.progress(position(done), size)
            if len(line) <= LONGEST:
                yield line
                continue
            self.skipped(f"{self.path}, line {number}", f"the line is longer than {LONGEST_TEXT}")
            yield b"\n"  # those after it keep their numbers
            while not line.endswith(b"\n") and (line := lines.readline(LONGEST)):
                done += len(line)
                self.progress(position(done), size)
