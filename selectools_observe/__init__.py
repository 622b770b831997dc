"""Keep what your agents did: an async-first store for agent traces, with blocking stores too."""

from typing import TYPE_CHECKING

from .errors import (
    CorruptTraceError,
    InvalidTraceError,
    StorageError,
    StoreClosedError,
    TraceNotFoundError,
    TraceStoreError,
)
from .model.annotations import Annotation
from .model.filters import TraceFilter
from .model.histogram import TraceHistogram
from .model.pagination import TracePage
from .model.retention import PruneReport, Retention
from .model.text_query import SearchHit, SearchPage
from .model.trace import AgentTrace, StepType, TraceStep, TraceSummary
from .protocols import (
    AsyncFileTraceStore,
    AsyncQueryableTraceStore,
    AsyncTraceStore,
    FileTraceStore,
    QueryableTraceStore,
    TraceStore,
    is_async_store,
)

if TYPE_CHECKING:
    from .stores.blocking import SyncTraceStore
    from .stores.in_memory import AsyncInMemoryTraceStore, InMemoryTraceStore
    from .stores.jsonl import AsyncJSONLTraceStore, JSONLTraceStore
    from .stores.sqlite import AsyncSQLiteTraceStore, SQLiteTraceStore

__version__ = "0.1.0"

__all__ = [
    "AgentTrace",
    "Annotation",
    "AsyncFileTraceStore",
    "AsyncInMemoryTraceStore",
    "AsyncJSONLTraceStore",
    "AsyncQueryableTraceStore",
    "AsyncSQLiteTraceStore",
    "AsyncTraceStore",
    "CorruptTraceError",
    "FileTraceStore",
    "InMemoryTraceStore",
    "InvalidTraceError",
    "JSONLTraceStore",
    "PruneReport",
    "QueryableTraceStore",
    "Retention",
    "SQLiteTraceStore",
    "SearchHit",
    "SearchPage",
    "StepType",
    "StorageError",
    "StoreClosedError",
    "SyncTraceStore",
    "TraceFilter",
    "TraceHistogram",
    "TraceNotFoundError",
    "TracePage",
    "TraceStep",
    "TraceStore",
    "TraceStoreError",
    "TraceSummary",
    "is_async_store",
]


def __getattr__(name: str) -> object:
    # A store is imported by who uses it: the other backends take longer than all of the rest.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .stores.named import store_class  # noqa: PLC0415

    found: object = store_class(name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
