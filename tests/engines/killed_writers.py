"""Processes that write to a store until they are killed, and tell what was acknowledged."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial


class Writer:
    """A process of its own that works until it is killed.

    Args:
        work: What it does, given a function that takes a line for this process.
    """

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self._pipe, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._pipe)
                work(lambda line: _write(write, line))
            finally:
                os._exit(1)
        os.close(write)

    @property
    def acknowledged(self) -> list[str]:
        """The words of all lines: ids of runs, where it tells no more."""
        return [word for line in self.lines for word in line.split()]

    def read(self, seconds: float) -> None:
        """Take what was told meanwhile, at most that long."""
        if select.select([self._pipe], [], [], seconds)[0]:
            *lines, self._rest = (self._rest + os.read(self._pipe, 1 << 16)).split(b"\n")
            self.lines += [line.decode() for line in lines]

    def wait_for_more(self, many: int = 1) -> None:
        """Wait for so many lines more."""
        goal, deadline = len(self.lines) + many, time.monotonic() + 120
        while len(self.lines) < goal:
            assert time.monotonic() < deadline, "the writer does not get on"
            self.read(1)

    def kill(self) -> None:
        """Kill it, and take what it told before."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        while select.select([self._pipe], [], [], 0)[0]:
            before = len(self.lines), self._rest
            self.read(0)
            if before == (len(self.lines), self._rest):
                break
        os.close(self._pipe)


def _write(pipe: int, line: str) -> None:
    os.write(pipe, f"{line}\n".encode())


@contextlib.contextmanager
def writers_at(
    work: Callable[[str, Callable[[str], None]], None], many: int
) -> Iterator[list[Writer]]:
    """So many writers, each with a name of its own; killed at the end."""
    writers = [Writer(partial(work, f"w{number}")) for number in range(many)]
    try:
        for writer in writers:
            writer.wait_for_more()
        yield writers
    finally:
        for writer in writers:
            writer.kill()
