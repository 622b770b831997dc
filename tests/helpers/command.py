"""The command: in this process, as most tests run it, or as a program of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

PROGRAM = [sys.executable, "-m", "selectools_observe"]
ROOT = Path(__file__).parents[2]


def environment(**variables: str) -> dict[str, str]:
    """The surroundings of a program: nothing of the tests' own changes what it prints."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
    }
    return {**kept, "TZ": "UTC", "PYTHONPATH": str(ROOT), **variables}


def run(*arguments: object, cwd=None, **variables: str):
    """Run the command to its end, in this process: no second is spent on starting another."""
    from selectools_observe.cli.runner import run as run_command

    out, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    words = [str(each) for each in arguments]
    with (
        open(os.devnull, encoding="utf-8") as nothing,
        contextlib.chdir(cwd or "."),
        _surroundings(environment(**variables)),
        mock.patch.object(sys, "argv", ["selectools-observe", *words]),
        mock.patch.object(sys, "stdin", nothing),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        code = run_command(words)
    shown, told = (each.buffer.getvalue().decode() for each in (out, errors))
    return subprocess.CompletedProcess(words, code, shown, told)


@contextlib.contextmanager
def _surroundings(variables: dict[str, str]) -> Iterator[None]:
    with mock.patch.dict(os.environ, variables, clear=True):
        time.tzset()
        yield
    time.tzset()


def run_program(*arguments: object, stdin: str | None = None, cwd=None, **variables: str):
    """Run the command to its end as people run it, where the process is what is tested."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        encoding="utf-8",
        env=environment(**variables),
        cwd=cwd,
        timeout=300,
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
