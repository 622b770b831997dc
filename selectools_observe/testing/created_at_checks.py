"""Checks of stated times of saving: kept to the microsecond, and the order of saving is as ever."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ..model.filters import TraceFilter
from .backend import Backend, Reopen
from .callers import StoreCaller
from .samples import make_trace, make_traces

_FIRST = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
_BERLIN = timezone(timedelta(hours=1))


class CreatedAtChecks(Backend):
    """Checks of `save_many(created_at=...)`."""

    keeps_created_at = True
    """Whether the store can keep a time that is stated; one of five methods cannot."""

    @pytest.fixture(autouse=True)
    def _keeps_times(self, request: pytest.FixtureRequest) -> None:
        checks = request.function.__qualname__.startswith("CreatedAtChecks.")
        if checks and not self.keeps_created_at:
            pytest.skip("this store cannot keep a stated time")

    async def test_stated_times_come_back(self, caller: StoreCaller, reopen: Reopen | None) -> None:
        moments = [_FIRST + timedelta(hours=n * 7 % 200, microseconds=n) for n in range(200)]
        await caller.save_many(make_traces(200), created_at=moments)
        found = {s.run_id: s.created_at for s in await caller.query(TraceFilter())}
        assert found == {f"run-{n:03}": moments[n] for n in range(200)}
        if self.shared and reopen is not None:
            async with self.another(reopen) as other:
                assert {s.run_id: s.created_at for s in await other.list(200)} == found

    async def test_the_order_of_saving_stays(self, caller: StoreCaller) -> None:
        moments = [_FIRST + timedelta(days=n) for n in (2, 0, 3, 1)]
        await caller.save_many(make_traces(4), created_at=moments)
        assert [run_id[-1] for run_id in await caller.ids()] == list("3210")
        by_time = await caller.ids(TraceFilter(order_by="created_at"))
        assert [run_id[-1] for run_id in by_time] == list("1302")
        newest = await caller.ids(TraceFilter(order_by="-created_at", limit=2))
        assert [run_id[-1] for run_id in newest] == list("20")
        pages, cursor = [], None
        while True:
            page = await caller.list(1, cursor=cursor)
            pages += [summary.run_id[-1] for summary in page]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert pages == list("3210")

    async def test_an_update_keeps_a_stated_time(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(2))
        assert await caller.update("run-000", lambda trace: trace, created_at=_FIRST)
        assert await caller.update("new", lambda _: make_trace("new"), created_at=_FIRST)
        found = {summary.run_id: summary.created_at for summary in await caller.list()}
        assert list(found) == ["new", "run-000", "run-001"]
        assert found["new"] == found["run-000"] == _FIRST < found["run-001"]
        with pytest.raises(ValueError, match="has no timezone"):
            await caller.update("new", lambda trace: trace, created_at=datetime(2024, 1, 1))  # noqa: DTZ001

    async def test_filters_and_histogram_go_by_them(self, caller: StoreCaller) -> None:
        moments = [_FIRST + timedelta(days=n) for n in (2, 0, 3, 1)]
        await caller.save_many(make_traces(4), created_at=moments)
        late = TraceFilter(since=_FIRST + timedelta(days=1, hours=1))
        assert [run_id[-1] for run_id in await caller.ids(late)] == list("20")
        assert await caller.count(TraceFilter(until=_FIRST)) == 1
        assert (await caller.histogram(buckets=3, time="created_at")).since == _FIRST

    async def test_some_are_stated_and_some_are_not(self, caller: StoreCaller) -> None:
        before = datetime.now(UTC) - timedelta(hours=1)
        in_berlin = _FIRST.astimezone(_BERLIN)
        await caller.save_many(make_traces(2), created_at=[None, in_berlin])
        old, new = await caller.list()
        assert old.created_at == _FIRST
        assert old.created_at.utcoffset() == timedelta(0)
        assert new.created_at > before
        await caller.save(make_trace("run-001"))
        assert (await caller.list())[0].created_at > before

    async def test_times_that_cannot_be_meant_are_refused(self, caller: StoreCaller) -> None:
        with pytest.raises(ValueError, match="1 times for 2 traces"):
            await caller.save_many(make_traces(2), created_at=[_FIRST])
        with pytest.raises(ValueError, match="timezone"):
            await caller.save_many(make_traces(1), created_at=[_FIRST.replace(tzinfo=None)])
        with pytest.raises(TypeError, match="created_at"):
            await caller.save_many(make_traces(1), created_at=["2024-02-29"])  # type: ignore[list-item]
        assert await caller.count() == 0
