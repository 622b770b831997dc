"""The command ``verify``: a check of every run for damage."""

from __future__ import annotations

import click
from msgspec import structs

from ...stores import maintenance
from ..command_session import Session
from ..exit_codes import NOTHING, OK
from ..options import store_argument, store_option, with_session
from ..store_file import print_report, store_file


@click.command(short_help="Check every run for damage.")
@store_argument
@store_option
@click.option("--json", "as_data", is_flag=True, help="Print the report as one JSON object.")
@with_session
def verify(session: Session, *, as_data: bool) -> int:
    """Check every run of a store for damage. Exits with 1 if there is any.

    Nothing is written. The file need not open as a store any more.
    """
    file = store_file(session)
    with session.terminal.progress("Verifying") as progress:
        report = maintenance.verify(file.path, kind=file.kind, progress=progress)
    if as_data:
        session.terminal.json({"ok": report.ok, **structs.asdict(report)})
    else:
        print_report(session, report, damaged=not report.ok)
    return OK if report.ok else NOTHING
