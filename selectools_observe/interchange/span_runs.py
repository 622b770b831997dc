"""Spans of any spelling as runs: what the readers of files of spans have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import msgspec

from ..integrations.opentelemetry.from_spans import saved_runs_of_spans
from ..integrations.opentelemetry.spans import SpanRecord
from .form import JSONObject, SavedRun
from .source import Source
from .span_spool import SpanSpool

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SpanRecord)


class SpanReader(ABC):
    """The reader of a file of spans, in any order; gives the runs when all have come."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._spool: SpanSpool | None = None

    def take(self, value: JSONObject, place: str, /) -> tuple[()]:
        """Keep the spans of an object."""
        self._keep(self._spans(value, place))
        return ()

    @abstractmethod
    def _spans(self, value: JSONObject, place: str) -> Iterable[SpanRecord]:
        """The spans of an object."""

    def _keep(self, records: Iterable[SpanRecord]) -> None:
        spool = self._spool = self._spool or SpanSpool()
        for record in records:
            spool.add(record.trace_id, _encoder.encode(record))

    def rest(self) -> Iterator[SavedRun]:
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
