"""The command ``facets``: which keys and values runs have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
import msgspec
from rich.text import Text

from ...model.filters import TraceFilter
from ...model.groups import FacetValues, TraceFacets
from ...model.text import one_line
from ..command_session import Session
from ..exit_codes import NOTHING, OK
from ..options import filter_options, no_runs_match, store_argument, store_option, with_session
from ..run_lookup import with_whole_ids
from ..terminal import styled


@click.command(short_help="Show the keys and values of runs.")
@store_argument
@store_option
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="Only this one, such as tool or a metadata key; may be repeated.",
)
@click.option(
    "--most",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Maximum number of values of each key, the most frequent first.",
)
@click.option("--json", "as_data", is_flag=True, help="Print all as one JSON object.")
@filter_options()
@with_session
def facets(
    session: Session, filters: TraceFilter, keys: Sequence[str], most: int, *, as_data: bool
) -> int:
    """Show which models, tools, users, tags and metadata keys the runs that match have."""
    with session.store() as store:
        found = store.facets(with_whole_ids(store, filters), most=most)
        nothing = "" if found.runs else no_runs_match(store, filters)
    if keys:
        found = _only(found, keys)
    if as_data:
        session.terminal.json(msgspec.to_builtins(found))
    elif found.fields or found.metadata:
        session.terminal.lines(_lines(found))
    elif found.runs:
        session.terminal.note("No run has such a key")
    else:
        session.terminal.note(nothing)
    return OK if found.fields or found.metadata else NOTHING


def _only(found: TraceFacets, keys: Sequence[str]) -> TraceFacets:
    return TraceFacets(
        found.runs,
        {key: value for key, value in found.fields.items() if key in keys},
        {key: value for key, value in found.metadata.items() if key in keys},
    )


def _lines(found: TraceFacets) -> Iterator[Text]:
    yield styled(f"{found.runs:,} runs", "bold")
    for kind, facets in (("", found.fields), ("metadata", found.metadata)):
        if kind and facets:
            yield Text()
            yield styled(kind, "bold")
        for key, values in facets.items():
            yield from _facet(key, values)


def _facet(key: str, facet: FacetValues) -> Iterator[Text]:
    yield Text.assemble((one_line(key, 60), "cyan"), (f"  {facet.runs:,} runs", "dim"))
    for value, runs in facet.values:
        yield Text.assemble(f"  {runs:>9,}  ", one_line(value, 60))
    if not facet.is_complete:
        yield styled(f"  {'':>9}  and more: --most", "dim")
