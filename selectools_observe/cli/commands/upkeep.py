"""``delete``, ``verify``, ``backup``, ``repair`` and ``compact``: the store looked after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import click
from msgspec import structs
from rich.text import Text

from ...model.filters import TraceFilter
from ...model.text import one_line, printable_lines
from ...protocols import FileTraceStore, QueryableTraceStore
from ...stores import maintenance
from ..completers import complete_run_ids
from ..exit_codes import NOTHING, OK
from ..json_output import as_json
from ..options import filter_options, said, store_argument, store_option, with_session
from ..run_lookup import find_run
from ..session import Session, existing

_SHOWN = 10

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


@click.command(short_help="Delete runs.")
@click.argument("runs", nargs=-1, shell_complete=complete_run_ids)
@store_option
@filter_options()
@yes_option
@click.option("--dry-run", is_flag=True, help="Only show which runs would be deleted.")
@with_session
def delete(
    session: Session, runs: Sequence[str], filters: TraceFilter, *, yes: bool, dry_run: bool
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
        if not ids:
            terminal.note(" ".join(filter(None, ["No runs match.", said(filters)])))
            return NOTHING
        if dry_run:
            terminal.lines(one_line(run_id) for run_id in ids)
            return OK
        some = ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
        if not agreed(session, f"Delete {len(ids):,} of {store.count():,} runs ({some})?", yes=yes):
            return NOTHING
        deleted = 0
        with terminal.progress("Deleting") as progress:
            for done, run_id in enumerate(ids, 1):
                deleted += store.delete(run_id)
                progress(done, len(ids))
    terminal.note(f"{deleted:,} deleted")
    return OK if deleted else NOTHING


def _named(store: QueryableTraceStore, names: Sequence[str], where: str) -> list[str]:
    return list(dict.fromkeys(find_run(store, name, where).run_id for name in names))


def _matching(store: QueryableTraceStore, filters: TraceFilter) -> list[str]:
    return [summary.run_id for summary in store.iter_summaries(filters)]


def agreed(session: Session, question: str, *, yes: bool) -> bool:
    """Whether a person wants it, or has said so beforehand.

    Raises:
        click.UsageError: There is nobody to ask.
    """
    if yes:
        return True
    if not session.terminal.can_ask:
        raise click.UsageError("cannot ask for confirmation (not a terminal): give --yes")
    if session.terminal.ask(question):
        return True
    session.terminal.note("Cancelled.")
    return False


@click.command(short_help="Check every run for damage.")
@store_argument
@store_option
@click.option("--json", "as_data", is_flag=True, help="Print the report as one JSON object.")
@with_session
def verify(session: Session, *, as_data: bool) -> int:
    """Check every run of a store for damage. Exits with 1 if there is any.

    Nothing is written. The file need not open as a store any more.
    """
    file = _file(session)
    with session.terminal.progress("Verifying") as progress:
        report = maintenance.verify(file.path, kind=file.kind, progress=progress)
    if as_data:
        session.terminal.json(as_json({"ok": report.ok, **structs.asdict(report)}))
    else:
        _tell(session, report, damaged=not report.ok)
    return OK if report.ok else NOTHING


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
    _file(session)
    with session.store() as store, session.terminal.progress("Copying") as progress:
        report = cast("FileTraceStore", store).backup(path, overwrite=force, progress=progress)
    _tell(session, report, damaged=not report.ok)
    return OK if report.ok else NOTHING


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
    file = _file(session)
    if not agreed(session, f"Recover what can be read of {file.path} into {into}?", yes=yes):
        return NOTHING
    with session.terminal.progress("Repairing") as progress:
        report = maintenance.repair(
            file.path, into, kind=file.kind, keep_suspect=not drop_suspect, progress=progress
        )
    _tell(session, report, damaged=not report.ok)
    return OK if report.ok else NOTHING


@click.command(short_help="Vacuum and reindex the store.")
@store_argument
@store_option
@with_session
def compact(session: Session) -> int:
    """Vacuum and reindex: free the disk space of deleted and replaced runs, repair the index."""
    _file(session)
    with session.store() as store, session.terminal.progress("Compacting") as progress:
        report = cast("FileTraceStore", store).compact(progress=progress)
    _tell(session, report, damaged=False)
    return OK


class _File(NamedTuple):
    path: str
    kind: maintenance.Kind


def _file(session: Session) -> _File:
    """The file that the command is about.

    Raises:
        click.UsageError: The store is none.
        StorageError: There is no such file.
    """
    found = existing(session.name)
    if found.kind == "memory" or found.path == ":memory:":
        raise click.UsageError(f"{session.name} is in memory: there is no file to maintain")
    return _File(found.path, found.kind)


def _tell(session: Session, report: object, *, damaged: bool) -> None:
    """Print a report."""
    for number, line in enumerate(printable_lines(str(report))):
        style = "red" if damaged and (number or not line.endswith("no problems")) else ""
        session.terminal.line(Text(line, style))
