"""The stores for code that blocks.

`SQLiteTraceStore` and its siblings drive the backends' own coroutines where they are called: no
event loop, no thread, nothing to shut down. `SyncTraceStore` is for any other async store: it runs
that on an event loop in a thread of its own.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..backends.base import StoreCore
from ..backends.file_base import FileCore
from ..backends.jsonl import JSONLStore
from ..backends.memory import MemoryStore
from ..backends.sqlite import SQLiteStore
from ..errors import StoreClosedError
from ..model.codec import TraceType
from ..model.filters import TraceFilter
from ..model.groups import GroupPage, TraceFacets
from ..model.histogram import TraceHistogram
from ..model.pagination import TracePage
from ..model.reports import BackupReport, CompactReport, Progress, RepairReport, VerifyReport
from ..model.statistics import BY_DEFAULT, Clock, Statistics
from ..model.text_query import SearchPage
from ..model.trace import AgentTrace, TraceSummary
from ..protocols import (
    AsyncFileTraceStore,
    AsyncTraceStore,
    Change,
    Durability,
    RunIds,
    Summaries,
    is_async_store,
)
from ..runtime.fork import rest_during_forks
from ..runtime.interface import BlockingRuntime, run_sync
from .delegating import WrappingCore
from .methods import BlockingMethods, ClosedAtEnd

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal, BlockingPortalProvider

CoreT = TypeVar("CoreT", bound=StoreCore[Any])
FileCoreT = TypeVar("FileCoreT", bound=FileCore[Any])
T = TypeVar("T")


class BlockingFace(BlockingMethods[CoreT]):
    """The verbs, blocking, over the same coroutines that the async stores run."""

    def __init__(self, core: CoreT) -> None:
        super().__init__(core)
        self._core._call_it(type(self).__name__)
        try:
            run_sync(core._open())
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str | None:
        """The file that the traces are in; None in memory."""
        return self._core.path

    def recover(self) -> RunIds:
        """Put runs into the store whose programs were killed while a live record was kept.

        Happens by itself at the first verb. They carry ``"unfinished": true`` in their metadata.

        Returns:
            The ids of these runs.
        """
        return run_sync(self._core.recover())

    def __repr__(self) -> str:
        return repr(self._core)


class _FileFace(BlockingFace[FileCoreT]):
    """The verbs for trust too."""

    def verify(self, *, progress: Progress | None = None) -> VerifyReport:
        """See `FileTraceStore.verify`."""
        return run_sync(self._core.verify(progress=progress))

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> BackupReport:
        """See `FileTraceStore.backup`."""
        return run_sync(self._core.backup(path, overwrite=overwrite, progress=progress))

    def repair(
        self,
        into: str | os.PathLike[str],
        *,
        keep_suspect: bool = True,
        progress: Progress | None = None,
    ) -> RepairReport:
        """See `FileTraceStore.repair`."""
        return run_sync(self._core.repair(into, keep_suspect=keep_suspect, progress=progress))

    def compact(self, *, progress: Progress | None = None) -> CompactReport:
        """See `FileTraceStore.compact`."""
        return run_sync(self._core.compact(progress=progress))


class InMemoryTraceStore(BlockingFace[MemoryStore]):
    """`AsyncInMemoryTraceStore` for code that blocks; safe to share between threads.

    Args:
        max_size: How many to keep; the least recently saved or loaded goes first.
        trace_type: The class that `load` returns; anything with ``from_dict``.
    """

    def __init__(self, max_size: int = 1000, *, trace_type: TraceType = AgentTrace) -> None:
        super().__init__(MemoryStore(BlockingRuntime(), max_size, trace_type))


class SQLiteTraceStore(_FileFace[SQLiteStore]):
    """`AsyncSQLiteTraceStore` for code that blocks; safe to share between threads and to use in a
    child after a fork. Opens when it is made, so that a bad path fails there.

    Args:
        db_path: The file; made, with its folders, if it does not exist. ``":memory:"`` is one
            private database for the life of the store.
        durability: ``"full"``: a save that returned survives power loss. ``"normal"``: it survives
            a crash of the program; power loss may take the last moments.
        trace_type: The class that `load` returns; anything with ``from_dict``.
    """

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        trace_type: TraceType = AgentTrace,
    ) -> None:
        super().__init__(SQLiteStore(BlockingRuntime(), db_path, durability, trace_type))


class JSONLTraceStore(_FileFace[JSONLStore]):
    """`AsyncJSONLTraceStore` for code that blocks; safe to share between threads and to use in a
    child after a fork. Opens when it is made, so that a bad path fails there.

    Args:
        path: The file; made, with its folders, if it does not exist.
        durability: ``"normal"``: a save that returned survives a crash of the program. ``"full"``:
            it survives power loss.
        trace_type: The class that `load` returns; anything with ``from_dict``.
        progress: Called while the file is read for the first time, with the bytes read and the
            bytes in all.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "normal",
        trace_type: TraceType = AgentTrace,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(JSONLStore(BlockingRuntime(), path, durability, trace_type, progress))


class _Portals:
    """One background loop for all that are open, ended with the last of them."""

    def __init__(self) -> None:
        self._provider: BlockingPortalProvider | None = None
        self._leases: list[ExitStack] = []
        rest_during_forks(self)
        # A loop that runs until the interpreter is taken apart would be waited for for ever.
        atexit.register(self.end)

    def lease(self, stack: ExitStack) -> BlockingPortal:
        from anyio.from_thread import BlockingPortalProvider  # noqa: PLC0415 - slow, seldom used

        if self._provider is None:
            self._provider = BlockingPortalProvider(backend="asyncio")
        self._leases.append(stack)
        return stack.enter_context(self._provider)

    def give_back(self, stack: ExitStack) -> None:
        stack.close()
        with suppress(ValueError):
            self._leases.remove(stack)

    def end(self) -> None:
        """At exit: also those whose stores were never closed."""
        while self._leases:
            self._leases.pop().close()

    def before_fork(self) -> None:
        pass

    def after_fork_in_parent(self) -> None:
        pass

    def after_fork_in_child(self) -> None:
        # The thread is not here. The provider is kept all the same: freed, it would wait for it.
        _inherited.extend((self._provider, *self._leases))
        self._provider, self._leases = None, []


_inherited: list[object] = []
_portals = _Portals()


class SyncTraceStore(ClosedAtEnd):
    """The blocking face of any `AsyncTraceStore`, on an event loop in a background thread.

    For stores that have no blocking face of their own: a third party's, one on a network. Verbs
    beyond the five are there when the store has them.

    Args:
        store: The async store; closed with this one.

    Raises:
        TypeError: It is not an async store.
    """

    def __init__(self, store: AsyncTraceStore) -> None:
        if not is_async_store(store):
            raise TypeError(f"not an async trace store: {store!r}")
        self._store = cast("AsyncFileTraceStore", store)  # as far as it goes: five verbs may be all
        self._portal: BlockingPortal | None = None
        self._stack = ExitStack()
        self._idle = threading.Condition(threading.Lock())
        self._under_way = 0
        self._closed = False
        rest_during_forks(self, holds_others=True)

    def save(self, trace: Any) -> str:
        """See `TraceStore.save`."""
        return self._run(self._store.save, trace)

    def save_many(self, traces: Iterable[Any]) -> RunIds:
        """See `QueryableTraceStore.save_many`."""
        return self._run(self._store.save_many, traces)

    def update(self, run_id: str, change: Change) -> bool:
        """See `QueryableTraceStore.update`; a store without it loads and saves."""
        return self._run(WrappingCore(self._store).update, run_id, change)

    def load(self, run_id: str) -> Any:
        """See `TraceStore.load`."""
        return self._run(self._store.load, run_id)

    def load_many(self, run_ids: Iterable[str]) -> dict[str, Any]:
        """See `QueryableTraceStore.load_many`."""
        return self._run(self._store.load_many, run_ids)

    def list(
        self, limit: int = 50, offset: int = 0, *, cursor: str | None = None
    ) -> Summaries | TracePage:
        """See `QueryableTraceStore.list`; a `TracePage` if the store gives one."""
        return self._run(self._store.list, limit, offset, **_given(cursor=cursor))

    def query(self, filters: TraceFilter, *, cursor: str | None = None) -> Summaries | TracePage:
        """See `QueryableTraceStore.query`; a `TracePage` if the store gives one."""
        return self._run(self._store.query, filters, **_given(cursor=cursor))

    def count(self, filters: TraceFilter | None = None) -> int:
        """See `QueryableTraceStore.count`."""
        return self._run(self._store.count, filters)

    def histogram(self, filters: TraceFilter | None = None, *, buckets: int = 60) -> TraceHistogram:
        """See `QueryableTraceStore.histogram`."""
        return self._run(self._store.histogram, filters, buckets=buckets)

    def search(
        self,
        text: str,
        filters: TraceFilter | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        hits_per_run: int = 3,
    ) -> SearchPage:
        """See `QueryableTraceStore.search`."""
        return self._run(
            self._store.search,
            text,
            filters,
            limit=limit,
            cursor=cursor,
            hits_per_run=hits_per_run,
        )

    def statistics(
        self,
        filters: TraceFilter | None = None,
        *,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> Statistics:
        """See `QueryableTraceStore.statistics`."""
        return self._run(self._store.statistics, filters, by=by, zone=zone, time=time)

    def groups(
        self,
        by: str,
        filters: TraceFilter | None = None,
        *,
        order_by: str = "-last",
        limit: int = 50,
        cursor: str | None = None,
    ) -> GroupPage:
        """See `QueryableTraceStore.groups`."""
        return self._run(
            self._store.groups, by, filters, order_by=order_by, limit=limit, cursor=cursor
        )

    def facets(
        self,
        filters: TraceFilter | None = None,
        *,
        most: int = 100,
    ) -> TraceFacets:
        """See `QueryableTraceStore.facets`."""
        return self._run(self._store.facets, filters, most=most)

    def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[TraceSummary]:
        """See `QueryableTraceStore.iter_summaries`."""
        return self._iterate(self._store.iter_summaries(filters, oldest_first=oldest_first))

    def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[Any]:
        """See `QueryableTraceStore.iter_traces`."""
        return self._iterate(self._store.iter_traces(filters, oldest_first=oldest_first))

    def delete(self, run_id: str) -> bool:
        """See `TraceStore.delete`."""
        return self._run(self._store.delete, run_id)

    def verify(self, *, progress: Progress | None = None) -> VerifyReport:
        """See `FileTraceStore.verify`."""
        return self._run(self._store.verify, progress=progress)

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> BackupReport:
        """See `FileTraceStore.backup`."""
        return self._run(self._store.backup, path, overwrite=overwrite, progress=progress)

    def repair(
        self,
        into: str | os.PathLike[str],
        *,
        keep_suspect: bool = True,
        progress: Progress | None = None,
    ) -> RepairReport:
        """See `FileTraceStore.repair`."""
        return self._run(self._store.repair, into, keep_suspect=keep_suspect, progress=progress)

    def compact(self, *, progress: Progress | None = None) -> CompactReport:
        """See `FileTraceStore.compact`."""
        return self._run(self._store.compact, progress=progress)

    def close(self) -> None:
        """Close the async store, if it can be, and let go of the background loop."""
        with self._idle:
            closed, self._closed = self._closed, True
            self._idle.wait_for(lambda: self._under_way == 0)
        if not closed:
            if hasattr(self._store, "aclose"):
                self._call(self._store.aclose)
            _portals.give_back(self._stack)

    def __repr__(self) -> str:
        return f"SyncTraceStore({self._store!r})"

    def before_fork(self) -> None:
        self._idle.acquire()

    def after_fork_in_parent(self) -> None:
        self._idle.release()

    def after_fork_in_child(self) -> None:
        self._idle = threading.Condition(threading.Lock())
        self._under_way = 0
        _inherited.append(self._stack)
        self._portal, self._stack = None, ExitStack()

    def _run(self, verb: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        with self._idle:
            if self._closed:
                raise StoreClosedError(repr(self._store))
            self._under_way += 1
        try:
            return self._call(verb, *args, **kwargs)
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def _call(self, verb: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        async def run() -> T:
            return await verb(*args, **kwargs)

        return self._loop().call(run)

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                item = self._run(items.__anext__)
            except StopAsyncIteration:
                return
            yield item

    def _loop(self) -> BlockingPortal:
        with self._idle:
            if self._portal is None:
                self._portal = _portals.lease(self._stack)
            return self._portal


def _given(**options: Any) -> dict[str, Any]:
    """The options that were set: a store of five verbs knows none of them."""
    return {name: value for name, value in options.items() if value is not None}
