"""The command ``copy``: runs from one store to another."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from ...interchange.exports import saved_runs
from ...interchange.form import SavedRun
from ...model.filters import TraceFilter
from ..command_session import Session, parsed
from ..exit_codes import NOTHING
from ..options import filter_options, no_runs_match, store_option, with_session
from ..run_lookup import with_whole_ids
from ..transfer import RunSaver, Skipped, report_saved, with_progress


@click.command(short_help="Copy runs from one store to another of any kind.")
@click.argument("names", nargs=-1, required=True, metavar="[SOURCE] TARGET")
@store_option
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Skip runs whose id is already in the target; by default they are replaced.",
)
@filter_options()
@with_session
def copy(
    session: Session, names: Sequence[str], filters: TraceFilter, *, skip_existing: bool
) -> int:
    """Copy runs, oldest first, from one store to another of any kind.

    Stores are paths or URLs. With one name, that is the target, and --store the source. Runs
    keep the time at which they were saved, and their annotations.
    """
    if len(names) > 2:
        raise click.UsageError("copy needs a source and a target")
    source, target = names if len(names) == 2 else (session.name, names[0])
    if _is_same(source, target):
        raise click.UsageError("source and target are the same store")
    skipped = Skipped(session)
    with session.store(source) as store, session.store(target, must_exist=False) as other:
        saver = RunSaver(other, skip_existing=skip_existing)
        with session.terminal.progress("Copying") as progress:
            filters = with_whole_ids(store, filters)
            total = store.count(filters)
            runs = with_progress(saved_runs(store, filters, skipped.run), total, progress)
            saver.save_all(
                SavedRun(run.trace, run.summary.created_at, run.annotations) for run in runs
            )
        if not total:
            session.terminal.note(no_runs_match(store, filters))
            return NOTHING
    return report_saved(session, saver, skipped, target)


def _is_same(source: str, target: str) -> bool:
    one, other = parsed(source), parsed(target)
    return bool(one.path) and os.path.realpath(one.path) == os.path.realpath(other.path)
