"""A store's own database as runs."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import CorruptTraceError
from ..model.filters import TraceFilter
from ..stores.open import open_store
from .exports import saved_runs
from .form import BinaryForm, SavedRun
from .source import Source
from .sqlite_files import is_sqlite, tables_of


def _read(source: Source) -> Iterator[SavedRun]:
    def skipped(error: CorruptTraceError) -> None:
        source.skipped(error.where, error.reason)

    store = open_store(source.path, must_exist=True)
    try:
        total = store.count()
        for done, run in enumerate(saved_runs(store, TraceFilter(), skipped), 1):
            source.progress(done, total)
            yield SavedRun(run.trace, run.summary.created_at, run.annotations)
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
