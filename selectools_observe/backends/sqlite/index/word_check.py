"""Verification of the index of words: that it names the runs which it is made of.

FTS5 keeps no checksums. Each run is looked for by the word that all have, and one in sixteen by all
its words: a damaged page of the index has the words of hundreds of runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from ....model.text_query import distinct_words
from ....model.trace import AgentTrace
from . import words

_LOOKED_AT = 16
_WORDS_AT_ONCE = 64


def is_sampled(row_id: int) -> bool:
    """Whether all words of this row are looked for."""
    return row_id % _LOOKED_AT == 0


def unknown_runs(
    connection: sqlite3.Connection, ids: Sequence[int], traces: Mapping[int, AgentTrace]
) -> int:
    """How many of these runs, in ascending order, the index should know and does not.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    if not ids or not words.is_possible(connection):
        return 0
    known = words.known_ids(connection, ids[0], ids[-1])
    if known is None:
        return 0
    due, named = known
    unknown = {row_id for row_id in ids if row_id in due and row_id not in named}
    unknown.update(
        row_id
        for row_id, trace in traces.items()
        if row_id in due and not _knows(connection, row_id, trace)
    )
    return len(unknown)


def _knows(connection: sqlite3.Connection, row_id: int, trace: AgentTrace) -> bool:
    every = words.kept_words(distinct_words(trace))
    return all(
        [
            words.is_named(connection, row_id, every[start : start + _WORDS_AT_ONCE])
            for start in range(0, len(every), _WORDS_AT_ONCE)
        ]
    )
