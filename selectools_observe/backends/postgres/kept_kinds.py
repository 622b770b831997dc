"""What is kept of parts of the table: what statistics ask of runs, and what facets do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ...model.groups import FacetCollector
from ...model.trace import TraceFacts, TraceSummary
from ..queries.rollup_sums import FIRST_BYTE, pack_sums, sums_of_parts, unpack_sums
from ..sql.row import Row
from ..sql.server_rows import read_summary
from . import kept_calls


class SumsOfParts:
    """What the runs of a part add up to (`RunSums`)."""

    name = "sums"
    columns = kept_calls.COLUMNS
    first_byte = FIRST_BYTE

    def of_rows(self, rows: Sequence[Row]) -> bytes:
        """What rows add up to."""
        return pack_sums(kept_calls.sums_of_rows(rows))

    def of_parts(self, parts: Sequence[bytes]) -> bytes | None:
        """What parts add up to together."""
        sums = [told for data in parts if (told := unpack_sums(data)) is not None]
        return pack_sums(sums_of_parts(sums)) if len(sums) == len(parts) else None


class FacetCounts(msgspec.Struct, array_like=True, gc=False):
    """How many runs of a part have which keys and values, but for their labels.

    Attributes:
        runs: How many runs.
        counts: As `FacetCollector.add_counts` takes them.
    """

    runs: int
    counts: list[tuple[str, int, dict[str, int]]]


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(FacetCounts)


class FacetsOfParts:
    """Which keys and values the runs of a part have (`FacetCounts`)."""

    name = "facets"
    columns = "seq, created_us, summary, started_us"
    first_byte = bytes([0x90 | len(FacetCounts.__struct_fields__)])

    def __init__(self, where: str) -> None:
        self._where = where

    def of_rows(self, rows: Sequence[Row]) -> bytes:
        """The facets of rows."""
        collector = FacetCollector()
        self.add_rows(collector, rows)
        return _encode(FacetCounts(*collector.counts()))

    def of_parts(self, parts: Sequence[bytes]) -> bytes | None:
        """The facets of parts together."""
        collector = FacetCollector()
        try:
            for data in parts:
                self.add_part(collector, data)
        except msgspec.MsgspecError:
            return None
        return _encode(FacetCounts(*collector.counts()))

    def add_rows(self, collector: FacetCollector, rows: Iterable[Row]) -> None:
        """Count the runs of rows, but their labels."""
        for summary, facts in self._read(rows):
            collector.add(summary, facts)

    def add_part(self, collector: FacetCollector, data: bytes) -> None:
        """Count the runs of a part.

        Raises:
            msgspec.MsgspecError: It is damaged.
        """
        told = _decoder.decode(data)
        collector.add_counts(told.runs, told.counts)

    def _read(self, rows: Iterable[Row]) -> Iterable[tuple[TraceSummary, TraceFacts]]:
        found = (read_summary(self._where, row[0], row[1], row[2]) for row in rows)
        return (one for one in found if one is not None)
