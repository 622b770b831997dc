"""The command ``import``: the runs of files into a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import click

from ...analytics.prices import PriceTable
from ...interchange import JudgementSaver, UnknownFormError, forms, read_saved_runs
from ...interchange.form import SavedRun
from ...interchange.source import IMPORT_LIMITS, files_in
from ...model.limits import NO_LIMITS
from ..command_session import Session
from ..options import store_option, with_session
from ..price_option import price_table, prices_option
from ..transfer import RunSaver, Skipped, report_saved


class _ImportCommand(click.Command):
    """Its help names the known forms, read only when it is asked for."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Files"):
            formatter.write_dl([(form.title, form.source) for form in forms()])


@click.command("import", cls=_ImportCommand, short_help="Save the runs of files into the store.")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@store_option
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Skip runs whose id is already in the store; by default they are replaced.",
)
@click.option(
    "--no-limits",
    is_flag=True,
    help="Accept runs and values of any size; for files that you trust.",
)
@click.option(
    "--estimate-costs",
    is_flag=True,
    help="Estimate the cost of model calls for which the file reports tokens and no cost.",
)
@prices_option
@with_session
def import_(
    session: Session,
    files: Sequence[str],
    own: str | None,
    *,
    skip_existing: bool,
    no_limits: bool,
    estimate_costs: bool,
) -> int:
    """Save the runs of files into the store; - is standard input, a folder all files in it.

    What a file is, its content tells. Imported again, a run replaces itself. What is not a run is
    reported and skipped, and the command then exits with 1. From a store's file, runs keep the time
    at which they were saved and their annotations; others are saved with the current time.

    Costs are estimated with --estimate-costs or --prices, as by the command reprice: what the file
    reports is never replaced, an estimate says that it is one, and an unknown model has no cost.
    """
    skipped = Skipped(session)
    missing = [path for path in files if path != "-" and not os.path.exists(path)]
    if missing:
        raise click.FileError(missing[0], "no such file")
    limits = NO_LIMITS if no_limits else IMPORT_LIMITS
    prices = price_table(own, package=estimate_costs) if estimate_costs or own else None
    with session.store(must_exist=False) as target:
        saver = RunSaver(target, skip_existing=skip_existing)
        judged = JudgementSaver(target, skipped)
        for path in _files(files):
            with session.terminal.progress(f"Importing {path}") as progress:
                try:
                    runs = read_saved_runs(
                        path, skipped=skipped, progress=progress, limits=limits, judged=judged
                    )
                    saver.save_all(runs if prices is None else _priced(runs, prices))
                except (UnknownFormError, ImportError) as error:
                    skipped(path, getattr(error, "reason", str(error)))
        judged.finish()
    if judged.saved:
        session.terminal.note(f"{judged.saved:,} annotations of stored runs saved")
    return report_saved(session, saver, skipped, session.name)


def _priced(runs: Iterable[SavedRun], prices: PriceTable) -> Iterator[SavedRun]:
    for run in runs:
        prices.priced(run.trace)
        yield run


def _files(names: Sequence[str]) -> Iterator[str]:
    """The files that are named, and those in the folders that are, by their names."""
    for name in names:
        if not os.path.isdir(name):
            yield name
            continue
        yield from files_in(name)
