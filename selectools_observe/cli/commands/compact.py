"""The command ``compact``: vacuum and reindex."""

from __future__ import annotations

from typing import cast

import click

from ...protocols import FileTraceStore
from ..command_session import Session
from ..exit_codes import OK
from ..options import store_argument, store_option, with_session
from ..store_file import print_report, store_file


@click.command(short_help="Vacuum and reindex the store.")
@store_argument
@store_option
@with_session
def compact(session: Session) -> int:
    """Vacuum and reindex: free the disk space of deleted and replaced runs, repair the index."""
    store_file(session)
    with session.store() as store, session.terminal.progress("Compacting") as progress:
        report = cast("FileTraceStore", store).compact(progress=progress)
    print_report(session, report, damaged=False)
    return OK
