"""Stores in front of another keep what the protocols promise, all but where they say otherwise."""

from __future__ import annotations

import pytest
import pytest_asyncio
from slow_checks import OF_MANY_RUNS

from selectools_observe import AsyncSQLiteTraceStore, SQLiteTraceStore
from selectools_observe.capture import (
    AsyncBackgroundTraceStore,
    AsyncProcessingTraceStore,
    BackgroundTraceStore,
    ProcessingTraceStore,
    common_redactors,
)
from selectools_observe.model import timestamps as clock
from selectools_observe.testing import (
    AsyncQueryableTraceStoreConformance,
    QueryableTraceStoreConformance,
)


class Async:
    @pytest_asyncio.fixture
    async def store(self, opener):
        async with opener() as store:
            yield store


class Blocking:
    @pytest.fixture
    def store(self, opener):
        with opener() as store:
            yield store


class OurClock:
    @pytest.fixture
    def set_clock(self, monkeypatch):
        return lambda moment: monkeypatch.setattr(clock, "now", lambda: moment)


class File:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "traces"

    @pytest.fixture
    def reopen(self, opener):
        return opener


# A store that prepares, with redactors that find nothing in what the suite saves but its numbers.


class Prepared:
    # Redaction looks at each character of long texts; how long that takes has tests of its own.
    text_size = 100_000


@pytest.mark.slow  # the default tries it behind a background store
class TestAsyncPreparedSQLite(Prepared, OurClock, File, Async, AsyncQueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self, path):
        return lambda: AsyncProcessingTraceStore(
            AsyncSQLiteTraceStore(path, durability="normal"), redact=common_redactors()
        )


# A background store: every method but `save` sees what was saved before.


class Background:
    # A save is durable, and seen by other stores, once it is flushed. Its time is that of reaching
    # the store behind, so the suite is not given the clock.
    shared = False
    # Runs that are saved together are queued one by one: others may come between.
    test_many_save_manys_at_once = None


@pytest.mark.slow
class TestAsyncBackgroundSQLite(Background, File, Async, AsyncQueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self, path):
        return lambda: AsyncBackgroundTraceStore(AsyncSQLiteTraceStore(path, durability="normal"))


class TestAsyncBackgroundPrepared(
    Prepared, Background, File, Async, AsyncQueryableTraceStoreConformance
):
    slow_checks = OF_MANY_RUNS

    @pytest.fixture
    def opener(self, path):
        return lambda: AsyncBackgroundTraceStore(
            AsyncProcessingTraceStore(
                AsyncSQLiteTraceStore(path, durability="normal"), redact=common_redactors()
            )
        )


@pytest.mark.slow  # the default tries the async one
class TestBackgroundPrepared(Prepared, Background, File, Blocking, QueryableTraceStoreConformance):
    @pytest.fixture
    def opener(self, path):
        return lambda: BackgroundTraceStore(
            ProcessingTraceStore(
                SQLiteTraceStore(path, durability="normal"), redact=common_redactors()
            )
        )
