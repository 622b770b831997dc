"""Every store of ours, and the examples of backends, run the conformance suite whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytest_asyncio
from examples_folder import ROOT, load_example
from slow_checks import OF_MANY_RUNS

from selectools_observe import (
    AsyncInMemoryTraceStore,
    AsyncJSONLTraceStore,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    StoreClosedError,
    SyncTraceStore,
    TraceNotFoundError,
)
from selectools_observe.backends.toolkit import check_filter, check_page, decode, encode, matches
from selectools_observe.model import timestamps as clock
from selectools_observe.stores.adapters import as_async, as_blocking
from selectools_observe.stores.blocking import _portals
from selectools_observe.testing import (
    AsyncFileTraceStoreConformance,
    AsyncQueryableTraceStoreConformance,
    AsyncTraceStoreConformance,
    FileTraceStoreConformance,
    QueryableTraceStoreConformance,
    TraceStoreConformance,
)


def test_slow_checks_are_checks():
    assert [
        name for name in OF_MANY_RUNS if not hasattr(AsyncFileTraceStoreConformance, name)
    ] == []


@contextlib.contextmanager
def background_loop():
    """The loop that a `SyncTraceStore` runs its store on."""
    with contextlib.ExitStack() as stack:
        yield _portals.lease(stack)


class OurClock:
    """All our stores ask one function what time it is."""

    @pytest.fixture
    def set_clock(self, monkeypatch):
        return lambda moment: monkeypatch.setattr(clock, "now", lambda: moment)


class Memory(OurClock):
    capacity = 1000


class File(OurClock):
    """A store in a file; `open_at` gives a store on any, `opener` another on the same."""

    name: str

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / self.name

    @pytest.fixture
    def opener(self, open_at, path):
        return lambda: open_at(path)

    @pytest.fixture
    def reopen(self, opener):
        return opener


class SQLiteFile(File):
    name = "traces.db"

    @pytest.fixture
    def damage(self, path: Path):
        def damage(run_id: str) -> None:
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute(
                "UPDATE traces SET trace_json = substr(trace_json, 1, 20) WHERE run_id = ?",
                (run_id,),
            )
            connection.close()

        return damage


class JSONLFile(File):
    name = "traces.jsonl"

    @pytest.fixture
    def damage(self, path: Path):
        def damage(run_id: str) -> None:
            """Cut the middle out of its line: a change of length, as an editor makes it."""
            lines = path.read_text().splitlines()
            spoiled = [
                line[: len(line) // 2] if json.loads(line)["run_id"] == run_id else line
                for line in lines
            ]
            path.write_text("".join(f"{line}\n" for line in spoiled))

        return damage


class Durable:
    # What a check asks does not depend on it, and a sync for each save takes its time. What does
    # depend on it is the subject of the fault tests.
    durability = "normal"


class Async:
    @pytest_asyncio.fixture
    async def store(self, opener):
        async with opener() as store:
            yield store


class Blocking:
    @pytest.fixture
    def store(self, opener):
        with opener() as store:
            yield store


# In memory.


class TestAsyncInMemory(Memory, Async, AsyncQueryableTraceStoreConformance):
    slow_checks = OF_MANY_RUNS

    @pytest.fixture
    def opener(self):
        return AsyncInMemoryTraceStore


class TestInMemory(Memory, Blocking, QueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self):
        return InMemoryTraceStore


@pytest.mark.slow
class TestSyncOfInMemory(Memory, Blocking, QueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self):
        return lambda: SyncTraceStore(AsyncInMemoryTraceStore())


# SQLite.


class TestAsyncSQLite(Durable, SQLiteFile, Async, AsyncFileTraceStoreConformance):
    @pytest.fixture
    def open_at(self):
        return lambda path: AsyncSQLiteTraceStore(path, durability=self.durability)


@pytest.mark.slow
class TestAsyncSQLiteDurable(TestAsyncSQLite):
    durability = "full"


class TestSQLite(Durable, SQLiteFile, Blocking, FileTraceStoreConformance):
    slow_checks = OF_MANY_RUNS

    @pytest.fixture
    def open_at(self):
        return lambda path: SQLiteTraceStore(path, durability=self.durability)


@pytest.mark.slow
class TestSQLiteDurable(TestSQLite):
    durability = "full"


# The adapter is the same in front of every store: the default tries it in front of memory.
@pytest.mark.slow
class TestSyncOfSQLite(SQLiteFile, Blocking, FileTraceStoreConformance):
    @pytest.fixture
    def open_at(self):
        return lambda path: SyncTraceStore(AsyncSQLiteTraceStore(path, durability="normal"))


# What differs from a file is the connection that all share.
@pytest.mark.slow
class TestAsyncSQLiteInMemory(OurClock, Async, AsyncQueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self):
        return lambda: AsyncSQLiteTraceStore(":memory:")


@pytest.mark.slow
class TestSQLiteInMemory(OurClock, Blocking, QueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self):
        return lambda: SQLiteTraceStore(":memory:")


# JSONL.


class TestAsyncJSONL(Durable, JSONLFile, Async, AsyncFileTraceStoreConformance):
    slow_checks = OF_MANY_RUNS

    @pytest.fixture
    def open_at(self):
        return lambda path: AsyncJSONLTraceStore(path, durability=self.durability)


@pytest.mark.slow
class TestAsyncJSONLDurable(TestAsyncJSONL):
    durability = "full"


class TestJSONL(Durable, JSONLFile, Blocking, FileTraceStoreConformance):
    @pytest.fixture
    def open_at(self):
        return lambda path: JSONLTraceStore(path, durability=self.durability)


@pytest.mark.slow
class TestJSONLDurable(TestJSONL):
    durability = "full"


@pytest.mark.slow
class TestSyncOfJSONL(JSONLFile, Blocking, FileTraceStoreConformance):
    @pytest.fixture
    def open_at(self):
        return lambda path: SyncTraceStore(AsyncJSONLTraceStore(path))


# Redis: the example of a backend of one's own.


class Redis:
    """A prefix of its own for each test, and clients that are closed at its end."""

    numbers = itertools.count()

    @pytest.fixture
    def example(self, redis_socket):
        return load_example("redis_store")

    @pytest.fixture
    def prefix(self) -> str:
        return f"test-{next(self.numbers)}:"

    @pytest.fixture
    def set_clock(self, example, monkeypatch):
        return lambda moment: monkeypatch.setattr(example, "now", lambda: moment)

    @pytest.fixture
    def reopen(self, opener):
        return opener

    @pytest.fixture
    def damage(self, redis_socket, prefix):
        import redis

        def damage(run_id: str) -> None:
            with redis.Redis(unix_socket_path=redis_socket) as client:
                client.hset(f"{prefix}traces", run_id, "{half")
                client.hset(f"{prefix}summaries", run_id, "{half")

        return damage


@pytest.mark.slow
class TestAsyncRedis(Redis, Async, AsyncTraceStoreConformance):
    many_loops = False

    @pytest_asyncio.fixture
    async def opener(self, redis_socket, example, prefix):
        import redis.asyncio

        clients = []

        def open_one():
            clients.append(redis.asyncio.Redis(unix_socket_path=redis_socket))
            return example.AsyncRedisTraceStore(clients[-1], prefix)

        yield open_one
        for client in clients:
            await client.aclose()


@pytest.mark.engines
class TestRedis(Redis, Blocking, TraceStoreConformance):
    @pytest.fixture
    def opener(self, redis_socket, example, prefix):
        import redis

        with redis.Redis(unix_socket_path=redis_socket) as client:
            yield lambda: example.RedisTraceStore(client, prefix)


@pytest.mark.slow
class TestSyncOfRedis(Redis, Blocking, TraceStoreConformance):
    @pytest.fixture
    def opener(self, redis_socket, example, prefix):
        import redis.asyncio

        clients = []

        def open_one():
            clients.append(redis.asyncio.Redis(unix_socket_path=redis_socket))
            return SyncTraceStore(example.AsyncRedisTraceStore(clients[-1], prefix))

        with background_loop() as portal:  # the clients must be closed in the loop that used them
            yield open_one
            for client in clients:
                portal.call(client.aclose)


# The backend of docs/backends.md.


class Page:
    @pytest.fixture
    def documented(self):
        text = (ROOT / "docs" / "backends.md").read_text()
        namespace = {"__name__": "backends_page"}
        for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            exec(compile(block, "docs/backends.md", "exec"), namespace)
        return SimpleNamespace(**namespace)


class TestAsyncPage(Page, Async, AsyncTraceStoreConformance):
    slow_checks = OF_MANY_RUNS

    @pytest.fixture
    def opener(self, documented):
        return documented.DictTraceStore


@pytest.mark.slow
class TestSyncOfPage(Page, Blocking, TraceStoreConformance):
    @pytest.fixture
    def opener(self, documented):
        return lambda: SyncTraceStore(documented.DictTraceStore())


# Stores of five methods have all others by their adapters.


class FiveMethods:
    """A blocking store in a dictionary."""

    def __init__(self):
        self._saved = {}
        self._closed = False

    def save(self, trace):
        self._check_open()
        encoded = encode(trace)
        self._saved.pop(encoded.run_id, None)
        self._saved[encoded.run_id] = encoded, clock.now()
        return encoded.run_id

    def load(self, run_id):
        self._check_open()
        if run_id not in self._saved:
            raise TraceNotFoundError(run_id, "the dictionary")
        return decode(self._saved[run_id][0].trace)

    def list(self, limit=50, offset=0):
        check_page(limit, offset)
        self._check_open()
        return [encoded.summary(at) for encoded, at in self._newest_first()][offset:][:limit]

    def query(self, filters):
        check_filter(filters)
        self._check_open()
        found = [
            summary
            for encoded, at in self._newest_first()
            if matches(filters, summary := encoded.summary(at), encoded.facts)
        ]
        return found[: filters.limit]

    def delete(self, run_id):
        self._check_open()
        return self._saved.pop(run_id, None) is not None

    def close(self):
        self._closed = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _newest_first(self):
        return [*reversed(self._saved.values())]

    def _check_open(self):
        if self._closed:
            raise StoreClosedError("the dictionary")


class FiveMethodsOnly:
    annotates = False
    keeps_created_at = False


class TestFiveMethodsAsBlocking(
    FiveMethodsOnly, OurClock, Blocking, QueryableTraceStoreConformance
):
    slow_checks = OF_MANY_RUNS

    @pytest.fixture
    def opener(self):
        return lambda: as_blocking(FiveMethods())


@pytest.mark.slow
class TestFiveMethodsAsAsync(FiveMethodsOnly, OurClock, Async, AsyncQueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self):
        return lambda: as_async(FiveMethods())


@pytest.mark.slow
class TestPageAsAsync(FiveMethodsOnly, Page, Async, AsyncQueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self, documented):
        return lambda: as_async(documented.DictTraceStore())


@pytest.mark.slow
class TestPageAsBlocking(FiveMethodsOnly, Page, Blocking, QueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self, documented):
        return lambda: as_blocking(documented.DictTraceStore())
