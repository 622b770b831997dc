"""The command ``serve``: the page and the HTTP service."""

from __future__ import annotations

import os
import sys

import click
from rich.text import Text

from ..command_session import Session, existing, parsed
from ..exit_codes import OK, usage_errors
from ..options import store_argument, store_option, with_session
from ..price_option import price_table, prices_option

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
@click.option(
    "--estimate-costs",
    is_flag=True,
    help="Estimate the cost of model calls that come in with tokens and no cost.",
)
@prices_option
@click.option(
    "--max-body",
    type=click.IntRange(1, 1024),
    default=20,
    show_default=True,
    metavar="MIB",
    help="The largest body that is taken, or line of one, unpacked.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@with_session
def serve(
    session: Session,
    host: str,
    port: int,
    token: str | None,
    own: str | None,
    *,
    max_body: int,
    read_only: bool,
    estimate_costs: bool,
    open_browser: bool,
) -> int:
    """Serve a store: a web page to look at its runs, and an HTTP API.

    A store that is not there is made: what agents send is saved into it. With --estimate-costs or
    --prices it gets a cost where the agent reported none, marked as an estimate.

    Press Ctrl+C to quit.
    """
    from ...server import run  # noqa: PLC0415 - an extra, and slow to import

    if read_only:
        existing(session.name)
    prices = price_table(own, package=estimate_costs) if estimate_costs or own else None
    found = parsed(session.name)
    is_file = found.kind in {"sqlite", "jsonl"} and found.path != ":memory:"
    is_new = is_file and not os.path.exists(found.path)
    with usage_errors():
        run(
            session.name,
            host,
            port,
            token=token or os.environ.get(_TOKEN),
            read_only=read_only,
            open_browser=open_browser,
            max_body=max_body << 20,
            prices=prices,
            on_ready=lambda url: _announce(session, url, is_new=is_new),
        )
    return OK


def _announce(session: Session, url: str, *, is_new: bool) -> None:
    if is_new:
        session.terminal.line(f"{session.name} did not exist: a new, empty store was made")
    if not sys.stdout.isatty():
        url = url.partition("?")[0]  # a log is no place for a token
    line = Text("Serving at ").append(url, "bold green").append(" (press Ctrl+C to quit)", "")
    session.terminal.line(line)
    session.terminal.flush()
