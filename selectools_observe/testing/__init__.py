"""The conformance suite: pytest classes that show a backend keeps what the protocols promise.

Inherit one, give it a fixture ``store``, and its checks run against your backend::

    class TestMyStore(AsyncTraceStoreConformance):
        @pytest.fixture
        def store(self):
            return MyStore()

`AsyncTraceStoreConformance` and `TraceStoreConformance` check the five methods;
`AsyncQueryableTraceStoreConformance` and `QueryableTraceStoreConformance` add the methods that
scale; `AsyncFileTraceStoreConformance` and `FileTraceStoreConformance` the maintenance of a file.
See `Backend` for the fixtures and flags that a suite can be given. The async suites need
pytest-asyncio, in either of its modes; the blocking ones need pytest only.
"""

import pkgutil

import pytest

# Before they are imported: a failed check is to show its values.
pytest.register_assert_rewrite(
    *(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
)

from .backend import Backend  # noqa: E402
from .callers import StoreCaller  # noqa: E402
from .suites import (  # noqa: E402
    AsyncFileTraceStoreConformance,
    AsyncQueryableTraceStoreConformance,
    AsyncTraceStoreConformance,
    FileTraceStoreConformance,
    QueryableTraceStoreConformance,
    TraceStoreConformance,
)

__all__ = [
    "AsyncFileTraceStoreConformance",
    "AsyncQueryableTraceStoreConformance",
    "AsyncTraceStoreConformance",
    "Backend",
    "FileTraceStoreConformance",
    "QueryableTraceStoreConformance",
    "StoreCaller",
    "TraceStoreConformance",
]
