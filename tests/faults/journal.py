"""What a program was about to do and what was acknowledged, told line by line as it happens.

A line is one ``write`` to a file opened for appending, so that it outlives the program. From the
lines follows what may be in the store: before an acknowledgement, the old or the new; after it,
the new alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ABSENT = 0


class Journal:
    """The journal of one program. Versions of a run begin at 1; `ABSENT` is a deletion."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def begin(self, version: int, *run_ids: str) -> None:
        """These are about to be stored together, or deleted."""
        self._tell("begin", version, run_ids)

    def done(self, version: int, *run_ids: str) -> None:
        """It was acknowledged."""
        self._tell("done", version, run_ids)

    def _tell(self, what: str, version: int, run_ids: Sequence[str]) -> None:
        os.write(self._fd, f"{what} {version} {' '.join(run_ids)}\n".encode())

    def close(self) -> None:
        os.close(self._fd)


class Expected:
    """What the journals allow: for each run the versions of which one must be there."""

    def __init__(self, journals: Iterable[Path]) -> None:
        self.allowed: dict[str, set[int]] = {}
        self.together: list[list[str]] = []
        """Runs whose saving at once was begun and never acknowledged: all of them, or none."""
        self.counts: dict[Path, dict[str, int]] = {}
        for path in journals:
            self._read(path)

    def _read(self, path: Path) -> None:
        counts = self.counts[path] = {"acknowledged": 0, "deleted": 0}
        for what, version, run_ids in _lines(path) if path.exists() else ():
            if what == "begin":
                if len(run_ids) > 1:
                    self.together.append(run_ids)
                for run_id in run_ids:
                    self.allowed.setdefault(run_id, {ABSENT}).add(version)
            else:
                if run_ids in self.together:
                    self.together.remove(run_ids)
                self.allowed.update((run_id, {version}) for run_id in run_ids)
                counts["deleted" if version == ABSENT else "acknowledged"] += len(run_ids)

    @property
    def certain(self) -> set[str]:
        """The runs that must be there, in whatever version."""
        return {run_id for run_id, allowed in self.allowed.items() if ABSENT not in allowed}


def acknowledged_in(path: Path) -> list[str]:
    """The runs that a journal says are stored by now, in the order of their acknowledgement."""
    runs: dict[str, int] = {}
    if path.exists():
        for what, version, run_ids in _lines(path):
            if what == "done":
                for run_id in run_ids:
                    runs[run_id] = version
    return [run_id for run_id, version in runs.items() if version != ABSENT]


def _lines(path: Path) -> Iterator[tuple[str, int, list[str]]]:
    text = path.read_text()
    for line in text[: text.rfind("\n") + 1].splitlines():
        what, version, *run_ids = line.split()
        yield what, int(version), run_ids
