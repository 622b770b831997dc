"""The tables of a ClickHouse store, and how they come to be.

``traces`` is ordered by the place in the order of saving, so that lists, pages and time ranges read
what is next to each other. ``keys`` finds a run's place by its id. ``replacing`` notes which runs
are being saved again, until their older rows are gone. ``annotations`` has what is said of runs.
``cells`` and ``blocks`` have what runs add up to, and can be done without.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import StorageError
from .address import Address
from .cell_columns import CELL_COLUMNS, KEPT_DAYS

if TYPE_CHECKING:  # it needs the driver, and the SQL alone does not
    from .servers import Servers

VERSION = 2

_OF_OLDER = (
    "Copy its runs into a new database with the version that made them: `selectools-observe copy`"
)
_MARK = "selectools_observe "
_TRACES = """\
  place UInt128,                              -- order of saving: microseconds << 64 | writer
  created_us Int64,                           -- when it was saved: microseconds since 1970
  created DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(created_us, 'UTC'),
  key UUID,                                   -- BLAKE2b-128 of the run id, whatever its length
  run_id String,                              -- for people: NUL is written as \\x01\\x01
  steps Int64,
  total_ms Float64,
  cost_usd Float64,
  knows_cost UInt8,                           -- 0: nothing tells what the run cost
  prompt_tokens Int64,
  completion_tokens Int64,
  has_error UInt8,
  started_us Nullable(Int64),                 -- when the run began; null if nothing tells
  wall_ms Nullable(Float64),                  -- from the first beginning to the last end
  terms Array(Int64),                         -- what filters ask: metadata pairs, tools, ...
  session Array(String) CODEC(ZSTD(1)),       -- what runs are grouped by, as texts: one, or none
  user Array(String) CODEC(ZSTD(1)),
  agent Array(String) CODEC(ZSTD(1)),
  name Array(String) CODEC(ZSTD(1)),
  tag Array(String) CODEC(ZSTD(1)),           -- or many
  outcome Array(String) CODEC(ZSTD(1)),
  fields Map(String, Array(String)) CODEC(ZSTD(1)), -- the same of model, tool, type, metadata.KEY
  summary String CODEC(ZSTD(1)),              -- JSON: the summary and the facets
  crc UInt32,                                 -- CRC-32 of the trace
  trace String CODEC(ZSTD(1)),                -- JSON: the whole trace
  step Nested(                                -- one element a step, for those who write SQL
    type LowCardinality(String), model LowCardinality(String), tool LowCardinality(String),
    ms Float64, prompt_tokens Int64, completion_tokens Int64, cost_usd Nullable(Float64),
    failed UInt8),
  INDEX terms_index terms TYPE bloom_filter(0.01) GRANULARITY 1"""
_KEYS = "  key UUID,\n  place UInt128"
_REPLACING = "  key UUID,\n  noted DateTime DEFAULT now()"
_ANNOTATIONS = """\
  key UUID,
  id String,
  version UInt64,                             -- of one id the highest counts
  removed UInt8,                              -- 1: it is no longer there
  created_us Int64,                           -- of one name the newest counts
  name String,
  label Nullable(String),
  score Nullable(Float64),
  crc UInt32,                                 -- CRC-32 of the annotation
  annotation String CODEC(ZSTD(1))            -- JSON: the whole annotation, but for its time"""
_CELLS = "  made UInt64,\n  noted DateTime DEFAULT now(),\n  " + CELL_COLUMNS.replace(", ", ",\n  ")
_BLOCKS = """\
  block UInt64,                               -- a span of time in which runs were saved
  runs UInt64,                                -- as it was when its cells were made: how many runs
  fingerprint UInt64,                         -- and the sum of the hashes of their places
  made UInt64,                                -- the cells
  noted DateTime DEFAULT now()"""
_SPREAD_BY = {
    "replacing": "key", "cells": "made", "blocks": "made", "annotations": "key", "keys": "key",
    "traces": "key",
}  # fmt: skip
_LARGE_PART = 2**27  # bytes before compression: from then on each column has files of its own
_SYNCS = ("fsync_after_insert", "fsync_part_directory")
_DAY_OF_PLACE = "toDateTime(toUInt32(intDiv(toUInt64(bitShiftRight(place, 64)), 1000000)))"
_DAY_SAVED = "toDateTime(toUInt32(intDiv(created_us, 1000000)))"


def ddl(
    database: str,
    *,
    cluster: str = "",
    replicated: bool = False,
    syncs: bool = True,
    retention_days: int = 0,
) -> list[str]:
    """The statements that make a store's tables; for a cluster, those for each of its servers.

    Args:
        database: The database's name.
        cluster: The cluster over which the rows are spread by their keys; empty for one server.
        replicated: Whether each table has replicas; the servers need ClickHouse Keeper then.
        syncs: Whether inserts are on the disk before they are acknowledged.
        retention_days: After how many days runs are removed; 0: never.
    """
    suffix = "_local" if cluster else ""

    def table(name: str, columns: str, rest: str, granularity: int, day: str = "") -> str:
        keep = f"\nTTL {day} + INTERVAL {retention_days} DAY" if day and retention_days else ""
        if name in {"cells", "blocks"}:
            keep = f"\nTTL noted + INTERVAL {KEPT_DAYS} DAY"
        settings = [
            f"index_granularity = {granularity}",
            # An insert of ten thousand runs is one file to sync, and not ninety.
            f"min_bytes_for_wide_part = {_LARGE_PART}",
            # No block outlives its cells.
            *[f"{each} = {int(syncs or name in {'cells', 'blocks'})}" for each in _SYNCS],
            *([] if replicated else ["non_replicated_deduplication_window = 10000"]),
        ]
        options = ", ".join(settings)
        engine = _engine(database, name, replicated=replicated)
        return (
            f"CREATE TABLE IF NOT EXISTS {database}.{name}{suffix} (\n{columns}\n) "
            f"ENGINE = {engine}\n{rest}{keep}\nSETTINGS {options}\nCOMMENT '{_MARK}{VERSION}'"
        )

    by_month = "PARTITION BY toYYYYMM(fromUnixTimestamp64Micro(created_us, 'UTC'))\nORDER BY place"
    statements = [
        f"CREATE DATABASE IF NOT EXISTS {database}",
        table("replacing", _REPLACING, "ORDER BY key", 256),
        table("cells", _CELLS, "ORDER BY made", 1024),
        table("blocks", _BLOCKS, "ORDER BY block", 1024),
        table("annotations", _ANNOTATIONS, "ORDER BY (key, id)", 1024),
        table("keys", _KEYS, "ORDER BY (key, place)", 256, _DAY_OF_PLACE),
        table("traces", _TRACES, by_month, 1024, _DAY_SAVED),
    ]
    if cluster:
        statements += [
            f"CREATE TABLE IF NOT EXISTS {database}.{name} AS {database}.{name}_local\n"
            f"ENGINE = Distributed({cluster}, {database}, {name}_local, cityHash64({key}))\n"
            f"COMMENT '{_MARK}{VERSION}'"
            for name, key in _SPREAD_BY.items()
        ]
    return statements


def _engine(database: str, name: str, *, replicated: bool) -> str:
    """A table's engine; its replicas find each other under one path, by the servers' macros."""
    kind, arguments = "MergeTree", []
    if name == "annotations":
        kind, arguments = "ReplacingMergeTree", ["version", "removed"]
    if replicated:
        kind = f"Replicated{kind}"
        path = f"'/clickhouse/tables/{{shard}}/{database}/{name}'"
        arguments = [path, "'{replica}'", *arguments]
    return f"{kind}({', '.join(arguments)})"


async def prepare(servers: Servers, address: Address) -> None:
    """Make the tables where they are not there, and see to the time runs are kept.

    Raises:
        StorageError: They are of a newer version, or are not to be had.
    """
    for number in range(servers.shards):
        await _prepare_one(servers, address, number)


async def _prepare_one(servers: Servers, address: Address, number: int) -> None:
    found = await _comment_and_engine(servers, address, number)
    if found is None:
        for statement in ddl(
            address.database,
            cluster=address.cluster,
            syncs=address.syncs,
            retention_days=address.retention_days or 0,
        ):
            await servers.command_on(number, statement)
        found = await _comment_and_engine(servers, address, number)
    if found is None:
        remedy = "Have its owner run what `selectools-observe schema clickhouse` prints"
        raise StorageError(address.shown, "the tables are missing", remedy)
    version = int(re.sub(r"\D", "", found[0]) or 0)
    if not found[0].startswith(_MARK) or version != VERSION:
        raise StorageError(
            address.shown,
            f"its tables are of version {version or 'unknown'}; this package knows {VERSION}",
            _OF_OLDER if 0 < version < VERSION else "Upgrade selectools-observe",
        )
    if address.retention_days is not None:
        await _keep_for(servers, address, number, found[1])


async def _comment_and_engine(
    servers: Servers, address: Address, number: int
) -> tuple[str, str] | None:
    # The tables are made in the order in which they are needed, `traces` last.
    local = await servers.query_on(
        number,
        "SELECT name, comment, engine_full FROM system.tables "
        f"WHERE database = '{address.database}'",
    )
    tables = {row[0].decode(): (row[1].decode(), row[2].decode()) for row in local}
    if not _SPREAD_BY.keys() <= tables.keys():
        return None
    return tables["traces"][0], tables.get("traces_local", tables["traces"])[1]


async def _keep_for(servers: Servers, address: Address, number: int, engine: str) -> None:
    """Change after how many days runs are removed, if the tables say otherwise."""
    days = address.retention_days or 0
    kept = re.search(r"TTL .*toIntervalDay\((\d+)\)", engine)
    if days == (int(kept[1]) if kept else 0):
        return
    suffix = "_local" if address.cluster else ""
    for name, day in (("keys", _DAY_OF_PLACE), ("traces", _DAY_SAVED)):
        change = f"MODIFY TTL {day} + INTERVAL {days} DAY" if days else "REMOVE TTL"
        await servers.command_on(number, f"ALTER TABLE {address.database}.{name}{suffix} {change}")
