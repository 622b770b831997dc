"""Statistics, lists and counts asked for by many clients at once, while others save."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

from .process import Service, told

_WRITERS = 2
_STORED = 2_000
_PATHS = ("/health", "/api/stats", "/api/traces?limit=50", "/api/count", "/api/histogram")


class _Client:
    """A connection that is kept open; a whole HTTP client would take longer than the service."""

    async def open(self, port: int) -> _Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def ask(self, method: str, path: str, body: bytes = b"") -> float:
        """The seconds until the answer was read."""
        began = time.perf_counter()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        kind = "Content-Type: application/json\r\n\r\n"
        self._writer.write((head + kind).encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        await self._reader.readexactly(int(answer.split(b"content-length:")[1].split()[0]))
        assert answer.split()[1] in {b"200", b"201"}, answer
        return time.perf_counter() - began


async def crowded(service: Service, clients: int, seconds: float) -> list[str]:
    numbers = itertools.count()
    first = await _Client().open(service.port)
    for _ in range(_STORED):
        await _save(first, next(numbers))
    # Not before: a connection that asks nothing is closed after a while.
    writers = [await _Client().open(service.port) for _ in range(_WRITERS)]
    askers = [await _Client().open(service.port) for _ in range(clients)]
    until = time.monotonic() + seconds
    taken: dict[str, list[float]] = {}
    asking = [_asking(asker, number, until, taken) for number, asker in enumerate(askers)]
    await asyncio.gather(*asking, *(_saving(writer, numbers, until) for writer in writers))
    head = f"{clients} clients, {_WRITERS} writers, {next(numbers):,} runs"
    rows = [f"{head:34} {'answers':>7} {'p50 ms':>9} {'p99 ms':>9} {'max ms':>9}"]
    return rows + [told(path, taken[path]) for path in sorted(taken)]


async def _asking(
    client: _Client, number: int, until: float, taken: dict[str, list[float]]
) -> None:
    for path in itertools.islice(itertools.cycle(_PATHS), number, None):
        if time.monotonic() > until:
            return
        taken.setdefault(path, []).append(await client.ask("GET", path))


async def _saving(client: _Client, numbers: itertools.count[int], until: float) -> None:
    while time.monotonic() < until:
        await _save(client, next(numbers))


async def _save(client: _Client, number: int) -> None:
    steps = [{"type": "llm_call", "model": f"model-{number % 5}", "duration_ms": number % 900}] * 4
    run = {"run_id": f"run-{number}", "steps": steps, "metadata": {"n": number}}
    await client.ask("POST", "/api/traces", json.dumps(run).encode())
