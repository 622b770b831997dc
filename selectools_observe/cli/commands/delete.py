"""The command ``delete``: runs by id or by filters."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ...model.filters import TraceFilter
from ...model.text import one_line
from ...protocols import QueryableTraceStore
from ..command_session import Session
from ..completers import complete_run_ids
from ..confirmation import agreed, yes_option
from ..exit_codes import NOTHING, OK
from ..options import filter_options, no_runs_match, store_option, with_session
from ..run_lookup import find_run, with_whole_ids

_SHOWN = 10
_AT_ONCE = 500


@click.command(short_help="Delete runs.")
@click.argument("runs", nargs=-1, shell_complete=complete_run_ids)
@store_option
@filter_options()
@yes_option
@click.option("--descendants", is_flag=True, help="Delete the runs that they started too.")
@click.option("--dry-run", is_flag=True, help="Only show which runs would be deleted.")
@with_session
def delete(
    session: Session,
    runs: Sequence[str],
    filters: TraceFilter,
    *,
    descendants: bool,
    yes: bool,
    dry_run: bool,
) -> int:
    """Delete runs: those named, or all that match the filters.

    A run is named by its id or its beginning. Asks first, unless --yes is given.
    """
    chosen = filters != TraceFilter()
    if bool(runs) == chosen:
        raise click.UsageError(
            "name runs, or give filters" if not runs else "name runs or give filters, not both"
        )
    terminal = session.terminal
    with session.store() as store:
        ids = _named(store, runs, session.name) if runs else _matching(store, filters)
        if descendants:
            ids = _with_descendants(store, ids)
        if not ids:
            terminal.note(no_runs_match(store, filters))
            return NOTHING
        if dry_run:
            terminal.lines(one_line(run_id) for run_id in ids)
            return OK
        some = ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
        if not agreed(session, f"Delete {len(ids):,} of {store.count():,} runs ({some})?", yes=yes):
            return NOTHING
        deleted = 0
        with terminal.progress("Deleting") as progress:
            for start in range(0, len(ids), _AT_ONCE):
                batch = ids[start : start + _AT_ONCE]
                deleted += store.delete_many(batch)
                progress(start + len(batch), len(ids))
    terminal.note(f"{deleted:,} deleted")
    return OK if deleted else NOTHING


def _with_descendants(store: QueryableTraceStore, run_ids: Sequence[str]) -> list[str]:
    """The runs, and those that they started, and those that these did."""
    found = dict.fromkeys(run_ids)
    waiting = list(run_ids)
    while waiting:
        for child in store.query(TraceFilter(parent_run_id=waiting.pop())):
            if child.run_id not in found:
                found[child.run_id] = None
                waiting.append(child.run_id)
    return list(found)


def _named(store: QueryableTraceStore, names: Sequence[str], where: str) -> list[str]:
    return list(dict.fromkeys(find_run(store, name, where).run_id for name in names))


def _matching(store: QueryableTraceStore, filters: TraceFilter) -> list[str]:
    whole = with_whole_ids(store, filters)
    return [summary.run_id for summary in store.iter_summaries(whole)]
