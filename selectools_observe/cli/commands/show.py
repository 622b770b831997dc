"""The command ``show``: the steps of one run."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec

from ...analytics.capture_gaps import gaps_of
from ...analytics.conversation import conversation_of
from ...model.codec import encode
from ...model.references import expanded_json
from ...model.trace import AgentTrace
from ..command_session import Session
from ..completers import complete_run_ids
from ..conversation_text import lines_of
from ..exit_codes import OK
from ..options import store_option, with_session
from ..run_lookup import find_run, runs_started_by
from ..running_steps import follow_run
from ..step_details import heading_of
from ..terminal import styled
from ..waterfall import draw, rows_of

_MOST_ROWS = 1000


@click.command(short_help="Show what happened in a run.")
@click.argument("run", default="@1", shell_complete=complete_run_ids)
@store_option
@click.option("--json", "as_data", is_flag=True, help="Print the stored run as one JSON object.")
@click.option("--chat", is_flag=True, help="Show the conversation, each message once.")
@click.option("--full", is_flag=True, help="Show each step in full: arguments, results, reasoning.")
@click.option(
    "--step",
    "steps",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="Show only this step, in full; may be repeated.",
)
@click.option("-f", "--follow", is_flag=True, help="Show the steps of a running run as they come.")
@click.option("--children/--no-children", default=True, help="Show child runs.")
@click.option(
    "--all", "everything", is_flag=True, help=f"Show all steps instead of the first {_MOST_ROWS}."
)
@with_session
def show(
    session: Session,
    run: str,
    steps: Sequence[int],
    *,
    as_data: bool,
    chat: bool,
    full: bool,
    follow: bool,
    children: bool,
    everything: bool,
) -> int:
    """Show what happened in a run: a waterfall of its steps.

    RUN is a run id or its beginning; @1 is the newest run (the default), @2 the one before. With
    -f the steps of a run that is recorded with a run journal (``Recorder(store, live=True)``) are
    shown as they end; @1 is then the run that began last.
    """
    if follow:
        return follow_run(session, run)
    with session.store() as store:
        summary = find_run(store, run, session.name)
        trace = store.load(summary.run_id)
        if as_data:
            session.terminal.json(msgspec.Raw(expanded_json(encode(trace).trace)))
            return OK
        started = runs_started_by(store, trace) if children and not steps else {}
    session.terminal.lines(heading_of(trace, summary, with_texts=not chat))
    turns = conversation_of(trace)
    gaps = msgspec.structs.replace(gaps_of(trace, turns), lost_events=0)  # the heading says them
    if gaps:
        session.terminal.line(styled(f"    {gaps}: not stored", "yellow"))
    if chat:
        session.terminal.lines(lines_of(turns, full=full))
        return OK
    if steps:
        return _show_steps(session, trace, steps)
    rows = [*rows_of(trace, started)]
    draw(session.terminal, rows[: None if everything else _MOST_ROWS], rows, full=full)
    if len(rows) > _MOST_ROWS and not everything:
        session.terminal.note(f"{len(rows) - _MOST_ROWS:,} more steps: --all shows them")
    return OK


def _show_steps(session: Session, trace: AgentTrace, steps: Sequence[int]) -> int:
    rows = {row.number: row for row in rows_of(trace, {})}
    if missing := [number for number in steps if str(number) not in rows]:
        raise click.UsageError(f"the run has {len(rows)} steps: there is no step {missing[0]}")
    drawn = [rows[str(number)] for number in steps]
    draw(session.terminal, drawn, full=True)
    return OK
