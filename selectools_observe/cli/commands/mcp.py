"""The command ``mcp``: a store's runs as tools for agents."""

from __future__ import annotations

import os

import click

from ..command_session import Session, existing
from ..exit_codes import OK, usage_errors
from ..options import store_argument, store_option, with_session

_TOKEN = "SELECTOOLS_OBSERVE_TOKEN"  # noqa: S105 - the name of a variable


@click.command(short_help="Serve the runs to agents as MCP tools.")
@store_argument
@store_option
@click.option("--http", is_flag=True, help="Listen on HTTP rather than on standard input.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help=f"With --http, the address; any but a loopback address needs a token, in {_TOKEN}.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8601,
    show_default=True,
    help="With --http, the port.",
)
@click.option("--allow-annotations", is_flag=True, help="Let agents add labels, scores, notes.")
@with_session
def mcp(session: Session, host: str, port: int, *, http: bool, allow_annotations: bool) -> int:
    """Serve a store to agents over the Model Context Protocol: search, read, compare, sum up.

    No run is changed. A client starts this command itself and speaks to it over standard input
    and output; docs/mcp.md has the lines for Claude Code, Claude Desktop, Cursor and Codex.
    """
    from ...server.mcp import run_http, run_stdio  # noqa: PLC0415 - an extra, slow to import

    existing(session.name)
    if not http:
        run_stdio(session.name, allow_annotations=allow_annotations)
        return OK
    with usage_errors():
        token = os.environ.get(_TOKEN)
        ready = "Serving MCP at {} (press Ctrl+C to quit)"
        run_http(
            session.name,
            host,
            port,
            token=token,
            allow_annotations=allow_annotations,
            on_ready=lambda url: session.terminal.note(ready.format(url)),
        )
    return OK
