"""``serve``: the page and the HTTP service."""

from __future__ import annotations

import os

import click
from rich.text import Text

from ..exit_codes import OK
from ..options import store_argument, store_option, with_session
from ..session import Session, existing

_TOKEN = "SELECTOOLS_OBSERVE_TOKEN"  # noqa: S105 - the name of a variable


@click.command(short_help="Serve the web page and the HTTP API.")
@store_argument
@store_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any but a loopback address needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8600,
    show_default=True,
    help="Port to listen on.",
)
@click.option(
    "--token",
    metavar="TEXT",
    help=f"Token that clients must send. Safer in {_TOKEN}: other users can see arguments.",
)
@click.option("--read-only", is_flag=True, help="Refuse all changes to the store.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@with_session
def serve(
    session: Session,
    host: str,
    port: int,
    token: str | None,
    *,
    read_only: bool,
    open_browser: bool,
) -> int:
    """Serve a store: a web page to look at its runs, and an HTTP API.

    Press Ctrl+C to quit.
    """
    from ...server import run  # noqa: PLC0415 - an extra, and slow to import

    existing(session.name)
    try:
        run(
            session.name,
            host,
            port,
            token=token or os.environ.get(_TOKEN),
            read_only=read_only,
            open_browser=open_browser,
            on_ready=lambda url: _announce(session, url),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return OK


def _announce(session: Session, url: str) -> None:
    line = Text("Serving at ").append(url, "bold green").append(" (press Ctrl+C to quit)", "")
    session.terminal.line(line)
    session.terminal.flush()
