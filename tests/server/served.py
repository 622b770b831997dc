"""The real server over real sockets, for tests that talk to it as any client does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.server.app import create_app
from selectools_observe.server.service import Server, listen

TOKEN = "a-token-of-enough-characters"


@dataclass
class Served:
    """A service that runs.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        client: A client that knows its address.
        server: The server itself.
    """

    port: int
    client: Any
    server: Server

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, **options)

    def json(self, path: str, **params: Any) -> Any:
        response = self.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()


class PromptServer(Server):
    """The server, stopped at once: uvicorn's looks ten times a second whether it should."""

    def __init__(self, app: Any, on_ready: Any) -> None:
        super().__init__(app, on_ready)
        self.stop = asyncio.Event()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), 1)


@contextlib.contextmanager
def serving(store: Any, **options: Any) -> Iterator[Served]:
    """A service of this store, in a thread of its own."""
    ready = threading.Event()
    app = create_app(store, **options)
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        try:
            await server.serve([listener])
        finally:
            if hasattr(store, "aclose"):
                await store.aclose()

    with contextlib.closing(listen("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = PromptServer(app, ready.set)
        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        try:
            assert ready.wait(60)
            # Nothing is encrypted here: to read all certificates takes 50 ms, for each client anew.
            address = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=address, timeout=60, verify=False) as client:
                yield Served(port, client, server)
        finally:
            server.should_exit = True
            loops[0].call_soon_threadsafe(app.end_streams)
            loops[0].call_soon_threadsafe(server.stop.set)
            thread.join(60)
            assert not thread.is_alive()
            if hasattr(store, "close"):
                store.close()


def run_of(run_id: str, steps: int = 2, **metadata: Any) -> AgentTrace:
    """A run with that many steps, alternately of a model and of a tool."""
    trace = AgentTrace(run_id=run_id, start_time=1_770_000_000.0, metadata=metadata)
    for number in range(steps):
        kind = {"type": "tool_execution", "tool_name": "search", "tool_args": {"n": number}}
        if number % 2 == 0:
            kind = {"type": "llm_call", "model": "gpt-4o", "prompt_tokens": 10, "cost_usd": 0.5}
        trace.add(TraceStep(timestamp=1_770_000_000.0 + number, duration_ms=100.0, **kind))
    return trace
