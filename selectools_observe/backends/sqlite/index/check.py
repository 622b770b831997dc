"""Verification of the index: rows without facets, and blocks without their postings.

It may say too much at any time; what it says too little would be left out of a query's answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from ...sql.terms import unpack
from ..rows import FacetsRow
from .index_upkeep import BLOCK, first_open_id

ROW_IS_GONE = "the row is gone, but the index still lists it"

_TERMS_AT_ONCE = 256
_BOUNDED = ("created_us", "steps", "total_ms", "cost_usd", "has_error")
_MAY_BE_UNKNOWN = ("started_us", "wall_ms")  # no range asks for what is not known
_OUT_OF_BOUNDS = " OR ".join(
    [f"NOT ifnull(f.{c} BETWEEN b.min_{c} AND b.max_{c}, 0)" for c in _BOUNDED]
    + [f"NOT ifnull(f.{c} BETWEEN b.min_{c} AND b.max_{c}, f.{c} IS NULL)" for c in _MAY_BE_UNKNOWN]
    + ["NOT ifnull(f.prompt_tokens + f.completion_tokens BETWEEN b.min_tokens AND b.max_tokens, 0)"]
)


# By their names: there may be further columns, which a store would refuse.
_FACETS = f"SELECT {', '.join(FacetsRow._fields)} FROM trace_facets WHERE id = ?"


def facets_at(connection: sqlite3.Connection, row_id: int) -> FacetsRow | None:
    """The facets of a row."""
    row = connection.execute(_FACETS, (row_id,)).fetchone()
    return None if row is None else FacetsRow(*row)


def is_pending(connection: sqlite3.Connection, row_id: int) -> bool:
    """Whether nobody has made the facets of a row yet, or nobody can."""
    question = "SELECT 1 FROM trace_pending WHERE id = ?"
    return connection.execute(question, (row_id,)).fetchone() is not None


def ids_without_row(connection: sqlite3.Connection, first: int, last: int) -> list[int]:
    """The ids in this range that the index has and the table has not."""
    found: set[int] = set()
    for table in ("trace_facets", "trace_pending"):
        rows = connection.execute(
            f"SELECT id FROM {table} i WHERE id BETWEEN ? AND ? "
            "AND NOT EXISTS (SELECT 1 FROM traces NOT INDEXED WHERE rowid = i.id)",
            (first, last),
        )
        found.update(row[0] for row in rows)
    return sorted(found)


def faults_of_block(connection: sqlite3.Connection, block: int) -> Iterator[str]:
    """What a full block fails to say of its rows."""
    if block * BLOCK >= first_open_id(connection):
        return
    bounds = (block * BLOCK, (block + 1) * BLOCK - 1)
    facets = connection.execute(
        "SELECT id, terms FROM trace_facets WHERE id BETWEEN ? AND ?", bounds
    ).fetchall()
    (outside,) = connection.execute(
        "SELECT count(*) FROM trace_facets f LEFT JOIN trace_blocks b ON b.block = ? "
        f"WHERE f.id BETWEEN ? AND ? AND (b.block IS NULL OR {_OUT_OF_BOUNDS})",
        (block, *bounds),
    ).fetchone()
    if outside:
        yield f"its bounds leave out {outside} runs"
    missing = sum(1 for _ in _missing_postings(connection, block, facets))
    if missing:
        yield f"its postings leave out {missing} terms of runs"


def _missing_postings(
    connection: sqlite3.Connection, block: int, facets: Sequence[tuple[int, object]]
) -> Iterator[int]:
    wanted: dict[int, set[int]] = {}
    for row_id, packed in facets:
        if not isinstance(packed, bytes) or len(packed) % 8:
            continue  # damaged, and found so with its row
        for term in unpack(packed):
            wanted.setdefault(term, set()).add(row_id - block * BLOCK)
    terms = list(wanted)
    for start in range(0, len(terms), _TERMS_AT_ONCE):
        some = terms[start : start + _TERMS_AT_ONCE]
        rows = connection.execute(
            "SELECT term, places FROM trace_postings "
            f"WHERE block = ? AND term IN ({','.join('?' * len(some))})",
            [block, *some],
        )
        places = {term: set(found) for term, found in rows if isinstance(found, bytes)}
        for term in some:
            yield from wanted[term] - places.get(term, set())
