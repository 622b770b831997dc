"""Checks of `load`, `list` and `delete`, and of order and time."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ..errors import CorruptTraceError, TraceNotFoundError
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, TraceSummary
from ..protocols import AsyncTraceStore, TraceStore, is_async_store
from .backend import Backend, Damage, SetClock
from .callers import AsyncStoreCaller, StoreCaller
from .cases import all_cases
from .samples import full_trace, make_step, make_trace, make_traces, same

NOON = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class ReadingChecks(Backend):
    """Checks of reading."""

    async def test_it_is_a_store_of_its_kind(self, caller: StoreCaller) -> None:
        is_async = isinstance(caller, AsyncStoreCaller)
        assert isinstance(caller.store, AsyncTraceStore if is_async else TraceStore)
        assert is_async_store(caller.store) is is_async

    # load

    async def test_load_of_an_unknown_run(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        with all_cases() as case:
            for run_id in ("unknown", "", "\x00", "\ud800", "x" * 10_000):
                with case(run_id):
                    with pytest.raises(TraceNotFoundError, match="not found") as caught:
                        await caller.load(run_id)
                    assert isinstance(caught.value, ValueError)
                    assert repr(run_id) in str(caught.value)

    async def test_load_gives_our_classes(self, caller: StoreCaller) -> None:
        await caller.save(full_trace())
        loaded = await caller.load("full")
        assert isinstance(loaded, AgentTrace)
        assert {type(step) for step in loaded} == {type(make_step())}

    async def test_load_does_not_change_the_order(self, caller: StoreCaller) -> None:
        newest_first = await self.save_all(caller, make_traces(3))
        await caller.load("run-000")
        assert await caller.ids() == newest_first

    async def test_run_ids_are_told_apart(self, caller: StoreCaller) -> None:
        run_ids = ["run", "Run", "run ", " run", "run\x00", "é", "e\u0301", "runs"]
        newest_first = await self.save_all(caller, [make_trace(run_id) for run_id in run_ids])
        assert await caller.ids() == newest_first
        assert [(await caller.load(run_id)).run_id for run_id in run_ids] == run_ids

    # list

    async def test_an_empty_store_lists_nothing(self, caller: StoreCaller) -> None:
        assert list(await caller.list()) == []
        assert await caller.ids() == []

    async def test_list_is_newest_first(self, caller: StoreCaller) -> None:
        newest_first = await self.save_all(caller, make_traces(20))
        assert [summary.run_id for summary in await caller.list()] == newest_first

    async def test_list_gives_fifty_unless_told(self, caller: StoreCaller) -> None:
        newest_first = await self.save_all(caller, make_traces(60))
        assert [summary.run_id for summary in await caller.list()] == newest_first[:50]

    async def test_list_gives_a_slice(self, caller: StoreCaller) -> None:
        newest_first = await self.save_all(caller, make_traces(10))
        slices = [(0, 0), (1, 0), (3, 2), (5, 8), (100, 0), (5, 10), (5, 99), (0, 3)]
        with all_cases() as case:
            for limit, offset in slices:
                with case((limit, offset)):
                    expected = newest_first[offset : offset + limit]
                    assert [s.run_id for s in await caller.list(limit, offset)] == expected
                    named = await caller.list(limit=limit, offset=offset)
                    assert [s.run_id for s in named] == expected

    async def test_list_takes_huge_numbers(self, caller: StoreCaller) -> None:
        newest_first = await self.save_all(caller, make_traces(3))
        assert [s.run_id for s in await caller.list(limit=2**63 - 2)] == newest_first
        assert [s.run_id for s in await caller.list(limit=10**30)] == newest_first
        assert list(await caller.list(offset=10**30)) == []

    async def test_list_refuses_negative_numbers(self, caller: StoreCaller) -> None:
        for page in ({"limit": -1}, {"offset": -1}, {"limit": -1, "offset": -5}):
            with pytest.raises(ValueError, match="negative"):
                await caller.list(**page)  # type: ignore[arg-type]

    async def test_summaries_say_what_the_traces_are(self, caller: StoreCaller) -> None:
        step = make_step(ms=12.5)
        await caller.save(make_trace("run", of=[step, step, make_step(ms=1)], metadata={"a": [1]}))
        for found in (await caller.list(), await caller.query(TraceFilter())):
            (summary,) = found
            assert isinstance(summary, TraceSummary)
            assert (summary.run_id, summary.steps, summary.metadata) == ("run", 3, {"a": [1]})
            assert summary.total_ms == 26.0
            assert isinstance(summary.total_ms, float)

    async def test_summaries_sum_up_tokens_and_costs(self, caller: StoreCaller) -> None:
        of = [
            make_step(prompt_tokens=100, completion_tokens=20, cost_usd=0.25),
            make_step(prompt_tokens=11, completion_tokens=2, cost_usd=1),
            make_step("error"),
        ]
        await caller.save(make_trace("used", of=of))
        await caller.save(make_trace("unused"))
        await caller.save(make_trace("free", of=[make_step(cost_usd=0)]))
        free, unused, used = await caller.list()
        assert free.cost_usd == 0.0
        assert isinstance(free.cost_usd, float)
        assert (used.prompt_tokens, used.completion_tokens, used.cost_usd) == (111, 22, 1.25)
        assert used.has_error is True
        assert (unused.prompt_tokens, unused.completion_tokens, unused.cost_usd) == (0, 0, None)
        assert unused.has_error is False

    async def test_what_is_no_number_adds_nothing(self, caller: StoreCaller) -> None:
        odd: dict[str, Any] = {"prompt_tokens": "many", "completion_tokens": None, "cost_usd": "1"}
        nan = make_step(prompt_tokens=1, completion_tokens=2, cost_usd=float("nan"))
        await caller.save(make_trace("odd", of=[make_step(**odd), nan]))
        (summary,) = await caller.list()
        assert (summary.prompt_tokens, summary.completion_tokens, summary.cost_usd) == (1, 2, None)

    # Order and time.

    async def test_created_at_is_aware_utc(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        for found in (await caller.list(), await caller.query(TraceFilter())):
            (summary,) = found
            assert isinstance(summary.created_at, datetime)
            assert summary.created_at.utcoffset() == timedelta(0)
            assert abs(datetime.now(UTC) - summary.created_at) < timedelta(days=1)

    async def test_created_at_is_the_time_of_the_save(
        self, caller: StoreCaller, set_clock: SetClock | None
    ) -> None:
        _stop_clock(set_clock, NOON)
        await caller.save(make_trace("run"))
        assert [summary.created_at for summary in await caller.list()] == [NOON]
        _stop_clock(set_clock, NOON + MICROSECOND)
        await caller.save(make_trace("run"))
        assert [summary.created_at for summary in await caller.list()] == [NOON + MICROSECOND]

    async def test_order_holds_while_the_clock_stands_still(
        self, caller: StoreCaller, set_clock: SetClock | None
    ) -> None:
        _stop_clock(set_clock, NOON)
        await self.save_all(caller, make_traces(5))
        await caller.save(make_trace("run-002"))
        expected = ["run-002", "run-004", "run-003", "run-001", "run-000"]
        assert [summary.run_id for summary in await caller.list()] == expected
        assert await caller.ids(TraceFilter(since=NOON, until=NOON)) == expected

    async def test_order_holds_while_the_clock_steps_back(
        self, caller: StoreCaller, set_clock: SetClock | None
    ) -> None:
        for n in range(5):
            _stop_clock(set_clock, NOON - timedelta(hours=n))
            await caller.save(make_trace(f"run-{n}"))
        await caller.save(make_trace("run-2"))
        expected = ["run-2", "run-4", "run-3", "run-1", "run-0"]
        assert [summary.run_id for summary in await caller.list()] == expected
        assert [summary.run_id for summary in await caller.list(2, 1)] == ["run-4", "run-3"]
        assert await caller.ids(TraceFilter(until=NOON - timedelta(hours=1))) == [
            "run-2", "run-4", "run-3", "run-1",
        ]  # fmt: skip

    async def test_bounds_of_time_are_inclusive_and_by_instant(
        self, caller: StoreCaller, set_clock: SetClock | None
    ) -> None:
        for n in range(3):
            _stop_clock(set_clock, NOON + n * MICROSECOND)
            await caller.save(make_trace(f"run-{n}"))
        for hours in (0, 5.5, -11, 14):
            middle = (NOON + MICROSECOND).astimezone(timezone(timedelta(hours=hours)))
            assert await caller.ids(TraceFilter(since=middle)) == ["run-2", "run-1"]
            assert await caller.ids(TraceFilter(until=middle)) == ["run-1", "run-0"]
            assert await caller.ids(TraceFilter(since=middle, until=middle)) == ["run-1"]

    # delete

    async def test_delete_says_whether_there_was_one(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        assert await caller.delete("run") is True
        assert await caller.delete("run") is False

    async def test_delete_of_an_unknown_run(self, caller: StoreCaller) -> None:
        newest_first = await self.save_all(caller, make_traces(2))
        for run_id in ("unknown", "", "\x00", "\ud800"):
            assert await caller.delete(run_id) is False
            assert await caller.ids() == newest_first

    async def test_a_deleted_trace_is_gone(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(3))
        await caller.delete("run-001")
        with pytest.raises(TraceNotFoundError):
            await caller.load("run-001")
        assert [summary.run_id for summary in await caller.list()] == ["run-002", "run-000"]
        assert await caller.ids(TraceFilter(metadata_match={"n": 1})) == []
        assert same((await caller.load("run-002")).to_dict(), make_traces(3)[2].to_dict())

    async def test_delete_takes_all_that_was_saved(self, caller: StoreCaller) -> None:
        for n in range(3):
            await self.save_all(caller, [make_trace("run", metadata={"n": n}), make_trace("other")])
        assert await caller.delete("run") is True
        assert await caller.ids() == ["other"]
        assert await caller.delete("run") is False

    async def test_a_deleted_run_can_be_saved_again(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(3))
        await caller.delete("run-000")
        await caller.save(make_trace("run-000", metadata={"again": True}))
        assert await caller.ids() == ["run-000", "run-002", "run-001"]
        assert (await caller.load("run-000")).metadata == {"again": True}

    async def test_the_newest_can_be_deleted_and_others_saved(self, caller: StoreCaller) -> None:
        for n in range(10):
            await self.save_all(caller, [make_trace(f"a-{n}"), make_trace(f"b-{n}")])
            await caller.delete(f"b-{n}")
        assert await caller.ids() == [f"a-{n}" for n in reversed(range(10))]

    async def test_all_can_be_deleted(self, caller: StoreCaller) -> None:
        for run_id in await self.save_all(caller, make_traces(10)):
            assert await caller.delete(run_id) is True
        assert list(await caller.list()) == []
        await caller.save(make_trace("run"))
        assert await caller.ids() == ["run"]

    # Damage.

    async def test_a_damaged_trace_is_corrupt_and_breaks_nothing(
        self, caller: StoreCaller, damage: Damage | None
    ) -> None:
        await self._save_and_damage(caller, damage)
        with pytest.raises(CorruptTraceError, match="run-001") as caught:
            await caller.load("run-001")
        assert caught.value.run_id == "run-001"
        for found in (await caller.list(), await caller.query(TraceFilter(min_steps=1))):
            others = [s.run_id for s in found if s.run_id != "run-001"]
            assert others == ["run-002", "run-000"]
        assert (await caller.load("run-002")).run_id == "run-002"

    async def test_a_damaged_trace_matches_no_question_about_its_steps(
        self, caller: StoreCaller, damage: Damage | None
    ) -> None:
        await self._save_and_damage(caller, damage)
        found = await caller.ids(TraceFilter(step_type="llm_call"))
        assert [run_id for run_id in found if run_id != "run-001"] == ["run-002", "run-000"]

    async def test_a_damaged_trace_can_be_saved_again(
        self, caller: StoreCaller, damage: Damage | None
    ) -> None:
        await self._save_and_damage(caller, damage)
        await caller.save(make_trace("run-001"))
        assert (await caller.load("run-001")).run_id == "run-001"
        assert await caller.ids() == ["run-001", "run-002", "run-000"]

    async def test_a_damaged_trace_can_be_deleted(
        self, caller: StoreCaller, damage: Damage | None
    ) -> None:
        await self._save_and_damage(caller, damage)
        assert await caller.delete("run-001") is True
        with pytest.raises(TraceNotFoundError):
            await caller.load("run-001")
        assert await caller.ids() == ["run-002", "run-000"]

    async def _save_and_damage(self, caller: StoreCaller, damage: Damage | None) -> None:
        if damage is None:
            pytest.skip("no fixture `damage`")
        await self.save_all(caller, make_traces(3))
        damage("run-001")


def _stop_clock(set_clock: SetClock | None, moment: datetime) -> None:
    if set_clock is None:
        pytest.skip("no fixture `set_clock`")
    set_clock(moment)
