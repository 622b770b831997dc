"""The command ``list``: the newest runs."""

from __future__ import annotations

from typing import Any

import click

from ...model.filters import TraceFilter
from ..command_session import Session
from ..options import filter_options, store_argument, store_option, with_session
from ..run_listing import PAGE_SIZE, list_matching, list_options


@click.command("list")
@store_argument
@store_option
@filter_options(limit=PAGE_SIZE)
@list_options
@with_session
def list_runs(session: Session, /, filters: TraceFilter, **shown: Any) -> int:
    """List runs, newest first."""
    return list_matching(session, filters, **shown)
