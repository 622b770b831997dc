"""The command ``repair``: what can be read of a damaged store, in a new file."""

from __future__ import annotations

import click

from ...stores import maintenance
from ..command_session import Session
from ..confirmation import agreed, yes_option
from ..exit_codes import NOTHING, OK
from ..options import store_option, with_session
from ..store_file import print_report, store_file


@click.command(short_help="Recover what can be read of a damaged store.")
@click.argument("into", type=click.Path())
@store_option
@yes_option
@click.option(
    "--drop-suspect",
    is_flag=True,
    help="Leave out suspect runs: readable, but maybe not as they were saved.",
)
@with_session
def repair(session: Session, into: str, *, yes: bool, drop_suspect: bool) -> int:
    """Recover what can be read of a damaged store into the new file INTO.

    Nothing is written to the damaged one. Asks first, unless --yes is given. Exits with 1 if
    something was lost or is suspect.
    """
    file = store_file(session)
    if not agreed(session, f"Recover what can be read of {file.path} into {into}?", yes=yes):
        return NOTHING
    with session.terminal.progress("Repairing") as progress:
        report = maintenance.repair(
            file.path, into, kind=file.kind, keep_suspect=not drop_suspect, progress=progress
        )
    print_report(session, report, damaged=not report.ok)
    return OK if report.ok else NOTHING
