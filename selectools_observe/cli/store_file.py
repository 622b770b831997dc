"""The file of the command's store, and reports about it."""

from __future__ import annotations

from typing import NamedTuple

import click
from rich.text import Text

from ..model.text import printable_lines
from ..stores import maintenance
from .command_session import Session, existing


class StoreFile(NamedTuple):
    """A file that holds a store."""

    path: str
    kind: maintenance.Kind


def store_file(session: Session) -> StoreFile:
    """The file that the command is about.

    Raises:
        click.UsageError: The store is in memory.
        StorageError: There is no such file.
    """
    found = existing(session.name)
    if found.kind == "memory" or found.path == ":memory:":
        raise click.UsageError(f"{session.name} is in memory: there is no file to maintain")
    if found.kind == "postgresql":
        raise click.UsageError(
            f"{found} is not a file: the server's own tools check it (pg_amcheck), back it up "
            "(pg_dump) and give space back (VACUUM)"
        )
    if found.kind == "clickhouse":
        raise click.UsageError(
            f"{found} is not a file: the server's own statements check it (CHECK TABLE), back it "
            "up (BACKUP DATABASE) and give space back (OPTIMIZE TABLE ... FINAL)"
        )
    return StoreFile(found.path, found.kind)


def print_report(session: Session, report: object, *, damaged: bool) -> None:
    """Print a report."""
    for number, line in enumerate(printable_lines(str(report))):
        style = "red" if damaged and (number or not line.endswith("no problems")) else ""
        session.terminal.line(Text(line, style))
