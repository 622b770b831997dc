"""The command ``demo``: a small agent and its runs."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

import click
from rich.text import Text

from ...model.text import one_line
from ..command_session import Session
from ..exit_codes import OK
from ..options import with_session
from ..run_lookup import runs_started_by
from ..run_table import RunTable
from ..terminal import styled
from ..waterfall import draw, rows_of


@click.command(short_help="Run a small agent and show its runs.")
@click.argument("path", default="demo.db", type=click.Path())
@with_session
def demo(session: Session, path: str) -> int:
    """Run a small agent, keep its runs in PATH (demo.db if not given) and show them.

    The agent answers questions about Python's standard library. Its tools are real; its model
    follows a script, so that it needs no network and no key.
    """
    from ...capture import Recorder  # noqa: PLC0415 - no other command records
    from ..demo_agent import CONVERSATION, DemoAgent, ScriptedModel  # noqa: PLC0415

    terminal = session.terminal
    with session.store(path, must_exist=False) as store:
        before = store.count()
        with Recorder(store) as recorder, terminal.progress("Running the agent") as progress:
            agent = DemoAgent(recorder, ScriptedModel())
            for done, (user, question) in enumerate(CONVERSATION):
                progress(done, len(CONVERSATION))
                agent.answer(question, user)
        saved = store.list(limit=store.count() - before)
        last = store.load(saved[0].run_id)
        rows = [*rows_of(last, runs_started_by(store, last))]
    name = one_line(path)
    questions = len(CONVERSATION)
    terminal.line(
        styled(f"An agent answered {questions} questions; its runs are in {name}:", "bold")
    )
    table = RunTable(terminal.width, saved)
    terminal.lines(["", table.heading(), *map(table.line, saved), ""])
    terminal.line(styled("The last run: ", "bold").append(f"“{last.metadata['question']}”"))
    draw(terminal, rows)
    commands = (
        ("Show it in full:", f"{_program()} --store {name} show @1 --full"),
        ("Open in the browser:", f"{_program()} serve {name}"),
    )
    terminal.line()
    for what, typed in commands:
        terminal.line(Text(what.ljust(30)).append(typed, "bold green"))
    return OK


def _program() -> str:
    """The command as it was called, so that what is printed can be typed."""
    called = sys.argv[0]
    name = os.path.basename(called)
    if name == "__main__.py":
        return f"{shlex.quote(sys.orig_argv[0])} -m selectools_observe"
    return name if shutil.which(name) == os.path.abspath(called) else one_line(called)
