"""What `/health` says of a PostgreSQL server that is well, a standby, or gone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="the package psycopg is not installed")
pytest.importorskip("starlette", reason="the extra server is not installed")
sys.path.append(str(Path(__file__).parents[1] / "server"))

from served import TOKEN, run_of, serving

from selectools_observe.stores.postgres import AsyncPostgresTraceStore, PostgresTraceStore

READ_ONLY = "&options=-c%20default_transaction_read_only=on"


def test_a_server_that_answers(postgres_url):
    with PostgresTraceStore(postgres_url) as store, serving(store) as service:
        said = service.json("/health")
        assert said["status"] == "ok"
        assert said["answered_ms"] > 0
        assert said["read_only"] is False


@pytest.mark.parametrize("only_read", [False, True])
def test_a_server_that_takes_no_saves(postgres_url, only_read):
    PostgresTraceStore(postgres_url).close()
    store = AsyncPostgresTraceStore(postgres_url + READ_ONLY)
    with serving(store, read_only=only_read) as service:
        response = service.get("/health")
        if only_read:
            assert response.json()["read_only"] is True
        else:
            assert response.status_code == 503
            assert response.json()["error"]["type"] == "storage_read_only"


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_server_that_is_gone(postgres_server, token):
    store = AsyncPostgresTraceStore("postgresql://ada:s3cret@127.0.0.1:1/db")
    with serving(store, token=token) as service:
        response = service.get("/health")
        assert response.status_code == 503
        assert response.json()["error"]["type"] == "storage_unavailable"
        assert ("Connection refused" in response.text) is (token is None)
        assert ("127.0.0.1" in response.text) is (token is None)
        assert "s3cret" not in response.text


@pytest.mark.slow
def test_a_server_that_goes_and_comes_back(postgres_url, postgres_server):
    store = AsyncPostgresTraceStore(postgres_url)
    with serving(store) as service:
        service.client.post("/api/traces", json=run_of("r").to_dict())
        postgres_server.kill()
        try:
            gone = service.get("/health")
        finally:
            postgres_server.start()
        assert gone.status_code == 503
        assert service.json("/health")["status"] == "ok"
