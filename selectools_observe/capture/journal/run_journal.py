"""The journal of one run: its steps reach the disk while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from msgspec import structs

from ...backends.files.journal_file import UNFINISHED
from ...backends.files.journals import JournalRecord
from ...errors import InvalidTraceError
from ...model.codec import encode, encode_step
from ...model.json_values import UnstorableValueError
from ...model.trace import AgentTrace, TraceStep
from ...protocols import Durability
from ...runtime.asyncio_ import AsyncioRuntime
from ...runtime.batching import Batcher
from ...runtime.loop_local import LoopLocal
from ...runtime.worker import CallWorker
from ..processing.processor import TraceProcessor
from ..processing.sanitize import salvaged, salvaged_step

T = TypeVar("T")

Trouble = Callable[[Exception, AgentTrace], None]


class RunJournal:
    """The run journal of a recorder, and what is done to a step before it gets there."""

    def __init__(
        self,
        record: JournalRecord,
        durability: Durability,
        processors: Sequence[TraceProcessor],
        trouble: Trouble,
    ) -> None:
        self.record = record
        self.is_full = durability == "full" or record.is_shared
        self._processors = processors
        self.trouble = trouble
        runtime = AsyncioRuntime()
        worker = CallWorker(runtime, self.record)
        self._syncs: LoopLocal[Batcher[JournalRecord, int, None]] = LoopLocal(
            runtime, lambda: Batcher(runtime, worker, _sync), _nothing
        )

    def begin(self, trace: AgentTrace) -> LiveRun | None:
        """A run begins; None if it will not be stored."""
        if not all(processor.may_be_wanted(trace) for processor in self._processors):
            return None
        run = LiveRun(self, trace)
        run.begin()
        return run

    def attempt(self, write: Callable[[], T], trace: AgentTrace) -> T | None:
        """Write; what goes wrong is told, and breaks nothing."""
        try:
            return write()
        except Exception as error:  # noqa: BLE001 - the agent goes on
            self.trouble(error, trace)
            return None

    def head(self, trace: AgentTrace) -> bytes:
        """A run without its steps, as the record keeps it."""
        bare = structs.replace(trace, steps=[])
        try:
            return self._prepared_head(bare)
        except InvalidTraceError:
            return self._prepared_head(salvaged(bare))

    def _prepared_head(self, bare: AgentTrace) -> bytes:
        for processor in self._processors:
            bare = processor.head(bare)
        return encode(bare).trace

    def body(self, step: TraceStep) -> bytes:
        """A step, as the record keeps it."""
        try:
            return self._prepared_body(step)
        except UnstorableValueError:
            return self._prepared_body(salvaged_step(step))

    def _prepared_body(self, step: TraceStep) -> bytes:
        for processor in self._processors:
            step = processor.step(step)
        return encode_step(step)

    async def async_sync(self, upto: int) -> None:
        """Make the record survive power loss, in a thread, with all who ask at the same time."""
        await self._syncs.current().submit(upto)


def _sync(record: JournalRecord, upto: Sequence[int]) -> Sequence[None]:
    record.sync(max(upto))
    return [None] * len(upto)


def _nothing(_: object) -> None:
    pass


class LiveRun:
    """One run in the run journal."""

    def __init__(self, recorder: RunJournal, trace: AgentTrace) -> None:
        self._recorder = recorder
        self._record = recorder.record
        self._trace = trace
        self._number: int | None = None
        self._missing: dict[int, TraceStep] = {}

    def begin(self) -> None:
        """The run begins."""
        metadata = {**self._trace.metadata, UNFINISHED: True}
        marked = structs.replace(self._trace, steps=[], metadata=metadata)
        self._number = self._recorder.attempt(
            lambda: self._record.begin(self._recorder.head(marked)), self._trace
        )

    def doing(self, place: int, step: TraceStep) -> None:
        """A step has begun."""
        self._write(lambda run: self._record.doing(run, place, self._recorder.body(step)))

    def step(self, place: int, step: TraceStep) -> int:
        """A step is over; up to where the record must be synced for it, 0 if it need not."""
        written = self._write(lambda run: self._record.step(run, place, self._recorder.body(step)))
        if not written:
            self._missing[place] = step
        return written if self._recorder.is_full else 0

    def end(self) -> int:
        """The run is over; as `step`. What the disk did not take before is tried again."""
        missing, self._missing = self._missing, {}
        for place, step in missing.items():
            self.step(place, step)
        written = self._write(lambda run: self._record.end(run, self._recorder.head(self._trace)))
        return written if self._recorder.is_full else 0

    @property
    def kept_bytes(self) -> int:
        """How much of the record is not forgotten."""
        return self._record.kept_bytes

    def forget(self) -> None:
        """The run is in the store."""
        self._write(self._forget)

    def _forget(self, run: int) -> int:
        self._record.forget(run)
        return 0

    def sync(self, upto: int) -> None:
        """Make the record survive power loss, if it is to."""
        if upto:
            self._recorder.attempt(partial(self._record.sync, upto), self._trace)

    async def async_sync(self, upto: int) -> None:
        """`sync` in a thread."""
        if not upto:
            return
        try:
            await self._recorder.async_sync(upto)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the agent goes on
            self._recorder.trouble(error, self._trace)

    def _write(self, write: Callable[[int], int]) -> int:
        number = self._number
        if number is None:
            return 0
        return self._recorder.attempt(lambda: write(number), self._trace) or 0
