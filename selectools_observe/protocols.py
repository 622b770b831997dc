"""The store protocols. Their docstrings are normative; backends do not repeat them.

`AsyncTraceStore` and `TraceStore` are the five methods a backend must have, async and blocking.
`AsyncQueryableTraceStore` and `QueryableTraceStore` add the methods that scale; every store of this
package has them. `AsyncFileTraceStore` and `FileTraceStore` add the maintenance of a store in a
file; a store in memory has nothing to verify, copy or repair, and does not have them.

Promises common to all methods:

* **Order.** Newest first is the order of saving, also when the clock stands still or steps back.
  Saving a run again makes it the newest.
* **Snapshots.** Nothing done to a trace after `save`, or to one that was loaded, reaches the store.
* **Durability.** When `save` returns, the trace is durable at the store's level, never later.
* **Cancellation** (async). A cancelled call leaves no lock and no transaction behind and loses no
  other caller's save; a cancelled save is either whole or absent.
* **Errors.** All are `TraceStoreError`s, but for a `TypeError` or `ValueError` about an argument.
  Any method raises `StorageError` when the disk or the database refuses, and `StoreClosedError`
  after close.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from .model.annotations import Annotation, Source
from .model.clock import Clock
from .model.filters import TraceFilter
from .model.groups import GroupPage, TraceFacets
from .model.health import StoreHealth
from .model.histogram import TraceHistogram
from .model.pagination import TracePage
from .model.reports import BackupReport, CompactReport, Progress, RepairReport, VerifyReport
from .model.retention import PruneReport
from .model.statistics import BY_DEFAULT, Statistics
from .model.text_query import SearchPage
from .model.trace import AgentTrace, TraceSummary

# Inside a class with a method named `list`, `list[...]` would mean that method.
Summaries: TypeAlias = list[TraceSummary]
RunIds: TypeAlias = list[str]
Annotations: TypeAlias = list[Annotation]

Change: TypeAlias = Callable[[Any], Any]
"""What `update` asks for: a function of the stored trace, or of None, that gives the new one."""

Durability: TypeAlias = Literal["full", "normal"]
"""What an acknowledged save survives: ``full``, power loss; ``normal``, a crash of the program."""


@runtime_checkable
class AsyncTraceStore(Protocol):
    """Keeps traces, for code that runs in an event loop.

    ``isinstance`` looks at names only, so a blocking store passes too: ask `is_async_store`.
    """

    async def save(self, trace: AgentTrace) -> str:
        """Store a trace, replacing the one with the same run id; return the run id.

        Takes an `AgentTrace` or any object with its shape.

        Raises:
            InvalidTraceError: The trace cannot be stored; the store is unchanged.
        """

    async def load(self, run_id: str) -> AgentTrace:
        """Return the trace with this run id.

        Raises:
            TraceNotFoundError: There is none.
            CorruptTraceError: There is one, and it cannot be read.
        """

    async def list(self, limit: int = 50, offset: int = 0) -> Summaries:
        """Return summaries, newest first, leaving out the newest ``offset``.

        What cannot be read is skipped and logged once.

        Raises:
            ValueError: A negative limit or offset.
        """

    async def query(self, filters: TraceFilter) -> Summaries:
        """Return the summaries of all traces that match (see `matches`), newest first.

        ``filters.order_by`` is another order.
        """

    async def delete(self, run_id: str) -> bool:
        """Remove a trace; return whether there was one."""


@runtime_checkable
class TraceStore(Protocol):
    """Keeps traces, for code that blocks: `AsyncTraceStore` without the ``await``."""

    def save(self, trace: AgentTrace) -> str:
        """See `AsyncTraceStore.save`."""

    def load(self, run_id: str) -> AgentTrace:
        """See `AsyncTraceStore.load`."""

    def list(self, limit: int = 50, offset: int = 0) -> Summaries:
        """See `AsyncTraceStore.list`."""

    def query(self, filters: TraceFilter) -> Summaries:
        """See `AsyncTraceStore.query`."""

    def delete(self, run_id: str) -> bool:
        """See `AsyncTraceStore.delete`."""


class AsyncQueryableTraceStore(AsyncTraceStore, Protocol):
    """A store with methods for many runs: many at once, stable pages, streams."""

    async def save_many(
        self,
        traces: Iterable[AgentTrace],
        *,
        created_at: Iterable[datetime | None] | None = None,
    ) -> RunIds:
        """Store traces, in their order, as one; return their run ids.

        Of two with the same run id the later stays.

        Args:
            traces: The traces.
            created_at: When each of them was saved first, timezone-aware, such as another store's
                summaries say; None for now. It does not change the order of saving: ask for
                ``order_by="created_at"`` to go by it. A store with only the five methods cannot
                keep it.

        Raises:
            InvalidTraceError: One of them cannot be stored; none is.
            ValueError: There are not as many times as traces, or one has no timezone.
        """

    async def update(
        self, run_id: str, change: Change, *, created_at: datetime | None = None
    ) -> bool:
        """Replace a run by what a function makes of it, as one atomic change of the store.

        ``change`` is called with the stored trace, or None if there is none, and returns the trace
        to be saved under the same run id, or None to leave all as it is. Nobody saves, updates or
        deletes the run in between: not in another task, thread or process that uses the same
        store. So updates of one run at the same time all have their effect.

        ``change`` may be called in another thread and more than once, and the store's other
        callers wait for it: it should be quick, have no effect of its own, and not use the store.
        What it raises goes to the caller, and the store is unchanged.

        A store that has only the five methods is updated by a load and a save, which is not atomic.

        Args:
            run_id: The run.
            change: The function.
            created_at: As in `save_many`.

        Returns:
            Whether a trace was saved.

        Raises:
            InvalidTraceError: The new trace cannot be stored, or has another run id.
            CorruptTraceError: There is a trace, and it cannot be read.
            ValueError: The time has no timezone.
        """

    async def load_many(self, run_ids: Iterable[str]) -> dict[str, AgentTrace]:
        """Return the traces with these run ids, in the order asked; absent ones are left out.

        Raises:
            CorruptTraceError: One of them cannot be read.
        """

    async def list(
        self, limit: int = 50, offset: int = 0, *, cursor: str | None = None
    ) -> TracePage:
        """`AsyncTraceStore.list`, as a page: its ``next_cursor`` leads to the page after it.

        A page costs the same at any depth, and traces saved meanwhile neither repeat nor hide any.
        ``offset`` counts from the cursor.

        Raises:
            ValueError: The cursor is not one of this kind of store.
        """

    async def query(self, filters: TraceFilter, *, cursor: str | None = None) -> TracePage:
        """`AsyncTraceStore.query`, as a page of ``filters.limit`` summaries, or all.

        With ``filters.order_by``, in that order; a cursor leads on in it, past what was saved since
        the first page.
        """

    async def count(self, filters: TraceFilter | None = None) -> int:
        """Return how many traces match; ``filters.limit`` is where it stops counting."""

    async def histogram(
        self,
        filters: TraceFilter | None = None,
        *,
        buckets: int = 60,
        time: Clock = "started_at",
    ) -> TraceHistogram:
        """Return how many traces that match began when, and how many of them have an error.

        With ``time="created_at"``, when they were saved. It spans from ``filters.started_since`` to
        ``filters.started_until`` (``since`` to ``until``); a bound that is not given is the first
        or the last such time of any trace that the filter's bounds of time let through, matching or
        not. The time is cut into ``buckets`` equal parts, a whole number of microseconds each. With
        a bound missing and no such trace, there are no buckets. A trace whose beginning nothing
        tells counts with its save.

        Raises:
            ValueError: ``buckets`` is not from 1 to 10,000, the filter has a limit, or there is no
                such time.
        """

    async def search(
        self,
        text: str,
        filters: TraceFilter | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        hits_per_run: int = 3,
    ) -> SearchPage:
        """Return where a text query is found: of each run the first ``hits_per_run`` places.

        The runs are those that ``query`` gives for ``filters`` with this ``text`` besides, in the
        same order, ``limit`` of them on a page. What was saved is found at once.

        Raises:
            ValueError: There is no word in the text, or the cursor is not one of this query.
        """

    async def statistics(
        self,
        filters: TraceFilter | None = None,
        *,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> Statistics:
        """Return totals and percentiles of the runs that match, in all and by group.

        Args:
            filters: Which runs; its ``limit`` and ``order_by`` choose among them.
            by: Which tables: ``hour``, ``day``, ``model``, ``tool``, or what `groups` takes.
            zone: The time zone whose hours and days are meant.
            time: Whether they are those of the beginning (``started_at``) or of the save.

        A percentile is exact or off by the share of its value that its ``error`` says.

        Raises:
            ValueError: A table or a clock that there is not.
        """

    async def groups(
        self,
        by: str,
        filters: TraceFilter | None = None,
        *,
        order_by: str = "-last",
        limit: int = 50,
        cursor: str | None = None,
    ) -> GroupPage:
        """Return the runs that match, grouped by what they have in common.

        Args:
            by: ``session``, ``user``, ``agent``, ``name``, ``outcome``, ``tag``, or a metadata key
                (``meta.KEY`` for one that is such a word). A run without it is in no group; one
                with an array is in a group for each value.
            filters: Which runs.
            order_by: ``last``, ``first``, ``runs``, ``errors``, ``tokens``, ``cost_usd``,
                ``total_ms`` or ``key``, with ``-`` before it for descending.
            limit: How many groups on a page.
            cursor: The ``next_cursor`` of the page before.

        Raises:
            ValueError: An order that there is not, or a cursor that is not one of these groups.
        """

    async def facets(
        self,
        filters: TraceFilter | None = None,
        *,
        most: int = 100,
    ) -> TraceFacets:
        """Return which keys and values the runs that match have, each with how many have it.

        Of each key the ``most`` frequent values.
        """

    def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[TraceSummary]:
        """Stream the summaries of all that match, in bounded memory.

        ``filters.limit`` keeps the newest, also where they are given oldest first.
        With ``filters.order_by`` they are put in order first, which holds all of them at once.
        Nothing is locked between two items. Traces saved after the stream began are left out; a
        run saved again meanwhile is left out too, unless it was given already.
        """

    def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> AsyncIterator[AgentTrace]:
        """Stream whole traces, as `iter_summaries` does; what cannot be read is logged, skipped."""

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
        """Say something of a run or of one of its steps; return it as the store keeps it.

        What is said is next to the trace: it is durable as a save is, saving the run again keeps
        it and deleting the run removes it, and the order of saving is as before. Summaries have the
        newest annotation of each name, and with them filters, orders, groups and statistics.

        Args:
            run_id: The run.
            name: What is judged.
            label: A label, such as good.
            score: A score: any number.
            note: Why.
            step: The index of the step that is meant; None: the whole run.
            author: Who or what judges.
            source: ``human``, ``code`` or ``llm``.

        Raises:
            TraceNotFoundError: There is no such run.
            ValueError: None of label, score and note is given, or one cannot be kept.
        """

    async def annotate_many(self, annotations: Iterable[Annotation]) -> Annotations:
        """Keep annotations, all or none; return them as the store keeps them.

        One with the id of another of the same run replaces it. One without ``created_at`` gets the
        present time, or the microsecond after the newest of its run.

        Raises:
            TraceNotFoundError: The run of one of them is not there.
            ValueError: One of them cannot be kept.
        """

    async def annotations(self, run_id: str) -> Annotations:
        """Return all annotations of a run and of its steps, oldest first.

        Raises:
            TraceNotFoundError: There is no such run.
        """

    async def annotations_of(self, run_ids: Iterable[str]) -> dict[str, Annotations]:
        """Return the annotations of each of these runs that is there, in the order asked."""

    async def remove_annotation(
        self, run_id: str, *, name: str | None = None, annotation_id: str | None = None
    ) -> int:
        """Remove the annotation with this id, or all with this name; return how many there were.

        Raises:
            ValueError: Neither is given.
        """

    async def delete(self, run_id: str, *, descendants: bool = False) -> bool:
        """Remove a trace and its annotations; return whether there was one.

        Args:
            run_id: The run.
            descendants: Whether the runs that it started go too, and those that they started. They
                go together, all or none.
        """

    async def delete_many(self, run_ids: Iterable[str]) -> int:
        """Remove traces, all or none; return how many of them there were."""

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
        """Remove the runs that a `Retention` is against, oldest first, and give their space back.

        Done in short steps beside which all other methods go on; a cancelled one stops after the
        step that was begun. A run that is saved again meanwhile stays, and no run goes in part.

        Args:
            older_than: As for `Retention`, like the next five.
            keep_runs: See there.
            keep_bytes: See there.
            where: See there.
            keep: See there.
            keep_annotated: See there.
            dry_run: Only report what would be deleted.
            progress: Called with how many runs went, twice.

        Raises:
            ValueError: See there.
            StorageError: ``keep_bytes`` of a store that cannot tell its size.
        """

    async def health(self) -> StoreHealth:
        """Tell whether the storage answers, how fast, and whether it takes saves; no run is read.

        Raises:
            StorageError: It does not answer.
        """

    async def aclose(self) -> None:
        """Close; every later method raises `StoreClosedError`. Closing again does nothing."""


class QueryableTraceStore(TraceStore, Protocol):
    """`AsyncQueryableTraceStore` for code that blocks."""

    def save_many(
        self,
        traces: Iterable[AgentTrace],
        *,
        created_at: Iterable[datetime | None] | None = None,
    ) -> RunIds:
        """See `AsyncQueryableTraceStore.save_many`."""

    def update(self, run_id: str, change: Change, *, created_at: datetime | None = None) -> bool:
        """See `AsyncQueryableTraceStore.update`."""

    def load_many(self, run_ids: Iterable[str]) -> dict[str, AgentTrace]:
        """See `AsyncQueryableTraceStore.load_many`."""

    def list(self, limit: int = 50, offset: int = 0, *, cursor: str | None = None) -> TracePage:
        """See `AsyncQueryableTraceStore.list`."""

    def query(self, filters: TraceFilter, *, cursor: str | None = None) -> TracePage:
        """See `AsyncQueryableTraceStore.query`."""

    def count(self, filters: TraceFilter | None = None) -> int:
        """See `AsyncQueryableTraceStore.count`."""

    def histogram(
        self,
        filters: TraceFilter | None = None,
        *,
        buckets: int = 60,
        time: Clock = "started_at",
    ) -> TraceHistogram:
        """See `AsyncQueryableTraceStore.histogram`."""

    def search(
        self,
        text: str,
        filters: TraceFilter | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        hits_per_run: int = 3,
    ) -> SearchPage:
        """See `AsyncQueryableTraceStore.search`."""

    def statistics(
        self,
        filters: TraceFilter | None = None,
        *,
        by: Collection[str] = BY_DEFAULT,
        zone: tzinfo = UTC,
        time: Clock = "started_at",
    ) -> Statistics:
        """See `AsyncQueryableTraceStore.statistics`."""

    def groups(
        self,
        by: str,
        filters: TraceFilter | None = None,
        *,
        order_by: str = "-last",
        limit: int = 50,
        cursor: str | None = None,
    ) -> GroupPage:
        """See `AsyncQueryableTraceStore.groups`."""

    def facets(
        self,
        filters: TraceFilter | None = None,
        *,
        most: int = 100,
    ) -> TraceFacets:
        """See `AsyncQueryableTraceStore.facets`."""

    def iter_summaries(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[TraceSummary]:
        """See `AsyncQueryableTraceStore.iter_summaries`."""

    def iter_traces(
        self, filters: TraceFilter | None = None, *, oldest_first: bool = False
    ) -> Iterator[AgentTrace]:
        """See `AsyncQueryableTraceStore.iter_traces`."""

    def annotate(
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

    def annotate_many(self, annotations: Iterable[Annotation]) -> Annotations:
        """See `AsyncQueryableTraceStore.annotate_many`."""

    def annotations(self, run_id: str) -> Annotations:
        """See `AsyncQueryableTraceStore.annotations`."""

    def annotations_of(self, run_ids: Iterable[str]) -> dict[str, Annotations]:
        """See `AsyncQueryableTraceStore.annotations_of`."""

    def remove_annotation(
        self, run_id: str, *, name: str | None = None, annotation_id: str | None = None
    ) -> int:
        """See `AsyncQueryableTraceStore.remove_annotation`."""

    def delete(self, run_id: str, *, descendants: bool = False) -> bool:
        """See `AsyncQueryableTraceStore.delete`."""

    def delete_many(self, run_ids: Iterable[str]) -> int:
        """See `AsyncQueryableTraceStore.delete_many`."""

    def prune(
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

    def health(self) -> StoreHealth:
        """See `AsyncQueryableTraceStore.health`."""

    def close(self) -> None:
        """See `AsyncQueryableTraceStore.aclose`."""


class AsyncFileTraceStore(AsyncQueryableTraceStore, Protocol):
    """A store in a file, with maintenance methods, such as the SQLite and the JSONL store.

    Each is done in short steps beside which all other methods go on, here and in other processes. A
    cancelled one stops after the step that was begun and leaves nothing behind. ``progress`` is
    called with how much is done and how much there is: runs of a database, bytes of a JSONL file.
    `selectools_observe.stores.maintenance` has the same for files that no longer open.
    """

    async def verify(self, *, progress: Progress | None = None) -> VerifyReport:
        """Check all of the file, by reading only, in bounded memory; what is damaged, by run.

        Every trace is read, compared with its checksum and its summary, and decoded; of a database
        also the structure, and the index against the rows.
        """

    async def backup(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> BackupReport:
        """Copy what is saved by now to a new file, also while others save.

        The copy is of one moment, is verified and made durable, and takes its place whole or not
        at all. That of a damaged store is as damaged: see the report's ``ok``.

        Raises:
            StorageError: The path is taken and ``overwrite`` was not asked for, or is the store's
                own; or a damaged copy would take the place of an earlier file.
        """

    async def repair(
        self,
        into: str | os.PathLike[str],
        *,
        keep_suspect: bool = True,
        progress: Progress | None = None,
    ) -> RepairReport:
        """Save what can be saved into a new file; nothing is written to this one.

        The order of saving and the times of saving stay. ``keep_suspect=False`` leaves out what
        can be read and may not be what was saved; it is listed all the same.

        Raises:
            StorageError: The path is taken.
        """

    async def compact(self, *, progress: Progress | None = None) -> CompactReport:
        """Give space back that deleted and replaced runs held, and repair the index if need be.

        A damaged run stays as it is. Other programs may have the file open; their saves wait while
        a database is rewritten.
        """


class FileTraceStore(QueryableTraceStore, Protocol):
    """`AsyncFileTraceStore` for code that blocks."""

    def verify(self, *, progress: Progress | None = None) -> VerifyReport:
        """See `AsyncFileTraceStore.verify`."""

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> BackupReport:
        """See `AsyncFileTraceStore.backup`."""

    def repair(
        self,
        into: str | os.PathLike[str],
        *,
        keep_suspect: bool = True,
        progress: Progress | None = None,
    ) -> RepairReport:
        """See `AsyncFileTraceStore.repair`."""

    def compact(self, *, progress: Progress | None = None) -> CompactReport:
        """See `AsyncFileTraceStore.compact`."""


def is_async_store(store: Any) -> bool:
    """Whether the methods of a store are to be awaited, which its ``save`` shows."""
    return inspect.iscoroutinefunction(getattr(store, "save", None))
