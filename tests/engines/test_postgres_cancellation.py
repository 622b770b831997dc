"""Calls of PostgreSQL that are cancelled while a connection opens leave nothing behind."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("psycopg", reason="the package psycopg is not installed")

from selectools_observe import AgentTrace
from selectools_observe.backends.postgres import schema, session
from selectools_observe.stores.postgres import AsyncPostgresTraceStore


@pytest.mark.parametrize("where", ["_may_prepare", "prepare"])
async def test_a_caller_is_cancelled_while_a_connection_opens(postgres_url, monkeypatch, where):
    module = session if where == "_may_prepare" else schema
    reached = asyncio.Event()
    whole = getattr(module, where)

    async def waits(*arguments):
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        return await whole(*arguments)

    monkeypatch.setattr(module, where, waits)
    store = AsyncPostgresTraceStore(postgres_url)
    saving = asyncio.create_task(store.save(AgentTrace(run_id="cancelled")))
    await reached.wait()
    saving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert not store._is_open()
    await store.save(AgentTrace(run_id="r"))
    assert [run.run_id for run in await store.list()] == ["r"]
    await store.aclose()
