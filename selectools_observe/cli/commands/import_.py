"""The command ``import``: the runs of files into a store."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from ..import_formats import runs_in
from ..options import store_option, with_session
from ..session import Session
from ..transfer import RunSaver, Skipped, report_saved


@click.command("import", short_help="Save the runs of files into the store.")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@store_option
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Skip runs whose id is already in the store; by default they are replaced.",
)
@with_session
def import_(session: Session, files: Sequence[str], *, skip_existing: bool) -> int:
    """Save the runs of files into the store; - is standard input.

    A file is an SQLite store, a JSONL store, or JSON: a run on each line, an array of runs, or one
    run. What is not a run is reported and skipped, and the command then exits with 1. Runs are
    saved with the current time.
    """
    skipped = Skipped(session)
    missing = [path for path in files if path != "-" and not os.path.isfile(path)]
    if missing:
        raise click.FileError(missing[0], "no such file")
    with session.store(must_exist=False) as target:
        saver = RunSaver(target, skip_existing=skip_existing)
        for path in files:
            with session.terminal.progress(f"Importing {path}") as progress:
                saver.save_all(runs_in(path, skipped, progress))
    return report_saved(session, saver, skipped, session.name)
