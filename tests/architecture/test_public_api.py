"""What the package offers by name: all that is promised, and nothing by accident."""

from __future__ import annotations

import inspect
import types

import pytest

import selectools_observe as so
from selectools_observe import analytics, testing

PROMISED = {
    "AgentTrace",
    "TraceStep",
    "StepType",
    "TraceSummary",
    "TraceFilter",
    "TraceStore",
    "InMemoryTraceStore",
    "SQLiteTraceStore",
    "JSONLTraceStore",
    "AsyncTraceStore",
    "AsyncInMemoryTraceStore",
    "AsyncSQLiteTraceStore",
    "AsyncJSONLTraceStore",
    "SyncTraceStore",
    "TraceStoreError",
    "TraceNotFoundError",
    "InvalidTraceError",
    "CorruptTraceError",
    "StoreClosedError",
    "StorageError",
}

PUBLIC = [
    pytest.param(so, id="package"),
    pytest.param(analytics, id="analytics"),
    pytest.param(testing, id="testing"),
]


def public(module: types.ModuleType) -> set[str]:
    """The public names of a module, but for its own modules and what only type checkers see."""
    return {
        name
        for name in dir(module)
        if not name.startswith("_")
        and name != "TYPE_CHECKING"
        and not inspect.ismodule(getattr(module, name))
    }


@pytest.mark.parametrize("module", PUBLIC)
class TestAll:
    def test_everything_in_all_is_there(self, module):
        assert [name for name in module.__all__ if not hasattr(module, name)] == []

    def test_everything_there_is_in_all(self, module):
        assert public(module) == set(module.__all__)

    def test_all_is_sorted_and_without_repeats(self, module):
        assert list(module.__all__) == sorted(set(module.__all__))

    def test_everything_is_documented(self, module):
        assert [name for name in module.__all__ if not getattr(module, name).__doc__] == []


def test_the_promised_names_are_there():
    assert set(so.__all__) >= PROMISED


def test_star_imports_give_what_is_in_all():
    namespace = {}
    exec("from selectools_observe import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(so.__all__)


def test_errors_have_one_root():
    errors = [getattr(so, name) for name in so.__all__ if name.endswith("Error")]
    assert len(errors) == 6
    assert [error for error in errors if not issubclass(error, so.TraceStoreError)] == []
    also_values = {error for error in errors if issubclass(error, ValueError)}
    assert also_values == {so.TraceNotFoundError, so.InvalidTraceError}


def test_the_version_is_text():
    assert so.__version__.count(".") == 2
