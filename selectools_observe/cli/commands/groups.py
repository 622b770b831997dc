"""The command ``groups``: what the runs of a session, a user or any key add up to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

import click
import msgspec
from rich.text import Text

from ...model import figures
from ...model.filters import TraceFilter
from ...model.groups import GROUP_ORDERS, TraceGroup
from ...model.text import one_line
from ..command_session import Session
from ..exit_codes import NOTHING, OK, usage_errors
from ..options import filter_options, store_option, with_session, zone_option
from ..run_lookup import with_whole_ids
from ..run_table import Column, lines_of_table

_DEFAULT_LIMIT = 50
_FIGURES = (
    Column("runs", 7),
    Column("errors", 7),
    Column("last", 16, "dim"),
    Column("p50", 8),
    Column("p99", 8),
    Column("tokens", 7),
    Column("cost", 9),
)
_KEY = 24  # characters


@click.command(short_help="Show runs grouped by session, user or any key.")
@click.argument("by", metavar="KEY")
@store_option
@click.option(
    "--order-by",
    default="-last",
    show_default=True,
    metavar="FIELD",
    help=f"Order by {', '.join(GROUP_ORDERS)}, score.NAME; largest first with a - before it.",
)
@click.option("--cursor", help="Continue from this cursor, printed after the previous page.")
@zone_option
@click.option("--json", "as_data", is_flag=True, help="Print the page as one JSON object.")
@filter_options(limit=_DEFAULT_LIMIT, counted="groups")
@with_session
def groups(  # noqa: PLR0917 - click's
    session: Session,
    filters: TraceFilter,
    by: str,
    order_by: str,
    cursor: str | None,
    zone: tzinfo,
    *,
    as_data: bool,
) -> int:
    """Show what the runs that match add up to, by KEY.

    KEY is session, user, agent, name, outcome, tag or a metadata key. What was asked first is shown
    where there is room for it; --json has what was answered last, too.

    \b
    selectools-observe groups session --order-by -cost_usd
    """  # noqa: D301 - for click
    limit = _DEFAULT_LIMIT if filters.limit is None else filters.limit
    filters = dataclasses.replace(filters, limit=None)
    with session.store() as store:
        filters = with_whole_ids(store, filters)
        with usage_errors():
            page = store.groups(by, filters, order_by=order_by, limit=limit, cursor=cursor)
    if as_data:
        fields = {"groups": msgspec.to_builtins(list(page)), "next_cursor": page.next_cursor}
        session.terminal.json(fields)
    elif page:
        session.terminal.lines(_lines(by, page, zone, session.terminal.width))
    else:
        session.terminal.note(f"No matching run has the key {one_line(by, _KEY)}")
    if page.next_cursor is not None and not as_data:
        session.terminal.note(f"Next page: --cursor {page.next_cursor}")
    return OK if page else NOTHING


def _lines(by: str, groups: Sequence[TraceGroup], zone: tzinfo, width: int) -> Iterator[Text]:
    longest = max(len(one_line(group.key, 80)) for group in groups)
    key = Column(one_line(by, _KEY), max(8, min(longest, _KEY)), "cyan", right=False)
    columns = [key, *_FIGURES]
    room = width - sum(column.width + 1 for column in columns) - 1
    if room >= 20:
        columns.append(Column("first input", room, "dim", right=False))
    rows = [_row(group, zone, room)[: len(columns)] for group in groups]
    yield from lines_of_table(columns, rows)


def _row(group: TraceGroup, zone: tzinfo, room: int) -> list[str | Text]:
    return [
        one_line(group.key, _KEY),
        f"{group.runs:,}",
        Text(f"{group.errors:,}", "red") if group.errors else Text("-", "dim"),
        _moment(group.last_at, zone),
        figures.duration(group.total_ms.p50),
        figures.duration(group.total_ms.p99),
        figures.count(group.prompt_tokens + group.completion_tokens),
        figures.dollars(group.cost_usd),
        one_line(group.first_input or "", max(room, 1)),
    ]


def _moment(moment: datetime, zone: tzinfo) -> str:
    try:
        return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):  # at the end of all time
        return moment.strftime("%Y-%m-%d %H:%M")
