"""Spans of any spelling as runs: what the readers of span files have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..integrations.opentelemetry.from_spans import saved_runs_of_spans
from ..integrations.opentelemetry.spans import SpanRecord
from .form import SavedRun
from .source import Source
from .span_spool import SpanSpool

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SpanRecord)


class SpanRuns:
    """Takes spans in any order; gives the runs when all have come."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._spool: SpanSpool | None = None

    def add(self, records: Iterable[SpanRecord]) -> None:
        """Keep spans."""
        spool = self._spool = self._spool or SpanSpool()
        for record in records:
            spool.add(record.trace_id, _encoder.encode(record))

    def runs(self) -> Iterator[SavedRun]:
        """The runs of all spans; traces without a model or tool call are none."""
        if self._spool is None:
            return
        with self._spool as spool:
            self._spool = None
            for rows in spool.groups():
                records = map(_decoder.decode, rows)
                for run in saved_runs_of_spans(records, self._reject):
                    yield SavedRun(*run)

    def _reject(self, reason: str) -> None:
        self._source.skipped(self._source.path, reason)
