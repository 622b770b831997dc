"""The same runs on each engine: saved in lists, and the same questions of a store of many."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.data import fresh, small_traces, ten_step_6kb, user_name
from benchmarks.engine_servers import run_sql
from benchmarks.peers import adapter
from benchmarks.probes.base import Bench, Sampler, median_ms, per_second
from benchmarks.probes.built import our_store
from selectools_observe import AgentTrace, TraceFilter

_CHUNK = 10_000
_FIRST = 50
_USERS = itertools.count(7)
# ClickHouse keeps nothing of the runs of the last minutes: statistics add them up each time.
_NEW, _NEW_FOR = 100_000, 270.0


@contextmanager
def saves_in_lists(bench: Bench, kind: str, size: int, batch: int = 0) -> Iterator[Sampler]:
    """Saves a second of ``size`` ten-step traces a call, one call after another."""
    store: Any = adapter(bench.peer).asynchronous(kind, bench.place(kind))
    with asyncio.Runner() as runner:
        runner.run(store.start())

        async def save(items: list[Any]) -> None:
            for start in range(0, len(items), size):
                await store.save_many(items[start : start + size])

        runner.run(save(bench.natives(store.native, min(size, 256))))
        yield lambda: per_second(
            lambda: bench.natives(store.native, batch or size),
            lambda items: runner.run(save(items)),
            bench.settings.min_seconds,
        )
        runner.run(store.close())


@contextmanager
def one_at_a_time(bench: Bench, kind: str, stored: int, calls: int) -> Iterator[Sampler]:
    """Milliseconds of saves and loads of ten-step traces, a list of 50, a user's, and a word."""
    store: Any = adapter(bench.peer).blocking(kind, bench.place(kind))
    traces = fresh(ten_step_6kb(), stored, next(bench.seeds))
    for trace in traces:
        store.save(store.native(trace))
    ids = itertools.cycle([trace["run_id"] for trace in traces])
    user = traces[0]["metadata"]["user_id"]

    def some(_: object, ask: Callable[[], int]) -> None:
        if not ask():
            raise AssertionError("nothing was found")

    def sample() -> dict[str, float]:
        asked: dict[str, Callable[[], int]] = {
            "list": lambda: store.newest(_FIRST),
            "user": lambda: store.by_metadata("user_id", user),
            "text": lambda: store.by_text("flight"),
        }
        times = {key: median_ms(partial(some, ask=ask), range(calls)) for key, ask in asked.items()}
        times["save"] = median_ms(store.save, bench.natives(store.native, calls))
        times["load"] = median_ms(store.load, itertools.islice(ids, calls))
        return {f"{key}_ms": spent for key, spent in times.items()}

    yield sample
    store.close()


@contextmanager
def questions(bench: Bench, kind: str) -> Iterator[Sampler]:
    """Milliseconds of each question of ``engine_runs`` small runs."""
    size = bench.settings.engine_runs
    place = our_store(bench, size) if kind == "sqlite" else bench.place(kind)
    store = adapter(bench.peer).blocking(kind, place).store
    if kind != "sqlite":
        _fill(store, size)
    if kind == "clickhouse" and size > _NEW:
        time.sleep(_NEW_FOR)
    if kind == "postgres":
        run_sql(place, "VACUUM ANALYZE")  # as autovacuum will have done
    asked = _questions(store, size)
    for _, ask in asked.values():
        ask(0)  # what is kept of runs is kept now, and caches are warm
    yield lambda: {f"{key}_ms": median_ms(ask, range(calls)) for key, (calls, ask) in asked.items()}
    store.close()


def _fill(store: Any, size: int) -> None:
    for start in range(0, size, _CHUNK):
        some = small_traces(start, min(size, start + _CHUNK))
        store.save_many([AgentTrace.from_dict(trace) for trace in some])


def _questions(store: Any, size: int) -> dict[str, tuple[int, Callable[[object], Any]]]:
    """By its key each question, and how many times it is asked in a round."""
    env = {"env": "development"}
    half = store.list(1, size // 2).next_cursor

    def first(wanted: TraceFilter) -> Callable[[object], Any]:
        return lambda _: _some(store.query(wanted))

    def one_user(_: object) -> None:
        user = {"user_id": user_name(next(_USERS) % max(1, size // 50))}
        _some(store.query(TraceFilter(metadata_match=user, limit=100)))

    return {
        "list": (9, lambda _: store.list(_FIRST)),
        "page": (9, lambda _: store.list(_FIRST, cursor=half)),
        "user": (9, one_user),
        "common": (9, first(TraceFilter(metadata_match=env, limit=_FIRST))),
        "language": (9, first(TraceFilter.parse("tool:get_user_details steps>=2", limit=_FIRST))),
        "order": (3, first(TraceFilter(order_by="-total_ms", limit=_FIRST))),
        "text": (3, first(TraceFilter(text="look you up", limit=_FIRST))),
        "rare": (1, lambda _: store.query(TraceFilter(text="quietharbor", limit=_FIRST))),
        "count": (1, lambda _: store.count(TraceFilter(metadata_match=env))),
        "models": (1, lambda _: store.statistics(by=("day", "model"))),
        "tools": (1, lambda _: store.statistics(by=("day", "model", "tool"))),
        "groups": (1, lambda _: store.groups("user", limit=_FIRST)),
        "facets": (1, lambda _: store.facets()),
    }


def _some(found: Any) -> None:
    if not found:
        raise AssertionError("nothing was found")
