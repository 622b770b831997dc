"""Databases that others wrote, or wrote into: nothing in them acts on our tables, or for ever."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from command import run

from selectools_observe import AgentTrace, SQLiteTraceStore, StorageError
from selectools_observe.backends.sqlite import connection as connections
from selectools_observe.backends.sqlite.database import Database
from selectools_observe.backends.sqlite.schema import TRIGGERS
from selectools_observe.stores import maintenance

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

HEAVY = "hex(zeroblob(300000000))"
COLUMNS = (
    "run_id TEXT PRIMARY KEY, steps INTEGER NOT NULL, total_ms REAL NOT NULL, "
    "created_at TEXT NOT NULL, metadata TEXT NOT NULL DEFAULT '{}', trace_json TEXT NOT NULL"
)


def other_table(columns: str) -> str:
    """The table of runs made anew, with other rules."""
    return (
        f"ALTER TABLE traces RENAME TO before; CREATE TABLE traces ({columns}); "
        "INSERT INTO traces (rowid, run_id, steps, total_ms, created_at, metadata, trace_json) "
        "SELECT rowid, run_id, steps + rowid, total_ms, created_at, metadata, trace_json "
        "FROM before; DROP TABLE before"
    )


CONSTRAINTS = {
    # Saves replace: each of these lets one run take the place of another.
    "a unique index": "CREATE UNIQUE INDEX x ON traces(created_at, run_id)",
    "a unique index on some": "CREATE UNIQUE INDEX x ON traces(total_ms) WHERE steps > 100",
    "a unique index on our own tables": "CREATE UNIQUE INDEX x ON trace_facets(id, steps)",
    "a key that takes letters for the same": other_table(
        COLUMNS.replace("run_id TEXT", "run_id TEXT COLLATE NOCASE")
    ),
    "a key that takes texts for numbers": other_table(
        COLUMNS.replace("run_id TEXT", "run_id NUMERIC")
    ),
    "a key of whole numbers": other_table(COLUMNS.replace("run_id TEXT", "run_id BIGINT")),
    "a unique column": other_table(COLUMNS.replace("steps INTEGER", "steps INTEGER UNIQUE")),
    "a column in the place of a row's number": "ALTER TABLE traces ADD COLUMN rowid DEFAULT 'x'",
    "no key": other_table(COLUMNS.replace(" PRIMARY KEY", "")),
    # These compute at each save, or at each look.
    "an index of an expression": f"CREATE INDEX x ON traces(length(run_id || {HEAVY})) "
    "WHERE steps > 100",
    "a check": other_table(f"{COLUMNS}, CHECK (steps < 100 OR length({HEAVY}) > 0)"),
    "a check in other letters": other_table(
        COLUMNS.replace("steps INTEGER", "steps INTEGER /* ' */ cHeCk(steps < 99)")
    ),
    "a generated column": other_table(  # computed as it is made, so of a tenth
        f"{COLUMNS}, z AS (hex(zeroblob(30000000)))"
    ),
    "a default that is computed": other_table(
        f"{COLUMNS}, z TEXT DEFAULT (length(hex(zeroblob(300))))"  # computed as it is made
    ),
    "saves that are let go": other_table(
        f"{COLUMNS}, z TEXT DEFAULT '' NOT NULL ON CONFLICT IGNORE"
    ),
}
ROWS = {
    "the last row that can be": "UPDATE traces SET rowid = 9223372036854775807 WHERE run_id = 'r1'",
    "the last row, deleted": "UPDATE trace_newest SET deleted = 9223372036854775807",
    "a deleted row that is no number": "UPDATE trace_newest SET deleted = 'x'",
}
TRIGGERS_AND_VIEWS = {
    "a trigger that deletes what is saved": (
        "CREATE TRIGGER x AFTER INSERT ON traces BEGIN DELETE FROM traces; END"
    ),
    "one of our names, in other letters": (
        "CREATE TRIGGER Trace_Facets_Extra AFTER INSERT ON TRACES BEGIN DELETE FROM traces; END"
    ),
    "a trigger on our own tables": (
        "CREATE TRIGGER x AFTER INSERT ON trace_facets BEGIN DELETE FROM trace_facets; END"
    ),
    "a trigger on the deletions": (
        "CREATE TRIGGER x BEFORE DELETE ON traces BEGIN SELECT RAISE(IGNORE); END"
    ),
    "an endless trigger": f"CREATE TRIGGER x BEFORE INSERT ON traces BEGIN {ENDLESS}; END",
    "an endless trigger on pending rows": (
        f"CREATE TRIGGER x BEFORE INSERT ON trace_pending BEGIN {ENDLESS}; END"
    ),
    **{
        f"{name}, altered": (
            f"DROP TRIGGER {name}; "
            f"CREATE TRIGGER {name} AFTER INSERT ON traces BEGIN DELETE FROM traces; END"
        )
        for name in TRIGGERS
    },
    "ours on another table": (
        "DROP TRIGGER trace_facets_delete; CREATE TRIGGER trace_facets_delete AFTER INSERT "
        "ON trace_newest BEGIN DELETE FROM traces; END"
    ),
    "a view in the place of a table": (
        "DROP TABLE trace_pending; CREATE VIEW trace_pending AS SELECT 1 AS id, 0 AS unreadable"
    ),
    "ours of an older version": (
        "PRAGMA user_version = 1; "
        f"CREATE TRIGGER x AFTER UPDATE ON trace_newest BEGIN {ENDLESS}; END"
    ),
}
ATTACKS = {**CONSTRAINTS, **ROWS, **TRIGGERS_AND_VIEWS}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "theirs.db"
    with SQLiteTraceStore(path) as store:
        store.save_many(AgentTrace(run_id=f"r{n}") for n in range(3))
    return path


def attack(path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.executescript(script)


@pytest.mark.parametrize("name", ATTACKS)
class TestRefused:
    def test_when_it_is_opened(self, path, name):
        attack(path, ATTACKS[name])
        with pytest.raises(
            StorageError, match="unknown triggers, views or constraints act on its tables"
        ) as caught:
            SQLiteTraceStore(path)
        assert "repair" in caught.value.remedy
        with contextlib.closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT count(*) FROM traces").fetchone() == (3,)

    @pytest.mark.slow
    def test_when_it_is_verified(self, path, name):
        attack(path, ATTACKS[name])
        report = maintenance.verify(path)
        assert not report.ok
        assert any(
            "unknown triggers, views or constraints act on its tables" in str(problem)
            for problem in report.problems
        )

    def test_repaired_it_is_ours(self, path, name, tmp_path):
        attack(path, ATTACKS[name])
        maintenance.repair(path, tmp_path / "ours.db")
        with SQLiteTraceStore(tmp_path / "ours.db") as store:
            store.save(AgentTrace(run_id="r3"))
            assert sorted(store.load_many(f"r{n}" for n in range(5))) == ["r0", "r1", "r2", "r3"]
            assert store.verify().ok

    def test_by_the_command(self, path, name, tmp_path):
        attack(path, ATTACKS[name])
        for arguments in (["list"], ["copy", tmp_path / "copy.db"]):
            result = run("-s", path, *arguments)
            assert result.returncode not in (0, 70)
            assert "unknown triggers, views or constraints act on its tables" in result.stderr


@pytest.mark.parametrize(
    "name",
    [each for each in TRIGGERS_AND_VIEWS if not each.startswith(("a view", "ours of"))],
)
def test_what_comes_while_it_is_open_is_not_acknowledged(path, name):
    with SQLiteTraceStore(path) as store:
        store.save(AgentTrace(run_id="before"))
        attack(path, ATTACKS[name].replace(ENDLESS, "SELECT 1"))
        with pytest.raises(StorageError):
            store.save(AgentTrace(run_id="after"))
        with pytest.raises(StorageError):
            store.delete("r0")


def test_objects_of_others_on_their_own_tables_stay(path):
    attack(
        path,
        "CREATE TABLE notes (run_id); CREATE TRIGGER mine AFTER INSERT ON notes "
        "BEGIN SELECT 1; END; "
        "CREATE VIEW long_runs AS SELECT run_id FROM traces WHERE steps > 10; "
        "ALTER TABLE traces ADD COLUMN team TEXT DEFAULT 'CHECK me'; "
        "CREATE INDEX by_team ON traces (team, created_at)",
    )
    with SQLiteTraceStore(path) as store:
        store.save(AgentTrace(run_id="r3"))
        assert store.count() == 4
        assert store.verify().ok


def test_a_statement_without_end_is_interrupted(path, monkeypatch):
    monkeypatch.setattr(connections, "_LEAST_WORK", 3_000_000)
    attack(path, f"CREATE VIEW endless AS {ENDLESS}")
    database = Database(str(path), "normal")
    held = database.connect()
    try:
        with (
            pytest.raises(StorageError, match="more work than a database of this size"),
            database.explained(),
        ):
            held.execute("SELECT * FROM endless").fetchall()
        assert held.execute("PRAGMA trusted_schema").fetchone() == (0,)
    finally:
        held.close()


def test_every_connection_is_guarded():
    # Whoever opens one anew has to think of it.
    from pathlib import Path

    import selectools_observe

    folder = Path(selectools_observe.__file__).parent
    opened = {
        path.name: path.read_text("utf-8").count("sqlite3.connect(")
        for path in folder.rglob("*.py")
        if "sqlite3.connect(" in path.read_text("utf-8")
    }
    assert opened == {
        "database.py": 1,
        "worker.py": 1,  # with the options of the database, and made ready by it
        "read_only.py": 1,
        "backup.py": 1,  # an empty file, written page by page
        "page_scan.py": 1,  # private
        "foreign_objects.py": 1,  # private
        "words.py": 1,  # private
        "span_spool.py": 1,  # private
        "sqlite_files.py": 1,  # other tools' databases
    }


SCHEMA = "PRAGMA writable_schema=1;"
HARMLESS = {
    "another type of table": other_table(COLUMNS).replace("); INSERT", ") STRICT; INSERT"),
    "a key of any bytes": other_table(COLUMNS.replace("run_id TEXT", "run_id VARCHAR(80)")),
    "a foreign key": "CREATE TABLE p(id PRIMARY KEY); "
    + other_table(f"{COLUMNS}, FOREIGN KEY(run_id) REFERENCES p(id) ON DELETE CASCADE"),
    "rows that refer to ours": "CREATE TABLE kids(r REFERENCES traces(run_id)); "
    "INSERT INTO kids VALUES('r0')",
    "the largest pages": "PRAGMA journal_mode=delete; PRAGMA page_size=65536; VACUUM",
    "the smallest pages": "PRAGMA journal_mode=delete; PRAGMA page_size=512; VACUUM",
    "many tables": "".join(f"CREATE TABLE t{n}(a);" for n in range(1000)),
    "many indexes": "".join(f"CREATE INDEX i{n} ON traces(steps);" for n in range(60)),
    "statistics that lie": "ANALYZE; UPDATE sqlite_stat1 SET stat = '99999999999999999999 x'",
    "a table of an unknown kind": f"{SCHEMA} INSERT INTO sqlite_master VALUES "
    "('table', 'v', 'v', 0, 'CREATE VIRTUAL TABLE v USING evil(x)')",
}
REFUSED = {
    "no row numbers": other_table(COLUMNS)
    .replace("); INSERT", ") WITHOUT ROWID; INSERT")
    .replace("(rowid, ", "(")
    .replace("SELECT rowid, ", "SELECT "),
    "a newer version": "PRAGMA user_version=2147483647",
    "a virtual table": "ALTER TABLE traces RENAME TO b; CREATE VIRTUAL TABLE traces USING fts5("
    "run_id, steps, total_ms, created_at, metadata, trace_json)",
    "a trigger under a reserved name": f"{SCHEMA} INSERT INTO sqlite_master VALUES ('trigger', "
    "'sqlite_x', 'traces', 0, "
    "'CREATE TRIGGER sqlite_x AFTER INSERT ON traces BEGIN DELETE FROM traces; END')",
    "no place": f"{SCHEMA} UPDATE sqlite_master SET rootpage = 0 WHERE name = 'traces'",
    "a place of another": f"{SCHEMA} UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM "
    "sqlite_master WHERE name = 'trace_facets') WHERE name = 'traces'",
    "no SQL": f"{SCHEMA} UPDATE sqlite_master SET sql = 'x' WHERE name = 'traces'",
    "an unknown collation": f"{SCHEMA} UPDATE sqlite_master SET sql = "
    "replace(sql, 'run_id TEXT', 'run_id TEXT COLLATE evil') WHERE name = 'traces'",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_act_on_runs_is_taken(path, name):
    attack(path, HARMLESS[name])
    for run_id in ("r3", "r4"):
        with SQLiteTraceStore(path) as store:
            store.save(AgentTrace(run_id=run_id))
            assert store.load(run_id).run_id == run_id
    with SQLiteTraceStore(path) as store:
        assert store.count() == 5
        assert store.verify().ok


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_store_of_ours_is_refused(path, name):
    attack(path, REFUSED[name])
    with pytest.raises(StorageError):
        SQLiteTraceStore(path).list()


@pytest.mark.parametrize("part", ["-wal", "-journal"])
@pytest.mark.parametrize("content", [b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"7\x7f\x06\x82", b"x"])
def test_a_log_of_another_file_is_not_played(path, part, content):
    path.with_name(path.name + part).write_bytes(content + b"\x5a" * 50_000)
    with SQLiteTraceStore(path) as store:
        store.save(AgentTrace(run_id="r3"))
        assert store.count() == 4
        assert store.verify().ok


def test_a_database_in_another_encoding_is_refused(tmp_path):
    """What was saved there could not be loaded: its checksum was of other bytes."""
    path = tmp_path / "wide.db"
    attack(path, f"PRAGMA encoding = 'UTF-16le'; CREATE TABLE traces ({COLUMNS})")
    with pytest.raises(StorageError, match="the encoding UTF-16le"):
        SQLiteTraceStore(path).save(AgentTrace(run_id="a"))


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE trace_facets ADD COLUMN z AS (hex(zeroblob(9)))",
        "DELETE FROM trace_words_done; INSERT INTO trace_words_done VALUES ('a', x'00')",
        "INSERT INTO trace_words_done VALUES (9223372036854775807, -5)",
    ],
)
@pytest.mark.parametrize("command", [["verify"], ["search", "hello"], ["list"]])
def test_an_index_that_lies_ends_no_command(path, script, command):
    attack(path, script)
    done = run("-s", path, *command)
    assert done.returncode in {0, 1, 3}, done.stderr
    assert "internal error" not in done.stderr
