"""The classes of stores by their names, each imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "InMemoryTraceStore": "in_memory",
    "JSONLTraceStore": "jsonl",
    "SQLiteTraceStore": "sqlite",
    "SyncTraceStore": "blocking",
    "PostgresTraceStore": "postgres",
    "ClickHouseTraceStore": "clickhouse",
}


def store_class(name: str) -> Any:
    """The class of this name: one of the above, or its async form, ``Async`` before it."""
    module = _MODULES[name.removeprefix("Async")]
    return getattr(import_module(f".{module}", __package__), name)
