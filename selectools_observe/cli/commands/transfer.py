"""``export``, ``import`` and ``copy``: runs to files, out of files, and between stores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import IO

import click

from ...errors import CorruptTraceError
from ...model.filters import TraceFilter
from ...model.trace import AgentTrace
from ...protocols import QueryableTraceStore
from ..exit_codes import NOTHING, OK
from ..export_formats import FORMATS, Format, Saved, saved_runs, send, whole_file, write
from ..import_formats import runs_in
from ..options import filter_options, said, store_option, with_session
from ..session import Session, parsed
from ..terminal import Progress

_RUNS_AT_ONCE = 200
_STEPS_AT_ONCE = 20_000
_MOST_WARNINGS = 20


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
@filter_options()
@with_session
def export(
    session: Session,
    filters: TraceFilter,
    output: str,
    form: Format | None,
    endpoint: str | None,
    *,
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
    form = form or ("jsonl" if endpoint else _format_of(output))
    skipped = _Skipped(session)
    with session.store() as store:
        total = store.count(filters)
        if not total:
            session.terminal.note(" ".join(filter(None, ["No runs match.", said(filters)])))
            return NOTHING
        with session.terminal.progress("Exporting") as progress:
            runs = _watched(saved_runs(store, filters, skipped.run), total, progress)
            if endpoint:
                send(runs, endpoint)
            else:
                with _sink(output) as file:
                    write(form, runs, file)
    if endpoint or output != "-":
        done = f"sent to {endpoint}" if endpoint else f"written to {output}"
        session.terminal.note(f"{_runs(total - skipped.count)} {done}")
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


@click.command("import", short_help="Save the runs of files into the store.")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@store_option
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Skip runs whose id is already in the store; by default they are replaced.",
)
@with_session
def import_(session: Session, files: Sequence[str], *, skip_existing: bool) -> int:
    """Save the runs of files into the store; - is standard input.

    A file is an SQLite store, a JSONL store, or JSON: a run on each line, an array of runs, or one
    run. What is not a run is reported and skipped, and the command then exits with 1. Runs are
    saved with the current time.
    """
    skipped = _Skipped(session)
    missing = [path for path in files if path != "-" and not os.path.isfile(path)]
    if missing:
        raise click.FileError(missing[0], "no such file")
    with session.store(must_exist=False) as target:
        saver = _Saver(target, skip_existing=skip_existing)
        for path in files:
            with session.terminal.progress(f"Importing {path}") as progress:
                saver.save_all(runs_in(path, skipped, progress))
    return _told(session, saver, skipped, session.name)


@click.command(short_help="Copy runs from one store to another of any kind.")
@click.argument("names", nargs=-1, required=True, metavar="[SOURCE] TARGET")
@store_option
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Skip runs whose id is already in the target; by default they are replaced.",
)
@filter_options()
@with_session
def copy(
    session: Session, names: Sequence[str], filters: TraceFilter, *, skip_existing: bool
) -> int:
    """Copy runs, oldest first, from one store to another of any kind.

    Stores are paths or URLs. With one name, that is the target, and --store the source. Runs are
    saved in the target with the current time.
    """
    if len(names) > 2:
        raise click.UsageError("copy needs a source and a target")
    source, target = names if len(names) == 2 else (session.name, names[0])
    if _is_same(source, target):
        raise click.UsageError("source and target are the same store")
    skipped = _Skipped(session)
    with session.store(source) as store, session.store(target, must_exist=False) as other:
        saver = _Saver(other, skip_existing=skip_existing)
        with session.terminal.progress("Copying") as progress:
            total = store.count(filters)
            runs = _watched(saved_runs(store, filters, skipped.run), total, progress)
            saver.save_all(trace for _, trace in runs)
    if not total:
        session.terminal.note(" ".join(filter(None, ["No runs match.", said(filters)])))
        return NOTHING
    return _told(session, saver, skipped, target)


def _is_same(source: str, target: str) -> bool:
    one, other = parsed(source), parsed(target)
    return bool(one.path) and os.path.realpath(one.path) == os.path.realpath(other.path)


def _watched(runs: Iterable[Saved], total: int, progress: Progress) -> Iterator[Saved]:
    for done, run in enumerate(runs, 1):
        yield run
        progress(done, total)


class _Saver:
    """Saves runs some at a time: a commit for each would take many times as long."""

    def __init__(self, store: QueryableTraceStore, *, skip_existing: bool) -> None:
        self._store = store
        self._skip_existing = skip_existing
        self.saved = 0
        self.left_alone = 0

    def save_all(self, runs: Iterable[AgentTrace]) -> None:
        waiting: list[AgentTrace] = []
        steps = 0
        for run in runs:
            waiting.append(run)
            steps += len(run.steps)
            if len(waiting) >= _RUNS_AT_ONCE or steps >= _STEPS_AT_ONCE:
                self._save(waiting)
                waiting, steps = [], 0
        self._save(waiting)

    def _save(self, runs: list[AgentTrace]) -> None:
        if self._skip_existing and runs:
            ids = {run.run_id for run in runs}
            there = {found.run_id for found in self._store.query(TraceFilter(run_ids=ids))}
            self.left_alone += sum(run.run_id in there for run in runs)
            runs = [run for run in runs if run.run_id not in there]
        self.saved += len(self._store.save_many(runs)) if runs else 0


class _Skipped:
    """Tells of what was skipped, and counts it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.count = 0

    def __call__(self, where: str, why: str) -> None:
        self.count += 1
        if self.count <= _MOST_WARNINGS:
            self._session.terminal.warn(f"skipped {where}: {why}")

    def run(self, error: CorruptTraceError) -> None:
        """A stored run that cannot be read."""
        self(error.where, error.reason)


def _told(session: Session, saver: _Saver, skipped: _Skipped, target: str) -> int:
    parts = [f"{_runs(saver.saved)} saved to {target}"]
    if saver.left_alone:
        parts.append(f"{saver.left_alone:,} already there")
    if skipped.count:
        parts.append(f"{skipped.count:,} skipped")
    session.terminal.note(", ".join(parts))
    return NOTHING if skipped.count else OK


def _runs(count: int) -> str:
    return f"{count:,} run" if count == 1 else f"{count:,} runs"
