"""The command ``copy``: runs from one store to another."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from ...interchange.store_copy import StoreCopy
from ...model.filters import TraceFilter
from ...model.text import counted
from ...runtime.garbage import few_collections
from ..command_session import Session, parsed
from ..exit_codes import NOTHING
from ..options import filter_options, no_runs_match, store_option, with_session
from ..run_lookup import with_whole_ids
from ..transfer import Skipped, report_saved

_MOST_SHOWN = 20


@click.command(short_help="Copy runs from one store to another of any kind.")
@click.argument("names", nargs=-1, required=True, metavar="[SOURCE] TARGET")
@store_option
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Skip runs whose id is already in the target; by default those that differ are replaced.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Afterwards compare every run, its time of saving and annotations with its copy.",
)
@filter_options()
@with_session
def copy(
    session: Session,
    names: Sequence[str],
    filters: TraceFilter,
    *,
    skip_existing: bool,
    verify: bool,
) -> int:
    """Copy runs, oldest first, from one store to another of any kind.

    Stores are paths or URLs. With one name, that is the target, and --store the source. Runs
    keep the time at which they were saved, and their annotations. A copy that was interrupted
    goes on where it was: runs are left alone whose copy has the same summary and time of saving.
    """
    if len(names) > 2:
        raise click.UsageError("copy needs a source and a target")
    source, target = names if len(names) == 2 else (session.name, names[0])
    if _is_same(source, target):
        raise click.UsageError("source and target are the same store")
    skipped = Skipped(session)
    with (
        session.store(source) as store,
        session.store(target, must_exist=False) as other,
        few_collections(),
    ):
        filters = with_whole_ids(store, filters)
        total = store.count(filters)
        if not total:
            session.terminal.note(no_runs_match(store, filters))
            return NOTHING
        work = StoreCopy(store, other, filters, skipped.run, skip_existing=skip_existing)
        with session.terminal.progress("Copying") as progress:
            work.copy(lambda done: progress(done, total))
        code = report_saved(session, work, skipped, target)
        if work.annotated:
            session.terminal.note(f"annotations of {counted(work.annotated, 'run')} added")
        if verify and not _is_equal(session, work, total):
            return NOTHING
        return code


def _is_equal(session: Session, work: StoreCopy, total: int) -> bool:
    """Whether each run's copy is equal; says in what others differ."""
    found = 0
    with session.terminal.progress("Comparing") as progress:
        for found, difference in enumerate(work.differences(lambda done: progress(done, total)), 1):
            if found <= _MOST_SHOWN:
                session.terminal.warn(str(difference))
    verdict = f"{found:,} differ" if found else "all are equal"
    session.terminal.note(f"{counted(total, 'run')} compared: {verdict}")
    return not found


def _is_same(source: str, target: str) -> bool:
    one, other = parsed(source), parsed(target)
    return bool(one.path) and os.path.realpath(one.path) == os.path.realpath(other.path)
