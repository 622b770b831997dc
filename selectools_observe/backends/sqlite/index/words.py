"""The index of words: which runs have a word, kept by SQLite's FTS5.

No save waits for it. It takes in runs later, some at a time, in the order of their ids; what it
does not know yet is read instead. It narrows and decides nothing: an entry may be stale, since ids
are never given twice, and the words of a row that came in place of another are added to its own.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache
from typing import NamedTuple

from ....model.checksum import checksum
from ....model.codec import decode
from ....model.text_query import TextQuery, distinct_words
from ....runtime.gil import GilYielder
from ..transaction import transaction

log = logging.getLogger(__name__)

TABLE = "trace_words"
# Words come folded, with a space between them. FTS5's `ascii` splits only there: letters, digits
# and all that is not ASCII belong to words. Neither places nor sizes are kept.
WORD_TABLES = {
    TABLE: f"CREATE VIRTUAL TABLE {TABLE} USING fts5"
    "(words, content='', columnsize=0, detail=none, tokenize='ascii')",
    f"{TABLE}_data": f"CREATE TABLE '{TABLE}_data'(id INTEGER PRIMARY KEY, block BLOB)",
    f"{TABLE}_idx": f"CREATE TABLE '{TABLE}_idx'"
    "(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
    f"{TABLE}_config": f"CREATE TABLE '{TABLE}_config'(k PRIMARY KEY, v) WITHOUT ROWID",
}
"""The statements of the table, and of those that FTS5 makes for it."""

_EVERY = "\ue000"  # a word of every run, by which it is seen that the index is what it says it is
_LONGEST = 64  # characters of a word that are kept: longer ones are data, not words
_MOST_WORDS = 32  # of a query that narrow it
_RUNS_AT_ONCE = 256
_BYTES_AT_ONCE = 2 * 1024 * 1024
_STALE = 4096  # entries that are worth making the index anew


class Part(NamedTuple):
    """Some runs that the index is to take in.

    Attributes:
        done: Up to which id it had been made when they were read.
        last: Up to which it is made with them.
        missed: Those at or below ``done`` that it did not know.
        crcs: The checksum of each trace, by id.
        words: The words of each, by id.
    """

    done: int
    last: int
    missed: list[int]
    crcs: dict[int, int]
    words: list[tuple[int, str]]


def is_possible(connection: sqlite3.Connection) -> bool:
    """Whether this SQLite has FTS5."""
    try:
        connection.execute("SELECT fts5_source_id()").fetchone()
    except sqlite3.OperationalError:
        return False
    return True


def waiting(connection: sqlite3.Connection, most: int) -> int:
    """How many runs the index does not know yet, up to so many."""
    (number,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM trace_facets "
        "WHERE id > (SELECT last FROM trace_words_done) LIMIT ?)",
        (most,),
    ).fetchone()
    return int(number)


def take_in(connection: sqlite3.Connection) -> bool:
    """Take some more runs in, in a short transaction; whether there may be more of them."""
    part = _read(connection) if is_possible(connection) else None
    if part is None:
        return False
    with transaction(connection):
        (done, _) = _marks(connection)
        if done == part.done:  # nobody else took them in meanwhile
            _write(connection, part)
    return True


def note_changed(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Rows that have facets anew are not what the index knew under their ids."""
    connection.executemany(
        "INSERT OR IGNORE INTO trace_words_missed "
        "SELECT ? WHERE ? <= (SELECT last FROM trace_words_done)",
        [(row_id, row_id) for row_id in ids],
    )


def is_useless(connection: sqlite3.Connection) -> bool:
    """Whether the index is damaged, as far as is seen at once, or mostly of runs that are gone."""
    done, runs = _marks(connection)
    if not _is_whole(connection, done):
        return True
    if runs < _STALE:
        return False
    (live,) = connection.execute(
        "SELECT count(*) FROM trace_facets WHERE id <= ?", (done,)
    ).fetchone()
    return bool(runs >= 2 * live + _STALE)


def _is_whole(connection: sqlite3.Connection, done: int) -> bool:
    """Whether the index knows the last run that it took in."""
    if not done:
        return True
    try:
        return _ids(connection, f'"{_EVERY}"', (done, done), 1, ascending=True) == [done]
    except sqlite3.Error:
        return False


def rebuild(connection: sqlite3.Connection) -> None:
    """Make an empty index, whatever state the present one is in."""
    with transaction(connection):
        _clear(connection)


def _clear(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE trace_words_done SET last = 0, runs = 0")
    connection.execute("DELETE FROM trace_words_missed")
    if not is_possible(connection):
        return  # what there is becomes stale
    known = _tables(connection)
    if known:
        # FTS5 does not even drop a table that it cannot open: it gets the content of a new one.
        for name, statement in WORD_TABLES.items():
            if name not in known and name != TABLE:
                connection.execute(statement)
        for name, rows in _contents_of_new().items():
            connection.execute(f"DELETE FROM {name}")
            for row in rows:
                marks = ",".join("?" * len(row))
                connection.execute(f"INSERT INTO {name} VALUES ({marks})", row)
        for name in WORD_TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {name}")


@cache
def _contents_of_new() -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute(WORD_TABLES[TABLE])
        return {
            name: made.execute(f"SELECT * FROM {name}").fetchall()
            for name in WORD_TABLES
            if name != TABLE
        }


def _tables(connection: sqlite3.Connection) -> set[str]:
    marks = ",".join("?" * len(WORD_TABLES))
    rows = connection.execute(
        f"SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ({marks})",
        tuple(WORD_TABLES),
    )
    return {name.decode() if isinstance(name, bytes) else name for (name,) in rows}


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    done, runs = connection.execute(
        "SELECT ifnull(max(CAST(last AS INTEGER)), 0), ifnull(max(CAST(runs AS INTEGER)), 0) "
        "FROM trace_words_done"
    ).fetchone()
    return done, runs


def _read(connection: sqlite3.Connection) -> Part | None:
    """The runs that are next, with their words; None if there are none."""
    done, _ = _marks(connection)
    missed = [
        row[0]
        for row in connection.execute(
            "SELECT id FROM trace_words_missed ORDER BY id LIMIT ?", (_RUNS_AT_ONCE,)
        ).fetchall()
    ]
    condition, values = f"f.id > ? ORDER BY f.id LIMIT {_RUNS_AT_ONCE}", [done]
    if missed:
        condition, values = f"f.id IN ({','.join('?' * len(missed))})", missed
    crcs: dict[int, int] = {}
    words: list[tuple[int, str]] = []
    size, yielder = 0, GilYielder()
    rows = connection.execute(
        "SELECT f.id, f.trace_crc, t.trace_json FROM trace_facets f "
        f"LEFT JOIN traces t ON t.rowid = f.id WHERE {condition}",
        values,
    )
    with closing(rows):
        for row_id, crc, trace_json in rows:
            crcs[row_id] = crc
            words.append((row_id, _words_in(trace_json, crc)))
            yielder.maybe_yield()
            size += len(trace_json or b"")
            if size > _BYTES_AT_ONCE:
                missed = [each for each in missed if each in crcs]
                break
    if not crcs and not missed:
        return None
    return Part(done, done if missed else max(crcs), missed, crcs, words)


def kept_words(found: Iterable[str]) -> list[str]:
    """The words of a run as the table keeps them."""
    return list({_EVERY, *(word[:_LONGEST] for word in found)})


def _words_in(trace_json: object, crc: int) -> str:
    """The words of a stored trace as the table takes them; none of one that cannot be read."""
    if not isinstance(trace_json, bytes) or checksum(trace_json) != crc:
        return _EVERY
    try:
        return " ".join(kept_words(distinct_words(decode(trace_json))))
    except ValueError:
        return _EVERY


def _write(connection: sqlite3.Connection, part: Part) -> None:
    known = _tables(connection)
    if part.done and TABLE not in known:  # somebody dropped it
        _clear(connection)
        return
    if known and not part.done and not part.missed:  # of an index that was given up
        _clear(connection)
        known = set()
    if not known:
        connection.execute(WORD_TABLES[TABLE])
    connection.executemany(f"INSERT INTO {TABLE} (rowid, words) VALUES (?, ?)", part.words)
    connection.execute(
        "UPDATE trace_words_done SET last = ?, runs = runs + ?", (part.last, len(part.words))
    )
    changed = _changed_meanwhile(connection, part)
    connection.executemany(
        "DELETE FROM trace_words_missed WHERE id = ?",
        [(row_id,) for row_id in part.missed if row_id not in changed],
    )
    note_changed(connection, changed)


def _changed_meanwhile(connection: sqlite3.Connection, part: Part) -> set[int]:
    """The ids whose rows are not those that were read."""
    if part.missed:
        condition = f"id IN ({','.join('?' * len(part.missed))})"
        values = part.missed
    else:
        condition, values = "id > ? AND id <= ?", [part.done, part.last]
    rows = connection.execute(
        f"SELECT id, trace_crc FROM trace_facets WHERE {condition}", values
    ).fetchall()
    return {row_id for row_id, crc in rows if part.crcs.get(row_id) != crc}


def known_ids(
    connection: sqlite3.Connection, first: int, last: int
) -> tuple[set[int], set[int]] | None:
    """Of the ids within these, those that the index should know, and those that it names.

    None if there is no index.
    """
    try:
        done, _ = _marks(connection)
    except sqlite3.OperationalError:  # the file is of an older version
        return None
    if done < first:
        return None
    missed = connection.execute(
        "SELECT id FROM trace_words_missed WHERE id BETWEEN ? AND ?", (first, last)
    ).fetchall()
    between = first, min(last, done)
    due = connection.execute("SELECT id FROM trace_facets WHERE id BETWEEN ? AND ?", between)
    expected = {row[0] for row in due.fetchall()} - {row[0] for row in missed}
    return expected, set(_ids(connection, f'"{_EVERY}"', between, 2**31, ascending=True))


def is_named(connection: sqlite3.Connection, row_id: int, some: Iterable[str]) -> bool:
    """Whether the index has an id under each of some words."""
    expression = " AND ".join([f'"{word}"' for word in some])
    return bool(_ids(connection, expression, (row_id, row_id), 1, ascending=True))


class DamagedWordsError(Exception):
    """The index of words is not what it should be."""


class WordLookup:
    """The index as a query sees it, at one moment.

    Attributes:
        done: Up to which id it knows the runs, but for those of `missed`; 0 if it cannot be used.

    Raises:
        DamagedWordsError: It is damaged.
    """

    def __init__(self, connection: sqlite3.Connection, query: TextQuery) -> None:
        self._connection = connection
        self._expression = expression_of(query)
        try:
            self.done = _marks(connection)[0] if is_possible(connection) else 0
        except sqlite3.Error:  # a file of an older version that may only be read
            self.done = 0
        if not _is_whole(connection, self.done):
            raise DamagedWordsError("the last run that it took in is not there")

    def missed(self, last: int) -> list[int]:
        """The ids up to this one that it does not know."""
        rows = self._connection.execute(
            "SELECT id FROM trace_words_missed WHERE id <= ? ORDER BY id", (last,)
        )
        return [row[0] for row in rows.fetchall()]

    def ids(self, first: int, last: int, most: int, *, ascending: bool) -> list[int]:
        """The first so many ids within these, both included, under which all words are known.

        Raises:
            DamagedWordsError: It is damaged.
        """
        try:
            return _ids(
                self._connection, self._expression, (first, last), most, ascending=ascending
            )
        except sqlite3.Error as error:
            raise DamagedWordsError(str(error)) from error


def _ids(
    connection: sqlite3.Connection,
    expression: str,
    between: tuple[int, int],
    most: int,
    *,
    ascending: bool,
) -> list[int]:
    rows = connection.execute(
        f"SELECT rowid FROM {TABLE} WHERE {TABLE} MATCH ? AND rowid BETWEEN ? AND ? "
        f"ORDER BY rowid {'ASC' if ascending else 'DESC'} LIMIT ?",
        (expression, *between, most),
    )
    return [row[0] for row in rows.fetchall()]


def expression_of(query: TextQuery) -> str:
    """What FTS5 is asked: the words of all terms, whatever their order."""
    words: dict[str, None] = {}
    for term in query.terms:
        for number, word in enumerate(term.words, 1):
            is_open = term.is_prefix and number == len(term.words) and len(word) <= _LONGEST
            words[f'"{word[:_LONGEST]}"{" *" if is_open else ""}'] = None
    # The longest are the rarest, as a rule.
    rarest: Sequence[str] = sorted(words, key=len, reverse=True)[:_MOST_WORDS]
    return " AND ".join(rarest)
