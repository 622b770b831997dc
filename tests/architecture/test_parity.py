"""Async and blocking stores have the same methods and signatures; only the waiting differs."""

from __future__ import annotations

import inspect

import pytest
from signatures import methods, parameters, returned

import selectools_observe as so

STORES = [
    pytest.param(so.AsyncInMemoryTraceStore, so.InMemoryTraceStore, id="memory"),
    pytest.param(so.AsyncSQLiteTraceStore, so.SQLiteTraceStore, id="sqlite"),
    pytest.param(so.AsyncJSONLTraceStore, so.JSONLTraceStore, id="jsonl"),
]
PROTOCOLS = [
    pytest.param(so.AsyncTraceStore, so.TraceStore, id="store"),
    pytest.param(so.AsyncQueryableTraceStore, so.QueryableTraceStore, id="archive"),
    pytest.param(so.AsyncFileTraceStore, so.FileTraceStore, id="file"),
]
ARCHIVES = [pytest.param(so.AsyncQueryableTraceStore, p.values[0], id=p.id) for p in STORES] + [
    pytest.param(so.QueryableTraceStore, p.values[1], id=f"{p.id}-blocking") for p in STORES
]
# A store in memory has nothing to verify, copy or repair.
FILE_ARCHIVES = [
    pytest.param(protocol, p.values[place], id=f"file-{p.id}-{place}")
    for p in STORES[1:]
    for place, protocol in enumerate((so.AsyncFileTraceStore, so.FileTraceStore))
]


@pytest.mark.parametrize(("asynchronous", "blocking"), STORES + PROTOCOLS)
class TestFaces:
    def test_methods_are_the_same(self, asynchronous, blocking):
        assert methods(asynchronous).keys() == methods(blocking).keys()

    def test_parameters_are_the_same(self, asynchronous, blocking):
        ours = methods(blocking)
        for name, method in methods(asynchronous).items():
            if name in ours:
                assert parameters(method) == parameters(ours[name]), name

    def test_results_are_the_same(self, asynchronous, blocking):
        ours = methods(blocking)
        for name, method in methods(asynchronous).items():
            if name in ours:
                assert returned(method) == returned(ours[name]), name

    def test_one_waits_and_the_other_does_not(self, asynchronous, blocking):
        for name, method in methods(asynchronous).items():
            waits = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
            assert waits or "Iterator" in returned(method), name
        for name, method in methods(blocking).items():
            waits = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
            assert not waits, name


@pytest.mark.parametrize(("asynchronous", "blocking"), STORES)
class TestConstructors:
    def test_constructors_are_the_same(self, asynchronous, blocking):
        assert parameters(asynchronous.__init__) == parameters(blocking.__init__)

    def test_constructors_are_documented(self, asynchronous, blocking):
        for cls in (asynchronous, blocking):
            for name in list(inspect.signature(cls).parameters):
                assert f"    {name}: " in cls.__doc__, (cls, name)


@pytest.mark.parametrize(("protocol", "store"), ARCHIVES + FILE_ARCHIVES)
def test_stores_have_the_protocols_signatures(protocol, store):
    for name, method in methods(protocol).items():
        promised, given = parameters(method), parameters(methods(store)[name])
        # A store may take and give more than ours: only the annotations may differ.
        assert [p[:3] for p in given] == [p[:3] for p in promised], name


def test_the_face_of_any_store_has_the_archives_signatures():
    for name, method in methods(so.FileTraceStore).items():
        given = parameters(methods(so.SyncTraceStore)[name])
        assert [p[:3] for p in given] == [p[:3] for p in parameters(method)], name


def test_context_managers_are_in_pairs():
    for pair in STORES:
        asynchronous, blocking = pair.values
        assert hasattr(asynchronous, "__aenter__")
        assert not hasattr(asynchronous, "__enter__")
        assert hasattr(blocking, "__enter__")
        assert not hasattr(blocking, "__aenter__")


def test_only_stores_in_files_have_the_maintenance_methods():
    maintenance_methods = methods(so.FileTraceStore).keys() - methods(so.QueryableTraceStore).keys()
    assert maintenance_methods == {"verify", "backup", "repair", "compact"}
    for store in STORES[0].values:
        assert not maintenance_methods & methods(store).keys()
