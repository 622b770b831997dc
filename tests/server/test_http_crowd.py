"""Many clients at once."""

from __future__ import annotations

import asyncio
import os
import random

import httpx
import pytest
from served import run_of

LONG = os.environ.get("SELECTOOLS_OBSERVE_TESTS") == "long"
VISITS = 500 if LONG else 3  # of each


async def visit(client, number, outcomes):
    chance = random.Random(number)
    for _ in range(VISITS):
        n = chance.randrange(300)
        method, path, options = chance.choice(
            [
                ("GET", "/api/traces", {"params": {"limit": 20}}),
                ("GET", "/api/traces", {"params": {"metadata.n": n}}),
                ("GET", f"/api/traces/run-{n}", {}),
                ("GET", f"/api/traces/run-{n}/steps/1", {}),
                ("GET", "/api/histogram", {}),
                ("GET", "/api/count", {"params": {"model": "gpt-4o"}}),
                ("POST", "/api/traces", {"json": run_of(f"new-{number}").to_dict()}),
                ("GET", "/health", {}),
            ]
        )
        response = await client.request(method, path, **options)
        outcomes.append(response.status_code)
        if response.status_code >= 400:
            outcomes.append(response.text)


@pytest.mark.parametrize("clients", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_many_clients_at_once(clients, store, service):
    store.save_many([run_of(f"run-{n}", n=n) for n in range(300)])
    outcomes = []

    async def crowd():
        # One pool of connections, kept open: as many as there are clients.
        limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
        async with httpx.AsyncClient(
            verify=False, base_url=service.client.base_url, timeout=60, limits=limits
        ) as client:
            await asyncio.gather(*(visit(client, n, outcomes) for n in range(clients)))

    asyncio.run(crowd())
    assert set(outcomes) == {200, 201}
    assert len(outcomes) == clients * VISITS
