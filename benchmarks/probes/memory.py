"""The in-memory stores, blocking, full to their size of 2,000 traces so that each save evicts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.data import TRACES_PER_USER, user_name
from benchmarks.peers import adapter
from benchmarks.peers.base import MEMORY_SIZE
from benchmarks.probes.base import Bench, Sampler, median_ms, per_second

_SHARE = 0.2
"""A batch takes milliseconds and far longer to prepare: measure for a fifth of the usual time."""


@contextmanager
def save(bench: Bench, batch: int = 1_000) -> Iterator[Sampler]:
    """Saves a second of new ten-step, 6 KB traces."""
    store = adapter(bench.peer).blocking("memory", bench.folder)

    def run(items: list[Any]) -> None:
        for item in items:
            store.save(item)

    run(bench.natives(store.native, MEMORY_SIZE))
    yield lambda: per_second(
        lambda: bench.natives(store.native, batch), run, _SHARE * bench.settings.min_seconds
    )


@contextmanager
def query(bench: Bench, calls: int) -> Iterator[Sampler]:
    """Milliseconds of ``metadata_match`` over 2,000 ten-step traces.

    ``query_ms`` asks for one user, who has 50 of them; ``half_ms`` for what half of them have.
    """
    store = adapter(bench.peer).blocking("memory", bench.folder)
    users = MEMORY_SIZE // TRACES_PER_USER
    for number, item in enumerate(bench.natives(store.native, MEMORY_SIZE)):
        marks = {"user_id": user_name(number % users), "half": number % 2 == 0}
        item.metadata = {**item.metadata, **marks}
        store.save(item)
    asked = [user_name(number % users) for number in range(calls)]

    def ask(user: str) -> None:
        found = store.by_metadata("user_id", user)
        if found != TRACES_PER_USER:
            raise AssertionError(f"{user}: {found} traces")

    yield lambda: {
        "query_ms": median_ms(ask, asked),
        "half_ms": median_ms(lambda half: store.by_metadata("half", half), [True] * (calls // 4)),
    }
