"""The command ``reprice``: estimate costs that nobody told."""

from __future__ import annotations

import click
import msgspec

from ...analytics.prices import reprice as estimate
from ...model.filters import TraceFilter
from ...model.text import one_line
from ..command_session import Session
from ..exit_codes import OK
from ..options import filter_options, store_option, with_session
from ..price_option import price_table, prices_option
from ..run_lookup import with_whole_ids


@click.command(short_help="Estimate missing costs.")
@store_option
@filter_options()
@prices_option
@click.option("--own-only", is_flag=True, help="Use only the prices of the file.")
@click.option("--again", is_flag=True, help="Also replace costs that were estimated before.")
@click.option("--json", "json", is_flag=True, help="Print the report as JSON.")
@with_session
def reprice(
    session: Session,
    filters: TraceFilter,
    own: str | None,
    *,
    own_only: bool,
    again: bool,
    json: bool,
) -> int:
    """Estimate the cost of model calls that have tokens and no cost, from dated prices.

    The prices are those of the package genai-prices, and your own. A cost that a framework reported
    is never replaced, and an estimated one says so. A model that no table knows stays without.
    """
    table = price_table(own, package=not own_only)
    with session.store() as store:
        report = estimate(store, with_whole_ids(store, filters), prices=table, again=again)
    if json:
        session.terminal.json(msgspec.to_builtins(report))
        return OK
    session.terminal.note(
        f"{report.steps:,} calls in {report.repriced:,} of {report.runs:,} runs have an estimated "
        "cost now"
    )
    for model, calls in sorted(report.unknown.items()):
        session.terminal.note(f"No price known: {one_line(model)} ({calls:,} calls)")
    return OK
