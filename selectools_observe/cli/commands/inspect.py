"""``list``, ``query`` and ``show``: which runs there are, and what happened in one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Literal, TypeAlias, TypeVar

import click

from ...model.filters import TraceFilter
from ...model.trace import AgentTrace, TraceSummary
from ...protocols import QueryableTraceStore
from ..completers import complete_run_ids
from ..exit_codes import NOTHING, OK
from ..json_output import as_json, summary_fields, trace_json
from ..options import filter_options, pair, said, store_argument, store_option, with_session
from ..run_lookup import find_run, runs_started_by
from ..run_table import RunTable
from ..session import Session
from ..step_details import heading_of
from ..waterfall import draw, rows_of

Form: TypeAlias = Literal["table", "json", "jsonl"]
CommandT = TypeVar("CommandT", bound=Callable[..., Any])

_PAGE = 50
_AT_ONCE = 500
_MOST_ROWS = 1000


def list_options(command: CommandT) -> CommandT:
    """How summaries are to be shown, for ``list`` and ``query``."""
    made: Any = command
    for option in (
        click.option(
            "--json", "form", flag_value="json", help="Print the page as one JSON object."
        ),
        click.option("--jsonl", "form", flag_value="jsonl", help="Print one JSON object per line."),
        click.option(
            "--cursor", help="Continue from this cursor, printed after the previous page."
        ),
        click.option("--all", "everything", is_flag=True, help="Show all matching runs."),
        click.option(
            "--count", "counts", is_flag=True, help="Print only the number of matching runs."
        ),
    ):
        made = option(made)
    return made  # type: ignore[no-any-return]


@click.command("list")
@store_argument
@store_option
@filter_options(limit=_PAGE)
@list_options
@with_session
def list_runs(session: Session, /, filters: TraceFilter, **shown: Any) -> int:
    """List runs, newest first."""
    return _list(session, filters, **shown)


@click.command(short_help="List runs by their metadata and other filters.")
@click.argument("pairs", nargs=-1, type=pair, metavar="[KEY=VALUE]...")
@store_option
@filter_options(limit=_PAGE)
@list_options
@with_session
def query(
    session: Session, /, pairs: Sequence[tuple[str, Any]], filters: TraceFilter, **shown: Any
) -> int:
    """List the runs whose metadata has these pairs and that match the other filters.

    \b
    selectools-observe query user=ada --error --since yesterday
    """  # noqa: D301 - for click
    match = [*(filters.metadata_match or {}).items(), *pairs]
    if match:
        filters = dataclasses.replace(filters, metadata_match=dict(match))
    return _list(session, filters, **shown)


def _list(
    session: Session,
    filters: TraceFilter,
    form: Form | None,
    cursor: str | None,
    *,
    everything: bool,
    counts: bool,
) -> int:
    if everything and cursor:
        raise click.UsageError("--all and --cursor cannot be used together")
    if everything or counts:
        given = click.get_current_context().get_parameter_source("limit")
        if given is click.core.ParameterSource.DEFAULT:
            filters = dataclasses.replace(filters, limit=None)
    with session.store() as store:
        if counts:
            found = store.count(filters)
            session.terminal.line(str(found))
        elif everything:
            found = _show(session, store.iter_summaries(filters), form)
        else:
            found = _show_page(session, store, filters, form, cursor)
    if not found and not counts:
        session.terminal.note(" ".join(filter(None, ["No runs match.", said(filters)])))
    return OK if found else NOTHING


def _show_page(
    session: Session,
    store: QueryableTraceStore,
    filters: TraceFilter,
    form: Form | None,
    cursor: str | None,
) -> int:
    try:
        page = store.query(filters, cursor=cursor)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if form == "json":
        fields = [summary_fields(run) for run in page]
        session.terminal.json(as_json({"traces": fields, "next_cursor": page.next_cursor}))
        return len(page)
    _show(session, page, form)
    if page.next_cursor is not None:
        session.terminal.note(f"Next page: --cursor {page.next_cursor} (or --all)")
    return len(page)


def _show(session: Session, runs: Iterable[TraceSummary], form: Form | None) -> int:
    """Show runs as they come; how many there were."""
    terminal, shown = session.terminal, 0
    if form == "json":
        terminal.raw('{"traces":[')
    waiting = iter(runs)
    while some := list(islice(waiting, _AT_ONCE)):
        if form is None:
            whole_ids = not terminal.is_interactive
            table = RunTable(terminal.width, some, whole_ids=whole_ids)
            terminal.lines([] if shown else [table.heading()])
            terminal.lines(table.line(run) for run in some)
        for run in some if form else ():
            comma = "," if form == "json" and shown else ""
            end = "" if form == "json" else "\n"
            terminal.json_part(f"{comma}{as_json(summary_fields(run))}{end}")
            shown += 1
        shown += 0 if form else len(some)
    if form == "json":
        terminal.raw('],"next_cursor":null}\n')
    return shown


@click.command(short_help="Show what happened in a run.")
@click.argument("run", default="@1", shell_complete=complete_run_ids)
@store_option
@click.option("--json", "as_data", is_flag=True, help="Print the stored run as one JSON object.")
@click.option("--full", is_flag=True, help="Show each step in full: arguments, results, reasoning.")
@click.option(
    "--step",
    "steps",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="Show only this step, in full; may be repeated.",
)
@click.option("--children/--no-children", default=True, help="Show child runs.")
@click.option(
    "--all", "everything", is_flag=True, help=f"Show all steps instead of the first {_MOST_ROWS}."
)
@with_session
def show(
    session: Session,
    run: str,
    steps: Sequence[int],
    *,
    as_data: bool,
    full: bool,
    children: bool,
    everything: bool,
) -> int:
    """Show what happened in a run: a waterfall of its steps.

    RUN is a run id or its beginning; @1 is the newest run (the default), @2 the one before.
    """
    with session.store() as store:
        summary = find_run(store, run, session.name)
        trace = store.load(summary.run_id)
        if as_data:
            session.terminal.json(trace_json(trace))
            return OK
        started = runs_started_by(store, trace) if children and not steps else {}
    session.terminal.lines(heading_of(trace, summary))
    if steps:
        return _show_steps(session, trace, steps)
    rows = [*rows_of(trace, started)]
    draw(session.terminal, rows[: None if everything else _MOST_ROWS], rows, full=full)
    if len(rows) > _MOST_ROWS and not everything:
        session.terminal.note(f"{len(rows) - _MOST_ROWS:,} more steps: --all shows them")
    return OK


def _show_steps(session: Session, trace: AgentTrace, steps: Sequence[int]) -> int:
    rows = {row.number: row for row in rows_of(trace, {})}
    if missing := [number for number in steps if str(number) not in rows]:
        raise click.UsageError(f"the run has {len(rows)} steps: there is no step {missing[0]}")
    drawn = [rows[str(number)] for number in steps]
    draw(session.terminal, drawn, full=True)
    return OK
