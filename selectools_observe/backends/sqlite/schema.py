"""The tables, and the way from older files to this version's.

``traces`` and its index are the page's. Beside them, versioned by ``PRAGMA user_version``:

* ``trace_facets``: a narrow row for each trace, under the same rowid: what ranges ask for, what a
  summary tells of the steps, the trace's terms (see `terms`), and checksums (see `rows`); and
  whether a word may stand in the trace that its JSON does not show as such.
* ``trace_postings``: for each term and each full block of 256 ids, one byte for each trace that has
  the term: its place in the block.
* ``trace_blocks``: for each full block, the bounds of what ranges ask for.
* ``trace_newest``: the newest id that was ever deleted, so that none is given twice.
* ``trace_annotations``: what people and programs say of runs; the only one whose loss would be one.
* ``trace_rollups``: for each full block, what statistics ask of its runs (see `rollups`), and
  ``trace_rollup_sums``: what the runs of 256, 4096 or 65536 ids add up to; all made later.
* ``trace_words``: which runs have a word (see `index.words`); it is made when it is needed first.
  ``trace_words_done`` says up to which id and of how many runs, ``trace_words_missed`` which of
  those ids it does not know all the same.
* ``trace_pending``: rows that another program wrote and whose facets nobody has made yet, or that
  nobody can make.

Triggers notice other programs' writes; they cost our own rows one look-up each. What the index
says is a superset of the truth at all times: an id may be stale, never missing.
"""

from __future__ import annotations

import sqlite3

VERSION = 3

TRACES = (
    """
    CREATE TABLE IF NOT EXISTS traces (
        run_id TEXT PRIMARY KEY,
        steps INTEGER NOT NULL,
        total_ms REAL NOT NULL,
        created_at TEXT NOT NULL,
        metadata TEXT NOT NULL DEFAULT '{}',
        trace_json TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS idx_traces_created ON traces(created_at DESC)",
)

TABLES = (
    "trace_facets", "trace_postings", "trace_blocks", "trace_pending", "trace_newest",
    "trace_annotations", "trace_rollups", "trace_rollup_sums", "trace_words_done",
    "trace_words_missed",
)  # fmt: skip
TRIGGERS = (
    "trace_facets_replace",
    "trace_facets_insert",
    "trace_facets_update",
    "trace_facets_delete",
    "trace_annotations_delete",
)
INDEX_TRIGGERS = {
    "trace_rollups_delete": "trace_facets",
    "trace_rollups_change": "trace_pending",
}
"""Those on tables of the index, which act when the others do."""

_COLUMNS = {"run_id", "steps", "total_ms", "created_at", "metadata", "trace_json"}

# Not a part of the index, and never dropped. INSERT OR REPLACE fires no delete trigger,
# so a run that is saved again keeps its annotations, whoever saves it.
_ANNOTATIONS = (
    """
    CREATE TABLE IF NOT EXISTS trace_annotations (
        run_id TEXT NOT NULL,
        id TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        name TEXT NOT NULL,
        label TEXT,
        score REAL,
        annotation TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (run_id, id)
    ) WITHOUT ROWID
    """,
    "DROP TRIGGER IF EXISTS trace_annotations_delete",
    """
    CREATE TRIGGER trace_annotations_delete AFTER DELETE ON traces BEGIN
        DELETE FROM trace_annotations WHERE run_id = OLD.run_id;
    END
    """,
)

# A row that goes makes sums wrong, and a row that comes in place of another all that is told of it.
# Both leave the facets; the latter goes through ``trace_pending``, and a block with such rows has
# no rollups until they have facets again.
_ROLLUPS = (
    "DROP TABLE IF EXISTS trace_rollups",
    "DROP TABLE IF EXISTS trace_rollup_sums",
    """
    CREATE TABLE trace_rollups (
        block INTEGER PRIMARY KEY,
        runs BLOB NOT NULL,
        calls BLOB NOT NULL,
        runs_crc INTEGER NOT NULL,
        calls_crc INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE trace_rollup_sums (
        level INTEGER NOT NULL,
        part INTEGER NOT NULL,
        runs INTEGER NOT NULL,
        sums BLOB NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (level, part)
    )
    """,
    "DROP TRIGGER IF EXISTS trace_rollups_delete",
    """
    CREATE TRIGGER trace_rollups_delete AFTER DELETE ON trace_facets BEGIN
        DELETE FROM trace_rollup_sums WHERE level = 0 AND part = OLD.id >> 8;
        DELETE FROM trace_rollup_sums WHERE level = 1 AND part = OLD.id >> 12;
        DELETE FROM trace_rollup_sums WHERE level = 2 AND part = OLD.id >> 16;
        DELETE FROM trace_rollups WHERE block = OLD.id >> 8 AND NOT EXISTS (
            SELECT 1 FROM trace_facets WHERE id BETWEEN OLD.id & ~255 AND OLD.id | 255
        );
    END
    """,
    "DROP TRIGGER IF EXISTS trace_rollups_change",
    """
    CREATE TRIGGER trace_rollups_change AFTER INSERT ON trace_pending BEGIN
        DELETE FROM trace_rollups WHERE block = NEW.id >> 8;
        DELETE FROM trace_rollup_sums WHERE level = 0 AND part = NEW.id >> 8;
        DELETE FROM trace_rollup_sums WHERE level = 1 AND part = NEW.id >> 12;
        DELETE FROM trace_rollup_sums WHERE level = 2 AND part = NEW.id >> 16;
    END
    """,
)

# What the table of words holds beyond these marks is read no more, and harms nothing.
_WORD_MARKS = (
    "DROP TABLE IF EXISTS trace_words_done",
    "DROP TABLE IF EXISTS trace_words_missed",
    "CREATE TABLE trace_words_done (last INTEGER NOT NULL, runs INTEGER NOT NULL)",
    "INSERT INTO trace_words_done VALUES (0, 0)",
    "CREATE TABLE trace_words_missed (id INTEGER PRIMARY KEY)",
)

# A dump that was read back has our tables but no version: rebuild them.
INDEX = (
    "DROP TRIGGER IF EXISTS trace_facets_replace",
    "DROP TRIGGER IF EXISTS trace_facets_insert",
    "DROP TRIGGER IF EXISTS trace_facets_update",
    "DROP TRIGGER IF EXISTS trace_facets_delete",
    "DROP TABLE IF EXISTS trace_facets",
    "DROP TABLE IF EXISTS trace_postings",
    "DROP TABLE IF EXISTS trace_blocks",
    "DROP TABLE IF EXISTS trace_pending",
    """
    CREATE TABLE trace_facets (
        id INTEGER PRIMARY KEY,
        created_us INTEGER NOT NULL,
        steps INTEGER NOT NULL,
        total_ms REAL NOT NULL,
        has_error INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cost_usd REAL NOT NULL,
        started_us INTEGER,
        wall_ms REAL,
        hides_words INTEGER NOT NULL,
        summary_crc INTEGER NOT NULL,
        trace_crc INTEGER NOT NULL,
        terms BLOB NOT NULL,
        summary BLOB NOT NULL
    )
    """,
    # Few runs do not tell when they began: they count with their save, and are found by this.
    "CREATE INDEX trace_facets_unstarted ON trace_facets (created_us) WHERE started_us IS NULL",
    """
    CREATE TABLE trace_postings (
        term INTEGER NOT NULL,
        block INTEGER NOT NULL,
        places BLOB NOT NULL,
        PRIMARY KEY (term, block)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE trace_blocks (
        block INTEGER PRIMARY KEY,
        min_created_us INTEGER, max_created_us INTEGER,
        min_steps INTEGER, max_steps INTEGER,
        min_total_ms REAL, max_total_ms REAL,
        min_cost_usd REAL, max_cost_usd REAL,
        min_has_error INTEGER, max_has_error INTEGER,
        min_started_us INTEGER, max_started_us INTEGER,
        min_wall_ms REAL, max_wall_ms REAL,
        min_tokens INTEGER, max_tokens INTEGER
    )
    """,
    """
    CREATE TABLE trace_pending (
        id INTEGER PRIMARY KEY,
        unreadable INTEGER NOT NULL DEFAULT 0
    )
    """,
    # The only one that an older version's file keeps: ids must not be given twice.
    "CREATE TABLE IF NOT EXISTS trace_newest (deleted INTEGER NOT NULL)",
    "INSERT INTO trace_newest SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM trace_newest)",
    # INSERT OR REPLACE fires no delete trigger: what it will replace is forgotten beforehand.
    """
    CREATE TRIGGER trace_facets_replace BEFORE INSERT ON traces
    WHEN EXISTS (SELECT 1 FROM traces WHERE run_id = NEW.run_id) BEGIN
        DELETE FROM trace_facets WHERE id = (SELECT rowid FROM traces WHERE run_id = NEW.run_id);
        DELETE FROM trace_pending WHERE id = (SELECT rowid FROM traces WHERE run_id = NEW.run_id);
    END
    """,
    # Our own rows bring their facets first. A foreign row may have been given the id of a deleted
    # one: it moves up, since the order of ids is the order of saving.
    """
    CREATE TRIGGER trace_facets_insert AFTER INSERT ON traces
    WHEN NOT EXISTS (SELECT 1 FROM trace_facets WHERE id = NEW.rowid) BEGIN
        INSERT OR REPLACE INTO trace_pending (id) VALUES (NEW.rowid);
        UPDATE traces SET rowid = max(
            (SELECT deleted FROM trace_newest), (SELECT max(rowid) FROM traces)
        ) + 1
        WHERE rowid = NEW.rowid AND rowid <= (SELECT deleted FROM trace_newest);
    END
    """,
    """
    CREATE TRIGGER trace_facets_update AFTER UPDATE ON traces BEGIN
        DELETE FROM trace_facets WHERE id IN (OLD.rowid, NEW.rowid);
        DELETE FROM trace_pending WHERE id = OLD.rowid;
        INSERT OR REPLACE INTO trace_pending (id) VALUES (NEW.rowid);
    END
    """,
    """
    CREATE TRIGGER trace_facets_delete AFTER DELETE ON traces BEGIN
        DELETE FROM trace_facets WHERE id = OLD.rowid;
        DELETE FROM trace_pending WHERE id = OLD.rowid;
        UPDATE trace_newest SET deleted = OLD.rowid WHERE deleted < OLD.rowid;
    END
    """,
    "INSERT INTO trace_pending (id) SELECT rowid FROM traces",
)


# What came to be within this version: a file may lack it.
_ADDED = {
    ("trace_annotations", "crc"): _ANNOTATIONS, ("trace_rollups", "runs_crc"): _ROLLUPS,
    ("trace_words_missed", "id"): _WORD_MARKS,
}  # fmt: skip
_HAS_ALL_COLUMNS = """
    SELECT 1 WHERE EXISTS (
        SELECT 1 FROM pragma_table_info('trace_facets') WHERE name = 'hides_words'
    )
    AND EXISTS (SELECT 1 FROM pragma_table_info('trace_blocks') WHERE name = 'max_tokens')
"""

# No id may be given twice, nor one that the index knew of a row that is gone.
_KEEP_NEWEST = """
    UPDATE trace_newest SET deleted = (
        SELECT max(deleted, ifnull(max(id), 0)) FROM trace_facets
    )
"""


class NewerVersionError(Exception):
    """The file was written by a newer version of this package."""


class ForeignTableError(Exception):
    """The file has a table ``traces`` of another shape."""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the file's schema; 0 for a new file and for selectools' own."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def has_tables(connection: sqlite3.Connection, *names: str) -> bool:
    """Whether all these tables are there."""
    marks = ",".join("?" * len(names))
    (many,) = connection.execute(
        f"SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ({marks})", names
    ).fetchone()
    return bool(many == len(names))


def check(connection: sqlite3.Connection) -> None:
    """Make sure, by reading only, that the file can be brought to this version.

    Raises:
        NewerVersionError: It is ahead of this version.
        ForeignTableError: It has a table ``traces`` that is not the page's.
    """
    version = version_of(connection)
    if version > VERSION:
        raise NewerVersionError(f"schema version {version}, this package knows {VERSION}")
    kinds = connection.execute("SELECT type FROM sqlite_master WHERE lower(name) = 'traces'")
    if [kind for (kind,) in kinds if kind not in (b"table", "table")]:
        raise ForeignTableError("it is a view")
    present = {row[1].decode() for row in connection.execute("PRAGMA table_info(traces)")}
    if present and not present >= _COLUMNS:
        raise ForeignTableError(f"its columns are {', '.join(sorted(present))}")


def make_index(connection: sqlite3.Connection) -> None:
    """Rebuild the index, empty, with all rows to be indexed; in the caller's transaction."""
    if has_tables(connection, "trace_facets", "trace_newest"):
        connection.execute(_KEEP_NEWEST)
    for statement in (*INDEX, *_ANNOTATIONS, *_ROLLUPS, *_WORD_MARKS):
        connection.execute(statement)


def _has_index(connection: sqlite3.Connection) -> bool:
    """Whether the index is of this version; files of one in the making have its number too."""
    return (
        version_of(connection) == VERSION
        and connection.execute(_HAS_ALL_COLUMNS).fetchone() is not None
    )


def _lacking(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """The statements that make what came to be within this version, as far as it is lacking."""
    question = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
    return [
        statements
        for names, statements in _ADDED.items()
        if connection.execute(question, names).fetchone() is None
    ]


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to this version, in one transaction."""
    if _has_index(connection) and not _lacking(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        check(connection)
        if not _has_index(connection):  # nobody else did it meanwhile
            for name in (*TRIGGERS, *INDEX_TRIGGERS):  # first of all: they may be anybody's
                connection.execute(f"DROP TRIGGER IF EXISTS {name}")
            for statement in TRACES:
                connection.execute(statement)
            make_index(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        for statements in _lacking(connection):
            for statement in statements:
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
