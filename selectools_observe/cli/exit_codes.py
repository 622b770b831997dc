"""The exit codes of the command, and the errors that end in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

OK = 0
NOTHING = 1
USAGE = 2
STORE = 3
INTERNAL = 70
INTERRUPTED = 130
PIPE_CLOSED = 141

EXIT_CODES = {
    OK: "success",
    NOTHING: "nothing found or done; `verify` found damage; `compare` found a difference",
    USAGE: "usage error",
    STORE: "the store, or a file, could not be read or written",
    INTERNAL: "internal error: please report it",
    INTERRUPTED: "interrupted (Ctrl+C)",
    PIPE_CLOSED: "the reader of its output closed the pipe, as in `| head`",
}


@contextmanager
def usage_errors() -> Iterator[None]:
    """A ``ValueError`` about what was given is an error of usage."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


class PipeClosedError(Exception):
    """Whoever read our output had enough. Not a `BrokenPipeError`: click would exit with 1."""
