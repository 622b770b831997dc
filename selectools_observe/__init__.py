"""Keep what your agents did: an async-first store for agent traces, with a blocking face."""

from .aio import AsyncInMemoryTraceStore, AsyncJSONLTraceStore, AsyncSQLiteTraceStore
from .errors import (
    CorruptTraceError,
    InvalidTraceError,
    StorageError,
    StoreClosedError,
    TraceNotFoundError,
    TraceStoreError,
)
from .filters import TraceFilter
from .models import AgentTrace, StepType, TraceStep, TraceSummary
from .pages import TracePage
from .protocols import (
    AsyncTraceArchive,
    AsyncTraceStore,
    TraceArchive,
    TraceStore,
    is_async_store,
)
from .sync import InMemoryTraceStore, JSONLTraceStore, SQLiteTraceStore, SyncTraceStore

__version__ = "0.1.0"

__all__ = [
    "AgentTrace",
    "AsyncInMemoryTraceStore",
    "AsyncJSONLTraceStore",
    "AsyncSQLiteTraceStore",
    "AsyncTraceArchive",
    "AsyncTraceStore",
    "CorruptTraceError",
    "InMemoryTraceStore",
    "InvalidTraceError",
    "JSONLTraceStore",
    "SQLiteTraceStore",
    "StepType",
    "StorageError",
    "StoreClosedError",
    "SyncTraceStore",
    "TraceArchive",
    "TraceFilter",
    "TraceNotFoundError",
    "TracePage",
    "TraceStep",
    "TraceStore",
    "TraceStoreError",
    "TraceSummary",
    "is_async_store",
]
