"""Confirmation of what cannot be undone."""

from __future__ import annotations

import click

from .command_session import Session

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


def agreed(session: Session, question: str, *, yes: bool) -> bool:
    """Whether a person confirms it, or gave ``--yes``.

    Raises:
        click.UsageError: There is nobody to ask.
    """
    if yes:
        return True
    if not session.terminal.can_ask:
        raise click.UsageError("cannot ask for confirmation (not a terminal): give --yes")
    if session.terminal.ask(question):
        return True
    session.terminal.note("Cancelled.")
    return False
