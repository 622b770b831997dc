"""What is kept of parts of the table: what statistics ask of runs, what facets do, and groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec

from ...model.group_sums import GroupSums
from ...model.groups import FacetCollector, GroupCollector
from ...model.trace import TraceFacts, TraceSummary
from ..queries.rollup_sums import FIRST_BYTE, pack_sums, sums_of_parts, unpack_sums
from ..sql.row import Row
from ..sql.server_rows import read_summary
from . import group_columns, kept_calls
from .kept_parts import Kind

CollectorT = TypeVar("CollectorT", FacetCollector, GroupCollector)
_AskedT_contra = TypeVar("_AskedT_contra", FacetCollector, GroupCollector, contravariant=True)


class Adding(Kind, Protocol[_AskedT_contra]):
    """What is kept of parts to be handed to a collector."""

    def add_rows(self, collector: _AskedT_contra, rows: Sequence[Row]) -> None:
        """Count the runs of rows."""

    def has_added(self, collector: _AskedT_contra, data: bytes) -> bool:
        """Count the runs of a part; False if it is damaged."""


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
        if not all([self.has_added(collector, data) for data in parts]):
            return None
        return _encode(FacetCounts(*collector.counts()))

    def add_rows(self, collector: FacetCollector, rows: Sequence[Row]) -> None:
        """Count the runs of rows, but their labels."""
        for summary, facts in self._read(rows):
            collector.add(summary, facts)

    def has_added(self, collector: FacetCollector, data: bytes) -> bool:
        """Count the runs of a part; False if it is damaged."""
        try:
            told = _decoder.decode(data)
        except msgspec.MsgspecError:
            return False
        collector.add_counts(told.runs, told.counts)
        return True

    def _read(self, rows: Iterable[Row]) -> Iterable[tuple[TraceSummary, TraceFacts]]:
        found = (read_summary(self._where, row[0], row[1], row[2]) for row in rows)
        return (one for one in found if one is not None)


class _KeptGroup(msgspec.Struct, array_like=True, gc=False):
    """What `GroupCollector.add_sums` takes of a group; its name as bytes, as it may be no UTF-8."""

    key: bytes
    sums: GroupSums
    first: tuple[int, int]
    last: tuple[int, int]


class _KeptGroups(msgspec.Struct, array_like=True, gc=False):
    form: int
    groups: list[_KeptGroup]


_groups_decoder = msgspec.msgpack.Decoder(_KeptGroups)


class GroupsOfParts:
    """What the runs of a part add up to, by one of `FIELD_KEYS`, without their annotations."""

    columns = group_columns.COLUMNS
    first_byte = bytes([0x90 | len(_KeptGroups.__struct_fields__)])

    def __init__(self, key: str, where: str) -> None:
        self.name = f"groups by {key}"
        self._key = key
        self._where = where

    def of_rows(self, rows: Sequence[Row]) -> bytes:
        """The groups of rows."""
        collector = GroupCollector(self._key)
        self.add_rows(collector, rows)
        return _packed(collector)

    def of_parts(self, parts: Sequence[bytes]) -> bytes | None:
        """The groups of parts together."""
        collector = GroupCollector(self._key)
        return (
            _packed(collector) if all([self.has_added(collector, one) for one in parts]) else None
        )

    def add_rows(self, collector: GroupCollector, rows: Sequence[Row]) -> None:
        """Count the runs of rows."""
        group_columns.add_rows(collector, self._where, rows)

    def has_added(self, collector: GroupCollector, data: bytes) -> bool:
        """Count the runs of a part; False if it is damaged."""
        try:
            told = _groups_decoder.decode(data)
        except msgspec.MsgspecError:
            return False
        for one in told.groups:
            key = one.key.decode("utf-8", "surrogatepass")
            collector.add_sums(key, one.sums, one.first, one.last)
        return True


def _packed(collector: GroupCollector) -> bytes:
    found = [
        _KeptGroup(key.encode("utf-8", "surrogatepass"), sums, first, last)
        for key, sums, first, last in collector.sums()
    ]
    return _encode(_KeptGroups(1, found))
