"""Latency and throughput as the store grows; SQLite, traces of about 550 bytes.

One user has 50 traces at every size, spread over the store, so a user's query does the same work
everywhere. Users are drawn at random, to meet pages that are in no cache of SQLite's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.data import TRACES_PER_USER, user_name
from benchmarks.peers import QueryStore, adapter
from benchmarks.probes.base import (
    Bench,
    Metrics,
    Sampler,
    median_ms,
    per_second,
    saturate,
)
from benchmarks.probes.built import our_store, selectools_store

_PAGE = 50
_WALK = 1_000
_DEPTHS = (0.1, 0.5, 0.9)


class _Users:
    """Random users of a store, each checked to have all their traces."""

    def __init__(self, size: int) -> None:
        self._random = random.Random(size)
        self._count = size // TRACES_PER_USER

    def draw(self, count: int) -> list[str]:
        return [user_name(self._random.randrange(self._count)) for _ in range(count)]

    def ask(self, store: QueryStore, user: str) -> None:
        found = store.by_metadata("user_id", user)
        if found != TRACES_PER_USER:
            raise AssertionError(f"{user}: {found} traces instead of {TRACES_PER_USER}")


@contextmanager
def user_query(bench: Bench, size: int, calls: int) -> Iterator[Sampler]:
    """Milliseconds of ``metadata_match`` on one user; blocking; median over ``calls`` users."""
    build = our_store if bench.peer.key == "ours" else selectools_store
    store = adapter(bench.peer).blocking("sqlite", build(bench, size))
    users = _Users(size)
    users.ask(store, users.draw(1)[0])
    yield lambda: {"user_ms": median_ms(lambda user: users.ask(store, user), users.draw(calls))}
    store.close()


@contextmanager
def latency(bench: Bench, size: int, calls: int) -> Iterator[Sampler]:
    """Milliseconds of the reads of ours that must not grow with the store; blocking.

    ``page_ms`` is the slowest of the pages of 50 at 10, 50 and 90 % of the store's depth;
    ``env_ms`` is the newest 50 with a metadata value that a tenth of the store has.
    """
    store: Any = adapter(bench.peer).blocking("sqlite", our_store(bench, size))
    users = _Users(size)
    cursors = _cursors(store, size)

    def sample() -> Metrics:
        page = [median_ms(lambda at: store.page(_PAGE, at), [at] * calls) for at in cursors]
        return {
            "user_ms": median_ms(lambda user: users.ask(store, user), users.draw(calls)),
            "list_ms": median_ms(store.newest, [_PAGE] * calls),
            "page_ms": max(page),
            "env_ms": median_ms(lambda env: _newest_of(store, env), ["development"] * calls),
        }

    sample()
    yield sample
    store.close()


def _newest_of(store: Any, env: str) -> None:
    if store.by_metadata_first("env", env, _PAGE) != _PAGE:
        raise AssertionError(f"fewer than {_PAGE} traces of {env}")


def _cursors(store: Any, size: int) -> list[str]:
    """Walk the whole store once, keeping the cursors at the depths asked for."""
    wanted = [int(depth * size) // _WALK * _WALK for depth in _DEPTHS]
    kept, cursor = [], None
    for read in range(_WALK, max(wanted) + _WALK, _WALK):
        cursor = store.page(_WALK, cursor).next_cursor
        if read in wanted:
            kept.append(cursor)
    return kept


@contextmanager
def peer_reads(bench: Bench, size: int, calls: int) -> Iterator[Sampler]:
    """The same list and user query of selectools', for the picture."""
    store = adapter(bench.peer).blocking("sqlite", selectools_store(bench, size))
    users = _Users(size)

    yield lambda: {
        "user_ms": median_ms(lambda user: users.ask(store, user), users.draw(calls)),
        "list_ms": median_ms(store.newest, [_PAGE] * 10),
    }
    store.close()


@contextmanager
def save_into(
    bench: Bench, size: int, concurrency: int = 64, batch: int = 512
) -> Iterator[Sampler]:
    """Saves a second of ten-step traces into a store that has ``size`` small ones; 0 is empty."""
    path = our_store(bench, size) if size else bench.folder / "store"
    store = adapter(bench.peer).asynchronous("sqlite", path)
    with asyncio.Runner() as runner:
        runner.run(store.start())

        def run(items: list[Any]) -> None:
            runner.run(saturate(items, concurrency, store.save))

        run(bench.natives(store.native, concurrency))
        yield lambda: per_second(
            lambda: bench.natives(store.native, batch), run, bench.settings.min_seconds
        )
        runner.run(store.close())
