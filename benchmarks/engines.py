"""PostgreSQL beside bare psycopg, LangGraph's saver and SQLite: saves, loads, and questions.

python -m benchmarks.engines [--runs 100000] [--rounds 5] [--url postgresql://...]

Without a URL a server of its own is started by the fixture of the tests, with fsync on.
Saves and loads are of ten-step runs of 6 KB, 64 at a time; those who are compared take turns.
Questions are asked of a store of small runs in which each user has 50; of more than 200,000
runs, of PostgreSQL alone. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.data import TraceDict
from benchmarks.data.varieties import fresh, small_traces, ten_step_6kb, user_name
from benchmarks.peers.langgraph import Saver
from selectools_observe import AgentTrace, AsyncSQLiteTraceStore, SQLiteTraceStore, TraceFilter
from selectools_observe.backends.postgres.rows import COLUMNS, PLACES, row_of
from selectools_observe.model.codec import encode
from selectools_observe.stores.postgres import AsyncPostgresTraceStore, PostgresTraceStore

AT_ONCE = 64
SAVES = 1024  # of a round
IN_SQLITE = 200_000  # runs; of more, PostgreSQL alone is asked
_FIRST_US = 1_715_800_000_000_000
SETTINGS = """
fsync = on
full_page_writes = on
shared_buffers = 1GB
max_wal_size = 4GB
"""
TESTS = Path(__file__).resolve().parents[1] / "tests" / "engines"


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    sys.path.append(str(TESTS))
    from postgres_server import PostgresServer, find_binaries

    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("no PostgreSQL here: install Debian's postgresql, or give --url")
    with PostgresServer(binaries, settings=SETTINGS) as started:
        yield started.url


class Bare:
    """Rows that are ready-made, a pipeline and a commit for each 64, under the same lock."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def start(self) -> None:
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        await self._connection.execute("CREATE SCHEMA IF NOT EXISTS bare")
        await self._connection.execute(
            "CREATE TABLE bare.traces (LIKE selectools_observe.traces INCLUDING ALL)"
        )
        self._insert = (
            f"INSERT INTO bare.traces ({COLUMNS}, created_us) VALUES ({PLACES}, 0) "
            "ON CONFLICT (key) DO UPDATE SET trace = excluded.trace"
        )

    def native(self, trace: TraceDict) -> Any:
        return row_of(encode(AgentTrace.from_dict(trace))).values

    async def save_all(self, rows: list[Any]) -> None:
        connection = self._connection
        for start in range(0, len(rows), AT_ONCE):
            async with (
                connection.pipeline(),
                connection.transaction(),
                connection.cursor() as cursor,
            ):
                await cursor.execute("SELECT pg_advisory_xact_lock(1)")
                await cursor.executemany(self._insert, rows[start : start + AT_ONCE])

    async def load_all(self, keys: list[Any]) -> None:
        sql = "SELECT trace FROM bare.traces WHERE key = ANY(%s)"
        for start in range(0, len(keys), AT_ONCE):
            async with self._connection.cursor(binary=True) as cursor:
                await cursor.execute(sql, [keys[start : start + AT_ONCE]])
                await cursor.fetchall()

    def id_of(self, item: Any) -> Any:
        return item[0]

    async def close(self) -> None:
        await self._connection.close()


class Ours:
    """An async store of ours, 64 tasks at a time."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def start(self) -> None:
        await self._store.list(1)

    def native(self, trace: TraceDict) -> Any:
        return AgentTrace.from_dict(trace)

    async def save_all(self, items: list[Any]) -> None:
        await together(self._store.save, items)

    async def load_all(self, run_ids: list[str]) -> None:
        await together(self._store.load, run_ids)

    def id_of(self, item: Any) -> Any:
        return item.run_id

    async def close(self) -> None:
        await self._store.aclose()


class LangGraph(Saver):
    """LangGraph's ``AsyncPostgresSaver`` with a pool of connections, 64 tasks at a time."""

    def __init__(self, url: str) -> None:
        super().__init__(Path())
        self._url = url

    async def start(self) -> None:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool

        options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self._pool = AsyncConnectionPool(self._url, max_size=8, open=False, kwargs=options)
        await self._pool.open()
        self._saver = AsyncPostgresSaver(self._pool)
        await self._saver.setup()

    async def save_all(self, items: list[Any]) -> None:
        await together(self.save, items)

    async def load_all(self, run_ids: list[str]) -> None:
        await together(self.load, run_ids)

    def id_of(self, item: Any) -> Any:
        return item[0]["configurable"]["thread_id"]

    async def close(self) -> None:
        await self._pool.close()


async def together(work: Callable[[Any], Awaitable[Any]], items: list[Any]) -> None:
    """Do work on each item, 64 at a time."""
    waiting = iter(items)

    async def some() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def saves_and_loads(url: str, folder: Path, rounds: int) -> None:
    peers: dict[str, Any] = {
        "ours, PostgreSQL": Ours(AsyncPostgresTraceStore(url)),
        "bare psycopg, ready-made rows": Bare(url),
        "ours, SQLite": Ours(AsyncSQLiteTraceStore(folder / "save.db")),
    }
    with contextlib.suppress(ImportError):
        importlib.import_module("langgraph.checkpoint.postgres")

        peers["LangGraph AsyncPostgresSaver"] = LangGraph(url)
    rates: dict[str, dict[str, list[float]]] = {name: {"save": [], "load": []} for name in peers}
    for peer in peers.values():
        await peer.start()
    for number in range(rounds + 1):  # the first warms up
        for name, peer in peers.items():
            items = [peer.native(trace) for trace in fresh(ten_step_6kb(), SAVES, number)]
            ids = [peer.id_of(item) for item in items]
            for what, work in (("save", peer.save_all(items)), ("load", peer.load_all(ids))):
                began = time.perf_counter()
                await work
                if number:
                    rates[name][what].append(SAVES / (time.perf_counter() - began))
    for peer in peers.values():
        await peer.close()
    print("| 64 at a time | saves/s | ours to it | loads/s | ours to it |\n|---|---|---|---|---|")
    middle = {
        name: {what: statistics.median(found) for what, found in those.items()}
        for name, those in rates.items()
    }
    ours = middle["ours, PostgreSQL"]
    for name, found in middle.items():
        print(
            f"| {name} | {found['save']:,.0f} | {ours['save'] / found['save']:.2f} "
            f"| {found['load']:,.0f} | {ours['load'] / found['load']:.2f} |"
        )


def some_traces(start: int, stop: int, runs: int) -> list[AgentTrace]:
    """Small runs, each user's 50 spread over all: users are named anew by place."""
    traces = [AgentTrace.from_dict(each) for each in small_traces(start, stop)]
    for place, trace in enumerate(traces, start):
        trace.metadata["user_id"] = user_name(place % max(1, runs // 50))
    return traces


def fill(url: str, runs: int) -> None:
    """Copy small runs into the table as the store's own rows, which is sooner than saving them."""
    sql = f"COPY questions.traces ({COLUMNS}, created_us) FROM STDIN"
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy(sql) as copy:
            for start in range(0, runs, 1000):
                for place, trace in enumerate(some_traces(start, start + 1000, runs), start):
                    copy.write_row((*row_of(encode(trace)).values, _FIRST_US + place * 1_000_000))
        connection.execute("VACUUM ANALYZE questions.traces")


def questions(url: str, folder: Path, runs: int) -> None:
    """The same questions of the same runs, of PostgreSQL and SQLite in turn."""
    with (
        PostgresTraceStore(f"{url}?schema=questions") as server_store,
        SQLiteTraceStore(folder / "questions.db", durability="normal") as file_store,
    ):
        stores: dict[str, Any] = {"PostgreSQL": server_store, "SQLite": file_store}
        fill(url, runs)
        if runs <= IN_SQLITE:
            for start in range(0, runs, 1000):
                file_store.save_many(some_traces(start, start + 1000, runs))
        else:
            del stores["SQLite"]
        deep = {name: store.list(1, runs // 2).next_cursor for name, store in stores.items()}
        asked: dict[str, Callable[[Any, str], Any]] = {
            "list(50)": lambda store, _: store.list(50),
            "a page of 50 in the middle": lambda store, name: store.list(50, cursor=deep[name]),
            "one user's 50 runs": lambda store, _: store.query(
                TraceFilter(metadata_match={"user_id": user_name(7)}, limit=100)
            ),
            "env=development, 50": lambda store, _: store.query(
                TraceFilter(metadata_match={"env": "development"}, limit=50)
            ),
            "`tool:get_user_details steps>=2`, 50": lambda store, _: store.query(
                TraceFilter.parse("tool:get_user_details steps>=2", limit=50)
            ),
            "count of env=development": lambda store, _: store.count(
                TraceFilter(metadata_match={"env": "development"})
            ),
            "text that every run has, 50": lambda store, _: store.query(
                TraceFilter(text="look you up", limit=50)
            ),
            "statistics by day": lambda store, _: store.statistics(by=("day",)),
            "statistics by day and model": lambda store, _: store.statistics(by=("day", "model")),
            "statistics of one user": lambda store, _: store.statistics(
                TraceFilter(metadata_match={"user_id": user_name(7)}), by=("model", "tool")
            ),
        }
        print(f"\n| ms, of {runs:,} runs | PostgreSQL | SQLite |\n|---|---|---|")
        for title, ask in asked.items():
            times: dict[str, list[float]] = {name: [] for name in stores}
            for _ in range(3 if title.startswith(("stat", "text", "count")) else 21):
                for name, store in stores.items():
                    began = time.perf_counter()
                    ask(store, name)
                    times[name].append((time.perf_counter() - began) * 1000)
            print(f"| {title} | " + " | ".join(f"{_middle(times[n])}" for n in stores) + " |")


def _middle(times: list[float]) -> str:
    return f"{statistics.median(times):,.2f} (least {min(times):,.2f})"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--url")
    chosen = options.parse_args()
    with server(chosen.url) as url, tempfile.TemporaryDirectory() as folder:
        asyncio.run(saves_and_loads(url, Path(folder), chosen.rounds))
        questions(url, Path(folder), chosen.runs)


if __name__ == "__main__":
    main()
