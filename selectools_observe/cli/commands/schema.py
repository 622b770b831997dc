"""The command ``schema``: the tables of a database store as SQL."""

from __future__ import annotations

import click

from ...backends.clickhouse import schema as clickhouse
from ...backends.clickhouse.address import DEFAULT_DATABASE
from ...backends.postgres import schema as postgres
from ...backends.postgres.address import DEFAULT_SCHEMA
from ..command_session import Session
from ..options import with_session


@click.command(short_help="Print the SQL that creates a server's tables.")
@click.argument("engine", type=click.Choice(["postgresql", "clickhouse"]))
@click.option(
    "--schema",
    default=DEFAULT_SCHEMA,
    show_default=True,
    help="PostgreSQL: the schema of the tables.",
)
@click.option(
    "--database", default=DEFAULT_DATABASE, show_default=True, help="ClickHouse: the database."
)
@click.option("--cluster", default="", help="ClickHouse: the cluster to spread the rows over.")
@click.option("--replicated", is_flag=True, help="ClickHouse: tables with replicas (needs Keeper).")
@click.option("--days", default=0, help="ClickHouse: after how many days runs are removed.")
@with_session
def schema(
    session: Session,
    engine: str,
    *,
    schema: str,
    database: str,
    cluster: str,
    days: int,
    replicated: bool,
) -> int:
    """Print the SQL that makes the tables of a store on a server.

    For roles that may not create tables: have the database's owner run it once, and grant the
    role USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE on its tables. For ClickHouse,
    run it on each server of the cluster, and grant SELECT, INSERT and ALTER DELETE.
    """
    if engine == "postgresql":
        sql = postgres.ddl(schema)
    else:
        statements = clickhouse.ddl(
            database, cluster=cluster, replicated=replicated, retention_days=days
        )
        sql = "".join(f"{statement};\n" for statement in statements)
    for line in sql.splitlines():
        session.terminal.line(line)
    return 0
