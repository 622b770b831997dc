"""Traces in the order of saving, in memory: what the in-memory and the JSONL backend list from.

Entries are numbered in a growing list; removing one leaves a gap, and a list that is mostly gaps is
closed up. Numbers never change. Metadata has an index that is made when it is first asked for.

A large order is looked through in slices, so that nobody waits long for whoever holds its lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

import msgspec

from ...model import timestamps
from ...model.clock import Clock, moment_of
from ...model.filters import TraceFilter, asks_for_facts, rest_of_verdict, summary_test
from ...model.histogram import Tally, TraceHistogram, bounds_of, only_times
from ...model.json_values import canonical
from ...model.pagination import Position
from ...model.trace import TraceFacts, TraceSummary, copy_of
from .annotation_index import AnnotationIndex
from .paging import PageRequest, PageRow
from .row_queries import EVERYTHING

_CLOSE_UP_AT = 64  # gaps
_ENTRIES_AT_ONCE = 250


class Entry(ABC):
    """A trace in the order. What its backend keeps of it is in subclasses.

    Attributes:
        number: Its place in the order.
        run_id: The run's id.
        rank: How many of the same instant are older, for orders that are renumbered.
    """

    __slots__ = ("number", "run_id")

    number: int
    run_id: str
    tiebreaker: int = 0

    @property
    @abstractmethod
    def summary(self) -> TraceSummary:
        """The run's summary."""

    @property
    @abstractmethod
    def facts(self) -> TraceFacts:
        """What filters ask of its steps."""


EntryT = TypeVar("EntryT", bound=Entry)


class ScanRequest(msgspec.Struct, frozen=True):
    """A look through a part of the order: what for, and from where on.

    Attributes:
        enough: How many that match are enough; None for all.
    """

    ask: PageRequest
    goes_on: int | None = None
    wants: Literal["summaries", "started_at", "created_at", "number"] = "summaries"
    enough: int | None = None


class ScanResult(msgspec.Struct, frozen=True, gc=False):
    """What was found in a part of the order, and where the next part begins, if there is one.

    Attributes:
        found: What matches, if summaries were wanted.
        times: When each that matches began, or was saved, in microseconds since 1970, and whether
            it has an error, if one of these was wanted.
        count: How many match.
        goes_on: Where the next part begins.
        is_last: Whether there is none.
    """

    found: list[PageRow]
    times: list[tuple[int, bool]]
    count: int
    goes_on: int | None
    is_last: bool


class OrderedIndex(Generic[EntryT]):
    """All entries, oldest first, and by run id. Not thread-safe: its owner holds a lock."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self._by_id: dict[str, EntryT] = {}
        self._entries: list[EntryT | None] = []
        self._numbers: list[int] = []
        self._next = 0
        self._gaps = 0
        self._pairs: dict[tuple[str, str], list[int]] = {}
        self._pairs_to = 0
        self._is_changing = False
        self.annotations = AnnotationIndex()

    def add(self, entry: EntryT) -> bool:
        """Put an entry at the end; whether one with the same run id gave way."""
        replaces = entry.run_id in self._by_id
        if replaces or self._is_changing:
            self.remove(entry.run_id)
        self._is_changing = True
        entry.number = self._next
        self._next += 1
        self._by_id[entry.run_id] = entry
        self._entries.append(entry)
        self._numbers.append(entry.number)
        if entry.run_id in self.annotations:
            self.annotated(entry.run_id)
        self._is_changing = False
        return replaces

    def remove(self, run_id: str) -> bool:
        """Take an entry out; whether it was there."""
        self._mend()
        if run_id not in self._by_id:
            return False
        self._is_changing = True
        entry = self._by_id.pop(run_id)
        self._entries[self._index_of(entry.number)] = None
        self._gaps += 1
        if self._gaps > _CLOSE_UP_AT and self._gaps * 2 > len(self._entries):
            self._close_up()
        self._is_changing = False
        return True

    def _mend(self) -> None:
        """Rebuild the rest from the dictionary, if a signal handler raised in a change of it.

        The dictionary is in the order of saving, and each change of it is one step.
        """
        if self._is_changing:
            self._entries = list(self._by_id.values())
            self._close_up()
            self._is_changing = False

    def _index_of(self, number: int) -> int:
        return bisect_left(self._numbers, number)

    def _close_up(self) -> None:
        kept = [entry for entry in self._entries if entry is not None]
        self._entries = list(kept)
        self._numbers = [entry.number for entry in kept]
        self._gaps = 0
        self._pairs = {}
        self._pairs_to = 0

    def annotated(self, run_id: str) -> None:
        """The annotations of a run were changed: its summary tells of them."""
        entry = self._by_id.get(run_id)
        if entry is not None:
            entry.summary.annotations = self.annotations.latest(run_id)

    def get(self, run_id: str) -> EntryT | None:
        """The entry with this run id."""
        return self._by_id.get(run_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[EntryT]:
        self._mend()
        return (entry for entry in self._entries if entry is not None)

    def newest(self, kind: str) -> Position | None:
        """The place after which everything is newer than now."""
        self._mend()
        return Position(kind, self._next - 1, self.epoch) if self._by_id else None

    def look(self, look: ScanRequest) -> ScanResult:
        """Look through a limited number of entries."""
        self._mend()
        ask = look.ask
        if ask.filters.metadata_match and not self._index_pairs():
            return ScanResult([], [], 0, look.goes_on, is_last=False)
        part, rest = self._candidates(ask, look.goes_on)
        most = _ENTRIES_AT_ONCE if look.enough is None else min(look.enough, _ENTRIES_AT_ONCE)
        matching = list(islice(self._matching(ask.filters, part), most))
        found, times = [], []
        if look.wants == "summaries":
            found = [self._found(entry) for entry in matching]
        elif look.wants != "number":
            summaries = [entry.summary for entry in matching]
            times = [(moment_of(one, look.wants), one.has_error) for one in summaries]
        return ScanResult(found, times, len(matching), rest, is_last=rest is None)

    def _matching(self, filters: TraceFilter, entries: Iterable[EntryT]) -> Iterator[EntryT]:
        if filters is EVERYTHING:
            return iter(entries)
        may_match = summary_test(filters)
        # None: only the texts of the run tell, which whoever asked looks at.
        matching = (e for e in entries if may_match(e.summary))
        if not asks_for_facts(filters):
            return matching
        return (e for e in matching if rest_of_verdict(filters, e.summary, e.facts) is not False)

    def _candidates(
        self, ask: PageRequest, goes_on: int | None
    ) -> tuple[Iterable[EntryT], int | None]:
        """Some entries that may match, in the page's order, from where the last slice ended.

        And the number of the one after them, if there is one.
        """
        numbers = self._narrowest(ask.filters)
        first, end = 0, len(numbers)
        if ask.newest is not None:
            end = bisect_right(numbers, ask.newest.key)
        if ask.after is not None and ask.oldest_first:
            first = bisect_right(numbers, self._number_of(ask.after))
        elif ask.after is not None:
            end = min(end, bisect_left(numbers, self._number_of(ask.after)))
        if goes_on is not None and ask.oldest_first:
            first = max(first, bisect_left(numbers, goes_on))
        elif goes_on is not None:
            end = min(end, bisect_right(numbers, goes_on))
        if end <= first:
            return (), None
        if ask.oldest_first:
            stop = min(end, first + _ENTRIES_AT_ONCE)
            rest, part = stop if stop < end else None, slice(first, stop)
        else:
            stop = max(first, end - _ENTRIES_AT_ONCE) - 1
            rest = stop if stop >= first else None
            part = slice(end - 1, stop if stop >= 0 else None, -1)
        if numbers is self._numbers:
            entries: Iterable[EntryT] = filter(None, self._entries[part])
        else:
            entries = self._at(numbers[part])
        return entries, None if rest is None else numbers[rest]

    def _narrowest(self, filters: TraceFilter) -> Sequence[int]:
        """All numbers, or those that the rarest of the wanted metadata pairs has."""
        if not filters.metadata_match:
            return self._numbers
        pairs = [_pair(key, value) for key, value in filters.metadata_match.items()]
        return min((self._pairs.get(pair, []) for pair in pairs), key=len)

    def _index_pairs(self) -> bool:
        """Index the metadata of some entries that came since; whether all are indexed."""
        self._is_changing = True
        begin = self._index_of(self._pairs_to)
        end = begin + _ENTRIES_AT_ONCE
        for entry in self._entries[begin:end]:
            if entry is not None:
                for key, value in entry.summary.metadata.items():
                    self._pairs.setdefault(_pair(key, value), []).append(entry.number)
        is_done = end >= len(self._numbers)
        self._pairs_to = self._next if is_done else self._numbers[end]
        self._is_changing = False
        return is_done

    def _at(self, numbers: Sequence[int]) -> Iterator[EntryT]:
        entries, known = self._entries, self._numbers
        for number in numbers:
            index = bisect_left(known, number)
            entry = entries[index] if index < len(entries) else None
            if entry is not None and entry.number == number:
                yield entry

    def _number_of(self, place: Position) -> int:
        """The number of a place, which another numbering may have given."""
        if place.epoch == self.epoch:
            return place.key
        entry = self._by_id.get(place.run_id)
        if entry is not None and _created_us(entry) == place.created_us:
            return entry.number
        # The trace is gone or was saved again: go by the time.
        key = (place.created_us, place.tiebreaker)
        later = (entry.number for entry in self if (_created_us(entry), entry.tiebreaker) >= key)
        return next(later, self._next)

    def _found(self, entry: EntryT) -> PageRow:
        return PageRow(entry.number, copy_of(entry.summary), entry.tiebreaker)


async def page_in_slices(
    look: Callable[[ScanRequest], Awaitable[ScanResult]], ask: PageRequest
) -> list[PageRow]:
    """The summaries asked for, slice by slice; what is saved meanwhile is left out."""
    found: list[PageRow] = []
    enough = None if ask.limit is None else ask.offset + ask.limit
    goes_on: int | None = None
    while True:
        left = None if enough is None else max(0, enough - len(found))
        part = await look(ScanRequest(ask, goes_on, enough=left))
        found += part.found
        goes_on = part.goes_on
        if part.is_last or (enough is not None and len(found) >= enough):
            return found[ask.offset : enough]


async def count_in_slices(
    look: Callable[[ScanRequest], Awaitable[ScanResult]], filters: TraceFilter
) -> int:
    """How many match, up to the filter's limit, slice by slice."""
    count = 0
    goes_on: int | None = None
    while True:
        part = await look(ScanRequest(PageRequest(filters), goes_on, "number"))
        count += part.count
        goes_on = part.goes_on
        if filters.limit is not None and count >= filters.limit:
            return filters.limit
        if part.is_last:
            return count


async def histogram_in_slices(
    look: Callable[[ScanRequest], Awaitable[ScanResult]],
    filters: TraceFilter,
    buckets: int,
    time: Clock,
) -> TraceHistogram:
    """How many match, over time, slice by slice."""
    since, until = bounds_of(filters, time)
    if since is None or until is None:
        every = [moment async for moment, _ in _times(look, only_times(filters), time)]
        if not every:
            return TraceHistogram()
        since = min(every) if since is None else since
        until = max(every) if until is None else until
    tally = Tally(since, until, buckets, time)
    async for moment, has_error in _times(look, filters, time):
        tally.add_run(moment, has_error=has_error)
    return tally.result()


async def _times(
    look: Callable[[ScanRequest], Awaitable[ScanResult]], filters: TraceFilter, time: Clock
) -> AsyncIterator[tuple[int, bool]]:
    goes_on: int | None = None
    while True:
        part = await look(ScanRequest(PageRequest(filters), goes_on, time))
        for item in part.times:
            yield item
        goes_on = part.goes_on
        if part.is_last:
            return


def _created_us(entry: Entry) -> int:
    return timestamps.to_microseconds(entry.summary.created_at)


def _pair(key: str, value: Any) -> tuple[str, str]:
    # A string may look like another value's canonical text: `matches` has the last word.
    return (key, value if value.__class__ is str else canonical(value))
