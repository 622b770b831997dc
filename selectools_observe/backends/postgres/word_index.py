"""The index of words: which runs have a word, in a table beside them.

No save waits for it. A thread takes runs in later, in the order of their places; what it does not
know yet is read instead. It narrows and decides nothing. A place is never given twice, so an entry
is right or of a run that is gone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import msgspec

from ...errors import StorageError
from ...model.checksum import checksum
from ...model.codec import decode
from ...model.text_query import TextQuery, distinct_words
from ...runtime.idle_thread import IdleThread
from ..queries.paging import PageRequest
from .address import Address
from .direct import DirectConnection
from .queries import Condition, direction, place_of
from .session import Session, Values

log = logging.getLogger(__name__)

_LONGEST = 64  # characters of a word that are kept: longer ones are data, not words
_MOST_WORDS = 32  # of a query that narrow it
_RUNS_AT_ONCE = 256
_BYTES_AT_ONCE = 2 * 1024 * 1024
_MOST_BYTES = 500_000  # of a run's words; a tsvector takes a megabyte
MOST_NAMED = 100_000  # places at once
MANY_WAITING = 256  # runs that are worth being taken in


class WordLookup(msgspec.Struct, frozen=True):
    """A query as the index sees it.

    Attributes:
        query: The query.
        done: Up to which place the index knows the runs.
    """

    query: TextQuery
    done: int


class WordTable:
    """The table as SQL.

    Args:
        schema: The schema of the tables.
    """

    def __init__(self, schema: str) -> None:
        self.traces = f"{schema}.traces"
        self.name = f"{schema}.words"

    @property
    def marks(self) -> str:
        """SQL for the place up to which the runs are known, and for that of the newest."""
        return (
            f"SELECT coalesce((SELECT max(seq) FROM {self.name}), 0), "
            f"coalesce((SELECT max(seq) FROM {self.traces}), 0)"
        )

    @property
    def next_runs(self) -> str:
        """SQL for the runs after a place."""
        some = (
            f"SELECT seq, crc, trace, octet_length(trace) AS size FROM {self.traces} "
            f"WHERE seq > %s ORDER BY seq LIMIT {_RUNS_AT_ONCE}"
        )
        added_up = f"SELECT *, sum(size) OVER (ORDER BY seq) - size AS before FROM ({some}) few"
        return f"SELECT seq, crc, trace FROM ({added_up}) runs WHERE before < {_BYTES_AT_ONCE}"

    @property
    def insert(self) -> str:
        """SQL that takes in the words of a run."""
        return (
            f"INSERT INTO {self.name} (seq, words) "
            "VALUES (%s, array_to_tsvector(string_to_array(%s, ' '))) ON CONFLICT DO NOTHING"
        )

    @property
    def tidy(self) -> str:
        """SQL that removes entries of runs that are gone, where these are many."""
        sizes = " > 1.5 * ".join(
            f"(SELECT reltuples FROM pg_class WHERE oid = '{table}'::regclass)"
            for table in (self.name, self.traces)
        )
        return (
            f"DELETE FROM {self.name} w WHERE {sizes} + 10000 "
            f"AND NOT EXISTS (SELECT FROM {self.traces} t WHERE t.seq = w.seq)"
        )

    def named(self, words: WordLookup, ask: PageRequest) -> tuple[str, Values]:
        """SQL for the places of runs that have all words, in a page's order, of those known."""
        place = place_of(ask).and_(Condition("seq <= %s", [words.done]))
        sql = (
            f"SELECT seq FROM (SELECT seq FROM {self.name} WHERE words @@ %s::tsquery UNION ALL "
            f"SELECT seq FROM {self.name} WHERE words IS NULL) named WHERE {place.sql} "
            f"ORDER BY seq {direction(ask)} LIMIT {MOST_NAMED}"
        )
        return sql, [_expression_of(words.query), *place.values]


def _expression_of(query: TextQuery) -> str:
    """What PostgreSQL is asked: the words of all terms, whatever their order."""
    words: dict[str, None] = {}
    for term in query.terms:
        for number, word in enumerate(term.words, 1):
            is_open = term.is_prefix and number == len(term.words) and len(word) <= _LONGEST
            words[f"'{word[:_LONGEST]}'{':*' if is_open else ''}"] = None
    # The longest are the rarest, as a rule.
    return " & ".join(sorted(words, key=len, reverse=True)[:_MOST_WORDS])


class WordKeeper(IdleThread[DirectConnection]):
    """The thread that takes runs in, with a connection of its own.

    Args:
        address: The store's.
        afterwards: A piece of other work, when no run is left to take in; whether there is more.
    """

    def __init__(
        self, address: Address, afterwards: Callable[[DirectConnection], bool] = lambda _: False
    ) -> None:
        self._afterwards = afterwards
        super().__init__(lambda: DirectConnection(address), self._take_in)
        self._table = WordTable(address.schema)
        self._is_refused = False

    def _take_in(self, connection: DirectConnection) -> bool:
        if self._is_refused:
            return False
        try:
            return self._take_some(connection)
        except StorageError as error:  # a standby, or a user who may only read
            self._is_refused = True
            log.warning("the index of words is left as it is: %s", error)
            return False

    def _take_some(self, connection: DirectConnection) -> bool:
        ((done, _),) = connection.rows(self._table.marks)
        rows = connection.rows(self._table.next_runs, done)
        if not rows:
            connection.rows(self._table.tidy)
            return self._afterwards(connection)
        words = [(row[0], _words_of(row[1], row[2])) for row in rows]

        async def insert(session: Session) -> None:
            await session.transaction([(self._table.insert, words)])

        connection.run(insert)
        return True


def _words_of(crc: int, trace: bytes) -> str | None:
    """The words of a trace with a space between them; None if they are too many."""
    if checksum(trace) != crc:
        return ""
    try:
        found: Iterable[str] = distinct_words(decode(trace))
    except ValueError:
        return ""
    words = " ".join({word[:_LONGEST] for word in found})
    return words if len(words.encode("utf-8", "surrogatepass")) <= _MOST_BYTES else None
