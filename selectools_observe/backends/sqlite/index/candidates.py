"""From a filter to the few ids worth reading, by the index alone.

Candidates come in the order of saving, from three sources that are merged: full blocks (by their
postings and bounds), the facets of newer rows, and rows that other programs wrote and nobody has
indexed yet. The first two are sure to match what the index knows; the last must be read.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import gt, lt
from typing import Any, TypeAlias, TypeVar

from ...files import error_mapping
from ...queries.paging import PageRequest
from ...sql.ranges import Ranges, is_decided_by_index
from ...sql.terms import (
    alternatives_of_condition,
    holds_all,
    pack,
    terms_of_condition,
    wanted_terms,
)
from .index_upkeep import BLOCK, first_open_id

# (id, whether the index vouches for what it knows)
Candidate: TypeAlias = tuple[int, bool]
RowT = TypeVar("RowT", bound=tuple[Any, ...])

_OUT_OF_ORDER = "rows are out of order"
_FULL_BLOCKS_AT_ONCE = 64
_TERMS_JOINED = 8
_RARE = 64  # postings rows that are worth counting to find the rarest term


def bounds_of(ask: PageRequest, column: str) -> tuple[str, list[Any]]:
    """The SQL condition for the ids that a page may hold, and its values."""
    conditions, values = ["1"], []
    if ask.after is not None:
        conditions.append(f"{column} {'>' if ask.oldest_first else '<'} ?")
        values.append(ask.after.key)
    if ask.newest is not None:
        conditions.append(f"{column} <= ?")
        values.append(ask.newest.key)
    return " AND ".join(conditions), values


def check_order(ids: Sequence[int], ask: PageRequest) -> None:
    """Make sure that ids come in the page's order.

    A page of the file that stands in another's place gives rows twice, and so does a damaged number
    by which SQLite finds the place to begin at; it notices neither.

    Raises:
        sqlite3.DatabaseError: They do not.
    """
    if not all(map(lt if ask.oldest_first else gt, ids, ids[1:])):
        raise error_mapping.malformed(_OUT_OF_ORDER)


def in_order(rows: Iterable[RowT], ask: PageRequest) -> Iterator[RowT]:
    """The rows, which begin with their ids, as long as they come in the page's order.

    Raises:
        sqlite3.DatabaseError: They do not.
    """
    last = None if ask.after is None else ask.after.key
    for row in rows:
        row_id: int = row[0]
        if last is not None and (row_id <= last if ask.oldest_first else row_id >= last):
            raise error_mapping.malformed(_OUT_OF_ORDER)
        last = row_id
        yield row


class CandidateQuery:
    """The candidates for one page or count."""

    def __init__(self, connection: sqlite3.Connection, ask: PageRequest) -> None:
        self._connection = connection
        self._ask = ask
        self._ranges = Ranges(ask.filters, of_condition=True)
        self._terms = [*wanted_terms(ask.filters), *terms_of_condition(ask.filters)]
        self._alternatives = alternatives_of_condition(ask.filters)
        # Whether a row must be read to know: the index does not tell all that is asked.
        self.is_exact = is_decided_by_index(ask.filters)
        self.is_narrow = bool(self._ranges or self._terms or self._alternatives)
        self.is_everything = not self.is_narrow and self.is_exact

    def candidates(self) -> Iterator[Candidate]:
        """The ids that may match, each once, in the page's order."""
        first_open = first_open_id(self._connection)
        indexed = [self._full_blocks(first_open), self._newer_rows(first_open)]
        if not self._ask.oldest_first:
            indexed.reverse()
        found = ((row_id, self.is_exact) for part in indexed for row_id in part)
        foreign = [(row_id, False) for row_id in self.foreign_rows()]
        if foreign:
            found = heapq.merge(found, foreign, key=_id_of, reverse=not self._ask.oldest_first)
        return in_order(found, self._ask)

    def parts_by_ranges(self) -> Iterator[tuple[str, list[Any]]] | None:
        """Conditions on the facets that give one part after another of what matches.

        None if it takes more than ranges to tell.
        """
        if not self.is_exact or self._terms or self._alternatives or self.foreign_rows():
            return None
        condition, values = self.of_facets()
        in_page, page_values = self._bounds("id")
        return (
            (f"{part} AND {condition} AND {in_page}", [*ids, *values, *page_values])
            for part, ids in self._parts()
        )

    def _parts(self) -> Iterator[tuple[str, list[int]]]:
        """Full blocks that may hold what matches, and what is newer, in the page's order."""
        first_open = first_open_id(self._connection)
        newer = ("id >= ?", [first_open])
        if not self._ask.oldest_first:
            yield newer
        for block in self._blocks(first_open):
            yield "id BETWEEN ? AND ?", [block * BLOCK, (block + 1) * BLOCK - 1]
        if self._ask.oldest_first:
            yield newer

    def foreign_rows(self) -> list[int]:
        """Ids that only reading can tell about, in the page's order."""
        condition, values = self._bounds("id")
        return [
            row[0]
            for row in self._connection.execute(
                f"SELECT id FROM trace_pending WHERE NOT unreadable AND {condition} "
                f"ORDER BY id {self._order}",
                values,
            ).fetchall()
        ]

    def of_facets(self) -> tuple[str, list[Any]]:
        """The condition on a row of ``trace_facets`` that matches, as surely as terms can tell."""
        condition, values = self._ranges.of_facets()
        # SQLite finds the bytes of a term, if not only where one begins.
        condition += " AND instr(terms, ?)" * len(self._terms)
        for some in self._alternatives:
            condition += f" AND ({' OR '.join(['instr(terms, ?)'] * len(some))})"
        asked = [*self._terms, *chain.from_iterable(self._alternatives)]
        return condition, [*values, *(pack([term]) for term in asked)]

    def of_blocks(self) -> tuple[str, list[Any]]:
        """The condition on a row of ``trace_blocks`` that may hold what matches."""
        condition, values = self._ranges.of_blocks()
        terms = self._rarest_first()[:_TERMS_JOINED]
        condition += " AND block IN (SELECT block FROM trace_postings WHERE term = ?)" * len(terms)
        some, alternatives = self._blocks_of_alternatives()
        return condition + some, [*values, *terms, *alternatives]

    def _blocks_of_alternatives(self) -> tuple[str, list[int]]:
        condition = ""
        for some in self._alternatives:
            marks = ",".join("?" * len(some))
            condition += f" AND block IN (SELECT block FROM trace_postings WHERE term IN ({marks}))"
        return condition, list(chain.from_iterable(self._alternatives))

    def ids_between(self, first: int, last: int) -> list[int]:
        """The indexed ids of this range that match, in the page's order."""
        return list(self._facets("id BETWEEN ? AND ?", [first, last]))

    def blocks_and_whole(self, first_open: int) -> list[tuple[int, bool]]:
        """The full blocks that may hold what matches, newest first, and whether all in each does.

        That is told by ranges alone.
        """
        condition, values = self.of_blocks()
        whole, whole_values = self._ranges.within_blocks()
        rows = self._connection.execute(
            f"SELECT block, {whole} FROM trace_blocks b WHERE block < ? AND {condition} "
            "ORDER BY block DESC",
            [*whole_values, first_open // BLOCK, *values],
        ).fetchall()
        can_be_whole = not self._terms and self.is_exact
        return [(block, can_be_whole and bool(is_whole)) for block, is_whole in rows]

    def blocks_over_time(self, first_open: int) -> list[tuple[int, int, int]]:
        """The full blocks that may hold what matches, and the microseconds that each spans."""
        condition, values = self.of_blocks()
        return self._connection.execute(
            "SELECT block, min_created_us, max_created_us FROM trace_blocks "
            f"WHERE block < ? AND min_created_us IS NOT NULL AND {condition} ORDER BY block",
            [first_open // BLOCK, *values],
        ).fetchall()

    def _newer_rows(self, first_open: int) -> Iterator[int]:
        return self._facets("id >= ?", [first_open])

    def _full_blocks(self, first_open: int) -> Iterator[int]:
        """Ids of full blocks, by postings where the filter has terms, by facets where not."""
        if not self._terms:
            for block in self._blocks(first_open):
                yield from self._facets(
                    "id BETWEEN ? AND ?", [block * BLOCK, (block + 1) * BLOCK - 1]
                )
            return
        some: list[int] = []
        for block, *places in self._postings(first_open):
            some += [
                block * BLOCK + place for place in _common(places, ascending=self._ask.oldest_first)
            ]
            if len(some) >= _FULL_BLOCKS_AT_ONCE:
                yield from self.vouched(some)
                some = []
        yield from self.vouched(some)

    def _blocks(self, first_open: int) -> list[int]:
        condition, values = self._ranges.of_blocks()
        some, alternatives = self._blocks_of_alternatives()
        in_page, page_values = self._block_bounds("block")
        return [
            row[0]
            for row in self._connection.execute(
                f"SELECT block FROM trace_blocks WHERE block < ? AND {condition}{some} "
                f"AND {in_page} ORDER BY block {self._order}",
                [first_open // BLOCK, *values, *alternatives, *page_values],
            ).fetchall()
        ]

    def _postings(self, first_open: int) -> Iterator[tuple[Any, ...]]:
        """For each full block that has all terms: the block, and each term's places in it."""
        # The facets have the last word, so the rarest few are enough; SQLite joins 64 at most.
        first, *others = self._rarest_first()[:_TERMS_JOINED]
        joins = "".join(
            f" CROSS JOIN trace_postings p{n} ON p{n}.term = ? AND p{n}.block = p.block"
            for n in range(len(others))
        )
        columns = "".join(f", p{n}.places" for n in range(len(others)))
        condition, values = self._ranges.of_blocks()
        if self._ranges:
            joins += " CROSS JOIN trace_blocks b ON b.block = p.block"
        in_page, page_values = self._block_bounds("p.block")
        return self._connection.execute(
            f"SELECT p.block, p.places{columns} FROM trace_postings p{joins} "
            f"WHERE p.term = ? AND p.block < ? AND {in_page} AND {condition} "
            f"ORDER BY p.block {self._order}",
            [*others, first, first_open // BLOCK, *page_values, *values],
        )

    def _rarest_first(self) -> list[int]:
        if len(self._terms) == 1:
            return self._terms
        return sorted(self._terms, key=self._postings_of)

    def _postings_of(self, term: int) -> int:
        (number,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM trace_postings WHERE term = ? LIMIT ?)",
            (term, _RARE),
        ).fetchone()
        return int(number)

    def vouched(self, ids: Sequence[int]) -> Iterable[int]:
        """Those ids whose facets are there and agree: a posting may be stale."""
        if not ids:
            return ()
        return self._facets(f"id IN ({','.join('?' * len(ids))})", ids)

    def _facets(self, where: str, values: Sequence[int]) -> Iterator[int]:
        """Ids in the page's order whose facets hold what the filter asks."""
        condition, facet_values = self.of_facets()
        in_page, page_values = self._bounds("id")
        wanted = self._terms
        rows = self._connection.execute(
            f"SELECT id, {'terms' if wanted else 'NULL'} FROM trace_facets "
            f"WHERE {where} AND {condition} AND {in_page} ORDER BY id {self._order}",
            [*values, *facet_values, *page_values],
        )
        limit = self._ask.limit
        at_once = BLOCK if limit is None else min(self._ask.offset + limit, BLOCK)
        while some := rows.fetchmany(at_once):  # the first may be all that a page needs
            yield from [row[0] for row in some if not wanted or holds_all(row[1], wanted)]
            at_once = BLOCK

    @property
    def _order(self) -> str:
        return "ASC" if self._ask.oldest_first else "DESC"

    def _bounds(self, column: str) -> tuple[str, list[Any]]:
        return bounds_of(self._ask, column)

    def _block_bounds(self, column: str) -> tuple[str, list[Any]]:
        """The page's bounds on ids, loosened to whole blocks."""
        conditions, values = ["1"], []
        if self._ask.after is not None:
            conditions.append(f"{column} {'>=' if self._ask.oldest_first else '<='} ?")
            values.append(self._ask.after.key // BLOCK)
        return " AND ".join(conditions), values


def _common(places: Sequence[bytes], *, ascending: bool) -> list[int]:
    common = set(places[0])
    for others in places[1:]:
        common.intersection_update(others)
    return sorted(common, reverse=not ascending)


def _id_of(candidate: Candidate) -> int:
    return candidate[0]
