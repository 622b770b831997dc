"""Checks of reopening, and of two stores on the same data."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from functools import partial

import pytest

from ..errors import TraceNotFoundError
from ..model.filters import TraceFilter
from .backend import Backend, Reopen
from .callers import StoreCaller
from .samples import VALUES, full_trace, make_trace, make_traces, newer_trace, same


class PersistenceChecks(Backend):
    """Checks with ``reopen``."""

    async def test_traces_outlive_the_store(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_if_volatile(reopen)
        await self.save_all(caller, [full_trace(), newer_trace()])
        before = list(await caller.list())
        await self._leave(caller)
        async with self.another(reopen) as second:
            assert list(await second.list()) == before
            assert same((await second.load("full")).to_dict(), full_trace().to_dict())
            assert same((await second.load("newer")).to_dict(), newer_trace().to_dict())

    async def test_hostile_values_outlive_the_store(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_if_volatile(reopen)
        for kind, kept in VALUES.items():
            await caller.save(make_trace(kind, metadata={"value": kept.value}))
        await self._leave(caller)
        async with self.another(reopen) as second:
            for kind, kept in VALUES.items():
                assert kept.is_kept((await second.load(kind)).metadata["value"]), kind
                wanted = TraceFilter(metadata_match={"value": kept.value}, run_ids=[kind])
                assert await second.ids(wanted) == [kind]

    async def test_order_outlives_the_store(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_if_volatile(reopen)
        await self.save_all(caller, make_traces(5))
        await caller.save(make_trace("run-001", metadata={"again": True}))
        await caller.delete("run-003")
        await self._leave(caller)
        async with self.another(reopen) as second:
            assert await second.ids() == ["run-001", "run-004", "run-002", "run-000"]
            await second.save(make_trace("run-000"))
            await second.save(make_trace("new"))
            assert await second.ids() == ["new", "run-000", "run-001", "run-004", "run-002"]
            assert (await second.load("run-001")).metadata == {"again": True}
            with pytest.raises(TraceNotFoundError):
                await second.load("run-003")

    async def test_two_stores_see_each_other(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_unless_shared(reopen)
        await caller.save(make_trace("a"))
        async with self.another(reopen) as second:
            await second.save(make_trace("b"))
            await caller.save(make_trace("c", metadata={"it": 1}))
            await second.save(make_trace("a", metadata={"again": True}))
            for one in (caller, second):
                assert [s.run_id for s in await one.list()] == ["a", "c", "b"]
                assert (await one.load("a")).metadata == {"again": True}
                assert await one.ids(TraceFilter(metadata_match={"it": 1})) == ["c"]
            assert await second.delete("c") is True
            assert await caller.delete("c") is False
            assert await caller.ids() == ["a", "b"]
            await caller.save(make_trace("d"))
            assert await second.ids() == ["d", "a", "b"]

    async def test_two_stores_save_at_once(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_unless_shared(reopen)
        async with self.another(reopen) as second:
            outcomes = await caller.together(
                [
                    partial(one.save, make_trace(f"{number}-{n}"))
                    for n in range(32)
                    for number, one in enumerate((caller, second))
                ]
            )
            expected = {f"{number}-{n}" for number in (0, 1) for n in range(32)}
            assert set(outcomes) == expected
            assert set(await caller.ids()) == set(await second.ids()) == expected
            assert await caller.ids() == await second.ids()

    async def test_a_run_saved_again_is_seen_by_others(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_unless_shared(reopen)
        await caller.save(make_trace("run"))
        most = 1 if self.replaces_at_once else 2
        async with self.another(reopen) as second:
            saves = [partial(caller.save, make_trace("run", n % 3)) for n in range(8)]
            outcomes = await caller.together(
                [call for save in saves for call in (save, second.ids)]
            )
            for ids in outcomes[1::2]:
                assert set(ids) == {"run"}
                assert 1 <= len(ids) <= most
            for one in (caller, second):
                assert await one.ids() == ["run"]

    async def test_two_stores_save_one_run_at_once(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_unless_shared(reopen)
        async with self.another(reopen) as second:
            await caller.together(
                [
                    partial(one.save, make_trace("run", n % 5, metadata={"n": n}))
                    for n in range(16)
                    for one in (caller, second)
                ]
            )
            loaded = await caller.load("run")
            for one in (caller, second):
                (summary,) = await one.list()
                assert (summary.steps, summary.metadata) == (len(loaded), loaded.metadata)

    async def test_two_stores_delete_one_run_at_once(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_unless_shared(reopen)
        async with self.another(reopen) as second:
            for n in range(8):
                await caller.save(make_trace(f"run-{n}"))
                outcomes = await caller.together(
                    [partial(one.delete, f"run-{n}") for one in (caller, second)]
                )
                most = 1 if self.tells_deleters_apart else 2
                assert 1 <= sum(outcomes) <= most
            assert await second.ids() == []

    async def _leave(self, caller: StoreCaller) -> None:
        if self.closes:
            await caller.close()

    def _skip_if_volatile(self, reopen: Reopen | None) -> None:
        if reopen is None:
            pytest.skip("no fixture `reopen`: the data is gone with the store")

    def _skip_unless_shared(self, reopen: Reopen | None) -> None:
        self._skip_if_volatile(reopen)
        if not self.shared:
            pytest.skip("the store does not share its data")
