"""The command ``schema``: the tables of a database store as SQL."""

from __future__ import annotations

import click

from ...backends.postgres.address import DEFAULT_SCHEMA
from ...backends.postgres.schema import ddl
from ..options import with_session
from ..session import Session


@click.command(short_help="Print the SQL that makes a server's tables.")
@click.argument("engine", type=click.Choice(["postgresql"]))
@click.option("--schema", default=DEFAULT_SCHEMA, show_default=True, help="The schema to make.")
@with_session
def schema(session: Session, engine: str, schema: str) -> int:  # noqa: ARG001
    """Print the SQL that makes the tables of a store on a server.

    For roles that may not create tables: have the database's owner run it once, and grant the
    role USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE on its tables.
    """
    for line in ddl(schema).splitlines():
        session.terminal.line(line)
    return 0
