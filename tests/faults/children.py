"""Children that do what they are told, within a deadline, and say where they hang if they do.

A program that has loaded the package forks them: a hundred children cost no more than one start.
Nothing is open in it, so each child is as good as a program of its own.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Self

DEADLINE = 180  # seconds after which a child is said to hang
HUNG = "Timeout ("


class Child:
    """A running child. `wait` tells how it ended."""

    def __init__(self, zygote: Zygote, pid: int, stderr: Path) -> None:
        self.pid = pid
        self._zygote = zygote
        self._stderr = stderr

    def kill(self, how: int = signal.SIGKILL) -> None:
        os.kill(self.pid, how)

    def wait(self) -> int:
        """Its exit code, or the negative number of the signal that ended it."""
        return self._zygote.ask(wait=self.pid)["status"]

    @property
    def said(self) -> str:
        """What it wrote to its standard error, tracebacks and stacks among it."""
        return self._stderr.read_text()

    @property
    def hung(self) -> bool:
        return HUNG in self.said

    def check(self, expect: int = 0) -> None:
        """Wait for the expected end."""
        status = self.wait()
        assert status == expect, f"ended with {status}, not {expect}:\n{self.said}"


class Zygote:
    """The program that forks children; ``preload`` is a library put in front of the C library."""

    def __init__(self, preload: Path | None = None, **environment: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="faults")
        variables = {**os.environ, **environment}
        if preload is not None:
            variables["LD_PRELOAD"] = str(preload)
        self._program = subprocess.Popen(
            [sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables,
            cwd=Path(__file__).parent,
        )
        self._children = 0

    def ask(self, **command: Any) -> dict[str, Any]:
        self._program.stdin.write(json.dumps(command) + "\n")
        self._program.stdin.flush()
        return json.loads(self._program.stdout.readline())

    def start(self, role: str, *, deadline: float = DEADLINE, **arguments: Any) -> Child:
        """A child that plays a role of the module `roles`."""
        self._children += 1
        stderr = Path(self._folder.name, f"{self._children}")
        arguments = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in arguments.items()
        }
        answer = self.ask(start=role, arguments=arguments, deadline=deadline, stderr=str(stderr))
        return Child(self, answer["pid"], stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._program.stdin.close()
        self._program.wait(DEADLINE)
        self._program.stdout.close()
        self._folder.cleanup()


def main() -> None:
    """In the forking program."""
    import roles

    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            _, status = os.waitpid(command["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status)}
        else:
            answer = {"pid": _fork(getattr(roles, command["start"]), command)}
        print(json.dumps(answer), flush=True)


def _fork(role, command: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        stderr = os.open(command["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(stderr, 2)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        faulthandler.dump_traceback_later(command["deadline"], exit=True)
        role(**command["arguments"])
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
    main()
