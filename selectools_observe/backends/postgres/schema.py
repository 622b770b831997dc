"""The tables of a PostgreSQL store, and how they come to be.

All that must come back exactly is ``bytea``: ``text`` refuses NUL and lone surrogates, ``jsonb``
changes numbers and the order of keys.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ...errors import StorageError
from . import save_sql
from .address import Address

if TYPE_CHECKING:  # it needs the driver, and the SQL alone does not
    from .session import Session

VERSION = 5

# What rows are when they are sent. It is never altered: older programs may be at work, and a
# program that sends other values has a type of another name.
_RUN_TYPE = """
CREATE TYPE {schema}.saved_run AS (
  key bytea, run_id text, steps bigint, total_ms double precision, cost_usd double precision,
  prompt_tokens bigint, completion_tokens bigint, has_error boolean, started_us bigint,
  wall_ms double precision, terms bigint[], summary bytea, crc bigint, trace bytea, calls bytea,
  created_us bigint
);
"""

_TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {schema}.traces (
  key bytea PRIMARY KEY,                     -- BLAKE2b-128 of the run id, whatever its length
  seq bigint GENERATED ALWAYS AS IDENTITY,   -- the order of saving, which is that of the commits
  run_id text COLLATE "C" NOT NULL,          -- for people: NUL is written as \\x01\\x01
  created_us bigint NOT NULL,                -- microseconds since 1970, by the server's clock
  steps bigint NOT NULL,
  total_ms double precision NOT NULL,
  cost_usd double precision NOT NULL,
  prompt_tokens bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  has_error boolean NOT NULL,
  started_us bigint,                         -- when the run began; null if nothing tells
  wall_ms double precision,                  -- from the first beginning to the last end
  terms bigint[] NOT NULL,                   -- what filters ask: metadata pairs, tools, models, ...
  summary bytea NOT NULL,                    -- JSON: the summary and the facets
  crc bigint NOT NULL,                       -- CRC-32 of the trace
  trace bytea NOT NULL,                      -- JSON: the whole trace
  calls bytea                                -- MessagePack: what each call took, for statistics;
);                                           -- null: the trace tells
CREATE UNIQUE INDEX traces_seq ON {schema}.traces (seq);
CREATE INDEX traces_terms ON {schema}.traces USING gin (terms);
{others}CREATE TABLE {schema}.store (version integer NOT NULL, epoch text NOT NULL);
CREATE VIEW {schema}.runs AS
  SELECT run_id, to_timestamp(created_us / 1000000.0) AS created_at, steps, total_ms, cost_usd,
    prompt_tokens, completion_tokens, has_error,
    convert_from(summary, 'UTF8')::json -> 'metadata' AS metadata,
    convert_from(trace, 'UTF8')::json AS trace
  FROM {schema}.traces;
"""
# What ranges, times and orders ask is told by an index alone: rows are ten times as large.
_OTHERS = """
CREATE INDEX IF NOT EXISTS traces_numbers ON {schema}.traces (created_us) INCLUDE (
  seq, started_us, wall_ms, total_ms, cost_usd, steps, prompt_tokens, completion_tokens, has_error
);
CREATE TABLE IF NOT EXISTS {schema}.annotations (
  key bytea NOT NULL REFERENCES {schema}.traces ON DELETE CASCADE,
  id text COLLATE "C" NOT NULL,
  created_us bigint NOT NULL,                -- microseconds since 1970; the newest of a name counts
  name text NOT NULL,
  label text,
  score double precision,
  crc bigint NOT NULL,                       -- CRC-32 of the annotation
  annotation bytea NOT NULL,                 -- JSON: the whole annotation, but for its time
  PRIMARY KEY (key, id)
);
CREATE INDEX IF NOT EXISTS annotations_name ON {schema}.annotations (name);
CREATE TABLE IF NOT EXISTS {schema}.kept_parts ( -- what parts add up to; may be emptied
  kind text NOT NULL,                        -- sums, facets, or groups by a field
  level smallint NOT NULL,                   -- 0: 4,096 places in the order of saving; 1: 65,536
  part bigint NOT NULL,                      -- the first of them, divided by so many
  row_count bigint NOT NULL,                 -- as long as there are so many rows, they are the same
  created_first bigint NOT NULL,             -- microseconds since 1970, as the three that follow
  created_last bigint NOT NULL,
  started_first bigint,
  started_last bigint,
  unstarted bigint NOT NULL,                 -- of how many runs nothing tells when they began
  crc bigint NOT NULL,                       -- CRC-32 of the data
  data bytea NOT NULL,                       -- MessagePack
  PRIMARY KEY (kind, level, part)
);
CREATE TABLE IF NOT EXISTS {schema}.journals ( -- what runs under way did so far
  record text COLLATE "C" NOT NULL,          -- who writes; as long as an advisory lock is held
  run bigint NOT NULL,                       -- the number of a run in it
  line bigint NOT NULL,
  written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  data bytea NOT NULL,                       -- a line as in a journal that is a file
  PRIMARY KEY (record, run, line)
);
CREATE TABLE IF NOT EXISTS {schema}.words (  -- the words of runs, made later; may be emptied
  seq bigint PRIMARY KEY,
  words tsvector                             -- null: they are too many
);
CREATE INDEX IF NOT EXISTS words_words ON {schema}.words USING gin (words);
CREATE INDEX IF NOT EXISTS words_many ON {schema}.words (seq) WHERE words IS NULL;
"""
# Where the server can, LZ4: half of what the default costs a save, for a tenth more room.
_COMPRESS = """
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_settings
             WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
    ALTER TABLE {schema}.traces ALTER COLUMN trace SET COMPRESSION lz4;
    ALTER TABLE {schema}.traces ALTER COLUMN summary SET COMPRESSION lz4;
  END IF;
END $$;
"""
_RECORD = "INSERT INTO {schema}.store VALUES ({version}, '{epoch}');"


def ddl(schema: str) -> str:
    """The SQL that makes a store's tables, for whoever may create them.

    Args:
        schema: The schema's name.
    """
    text = _TABLES.replace("{others}", _OTHERS.lstrip()) + _RUN_TYPE.lstrip()
    rest = _COMPRESS.lstrip() + _RECORD
    names = {"schema": schema, "version": VERSION, "epoch": uuid.uuid4().hex}
    function = save_sql.function(schema)
    return text.format(**names).strip() + function + rest.format(**names).strip() + "\n"


async def prepare(session: Session, address: Address) -> str:
    """Make the tables if they are not there; return the store's epoch.

    Raises:
        StorageError: They are of a newer version.
    """
    found = await _version(session, address)
    if found is None:
        # Another program may be at it too: who comes second finds the tables in place.
        # Two statements: only a new one sees what was committed while the first one waited.
        lock = f"SELECT pg_advisory_xact_lock({save_sql.lock_key(address.schema)})"
        await session.transaction([(lock, [()]), (_once(address.schema), [()])])
        found = await _version(session, address)
    if found is None:
        raise StorageError(
            address.shown,
            "the tables are missing",
            "Have the database's owner run what `selectools-observe schema postgresql` prints",
        )
    version, epoch = found
    if version < VERSION:
        await _migrate(session, address)
    if version > VERSION:
        raise StorageError(
            address.shown,
            f"its tables are of version {version}; this package knows up to {VERSION}",
            "Upgrade selectools-observe",
        )
    return epoch


def _once(schema: str) -> str:
    """The DDL as one statement that does nothing where the tables are."""
    body = ddl(schema).replace("DO $$ BEGIN", "").replace("END $$;", "")
    return f"DO $ddl$ BEGIN IF to_regclass('{schema}.store') IS NULL THEN {body} END IF; END $ddl$"


async def _migrate(session: Session, address: Address) -> None:
    """Bring older tables to this version, in one transaction; who comes second does nothing."""
    name, added = address.schema, _OTHERS
    await session.transaction(
        [
            (f"SELECT pg_advisory_xact_lock({save_sql.lock_key(name)})", [()]),
            *((one, [()]) for one in added.format(schema=name).split(";\n") if one.strip()),
            (f"ALTER TABLE {name}.traces ADD COLUMN IF NOT EXISTS calls bytea", [()]),
            (f"DROP INDEX IF EXISTS {name}.traces_created", [()]),
            (_missing_type(name), [()]),
            (save_sql.function(name), [()]),
            (f"UPDATE {name}.store SET version = {VERSION} WHERE version < {VERSION}", [()]),
        ]
    )


def _missing_type(name: str) -> str:
    """SQL that makes the type of rows where it is not there: version 5 brought it."""
    made = _RUN_TYPE.format(schema=name).strip()
    return f"DO $$ BEGIN IF to_regtype('{name}.saved_run') IS NULL THEN {made} END IF; END $$"


async def _version(session: Session, address: Address) -> tuple[int, str] | None:
    (row,) = await session.rows(f"SELECT to_regclass('{address.schema}.store')::text")
    if row[0] is None:
        return None
    rows = await session.rows(f"SELECT version, epoch FROM {address.schema}.store")
    return (int(rows[0][0]), str(rows[0][1])) if rows else None
