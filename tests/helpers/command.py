"""The command, run as people run it: as a program of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = [sys.executable, "-m", "selectools_observe.cli"]
ROOT = Path(__file__).parents[2]


def environment(**variables: str) -> dict[str, str]:
    """The surroundings of a program: nothing of the tests' own changes what it prints."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    }
    return {**kept, "TZ": "UTC", "PYTHONPATH": str(ROOT), **variables}


def run(*arguments: object, stdin: str | None = None, cwd=None, **variables: str):
    """Run the command to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        env=environment(**variables),
        cwd=cwd,
        timeout=100,
        check=False,
    )


def start(*arguments: object, cwd=None, **variables: str) -> subprocess.Popen[str]:
    """Start the command, its output in pipes."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(PYTHONUNBUFFERED="1", **variables),
        cwd=cwd,
    )


def run_here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process: many times as fast, where a process is not the subject."""
    from selectools_observe.cli.runner import run as run_command

    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = run_command([str(each) for each in arguments])
    shown, said = (each.buffer.getvalue().decode() for each in (out, errors))
    return subprocess.CompletedProcess(arguments, code, shown, said)
