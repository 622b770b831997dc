"""The command ``query``: runs by their metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import click

from ...model.filters import TraceFilter
from ..options import filter_options, pair, store_option, with_session
from ..run_listing import PAGE_SIZE, list_matching, list_options
from ..session import Session


@click.command(short_help="List runs by their metadata and other filters.")
@click.argument("pairs", nargs=-1, type=pair, metavar="[KEY=VALUE]...")
@store_option
@filter_options(limit=PAGE_SIZE)
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
    return list_matching(session, filters, **shown)
