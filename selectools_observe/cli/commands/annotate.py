"""The command ``annotate``: say something of a run."""

from __future__ import annotations

import os

import click

from ...model.annotations import SOURCES, Source
from ...model.text import one_line
from ..annotation_text import line_of
from ..command_session import Session
from ..completers import complete_run_ids
from ..exit_codes import OK, usage_errors
from ..options import store_option, with_session
from ..run_lookup import find_run


@click.command(short_help="Annotate a run: a label, a score, a note.")
@click.argument("run", shell_complete=complete_run_ids)
@click.argument("name")
@store_option
@click.option("--label", help="A label, such as good.")
@click.option("--score", type=float, help="A score: any number.")
@click.option("--note", help="Why.")
@click.option("--step", type=click.IntRange(1), metavar="N", help="Number of the annotated step.")
@click.option("--author", help="Name of the annotator [default: the user's].")
@click.option("--source", type=click.Choice(SOURCES), default="human", show_default=True)
@with_session
def annotate(  # noqa: PLR0917 - click hands each option over by name
    session: Session,
    /,
    run: str,
    name: str,
    label: str | None,
    score: float | None,
    note: str | None,
    step: int | None,
    author: str | None,
    source: Source,
) -> int:
    """Say something of a run, or of one of its steps: a label, a score, a note.

    \b
    selectools-observe annotate @1 resolved --label no --score 0 --note "gave up"
    selectools-observe list -w "label.resolved:no"
    """  # noqa: D301 - for click
    with session.store() as store:
        found = find_run(store, run, session.name)
        if step is not None and step > found.steps:
            raise click.UsageError(f"the run has {found.steps} steps: there is no step {step}")
        with usage_errors():
            kept = store.annotate(
                found.run_id,
                name,
                label=label,
                score=score,
                note=note,
                step=None if step is None else step - 1,
                author=author or _user(),
                source=source,
            )
    session.terminal.note(f"{one_line(found.run_id)}: {line_of(kept).plain}")
    return OK


def _user() -> str | None:
    return os.environ.get("USER") or os.environ.get("USERNAME") or None
