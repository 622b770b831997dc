"""Keep traces in Redis: the smallest whole backend, async and blocking.

Two keys of Redis hold a store: a hash of records by run id, and the run ids sorted by their number
in the order of saving. `test_conformance.py` runs the conformance suite on both classes.

    store = AsyncRedisTraceStore(redis.asyncio.Redis())
    store = RedisTraceStore(redis.Redis())
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Self, TypeAlias

import redis
import redis.asyncio

from selectools_observe import (
    AgentTrace,
    CorruptTraceError,
    StorageError,
    StoreClosedError,
    TraceFilter,
    TraceNotFoundError,
    TraceSummary,
)
from selectools_observe.backends.toolkit import (
    TraceFacts,
    check_filter,
    check_page,
    decode,
    encode,
    matches,
    summary_from_bytes,
    summary_to_bytes,
)

log = logging.getLogger(__name__)

Summaries: TypeAlias = list[TraceSummary]
Record: TypeAlias = tuple[TraceSummary, TraceFacts]

# One script is one moment: no other client sees half a save.
_SAVE = """
local number = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], number, ARGV[1])
"""
_DELETE = """
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
_LIST = """
local ids = redis.call('ZREVRANGE', KEYS[2], ARGV[1], ARGV[2])
local records = {}
for n, id in ipairs(ids) do records[n] = redis.call('HGET', KEYS[4], id) end
return records
"""
_LARGEST = 2**53 - 1  # the largest place that Redis counts to


def now() -> datetime:
    return datetime.now(UTC)


class _Keys:
    """Names, and the conversions that both classes share; nothing here waits."""

    def __init__(self, prefix: str) -> None:
        self.where = f"redis, {prefix}*"
        self.all = [f"{prefix}{name}" for name in ("traces", "index", "number", "summaries")]
        self.traces = self.all[0]
        self._closed = False
        self._warned: set[bytes] = set()

    def close(self) -> None:
        self._closed = True

    @contextlib.contextmanager
    def operation(self) -> Iterator[None]:
        """Refuse what comes after close; put what Redis says in the store's own words."""
        if self._closed:
            raise StoreClosedError(self.where)
        try:
            yield
        except redis.RedisError as error:
            problem = f"Redis refused ({error})"
            raise StorageError(self.where, problem, "See that the server is up") from error

    def to_save(self, trace: object) -> tuple[str, list[bytes]]:
        """The run id, and what the script stores."""
        encoded = encode(trace)
        record = summary_to_bytes(encoded, now())
        return encoded.run_id, [to_field(encoded.run_id), encoded.trace, record]

    def to_trace(self, run_id: str, data: bytes | None) -> AgentTrace:
        if data is None:
            raise TraceNotFoundError(run_id, self.where)
        try:
            trace: AgentTrace = decode(data)
        except ValueError as error:
            raise CorruptTraceError(run_id, self.where, str(error)) from error
        return trace

    def to_summaries(self, found: Iterable[bytes | None]) -> Summaries:
        return [summary for summary, _ in self._records(found)]

    def matching(self, filters: TraceFilter, found: Iterable[bytes | None]) -> Summaries:
        records = self._records(found)
        matched = (summary for summary, facts in records if matches(filters, summary, facts))
        return list(islice(matched, filters.limit))

    def _records(self, found: Iterable[bytes | None]) -> Iterator[Record]:
        for data in found:
            record = None if data is None else self._readable(data)
            if record is not None:
                yield record

    def _readable(self, data: bytes) -> Record | None:
        try:
            return summary_from_bytes(data)
        except ValueError as error:
            if data not in self._warned:
                self._warned.add(data)
                log.warning("%s: a record was skipped: %s", self.where, error)
            return None


def to_field(run_id: str) -> bytes:
    """A run id as Redis is asked for it: any text, also one under which nothing can be saved."""
    return run_id.encode("utf-8", "surrogatepass")


def to_range(limit: int, offset: int) -> list[int]:
    """The first and the last place of a page."""
    return [min(offset, _LARGEST), min(offset + limit - 1, _LARGEST)]


class AsyncRedisTraceStore:
    """Traces in Redis, for code that runs in an event loop: the one its client belongs to.

    Args:
        client: A client that does not decode responses; the caller closes it.
        prefix: What the names of all keys begin with.
    """

    def __init__(self, client: redis.asyncio.Redis, prefix: str = "trace:") -> None:
        self._redis: Any = client
        self._keys = _Keys(prefix)

    async def save(self, trace: AgentTrace) -> str:
        with self._keys.operation():
            run_id, values = self._keys.to_save(trace)
            await self._run(_SAVE, *values)
            return run_id

    async def load(self, run_id: str) -> AgentTrace:
        with self._keys.operation():
            data = await self._redis.hget(self._keys.traces, to_field(run_id))
            return self._keys.to_trace(run_id, data)

    async def list(self, limit: int = 50, offset: int = 0) -> Summaries:
        check_page(limit, offset)
        with self._keys.operation():
            found = await self._run(_LIST, *to_range(limit, offset)) if limit else []
            return self._keys.to_summaries(found)

    async def query(self, filters: TraceFilter) -> Summaries:
        with self._keys.operation():
            found = await self._run(_LIST, 0, -1)
            return self._keys.matching(check_filter(filters), found)

    async def delete(self, run_id: str) -> bool:
        with self._keys.operation():
            return bool(await self._run(_DELETE, to_field(run_id)))

    async def aclose(self) -> None:
        self._keys.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def _run(self, script: str, *values: bytes | int) -> Any:
        return await self._redis.eval(script, len(self._keys.all), *self._keys.all, *values)


class RedisTraceStore:
    """`AsyncRedisTraceStore` for code that blocks; safe to share between threads.

    Args:
        client: A client that does not decode responses; the caller closes it.
        prefix: What the names of all keys begin with.
    """

    def __init__(self, client: redis.Redis, prefix: str = "trace:") -> None:
        self._redis: Any = client
        self._keys = _Keys(prefix)

    def save(self, trace: AgentTrace) -> str:
        with self._keys.operation():
            run_id, values = self._keys.to_save(trace)
            self._run(_SAVE, *values)
            return run_id

    def load(self, run_id: str) -> AgentTrace:
        with self._keys.operation():
            data = self._redis.hget(self._keys.traces, to_field(run_id))
            return self._keys.to_trace(run_id, data)

    def list(self, limit: int = 50, offset: int = 0) -> Summaries:
        check_page(limit, offset)
        with self._keys.operation():
            found = self._run(_LIST, *to_range(limit, offset)) if limit else []
            return self._keys.to_summaries(found)

    def query(self, filters: TraceFilter) -> Summaries:
        with self._keys.operation():
            return self._keys.matching(check_filter(filters), self._run(_LIST, 0, -1))

    def delete(self, run_id: str) -> bool:
        with self._keys.operation():
            return bool(self._run(_DELETE, to_field(run_id)))

    def close(self) -> None:
        self._keys.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self, script: str, *values: bytes | int) -> Any:
        return self._redis.eval(script, len(self._keys.all), *self._keys.all, *values)
