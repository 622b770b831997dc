"""The command ``export``: runs to a file or an OpenTelemetry endpoint."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO

import click

from ...interchange import write_parquet
from ...interchange.exports import check_endpoint, saved_runs, send, whole_file
from ...model.filters import TraceFilter
from ...model.text import counted
from ..command_session import Session
from ..exit_codes import NOTHING, OK
from ..export_formats import FORMATS, Format, write
from ..options import filter_options, no_runs_match, store_option, with_session
from ..run_lookup import with_whole_ids
from ..transfer import Skipped, with_progress


@click.command(short_help="Write runs to a file: JSON lines, CSV or HTML.")
@store_option
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="-",
    help="File to write; standard output if not given.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    help="File format [default: from the file's ending, or JSON lines].",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option(
    "--otlp",
    "endpoint",
    metavar="URL",
    help="Send the runs to this OpenTelemetry endpoint (http://localhost:4318) instead.",
)
@click.option(
    "--parquet",
    "folder",
    metavar="DIR",
    help="Write Parquet files to this folder instead, partitioned by day.",
)
@filter_options()
@with_session
def export(
    session: Session,
    filters: TraceFilter,
    output: str,
    form: Format | None,
    endpoint: str | None,
    *,
    folder: str | None,
    force: bool,
) -> int:
    """Write runs, oldest first, to a file for other programs or people.

    \b
    jsonl  whole runs, a line each: a JSONL store's file, with the times of the saves
    csv    a table of the runs for spreadsheets
    html   one self-contained page to open in a browser
    """  # noqa: D301 - for click
    if output != "-" and os.path.exists(output) and not force:
        raise click.UsageError(f"{output} exists: give another name or --force")
    if folder and (endpoint or output != "-" or form):
        raise click.UsageError("--parquet goes without --output, --format and --otlp")
    if endpoint:
        try:
            check_endpoint(endpoint)
        except ValueError as error:
            raise click.UsageError(f"--otlp: {error}") from None
    if folder and os.path.exists(folder):
        raise click.UsageError(f"{folder} exists: give another name")
    form = form or ("jsonl" if endpoint else _format_of(output))
    skipped = Skipped(session)
    with session.store() as store:
        filters = with_whole_ids(store, filters)
        total = store.count(filters)
        if not total:
            session.terminal.note(no_runs_match(store, filters))
            return NOTHING
        with session.terminal.progress("Exporting") as progress:
            runs = with_progress(saved_runs(store, filters, skipped.run), total, progress)
            if endpoint:
                send(runs, endpoint)
            elif folder:
                write_parquet(runs, folder)
            else:
                with _sink(output) as file:
                    write(form, runs, file)
    if endpoint or folder or output != "-":
        done = f"sent to {endpoint}" if endpoint else f"written to {folder or output}"
        session.terminal.note(f"{counted(total - skipped.count, 'run')} {done}")
    return NOTHING if skipped.count else OK


def _format_of(output: str) -> Format:
    for form, endings in reversed(FORMATS.items()):
        if output.lower().endswith(endings):
            return form
    if output == "-":
        return "jsonl"
    raise click.UsageError(f"{output}: cannot tell the format from the name: give --format")


def _sink(output: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdout.buffer) if output == "-" else whole_file(output)
