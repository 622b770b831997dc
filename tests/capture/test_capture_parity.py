"""Stores in front of others are the same, async and blocking, but for the waiting."""

from __future__ import annotations

import inspect

import pytest
from signatures import methods, parameters, returned

import selectools_observe as so
from selectools_observe import capture
from selectools_observe.capture import (
    AsyncBackgroundTraceStore,
    AsyncProcessingTraceStore,
    BackgroundTraceStore,
    ProcessingTraceStore,
)

PAIRS = [
    pytest.param(AsyncBackgroundTraceStore, BackgroundTraceStore, id="background"),
    pytest.param(AsyncProcessingTraceStore, ProcessingTraceStore, id="prepared"),
]


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS)
class TestFaces:
    def test_methods_and_signatures_are_the_same(self, asynchronous, blocking):
        ours = methods(blocking)
        assert methods(asynchronous).keys() == ours.keys()
        for name, method in methods(asynchronous).items():
            assert parameters(method) == parameters(ours[name]), name
            assert returned(method) == returned(ours[name]), name

    def test_constructors_are_the_same_and_documented(self, asynchronous, blocking):
        # All but the kind of store.
        assert parameters(asynchronous.__init__)[2:] == parameters(blocking.__init__)[2:]
        for cls in (asynchronous, blocking):
            for name in inspect.signature(cls).parameters:
                assert f"    {name}: " in cls.__doc__, (cls, name)

    def test_they_have_what_every_store_of_ours_has(self, asynchronous, blocking):
        promised = methods(so.AsyncQueryableTraceStore)
        assert promised.keys() <= methods(asynchronous).keys()
        for name, method in promised.items():
            given = [p for p in parameters(methods(asynchronous)[name]) if p[0] != "when_settled"]
            assert [p[:3] for p in given] == [p[:3] for p in parameters(method)], name


class TestPublicNames:
    def test_everything_in_all_is_there_and_documented(self):
        assert len(set(capture.__all__)) == len(capture.__all__)
        for name in capture.__all__:
            found = getattr(capture, name)
            assert isinstance(found, str | tuple) or found.__doc__, name

    def test_everything_there_is_in_all(self):
        public = {
            name
            for name, value in vars(capture).items()
            if not name.startswith("_") and not inspect.ismodule(value)
        }
        assert public == set(capture.__all__)

    def test_the_core_does_not_bring_it(self):
        import subprocess
        import sys

        program = (
            "import sys, selectools_observe; assert 'selectools_observe.capture' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", program], check=True)
