"""Lists of runs as tables or JSON, for the commands ``list`` and ``query``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Literal, TypeAlias, TypeVar

import click

from ..model.filters import TraceFilter
from ..model.json_values import json_text
from ..model.ordering import ORDERS, parse_order
from ..model.pagination import TracePage
from ..model.trace import TraceSummary
from ..protocols import QueryableTraceStore
from .command_session import Session
from .exit_codes import NOTHING, OK, usage_errors
from .options import no_runs_match, read_by
from .run_columns import COLUMN_NAMES, RunColumn, columns_named
from .run_lookup import with_whole_ids
from .run_table import RunTable

Form: TypeAlias = Literal["table", "json", "jsonl"]
CommandT = TypeVar("CommandT", bound=Callable[..., Any])

PAGE_SIZE = 50
_AT_ONCE = 500


def _order(text: str) -> str:
    parse_order(text)
    return text


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
        click.option(
            "--order-by",
            metavar="FIELD",
            type=read_by(_order),
            help=f"Order by {', '.join(ORDERS)} or score.NAME; largest first with a - before it. "
            "Default: newest save first.",
        ),
        click.option(
            "--columns",
            metavar="NAMES",
            type=read_by(columns_named),
            help=f"What to show, with commas between: {COLUMN_NAMES}.",
        ),
        click.option("--all", "everything", is_flag=True, help="Show all matching runs."),
        click.option(
            "--count", "counts", is_flag=True, help="Print only the number of matching runs."
        ),
    ):
        made = option(made)
    return made  # type: ignore[no-any-return]


def list_matching(
    session: Session,
    filters: TraceFilter,
    form: Form | None,
    cursor: str | None,
    *,
    order_by: str | None,
    columns: list[RunColumn] | None,
    everything: bool,
    counts: bool,
) -> int:
    """Print the runs that match, or their number; the exit code."""
    if columns and form:
        raise click.UsageError("--columns is for tables: JSON has all that is known of a run")
    filters = dataclasses.replace(filters, order_by=order_by)
    if everything and cursor:
        raise click.UsageError("--all and --cursor cannot be used together")
    if everything or counts:
        given = click.get_current_context().get_parameter_source("limit")
        if given is click.core.ParameterSource.DEFAULT:
            filters = dataclasses.replace(filters, limit=None)
    with session.store() as store:
        filters = with_whole_ids(store, filters)
        if counts:
            found = store.count(filters)
            session.terminal.line(str(found))
        elif everything:
            found = _show(session, store.iter_summaries(filters), form, columns)
        else:
            page = _page(store, filters, cursor)
            if form == "json":
                fields = [run.to_dict() for run in page]
                whole = {"traces": fields, "next_cursor": page.next_cursor}
                session.terminal.json(whole)
            else:
                _show(session, page, form, columns)
                _note_next(session, page)
            found = len(page)
        if not found:
            session.terminal.note(no_runs_match(store, filters))
    return OK if found else NOTHING


def _page(store: QueryableTraceStore, filters: TraceFilter, cursor: str | None) -> TracePage:
    with usage_errors():
        return store.query(filters, cursor=cursor)


def _note_next(session: Session, page: TracePage) -> None:
    if page.next_cursor is not None:
        session.terminal.note(f"Next page: --cursor {page.next_cursor} (or --all)")


def _show(
    session: Session,
    runs: Iterable[TraceSummary],
    form: Form | None,
    columns: list[RunColumn] | None,
) -> int:
    """Show runs as they come; how many there were."""
    terminal, shown = session.terminal, 0
    if form == "json":
        terminal.raw('{"traces":[')
    waiting = iter(runs)
    while some := list(islice(waiting, _AT_ONCE)):
        if form is None:
            whole_ids = not terminal.is_interactive
            table = RunTable(terminal.width, some, whole_ids=whole_ids, columns=columns)
            terminal.lines([] if shown else [table.heading()])
            terminal.lines(table.line(run) for run in some)
        for run in some if form else ():
            comma = "," if form == "json" and shown else ""
            end = "" if form == "json" else "\n"
            terminal.json_part(f"{comma}{json_text(run.to_dict())}{end}")
            shown += 1
        shown += 0 if form else len(some)
    if form == "json":
        terminal.raw('],"next_cursor":null}\n')
    return shown
