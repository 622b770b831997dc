"""The rows whose texts match, found by the index of words, and by reading what it does not know.

Step by step, each a short transaction: a search through a million runs keeps nobody waiting.
"""

from __future__ import annotations

import heapq
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain, islice, takewhile

import msgspec

from ....model.checksum import checksum
from ....model.filters import needed_text
from ....model.pagination import Position
from ....model.text_query import JSONSieve, TextQuery
from ....runtime.gil import GilYielder
from ...queries.paging import PageRequest, PageRow
from ...queries.text_scan import TextScan
from .. import reader
from ..transaction import one_moment
from .candidates import CandidateQuery, bounds_of, in_order
from .words import DamagedWordsError, WordLookup, waiting

log = logging.getLogger(__name__)

_AT_A_STRETCH = 0.03  # seconds of one step
_ROWS_AT_ONCE = 128
_NEWEST = 512  # runs in which what is common is found at once, whatever the index knows
_FEW = 2000  # runs that are read sooner than words are looked up
_FEWEST_NAMED, _MOST_NAMED = 4096, 1024 * 1024  # ids at once
_MANY_WAITING = 256  # runs that the index should take in
# Whoever waits for the end of a step, waits for so many rows in which nothing was found; and so
# many are looked through for nothing then, since Python's cursors are one row ahead.
_LOOK_UP = 128
_MOST_WORDS = 8  # of a query that SQLite looks for
_ROWS = "FROM traces t NOT INDEXED LEFT JOIN trace_facets f ON f.id = t.rowid"


class TextSearch:
    """One page of runs whose texts match.

    Attributes:
        found: The rows found, in the order of looking, from its beginning on.
        is_behind: Whether many runs are not in the index of words.
        is_damaged: Whether the index could not be read; then the runs were.
    """

    def __init__(self, where: str, ask: PageRequest) -> None:
        self._where = where
        # SQLite goes from a row to its facets soonest where both are read from their beginning on.
        self._is_turned = ask.limit is None and ask.after is None and not ask.oldest_first
        if self._is_turned:
            ask = msgspec.structs.replace(ask, oldest_first=True)
        self._ask = ask
        self._after = ask.after
        self._scan = TextScan(ask.filters)
        query = needed_text(ask.filters)
        self._query = TextQuery(()) if query is None else query
        self._sieve = JSONSieve(self._query)
        # SQLite itself looks for words in no time, and other threads run meanwhile.
        self._patterns = [f"%{word[:1000]}%" for word in self._sieve.words[:_MOST_WORDS]]
        # A pattern that is no bare parameter: SQLite would make the statement anew for each.
        stand = " AND ".join(["t.trace_json LIKE ? || ''"] * len(self._patterns)) or "1"
        self._likely = f"({stand} OR ifnull(f.hides_words, 1))"
        self._wanted = None if ask.limit is None else ask.offset + ask.limit
        self._told: int | None = None
        self._named: list[int] = []
        self._most_named = _FEWEST_NAMED
        self._read_at_once = 8
        self._passed: set[int] = set()  # rows that tell how far it is, and nothing else
        self.found: list[PageRow] = []
        self.is_behind = self.is_damaged = False

    @property
    def page(self) -> list[PageRow]:
        """What the page holds."""
        found = self.found[::-1] if self._is_turned else self.found
        return found[self._ask.offset : self._wanted]

    def step(self, connection: sqlite3.Connection) -> bool:
        """Look at some more rows; whether that was all of them."""
        if self._told is None:
            reader.catch_up(connection, self._where)
            self.is_behind = _are_many_waiting(connection)
            if self._is_turned and self._ask.newest is None:
                self._ask = _up_to_now(connection, self._ask)
        with one_moment(connection):
            try:
                return self._step(connection)
            except DamagedWordsError as error:
                log.warning(
                    "%s: the index of words cannot be read and is rebuilt; until then, runs are "
                    "searched without it: %s", self._where, error,
                )  # fmt: skip
                self.is_damaged = True
                return False

    def _step(self, connection: sqlite3.Connection) -> bool:
        deadline, yielder = time.monotonic() + _AT_A_STRETCH, GilYielder()
        candidates = self._candidates(connection)
        while some := self._next_of(candidates):
            likely = [row_id for row_id in some if row_id not in self._passed]
            self.found += self._matching(connection, likely) if likely else ()
            self._passed.clear()
            self._after = Position("", some[-1])
            if self._wanted is not None and len(self.found) >= self._wanted:
                return True
            if time.monotonic() > deadline:
                return False
            yielder.maybe_yield()
        return True

    def _next_of(self, candidates: Iterator[int]) -> list[int]:
        """The next candidates: so many, or fewer where there are few for many rows."""
        some: list[int] = []
        most = self._at_once()
        for row_id in candidates:
            some.append(row_id)
            if len(some) == most or row_id in self._passed:
                break
        return some

    def _at_once(self) -> int:
        """Where most match, no more are read than are wanted."""
        if self._wanted is None:
            return _ROWS_AT_ONCE
        self._read_at_once = min(2 * self._read_at_once, _ROWS_AT_ONCE)
        return max(self._read_at_once, min(self._wanted - len(self.found), _ROWS_AT_ONCE))

    def _candidates(self, connection: sqlite3.Connection) -> Iterator[int]:
        """The ids of rows that may match, in the page's order."""
        ask = msgspec.structs.replace(self._ask, after=self._after)
        places = reader.places_named(connection, ask)
        if places is not None:
            return iter(places)
        if CandidateQuery(connection, ask).is_narrow:
            few = list(islice(self._ids(connection, ask), _FEW + 1))
            if len(few) <= _FEW:
                return iter(few)
        words = None if self.is_damaged else WordLookup(connection, self._query)
        told = 0 if words is None else self._told_up_to(connection, words)
        if words is None or told <= 0:
            return self._ids(connection, ask)
        if not ask.oldest_first:
            newer = takewhile(lambda row_id: row_id > told, self._ids(connection, ask, told))
            return chain(newer, self._by_words(connection, words, ask, told))
        beyond = ask if _key(ask.after) > told else _after(ask, told)
        return chain(self._by_words(connection, words, ask, told), self._ids(connection, beyond))

    def _ids(
        self, connection: sqlite3.Connection, ask: PageRequest, above: int | None = None
    ) -> Iterator[int]:
        """The ids that may match, as far as SQLite tells; and some others, now and then."""
        narrowing = CandidateQuery(connection, ask)
        if narrowing.is_narrow:
            return (row_id for row_id, _ in narrowing.candidates())
        condition, values = bounds_of(ask, "t.rowid")
        if above is not None:
            condition, values = f"{condition} AND t.rowid > ?", [*values, above]
        order = "ASC" if ask.oldest_first else "DESC"
        rows = connection.execute(
            f"SELECT t.rowid, {self._likely} {_ROWS} WHERE {condition} "
            f"AND (t.rowid % {_LOOK_UP} = 0 OR {self._likely}) ORDER BY t.rowid {order}",
            [*self._patterns, *values, *self._patterns],
        )
        return map(self._noted, in_order(rows, ask))

    def _noted(self, row: tuple[int, int]) -> int:
        row_id, is_likely = row
        if not is_likely:
            self._passed.add(row_id)
        return row_id

    def _told_up_to(self, connection: sqlite3.Connection, words: WordLookup) -> int:
        """Up to which id the index tells which rows are worth reading."""
        if self._told is None:
            told = words.done if self._query.terms else 0
            if self._wanted is not None and not self._ask.oldest_first and told:
                (newest,) = connection.execute(reader.NEWEST_ID).fetchone()
                ends = [newest or 0, *(end.key for end in (self._after, self._ask.newest) if end)]
                told = min(told, min(ends) - _NEWEST)
            self._told = told
        return min(self._told, words.done)  # it may have been made anew since

    def _by_words(
        self, connection: sqlite3.Connection, words: WordLookup, ask: PageRequest, told: int
    ) -> Iterator[int]:
        """Ids up to the one that the index tells of, in the page's order."""
        below = ask
        if not ask.oldest_first and (ask.after is None or ask.after.key > told + 1):
            below = _after(ask, told + 1)
        narrowing = CandidateQuery(connection, below)
        missed = words.missed(told)
        missed = missed if ask.oldest_first else missed[::-1]
        foreign = [row_id for row_id in narrowing.foreign_rows() if row_id <= told]
        last = None
        for row_id in heapq.merge(
            _vouched(narrowing, self._ids_named(words, below, told)),
            _vouched(narrowing, missed),
            foreign,
            reverse=not ask.oldest_first,
        ):
            if row_id != last:
                yield row_id
            last = row_id

    def _ids_named(self, words: WordLookup, below: PageRequest, told: int) -> Iterator[int]:
        """The ids that the words are known under, remembered from step to step."""
        ascending = below.oldest_first
        place = _key(below.after) if below.after is not None else None
        # Some were looked up in the last step that it did not come to.
        known = self._named = [
            row_id
            for row_id in self._named
            if row_id <= told
            and (place is None or (row_id > place if ascending else row_id < place))
        ]
        while True:
            yield from known
            place = known[-1] if known else place
            first, last = -(2**63), told
            if place is not None and ascending:
                first = place + 1
            elif place is not None:
                last = min(told, place - 1)
            named = words.ids(first, last, self._most_named, ascending=ascending)
            self._most_named = min(8 * self._most_named, _MOST_NAMED)
            known = sorted(
                {row_id for row_id in named if first <= row_id <= last}, reverse=not ascending
            )
            if not known:
                return
            self._named = [*self._named, *known]

    def _matching(self, connection: sqlite3.Connection, ids: list[int]) -> list[PageRow]:
        read = self._read(connection, ids)
        if not read:
            return []
        summaries = reader.summaries_at(connection, self._where, list(read))
        return [
            PageRow(row_id, summaries[row_id])
            for row_id in ids
            if row_id in summaries and self._scan.matches(summaries[row_id], read[row_id])
        ]

    def _read(self, connection: sqlite3.Connection, ids: list[int]) -> dict[int, bytes]:
        """The JSON of those of the rows that may match, as far as a quick look tells."""
        rows = connection.execute(
            f"SELECT t.rowid, t.trace_json, f.trace_crc {_ROWS} "
            f"WHERE t.rowid IN ({','.join('?' * len(ids))}) AND {self._likely}",
            [*ids, *self._patterns],
        )
        with closing(rows):
            return {
                row_id: trace_json
                for row_id, trace_json, crc in rows
                if isinstance(trace_json, bytes)
                and self._sieve.may_match(trace_json)
                and (crc is None or checksum(trace_json) == crc)
            }


def _up_to_now(connection: sqlite3.Connection, ask: PageRequest) -> PageRequest:
    """The same without what is saved from now on: a run that is saved again would come twice."""
    (newest,) = connection.execute(reader.NEWEST_ID).fetchone()
    return msgspec.structs.replace(ask, newest=Position("", newest or 0))


def _vouched(narrowing: CandidateQuery, ids: Iterable[int]) -> Iterator[int]:
    """Those of the ids that are of rows which fulfil the rest of the filter."""
    for some in reader.chunks(ids, _ROWS_AT_ONCE):
        yield from narrowing.vouched(some)


def _after(ask: PageRequest, row_id: int) -> PageRequest:
    return msgspec.structs.replace(ask, after=Position("", row_id))


def _key(position: Position | None) -> int:
    return -(2**63) if position is None else position.key


def _are_many_waiting(connection: sqlite3.Connection) -> bool:
    try:
        return waiting(connection, _MANY_WAITING) == _MANY_WAITING
    except sqlite3.Error:  # a file of an older version that may only be read
        return False
