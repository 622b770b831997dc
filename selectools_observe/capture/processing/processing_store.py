"""Stores that prepare every run before it reaches another store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ...analytics.prices import PriceTable
from ...backends.base import StoreCore
from ...model.annotations import Annotation, check_annotation
from ...model.codec import EncodedTrace, encode
from ...model.timestamps import stated
from ...model.trace import AgentTrace
from ...protocols import Annotations, AsyncTraceStore, Change, RunIds, TraceStore, is_async_store
from ...stores.delegating import (
    AsyncContext,
    BlockingWrapper,
    WrappingCore,
    changed_trace,
    check_kind,
)
from ..redaction import Redactor
from .processor import ProcessingCounts, Sample, TraceProcessor

# Bytes of JSON that take more than about a millisecond to redact: too long for an event loop.
_LARGE = 32 * 1024


class _ProcessingCore(WrappingCore):
    """Prepares what is saved; the other methods go through."""

    def __init__(self, store: AsyncTraceStore | TraceStore, processor: TraceProcessor) -> None:
        super().__init__(store)
        self.processor = processor
        self._hops = is_async_store(store)

    @property
    def counts(self) -> ProcessingCounts:
        """What was sampled out, and where redaction failed."""
        return self.processor.counts

    async def save(self, trace: Any) -> str:
        """See `AsyncTraceStore.save`. The id of a run that is not stored is returned too."""
        snapshot = encode(trace)
        prepared = await self._prepared(snapshot)
        if prepared is not None:
            await super().save(prepared)
        return self.processor.run_id(snapshot.run_id)

    async def load(self, run_id: str) -> Any:
        """See `AsyncTraceStore.load`. An id that was redacted leads to its run all the same."""
        return await super().load(self.processor.run_id(run_id))

    async def delete(self, run_id: str, *, descendants: bool = False) -> bool:
        """See `AsyncQueryableTraceStore.delete`."""
        stored_id = self.processor.run_id(run_id)
        return await super().delete(stored_id, descendants=descendants)

    async def save_many(
        self,
        traces: Iterable[Any],
        *,
        created_at: Iterable[datetime | None] | None = None,
    ) -> RunIds:
        """See `AsyncQueryableTraceStore.save_many`. Ids of dropped runs are returned too."""
        snapshots = [encode(trace) for trace in traces]
        prepared = [await self._prepared(snapshot) for snapshot in snapshots]
        wanted = [trace for trace in prepared if trace is not None]
        if created_at is None:
            await super().save_many(wanted)
        else:
            pairs = zip(prepared, stated(created_at, len(prepared)), strict=True)
            moments = [moment for trace, moment in pairs if trace is not None]
            await super().save_many(wanted, created_at=moments)
        return [self.processor.run_id(snapshot.run_id) for snapshot in snapshots]

    async def update(
        self, run_id: str, change: Change, *, created_at: datetime | None = None
    ) -> bool:
        """See `AsyncQueryableTraceStore.update`. A run that is sampled out stays as it is."""

        def processed(stored: Any) -> Any:
            changed = changed_trace(stored_id, change(stored))
            return None if changed is None else self.processor.encoded(encode(changed))

        stored_id = self.processor.run_id(run_id)
        if created_at is None:
            return await super().update(stored_id, processed)
        return await super().update(stored_id, processed, created_at=created_at)

    annotate = StoreCore.annotate  # by `annotate_many`, which prepares label and note

    async def annotate_many(self, annotations: Iterable[Annotation]) -> Annotations:
        """See `AsyncQueryableTraceStore.annotate_many`. Labels and notes are prepared."""
        checked = [check_annotation(one) for one in annotations]
        return await super().annotate_many([self.processor.annotation(one) for one in checked])

    async def annotations(self, run_id: str) -> Annotations:
        """See `AsyncQueryableTraceStore.annotations`."""
        return await super().annotations(self.processor.run_id(run_id))

    async def remove_annotation(
        self, run_id: str, *, name: str | None = None, annotation_id: str | None = None
    ) -> int:
        """See `AsyncQueryableTraceStore.remove_annotation`."""
        stored_id = self.processor.run_id(run_id)
        return await super().remove_annotation(stored_id, name=name, annotation_id=annotation_id)

    async def _prepared(self, snapshot: EncodedTrace) -> AgentTrace | None:
        if self._hops and len(snapshot.trace) > _LARGE:
            return await asyncio.to_thread(self.processor.encoded, snapshot)
        return self.processor.encoded(snapshot)


class AsyncProcessingTraceStore(_ProcessingCore, AsyncContext):
    """`ProcessingTraceStore` for code that runs in an event loop, in front of an async store.

    Args:
        store: The store behind; closed with this one.
        redact: As for `ProcessingTraceStore`.
        truncate: As for `ProcessingTraceStore`.
        sample: As for `ProcessingTraceStore`.
        keep_errors: As for `ProcessingTraceStore`.
        prices: As for `ProcessingTraceStore`.

    Raises:
        TypeError: The store blocks.
    """

    def __init__(
        self,
        store: AsyncTraceStore,
        *,
        redact: Redactor | Iterable[Redactor] = (),
        truncate: int | None = None,
        prices: PriceTable | None = None,
        sample: Sample | None = None,
        keep_errors: bool = True,
    ) -> None:
        check_kind(store, "AsyncProcessingTraceStore", is_async=True)
        super().__init__(
            store,
            TraceProcessor(
                redact=redact,
                truncate=truncate,
                prices=prices,
                sample=sample,
                keep_errors=keep_errors,
            ),
        )


class ProcessingTraceStore(BlockingWrapper[_ProcessingCore]):
    """Redacts, truncates and samples whatever is saved, in front of any store.

    The one place for it: what saves into this store, be it an observer, an exporter, a recorder or
    your own code, cannot go around it. `save` returns the run's id also for a run that was left
    out; `counts` tells how many were.

    Args:
        store: The store behind; closed with this one.
        redact: Redactors, called in this order on each step and on the metadata.
        truncate: Characters that a text of a step may have; what goes beyond is cut off.
        prices: Estimate what model calls cost where nobody told it; None estimates nothing.
        sample: The share of runs that are stored, 0.0 to 1.0, chosen by run id, so that a run and
            those which it started go the same way; or a function of the trace.
        keep_errors: Store runs with an error whatever ``sample`` says.

    Raises:
        TypeError: The store is async, or an option has the wrong type.
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        store: TraceStore,
        *,
        redact: Redactor | Iterable[Redactor] = (),
        truncate: int | None = None,
        prices: PriceTable | None = None,
        sample: Sample | None = None,
        keep_errors: bool = True,
    ) -> None:
        check_kind(store, "ProcessingTraceStore", is_async=False)
        processor = TraceProcessor(
            redact=redact,
            truncate=truncate,
            prices=prices,
            sample=sample,
            keep_errors=keep_errors,
        )
        super().__init__(_ProcessingCore(store, processor))

    @property
    def processor(self) -> TraceProcessor:
        """What is done to each run."""
        return self._core.processor

    @property
    def counts(self) -> ProcessingCounts:
        """What was sampled out, and where redaction failed."""
        return self._core.counts
