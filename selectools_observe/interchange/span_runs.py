"""Spans of any spelling as runs: what the readers of span files have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ..integrations.opentelemetry.from_spans import runs_of_spans
from ..integrations.opentelemetry.spans import SpanRecord
from ..model.trace import AgentTrace
from .span_spool import SpanSpool

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SpanRecord)


class SpanRuns:
    """Takes spans in any order; gives the runs when all have come."""

    def __init__(self) -> None:
        self._spool: SpanSpool | None = None

    def add(self, records: Iterable[SpanRecord]) -> None:
        """Keep spans."""
        spool = self._spool = self._spool or SpanSpool()
        for record in records:
            spool.add(record.trace_id, _encoder.encode(record))

    def runs(self) -> Iterator[AgentTrace]:
        """The runs of all spans; traces without a model or tool call are none."""
        if self._spool is None:
            return
        with self._spool as spool:
            self._spool = None
            for rows in spool.groups():
                yield from runs_of_spans(map(_decoder.decode, rows))
