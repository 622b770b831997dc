"""The service in a process of its own, and what is measured of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Self


class Service:
    """``selectools-observe serve`` of a new store, on a free port."""

    def __init__(self, store: Path) -> None:
        arguments = ["-s", str(store), "serve", "--port", "0"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "selectools_observe.cli", *arguments],
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

    @property
    def peak_memory_mb(self) -> float:
        """The most memory it took so far; of Linux only."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


def told(name: str, seconds: list[float]) -> str:
    """A row: how many answers there were, p50, p99 and the slowest, in ms."""
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return f"{name:34} {len(ordered):7,} {p50:9.1f} {p99:9.1f} {ordered[-1] * 1e3:9.1f}"
