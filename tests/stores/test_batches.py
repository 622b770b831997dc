"""Requests that are done together: who waits for whom, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from selectools_observe.runtime.asyncio_ import AsyncioRuntime
from selectools_observe.runtime.batching import AwaitedBatcher

CALLERS = 64
ROUNDS = 5


class Server:
    """Does batches in some turns of the loop each, and notes what happens."""

    def __init__(self, turns: int = 3) -> None:
        self.turns = turns
        self.sizes: list[int] = []
        self.back: list[int] = []  # how many came back while each batch was done
        self.returned = 0

    async def __call__(self, requests: Sequence[int]) -> list[int]:
        before = self.returned
        for _ in range(self.turns):
            await asyncio.sleep(0)
        self.sizes.append(len(requests))
        self.back.append(self.returned - before)
        return [2 * request for request in requests]


async def ask(batcher: AwaitedBatcher[int, int], server: Server, caller: int) -> None:
    for number in range(ROUNDS):
        assert await batcher.submit(caller + number) == 2 * (caller + number)
        server.returned += 1


async def asked(server: Server, *, overlaps: bool) -> None:
    batcher = AwaitedBatcher(AsyncioRuntime(), server, overlaps=overlaps)
    await asyncio.gather(*(ask(batcher, server, caller) for caller in range(CALLERS)))
    assert sum(server.sizes) == CALLERS * ROUNDS


async def test_many_callers_are_done_half_and_half() -> None:
    server = Server(turns=20)
    await asked(server, overlaps=True)
    (first, *sizes), (_, *back) = server.sizes, server.back
    assert first == CALLERS
    assert all(CALLERS // 3 < size < CALLERS * 2 // 3 for size in sizes)
    # Those of one half came back, with their next requests, while the other was done.
    assert min(back) > CALLERS // 3


async def test_callers_come_back_some_at_a_time() -> None:
    server = Server(turns=3)
    await asked(server, overlaps=True)
    assert max(server.back) < CALLERS // 3


async def test_all_together_where_a_batch_costs_much() -> None:
    server = Server()
    await asked(server, overlaps=False)
    assert server.sizes == [CALLERS] * ROUNDS


async def test_a_caller_who_gives_up_holds_up_nobody() -> None:
    server = Server(turns=20)
    batcher = AwaitedBatcher(AsyncioRuntime(), server, overlaps=True)
    tasks = [asyncio.create_task(ask(batcher, server, caller)) for caller in range(CALLERS)]
    for turn in range(30):
        await asyncio.sleep(0)
        tasks[2 * turn].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    given_up = [one for one in ended if isinstance(one, asyncio.CancelledError)]
    assert len(given_up) == 30
    assert ended.count(None) == CALLERS - 30
