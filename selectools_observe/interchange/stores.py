"""A store's own database as runs."""

from __future__ import annotations

from collections.abc import Iterator

from ..model.trace import AgentTrace
from ..stores.open import open_store
from .form import BinaryForm
from .source import Source
from .sqlite_files import is_sqlite, tables_of


def _read(source: Source) -> Iterator[AgentTrace]:
    store = open_store(source.path, must_exist=True)
    try:
        total = store.count()
        for done, trace in enumerate(store.iter_traces(oldest_first=True), 1):
            source.progress(done, total)
            yield trace
    finally:
        store.close()


def _recognises(path: str) -> bool:
    return is_sqlite(path) and "traces" in (tables_of(path) or {"traces"})


FORM = BinaryForm(
    "store",
    "an SQLite store",
    _recognises,
    _read,
    ("traces",),
    "this package and selectools' `SQLiteTraceStore`",
)
