"""The command ``search``: where something was said."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from rich.text import Text

from ...model.filters import TraceFilter
from ...model.text import one_line, printable
from ...model.text_query import SearchHit, SearchPage
from ..command_session import Session
from ..exit_codes import NOTHING, OK, usage_errors
from ..options import filter_options, no_runs_match, store_option, with_session
from ..run_lookup import with_whole_ids

_DEFAULT_LIMIT = 20


@click.command(short_help="Search the texts of runs.")
@click.argument("words", nargs=-1, required=True)
@store_option
@filter_options(limit=_DEFAULT_LIMIT)
@click.option("--cursor", help="Continue from this cursor, printed after the previous page.")
@click.option(
    "--hits",
    "hits_per_run",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Maximum number of places shown of each run.",
)
@click.option("--json", "as_one", is_flag=True, help="Print the hits as one JSON object.")
@with_session
def search(
    session: Session,
    /,
    words: tuple[str, ...],
    filters: TraceFilter,
    cursor: str | None,
    hits_per_run: int,
    *,
    as_one: bool,
) -> int:
    """Find words and "phrases" in messages, tool calls, results and errors, newest runs first.

    \b
    selectools-observe search refund '"gift card"' --since 7d
    """  # noqa: D301 - for click
    limit = _DEFAULT_LIMIT if filters.limit is None else filters.limit
    filters = dataclasses.replace(filters, limit=None)
    with session.store() as store:
        with usage_errors():
            page = store.search(
                " ".join(words),
                with_whole_ids(store, filters),
                limit=limit,
                cursor=cursor,
                hits_per_run=hits_per_run,
            )
        nothing = "" if page else no_runs_match(store, filters)
    if as_one:
        session.terminal.json(_as_fields(page))
    elif page:
        session.terminal.lines(_lines(page))
    if not page:
        session.terminal.note(nothing.replace("No runs match.", "Not found.", 1))
    elif page.next_cursor is not None and not as_one:
        session.terminal.note(f"Next page: --cursor {page.next_cursor}")
    return OK if page else NOTHING


def _as_fields(page: SearchPage) -> dict[str, Any]:
    return {"hits": msgspec.to_builtins(list(page)), "next_cursor": page.next_cursor}


def _lines(page: SearchPage) -> Iterator[Text]:
    run_id = None
    for hit in page:
        if hit.run_id != run_id:
            run_id = hit.run_id
            yield Text(one_line(run_id), "cyan")
        yield _line(hit)


def _line(hit: SearchHit) -> Text:
    place = hit.field if hit.step is None else f"step {hit.step}, {hit.field}"
    line = Text(f"  {one_line(place)}: ", "dim")
    shown = printable(hit.snippet)
    snippet = Text(shown, "not dim")
    for begin, end in hit.marks if shown == hit.snippet else ():
        snippet.stylize("bold yellow", begin, end)
    return line.append_text(snippet)
