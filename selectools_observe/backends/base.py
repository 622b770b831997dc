"""The methods of a store, written once: what all backends share.

A backend supplies the ``_`` methods at the end: where the JSON goes and how it is found. What a
method means (snapshots, errors) is here; how rows are asked for (pages, cursors, streams) is in
`RowQueries`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time as clock
import uuid
import warnings
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from ..errors import (
    AnnotationsNotKeptError,
    CorruptTraceError,
    InvalidTraceError,
    StoreClosedError,
    TraceNotFoundError,
)
from ..model import timestamps
from ..model.annotations import Annotation, Source, check_annotation
from ..model.clock import Clock
from ..model.codec import LARGE, JSONChange, TraceType, decode, decode_in_pieces
from ..model.filters import TraceFilter, check_filter, check_page, with_text
from ..model.groups import FacetCollector, GroupCollector, GroupPage, TraceFacets, check_group_order
from ..model.health import StoreHealth
from ..model.histogram import TraceHistogram, check_histogram
from ..model.pagination import TracePage
from ..model.reports import Progress
from ..model.retention import PruneReport, Retention
from ..model.statistics import BY_DEFAULT, Collector, Statistics
from ..model.text_query import SearchPage, parse_text
from ..model.trace import AgentTrace, TraceSummary
from ..model.validation import is_storable_id
from ..protocols import Annotations, Change, RunIds
from ..runtime.interface import Runtime
from .files import journal_file
from .files.journals import Journals
from .queries.paging import PageRequest, PageRow
from .queries.row_queries import EVERYTHING, SUMMARIES_AT_ONCE, Loaded, RowQueries, unordered
from .queries.text_scan import hits_of
from .retention_keeper import PrunedStore, Pruning, RetentionKeeper

log = logging.getLogger(__name__)

_NO_RUN = f"health-{uuid.uuid4().hex}"
_TRACES_AT_ONCE = 32


class Prepared(Protocol):
    """A snapshot of a trace, as a backend keeps it."""

    @property
    def run_id(self) -> str: ...
    @property
    def created_at(self) -> datetime | None:
        """When it is to have been saved; None: now."""


PreparedT = TypeVar("PreparedT", bound=Prepared)


class StoreCore(RowQueries, Generic[PreparedT]):
    """A store as coroutines, for either runtime."""

    def __init__(self, runtime: Runtime, where: str, trace_type: TraceType) -> None:
        self._runtime = runtime
        self._where = where
        self._trace_type = trace_type
        self._closed = False
        self._has_recovered = False
        self._is_ready = False  # neither closed nor in need of `_recover`
        self._name = type(self).__name__
        self._keeper: RetentionKeeper | None = None

    @property
    def path(self) -> str | None:
        """The file that the traces are in; None in memory."""
        return None

    @property
    def journals(self) -> Journals | None:
        """Where journals of its runs are kept; None for a folder next to the file."""
        return None

    async def save(self, trace: Any) -> str:
        """See `AsyncTraceStore.save`."""
        prepared = self._prepare(trace)  # before anything else can happen to the trace
        if not self._is_ready:
            await self._begin()
        await self._save((prepared,))
        if self._keeper is not None:
            await self._saved(1)
        return prepared.run_id

    async def save_many(
        self,
        traces: Iterable[Any],
        *,
        created_at: Iterable[datetime | None] | None = None,
    ) -> RunIds:
        """See `AsyncQueryableTraceStore.save_many`."""
        prepared = self._prepare_many(traces)
        if created_at is not None:
            prepared = _dated(prepared, timestamps.stated(created_at, len(prepared)))
        await self._begin()
        if prepared:
            await self._save(prepared)
            await self._saved(len(prepared))
        return [trace.run_id for trace in prepared]

    async def update(
        self, run_id: str, change: Change, *, created_at: datetime | None = None
    ) -> bool:
        """See `AsyncQueryableTraceStore.update`."""
        (moment,) = timestamps.stated([created_at], 1)
        await self._begin()
        if not is_storable_id(run_id):
            raise InvalidTraceError(run_id, "run_id", "must be a non-empty string")
        changed = await self._update(run_id, partial(self._changed, run_id, change, moment))
        if changed:
            await self._saved(1)
        return changed

    def _changed(
        self, run_id: str, change: Change, moment: datetime | None, stored: bytes | None
    ) -> PreparedT | None:
        """What a change makes of a stored trace, as the backend keeps it; None if nothing."""
        if isinstance(change, JSONChange) and change.takes_json(stored):
            changed = change.of_json(stored)
        else:
            changed = change(None if stored is None else self._decoded_here(run_id, stored))
        if changed is None:
            return None
        prepared = self._prepare(changed)
        if prepared.run_id != run_id:
            reason = f"must be that of the run that is updated, {run_id!r}"
            raise InvalidTraceError(prepared.run_id, "run_id", reason)
        return prepared if moment is None else _dated([prepared], [moment])[0]

    async def load(self, run_id: str) -> Any:
        """See `AsyncTraceStore.load`."""
        if not self._is_ready:
            await self._begin()
        data = await self._load(_stored_id(run_id, self._where))
        if data is None:
            raise TraceNotFoundError(run_id, self._where)
        return await self._decoded(run_id, data)

    async def load_many(self, run_ids: Iterable[str]) -> dict[str, Any]:
        """See `AsyncQueryableTraceStore.load_many`."""
        await self._begin()
        asked = list(dict.fromkeys(run_ids))
        traces: dict[str, Any] = {}
        async for run_id, loaded in self._loaded(asked):
            if isinstance(loaded, CorruptTraceError):
                raise loaded
            traces[run_id] = loaded
        return traces

    async def load_json(self, run_ids: Iterable[str]) -> dict[str, bytes]:
        """What is stored of those of the runs that are there, and not damaged, by their ids.

        For what hands runs on as they are, to another store for one.
        """
        await self._begin()
        asked = [run_id for run_id in dict.fromkeys(run_ids) if is_storable_id(run_id)]
        pairs = zip(asked, await self._load_many(asked), strict=True)
        return {run_id: stored for run_id, stored in pairs if isinstance(stored, bytes)}

    async def list(
        self, limit: int = 50, offset: int = 0, *, cursor: str | None = None
    ) -> TracePage:
        """See `AsyncQueryableTraceStore.list`."""
        check_page(limit, offset)
        return await self._give_page(EVERYTHING, limit, offset, cursor)

    async def query(self, filters: TraceFilter, *, cursor: str | None = None) -> TracePage:
        """See `AsyncQueryableTraceStore.query`."""
        return await self._give_page(check_filter(filters), filters.limit, 0, cursor)

    async def count(self, filters: TraceFilter | None = None) -> int:
        """See `AsyncQueryableTraceStore.count`."""
        filters = check_filter(EVERYTHING if filters is None else filters)
        await self._begin()
        if self._must_read(filters):
            return len(await self._rows(PageRequest(unordered(filters), limit=filters.limit)))
        return await self._count(unordered(filters))

    async def histogram(
        self,
        filters: TraceFilter | None = None,
        *,
        buckets: int = 60,
        time: Clock = "started_at",
    ) -> TraceHistogram:
        """See `AsyncQueryableTraceStore.histogram`."""
        filters = check_filter(EVERYTHING if filters is None else filters)
        check_histogram(filters, buckets, time)
        await self._begin()
        filters = unordered(filters)
        if self._must_read(filters):
            return await self._histogram_by_reading(filters, buckets, time)
        return await self._histogram(filters, buckets, time)

    async def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[TraceSummary]:
        """See `AsyncQueryableTraceStore.iter_summaries`."""
        async for found in self._stream(filters, SUMMARIES_AT_ONCE, oldest_first=oldest_first):
            for item in found:
                yield item.summary

    async def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[Any]:
        """See `AsyncQueryableTraceStore.iter_traces`."""
        async for found in self._stream(filters, _TRACES_AT_ONCE, oldest_first=oldest_first):
            # One that was deleted meanwhile is left out.
            async for _, loaded in self._loaded([item.summary.run_id for item in found]):
                if isinstance(loaded, CorruptTraceError):
                    log.warning("%s: skipped", loaded)
                else:
                    yield loaded

    async def search(
        self,
        text: str,
        filters: TraceFilter | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        hits_per_run: int = 3,
    ) -> SearchPage:
        """See `AsyncQueryableTraceStore.search`."""
        filters = check_filter(EVERYTHING if filters is None else filters)
        check_page(limit, hits_per_run)
        query = parse_text(text)
        asked = with_text(filters, text)
        page = await self._give_page(asked, limit, 0, cursor)
        stored = await self._peek([summary.run_id for summary in page])
        work = partial(hits_of, query, stored, hits_per_run)
        hits = await self._runtime.call(work) if self._runtime.hops else work()
        return SearchPage(hits, page.next_cursor)

    async def statistics(
        self,
        filters: TraceFilter | None = None,
        *,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> Statistics:
        """See `AsyncQueryableTraceStore.statistics`."""
        filters = check_filter(EVERYTHING if filters is None else filters)
        collector = Collector(by, zone, time)
        await self._begin()
        await self._statistics(filters, collector)
        return collector.result()

    async def groups(
        self,
        by: str,
        filters: TraceFilter | None = None,
        *,
        order_by: str = "-last",
        limit: int = 50,
        cursor: str | None = None,
    ) -> GroupPage:
        """See `AsyncQueryableTraceStore.groups`."""
        filters = check_filter(EVERYTHING if filters is None else filters)
        collector = GroupCollector(by)
        check_group_order(order_by)
        check_page(limit, 0)
        await self._begin()
        return await self._group_page(filters, collector, order_by, limit, cursor)

    async def facets(
        self,
        filters: TraceFilter | None = None,
        *,
        most: int = 100,
    ) -> TraceFacets:
        """See `AsyncQueryableTraceStore.facets`."""
        filters = check_filter(EVERYTHING if filters is None else filters)
        check_page(most, 0)
        collector = FacetCollector()
        await self._begin()
        await self._facets(filters, collector)
        return collector.result(most)

    async def annotate(
        self,
        run_id: str,
        name: str,
        *,
        label: str | None = None,
        score: float | None = None,
        note: str | None = None,
        step: int | None = None,
        author: str | None = None,
        source: Source = "human",
    ) -> Annotation:
        """See `AsyncQueryableTraceStore.annotate`."""
        (kept,) = await self.annotate_many(
            [Annotation(run_id, name, label, score, note, step, author, source)]
        )
        return kept

    async def annotate_many(self, annotations: Iterable[Annotation]) -> Annotations:
        """See `AsyncQueryableTraceStore.annotate_many`."""
        checked = [check_annotation(one) for one in annotations]
        await self._begin()
        if not checked:
            return []
        kept = await self._annotate(checked)
        if isinstance(kept, str):
            raise TraceNotFoundError(kept, self._where)
        return list(kept)

    async def annotations(self, run_id: str) -> Annotations:
        """See `AsyncQueryableTraceStore.annotations`."""
        await self._begin()
        (found,) = await self._annotations([_stored_id(run_id, self._where)])
        if found is None:
            raise TraceNotFoundError(run_id, self._where)
        return found

    async def annotations_of(self, run_ids: Iterable[str]) -> dict[str, Annotations]:
        """See `AsyncQueryableTraceStore.annotations_of`."""
        await self._begin()
        asked = [run_id for run_id in dict.fromkeys(run_ids) if is_storable_id(run_id)]
        found = await self._annotations(asked) if asked else []
        pairs = zip(asked, found, strict=True)
        return {run_id: those for run_id, those in pairs if those is not None}

    async def remove_annotation(
        self, run_id: str, *, name: str | None = None, annotation_id: str | None = None
    ) -> int:
        """See `AsyncQueryableTraceStore.remove_annotation`."""
        if name is None and annotation_id is None:
            raise ValueError("give the name or the annotation_id of the annotations to remove")
        await self._begin()
        if not is_storable_id(run_id):
            return 0
        return await self._remove_annotations(run_id, name, annotation_id)

    async def delete(self, run_id: str, *, descendants: bool = False) -> bool:
        """See `AsyncQueryableTraceStore.delete`."""
        await self._begin()
        if not is_storable_id(run_id):
            return False
        if descendants:
            return bool(await self._delete_many([run_id, *await self._descendants(run_id)]))
        return await self._delete(run_id)

    async def _descendants(self, run_id: str) -> RunIds:
        """The runs that a run started, and those that they started."""
        found = {run_id: None}
        waiting = [run_id]
        while waiting:
            asked = TraceFilter(parent_run_id=waiting.pop())
            for row in await self._rows(PageRequest(asked)):
                if row.summary.run_id not in found:
                    found[row.summary.run_id] = None
                    waiting.append(row.summary.run_id)
        return [each for each in found if each != run_id]

    async def delete_many(self, run_ids: Iterable[str]) -> int:
        """See `AsyncQueryableTraceStore.delete_many`."""
        await self._begin()
        asked = [run_id for run_id in dict.fromkeys(run_ids) if is_storable_id(run_id)]
        gone = await self._delete_many(asked) if asked else 0
        if gone:
            await self._give_back(all_of_it=False)
        return gone

    async def prune(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_runs: int | None = None,
        keep_bytes: int | None = None,
        where: TraceFilter | str | None = None,
        keep: TraceFilter | str | None = None,
        keep_annotated: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> PruneReport:
        """See `AsyncQueryableTraceStore.prune`."""
        rule = Retention(
            older_than=older_than,
            keep_runs=keep_runs,
            keep_bytes=keep_bytes,
            where=where,
            keep=keep,
            keep_annotated=keep_annotated,
        )
        await self._begin()
        pruning = Pruning(self._pruned(), self._where, rule, dry_run=dry_run, progress=progress)
        return await pruning.run()

    def _pruned(self) -> PrunedStore:
        return PrunedStore(
            self._rows_oldest_first,
            self._rows,
            self.count,
            self._size,
            self._sizes_of,
            self._delete_rows,
            self._give_back,
            self._delete_oldest,
            self._deletes_at_once,
            self._prune_slack,
            self._saves_between_steps,
        )

    # What pruning needs of a backend: see `PrunedStore`.

    _deletes_at_once = 256
    _delete_oldest: Callable[[int], Awaitable[int]] | None = None
    _prune_slack = 0.0
    _saves_between_steps = 512

    def _rows_oldest_first(
        self, filters: TraceFilter, at_once: int
    ) -> AsyncIterator[Sequence[PageRow]]:
        """All rows that match, so many at a time."""
        return self._stream(filters, at_once, oldest_first=True)

    async def _size(self) -> int | None:
        """The bytes in use; None if nothing tells."""
        return None

    async def _sizes_of(self, rows: Sequence[PageRow]) -> Sequence[int]:
        """About how many bytes each row has: on average, unless the backend knows."""
        size = await self._size()
        if size is None:
            return [0] * len(rows)
        return [size // max(1, await self.count())] * len(rows)

    async def _delete_rows(
        self, rows: Sequence[PageRow], *, spare_annotated: bool
    ) -> Sequence[str]:
        """Delete those of the rows that are as they were when they were read; their run ids."""
        ids = [row.summary.run_id for row in rows]
        present = await self._rows(PageRequest(TraceFilter(run_ids=ids))) if ids else []
        saved_at = {row.summary.run_id: row.summary.created_at for row in present}
        gone: list[str] = []
        for row in rows:
            run_id = row.summary.run_id
            if saved_at.get(run_id) != row.summary.created_at:
                continue  # saved again meanwhile, or gone
            is_spared = spare_annotated and bool((await self._annotations([run_id]))[0])
            if not is_spared and await self._delete(run_id):
                gone.append(run_id)
        return gone

    async def _give_back(self, *, all_of_it: bool) -> None:
        """Give space back that is free now."""

    def _keep_to(self, retention: Retention | None) -> None:
        """Keep to a rule from now on."""
        if retention is not None and not isinstance(retention, Retention):
            raise TypeError(f"retention must be a Retention, not {type(retention).__name__}")
        self._keeper = None if retention is None else RetentionKeeper(retention)

    async def _saved(self, number: int) -> None:
        """After this many runs were saved: a step of the retention, if it is time for one."""
        if self._keeper is not None and self._keeper.saved(number):
            await self._keeper.step(self._pruned(), self._where)

    async def health(self) -> StoreHealth:
        """See `AsyncQueryableTraceStore.health`."""
        await self._begin()
        began = clock.perf_counter()
        read_only = await self._is_read_only()
        return StoreHealth((clock.perf_counter() - began) * 1000, read_only)

    async def _is_read_only(self) -> bool:
        """Ask the storage something that touches no run; whether it takes no saves."""
        await self._load_many([_NO_RUN])
        path = self.path
        return path is not None and os.path.exists(path) and not os.access(path, os.W_OK)  # noqa: ASYNC240 - one stat

    async def aclose(self) -> None:
        """See `AsyncQueryableTraceStore.aclose`."""
        self._closed, self._is_ready = True, False
        await self._close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._is_open():
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            self._abandon()

    def __repr__(self) -> str:
        return f"{self._name}({self._where!r})"

    async def _decoded(self, run_id: str, data: bytes) -> Any:
        if not self._runtime.hops or len(data) <= LARGE:
            return self._decoded_here(run_id, data)
        try:
            trace = await self._runtime.call(partial(decode_in_pieces, data, self._trace_type))
        except ValueError as error:
            raise CorruptTraceError(run_id, self._place_of(run_id), str(error)) from error
        return self._of_this_run(run_id, trace)

    def _decoded_here(self, run_id: str, data: bytes) -> Any:
        try:
            trace = decode(data, self._trace_type)
        except ValueError as error:
            raise CorruptTraceError(run_id, self._place_of(run_id), str(error)) from error
        return self._of_this_run(run_id, trace)

    def _of_this_run(self, run_id: str, trace: Any) -> Any:
        found = getattr(trace, "run_id", run_id)
        if found != run_id:
            reason = f"it holds the trace of run {found!r} instead"
            raise CorruptTraceError(run_id, self._place_of(run_id), reason)
        return trace

    async def _loaded(self, run_ids: Sequence[str]) -> AsyncIterator[tuple[str, Any]]:
        """Those of the runs that are there, decoded, or what is wrong with them."""
        storable = [run_id for run_id in run_ids if is_storable_id(run_id)]
        stored = await self._load_many(storable)
        for run_id, loaded in zip(storable, stored, strict=True):
            if loaded is None:
                continue
            if isinstance(loaded, CorruptTraceError):
                yield run_id, loaded
                continue
            try:
                trace = await self._decoded(run_id, loaded)
            except CorruptTraceError as error:
                yield run_id, error
            else:
                yield run_id, trace

    def _call_it(self, name: str) -> None:
        """Go by another name in messages: that of the store that people see."""
        self._name = name

    async def _begin(self) -> None:
        """Before each method: refuse if closed; at the first, take in what killed programs left."""
        self._check_open()
        if not self._has_recovered:
            self._has_recovered = True
            await self._recover()
        self._is_ready = not self._closed

    async def recover(self) -> RunIds:
        """Put runs into the store whose programs were killed while a live record was kept.

        Happens by itself at the first method. They carry ``"unfinished": true`` in their metadata.

        Returns:
            The ids of these runs.
        """
        self._check_open()
        return await self._recover()

    async def _recover(self) -> RunIds:
        return await self._recover_into(_StoreRecoveryTarget(self._load_many, self._save_all))

    async def _recover_into(self, keeper: journal_file.RecoveryTarget) -> RunIds:
        folder = None if self.path is None else journal_file.folder_of(self.path)
        if folder is None or not os.path.isdir(folder):  # noqa: ASYNC240 - one stat
            return []
        owners = journal_file.owners_of(self.path)
        return await journal_file.recover(folder, keeper, self._runtime.call, owners)

    async def _save_all(self, traces: Iterable[object]) -> None:
        prepared = [self._prepare(trace) for trace in traces]
        if prepared:
            await self._save(prepared)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(self._where)

    # What a backend supplies.

    async def _open(self) -> None:
        """Open now, rather than at first use. Opening again does nothing."""
        self._check_open()

    @abstractmethod
    def _prepare(self, trace: object) -> PreparedT:
        """A snapshot of the trace, as the backend keeps it.

        Raises:
            InvalidTraceError: It cannot be stored.
        """

    def _prepare_many(self, traces: Iterable[object]) -> Sequence[PreparedT]:
        """The same of each of the traces as its turn comes."""
        return list(map(self._prepare, traces))

    @abstractmethod
    async def _save(self, traces: Sequence[PreparedT]) -> None:
        """Make the traces durable, all or none, in their order."""

    @abstractmethod
    async def _update(
        self, run_id: str, change: Callable[[bytes | None], PreparedT | None]
    ) -> bool:
        """Save what the function makes of the stored JSON, if it makes something; whether it did.

        Nobody else changes the run meanwhile.
        """

    @abstractmethod
    async def _load(self, run_id: str) -> bytes | None:
        """The JSON of a trace.

        Raises:
            CorruptTraceError: It is not what was saved.
        """

    @abstractmethod
    async def _delete(self, run_id: str) -> bool:
        """Remove a trace; whether there was one."""

    async def _delete_many(self, run_ids: Sequence[str]) -> int:
        """Remove traces, all or none; how many there were."""
        return sum([await self._delete(run_id) for run_id in run_ids])

    async def _annotate(
        self,
        annotations: Sequence[Annotation],  # noqa: ARG002
    ) -> Sequence[Annotation] | str:
        """Make annotations durable, all or none, each `stamped`; or the id of a run that is not."""
        raise AnnotationsNotKeptError(self._where)

    async def _annotations(self, run_ids: Sequence[str]) -> Sequence[Annotations | None]:
        """The annotations of each run, oldest first; None where there is no such run."""
        return [None if one is None else [] for one in await self._load_many(run_ids)]

    async def _remove_annotations(
        self,
        run_id: str,  # noqa: ARG002
        name: str | None,  # noqa: ARG002
        annotation_id: str | None,  # noqa: ARG002
    ) -> int:
        """Remove those that have the name and the id, as far as these are given; how many."""
        return 0

    @abstractmethod
    async def _close(self) -> None:
        """Finish and let go of everything; may be called again."""

    def _place_of(self, run_id: str) -> str:  # noqa: ARG002
        """Where a trace stands, for people."""
        return self._where

    def _is_open(self) -> bool:
        """Whether something would be left behind without `_close`."""
        return False

    def _abandon(self) -> None:
        """Let go without waiting."""


class _StoreRecoveryTarget:
    """A store as runs are recovered into it: it has begun already, and gives traces of ours."""

    def __init__(
        self,
        load: Callable[[Sequence[str]], Awaitable[Sequence[Loaded]]],
        save: Callable[[Sequence[AgentTrace]], Awaitable[None]],
    ) -> None:
        self._load = load
        self._save = save

    async def stored(self, run_ids: Sequence[str]) -> dict[str, AgentTrace]:
        found: dict[str, AgentTrace] = {}
        for run_id, data in zip(run_ids, await self._load(run_ids), strict=True):
            if isinstance(data, bytes):
                with contextlib.suppress(ValueError):
                    found[run_id] = decode(data)
        return found

    async def keep(self, traces: Sequence[AgentTrace]) -> None:
        await self._save(traces)


def checked_path(path: str | os.PathLike[str]) -> str:
    """A path as text.

    Raises:
        TypeError: It is none, or one of bytes.
        ValueError: No file can have this name.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"a path must be text, not {type(text).__name__}: {path!r}")
    if not text or "\0" in text:
        raise ValueError(f"invalid file name: {text!r}")
    return text


def _dated(traces: Sequence[PreparedT], moments: Sequence[datetime | None]) -> list[PreparedT]:
    """The traces with the times at which they are to have been saved."""
    pairs = zip(traces, moments, strict=True)
    replace_field: Any = msgspec.structs.replace
    return [replace_field(trace, created_at=moment) for trace, moment in pairs]


def _stored_id(run_id: str, where: str) -> str:
    if not is_storable_id(run_id):
        raise TraceNotFoundError(run_id, where)
    return run_id
