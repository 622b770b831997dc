"""The command ``prune``: delete the runs that are not to be kept."""

from __future__ import annotations

import re
from datetime import datetime

import click

from ...model.text import one_line
from ..command_session import Session
from ..confirmation import agreed, yes_option
from ..exit_codes import NOTHING, OK, usage_errors
from ..options import moment, store_option, with_session

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def byte_count(text: str) -> int:
    """Bytes as people write them: ``500MB``, ``2GiB``."""
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r} is not a number of bytes such as 500MB or 2GiB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** _POWERS[found[2].lower()])


@click.command(short_help="Delete old runs.")
@store_option
@click.option(
    "--older-than", type=moment, metavar="TIME", help="Runs saved before this: 30d, 2026-03-01."
)
@click.option("--keep-runs", type=click.IntRange(0), metavar="N", help="All but the newest N.")
@click.option(
    "--keep-bytes", type=byte_count, metavar="SIZE", help="The oldest, until SIZE is left: 500MB."
)
@click.option("-w", "--where", metavar="FILTER", help="Only runs that match this filter.")
@click.option("--keep", metavar="FILTER", help="Keep runs that match this filter.")
@click.option("--keep-annotated", is_flag=True, help="Keep annotated runs.")
@click.option("--dry-run", is_flag=True, help="Only report what would be deleted.")
@yes_option
@with_session
def prune(  # noqa: PLR0917 - click hands each option over by name
    session: Session,
    /,
    older_than: datetime | None,
    keep_runs: int | None,
    keep_bytes: int | None,
    where: str | None,
    keep: str | None,
    *,
    keep_annotated: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Delete the runs that are not to be kept, oldest first, and give their space back.

    \b
    selectools-observe prune --older-than 30d --keep "has:error" --keep-annotated
    selectools-observe prune --keep-bytes 2GB --dry-run

    Asks first, unless --yes is given.
    """  # noqa: D301 - for click
    options = {
        "older_than": older_than,
        "keep_runs": keep_runs,
        "keep_bytes": keep_bytes,
        "where": where,
        "keep": keep,
        "keep_annotated": keep_annotated,
    }
    terminal = session.terminal
    with session.store() as store:
        with usage_errors(), terminal.progress("Looking") as progress:
            report = store.prune(dry_run=True, progress=progress, **options)  # type: ignore[arg-type]
        if dry_run:
            terminal.lines(one_line(run_id) for run_id in report.run_ids)
        elif report.runs:
            question = f"Delete {report.runs:,} of {store.count():,} runs?"
            if not agreed(session, question, yes=yes):
                return NOTHING
            with terminal.progress("Pruning") as progress:
                report = store.prune(progress=progress, **options)  # type: ignore[arg-type]
    terminal.note(str(report))
    return OK if report.runs else NOTHING
