"""The SQL that saves rows, alone and as a function of the database.

The function does in one statement, a transaction of its own, what several do otherwise: it takes
the lock before it touches the table, so that whoever changes the table meanwhile cannot wait for it
and be waited for.
"""

from __future__ import annotations

from .rows import COLUMNS

_MOMENT = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_NOW = "current_setting('selectools_observe.now_us')::bigint"
_CHANGES = [name.strip() for name in COLUMNS.split(",")[1:]]

# A writer that stops in the midst must not keep the lock; one that waits must not wait for ever.
# All that a transaction saves was saved at one moment, told when nobody else saves.
_BEFORE = (
    "set_config('lock_timeout', '30s', true),\n"
    "    set_config('idle_in_transaction_session_timeout', '30s', true),\n"
    "    pg_advisory_xact_lock({key}),\n"
    "    set_config('selectools_observe.now_us', {moment}::text, true)"
)

_FUNCTION = """
CREATE OR REPLACE FUNCTION {schema}.save_runs(runs {schema}.saved_run[])
RETURNS void LANGUAGE plpgsql AS $save$ BEGIN
  PERFORM {before};
  {save};
END $save$;
"""


def before(schema: str) -> str:
    """What comes before all that is saved: the lock that makes the order of saving."""
    return "SELECT " + _before(schema)


def _before(schema: str) -> str:
    return _BEFORE.format(key=lock_key(schema), moment=_MOMENT)


def lock_key(schema: str) -> str:
    """SQL for the key of the advisory lock that orders the saves of a schema."""
    return f"hashtextextended('selectools_observe.{schema}', 0)"


def save(schema: str, array: str = "%s") -> str:
    """Saves an array of rows."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in _CHANGES)
    return (
        f"{_insert(schema, array)}\n  ON CONFLICT (key) DO UPDATE SET\n"
        f"    seq = DEFAULT, created_us = excluded.created_us,\n    {changes}"
    )


def insert(schema: str) -> str:
    """Saves an array of one row if its run is not there, and returns something then."""
    return f"{_insert(schema, '%s')} ON CONFLICT (key) DO NOTHING RETURNING 1"


def _insert(schema: str, array: str) -> str:
    return (
        f"INSERT INTO {schema}.traces (\n    {COLUMNS}, created_us)\n"
        f"  SELECT\n    {COLUMNS},\n    coalesce(created_us, {_NOW})\n"
        f"  FROM unnest({array}::{schema}.saved_run[])"
    )


def replace(schema: str) -> str:
    """Saves an array of one row in place of that version, and returns something if it was there."""
    changes = ", ".join(f"{name} = saved.{name}" for name in _CHANGES)
    return (
        f"UPDATE {schema}.traces AS one SET seq = DEFAULT, {changes}, "
        f"created_us = coalesce(saved.created_us, {_NOW}) "
        f"FROM unnest(%s::{schema}.saved_run[]) AS saved "
        f"WHERE one.key = saved.key AND one.seq = %s RETURNING 1"
    )


def function(schema: str) -> str:
    """The DDL of the function that saves an array of rows."""
    return _FUNCTION.format(schema=schema, before=_before(schema), save=save(schema, "runs"))


def call(schema: str) -> str:
    """Saves an array of rows in a transaction of its own."""
    return f"SELECT {schema}.save_runs(%s)"
