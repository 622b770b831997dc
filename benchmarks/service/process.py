"""The service in a process of its own, and what is measured of it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Self


class Service:
    """``selectools-observe serve`` of a new store, on a free port.

    Attributes:
        port: Where it listens.
        peak_memory_mb: The most memory that it took, with its processes, whenever it was looked at.
    """

    def __init__(self, store: Path) -> None:
        self.peak_memory_mb = 0.0
        arguments = ["-s", str(store), "serve", "--port", "0"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "selectools_observe", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            found = re.search(r"http://[\w.]+:(\d+)", line)
            if found:
                self.port = int(found[1])
                return
        raise RuntimeError("the service did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def look_at_memory(self) -> None:
        """Note what it and its processes take now, if that is the most; of Linux only."""
        self.peak_memory_mb = max(self.peak_memory_mb, sum(memory_mb(self._process.pid)))


def memory_mb(pid: int) -> list[float]:
    """What a process and those that it has started take now, each."""
    pids = [str(pid)]
    taken: dict[bytes, float] = {}
    for each in pids:
        with contextlib.suppress(OSError, IndexError):  # it has ended
            for task in Path("/proc", each, "task").glob("*/children"):
                pids += task.read_text().split()
            # One that is just being started is its parent still, and all of that is seen twice.
            command = Path("/proc", each, "cmdline").read_bytes()
            size = Path("/proc", each, "status").read_text().split("VmRSS:")[1].split()[0]
            taken.setdefault(command, int(size) / 1024)
    return list(taken.values())


def told(name: str, seconds: list[float]) -> str:
    """A row: how many answers there were, p50, p99 and the slowest, in ms."""
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return f"{name:34} {len(ordered):7,} {p50:9.1f} {p99:9.1f} {ordered[-1] * 1e3:9.1f}"
