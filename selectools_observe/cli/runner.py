"""Running the command: from arguments to an exit code, without a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from ..errors import TraceNotFoundError, TraceStoreError
from .command_group import command
from .exit_codes import (
    INTERNAL,
    INTERRUPTED,
    NOTHING,
    OK,
    PIPE_CLOSED,
    STORE,
    USAGE,
    PipeClosedError,
)
from .terminal import Terminal


def run(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    code = _guarded(list(arguments))
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = PIPE_CLOSED
    except OSError as error:
        if code in {OK, NOTHING}:
            code = _reported(f"standard output: {error.strerror}", STORE)
    if code != OK:
        _drop_unwritten_output()
    return code


def _guarded(arguments: list[str]) -> int:
    try:
        code = command.main(arguments, prog_name="selectools-observe", standalone_mode=False)
    except (PipeClosedError, SystemExit):  # click exits by itself if its help meets a closed pipe
        return PIPE_CLOSED
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SELECTOOLS_OBSERVE_DEBUG"):
            raise
        return _reported(*_explained(error))
    return code if isinstance(code, int) else OK


_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (KeyboardInterrupt, INTERRUPTED),
    (click.Abort, INTERRUPTED),
    (click.FileError, STORE),
    (click.ClickException, USAGE),
    (TraceNotFoundError, NOTHING),
    (TraceStoreError, STORE),
    (OSError, STORE),
    (ImportError, USAGE),  # of an extra: it says what to install
)


def _explained(error: BaseException) -> tuple[str, int]:
    """What to tell of an error, and the exit code."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), INTERNAL)
    text = str(error)
    if code == INTERRUPTED:
        text = "interrupted"
    elif code == INTERNAL:
        hint = "set SELECTOOLS_OBSERVE_DEBUG=1 for the traceback; please report it"
        text = f"internal error: {type(error).__name__}: {error} (hint: {hint})"
    elif isinstance(error, click.ClickException):
        message = error.format_message()
        text = message if message.endswith((".", "?")) else f"{message}."
        if isinstance(error, click.UsageError) and error.ctx:
            text = f"{text} See '{error.ctx.command_path} --help'."
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}"
    return text, code


def _reported(message: str, code: int) -> int:
    try:
        Terminal().error(message)
    except BrokenPipeError:
        return PIPE_CLOSED
    except OSError:  # there is nobody to tell
        return code
    return code


def _drop_unwritten_output() -> None:
    """Keep the interpreter from writing what is left to a pipe that is closed."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
