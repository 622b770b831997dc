"""Programs, and a server, killed while programs annotate, delete and prune on a server."""

from __future__ import annotations

import random

import pytest
from killed_annotators import check_annotating, check_deleting, check_pruning
from postgres_server import PostgresServer, find_binaries

CHECKS = [check_annotating, check_deleting, check_pruning]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("engine", ["postgres", "clickhouse"])
def test_killed_programs(check, engine, request):
    check(request.getfixturevalue(f"{engine}_url"), 3, random.Random(7))


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_a_killed_server(check):
    pytest.importorskip("psycopg", reason="the package psycopg is not installed")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL here (Debian's package postgresql)")
    with PostgresServer(binaries) as server:

        def end(child):
            server.kill()
            child.kill()
            server.start()

        check(server.url, 3, random.Random(7), end)
