"""The command ``backup``: a copy of a store in use."""

from __future__ import annotations

from typing import cast

import click

from ...protocols import FileTraceStore
from ..command_session import Session
from ..exit_codes import NOTHING, OK
from ..options import store_option, with_session
from ..store_file import print_report, store_file


@click.command(short_help="Copy the store while it is in use.")
@click.argument("path", type=click.Path())
@store_option
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@with_session
def backup(session: Session, path: str, *, force: bool) -> int:
    """Copy the store to PATH, also while others save into it.

    The copy is a snapshot, is verified, and appears whole or not at all. Exits with 1 if the store,
    and so the copy, is damaged.
    """
    store_file(session)
    with session.store() as store, session.terminal.progress("Copying") as progress:
        report = cast("FileTraceStore", store).backup(path, overwrite=force, progress=progress)
    print_report(session, report, damaged=not report.ok)
    return OK if report.ok else NOTHING
