"""Checks of `close`."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from ..errors import StoreClosedError
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace
from .backend import Backend, Reopen
from .callers import Call, StoreCaller
from .samples import make_trace, make_traces


class ClosingChecks(Backend):
    """Checks of closing."""

    async def test_methods_after_close_are_refused(self, caller: StoreCaller) -> None:
        await self._close(caller, make_traces(2))
        methods: list[Call] = [
            partial(caller.save, make_trace("late")),
            partial(caller.load, "run-000"),
            partial(caller.load, "unknown"),
            caller.list,
            partial(caller.list, 0),
            partial(caller.query, TraceFilter()),
            partial(caller.query, TraceFilter(limit=0)),
            partial(caller.delete, "run-000"),
            partial(caller.delete, "unknown"),
        ]
        for method in methods:
            with pytest.raises(StoreClosedError):
                await method()

    async def test_close_again_does_nothing(self, caller: StoreCaller) -> None:
        await self._close(caller, make_traces(1))
        await caller.close()
        await caller.close()

    async def test_close_of_a_store_that_was_never_used(self, caller: StoreCaller) -> None:
        await self._close(caller)
        with pytest.raises(StoreClosedError):
            await caller.list()

    async def test_close_from_many_sides_at_once(self, caller: StoreCaller) -> None:
        await self._close(caller, make_traces(1), times=8)

    async def test_close_while_saves_are_under_way(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        self._skip_unless_closes()
        saves = [partial(caller.save, make_trace(f"run-{n}")) for n in range(32)]
        outcomes = await caller.together([*saves, caller.close, *saves])
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert {type(error) for error in refused} <= {StoreClosedError}
        async with self.another(reopen) as second:
            acknowledged = {outcome for outcome in outcomes if isinstance(outcome, str)}
            assert acknowledged <= set(await second.ids())

    async def test_a_with_block_closes(self, caller: StoreCaller) -> None:
        self._skip_unless_closes()
        await caller.used_as_context(partial(caller.save, make_trace("run")))
        with pytest.raises(StoreClosedError):
            await caller.load("run")

    async def test_a_with_block_passes_errors_on(self, caller: StoreCaller) -> None:
        self._skip_unless_closes()

        async def fail() -> None:
            raise KeyError("ours")

        with pytest.raises(KeyError, match="ours"):
            await caller.used_as_context(fail)
        with pytest.raises(StoreClosedError):
            await caller.list()

    async def _close(
        self, caller: StoreCaller, traces: Sequence[AgentTrace] = (), times: int = 1
    ) -> None:
        self._skip_unless_closes()
        await self.save_all(caller, traces)
        assert await caller.together([caller.close] * times) == [None] * times

    def _skip_unless_closes(self) -> None:
        if not self.closes:
            pytest.skip("the store has no close")
