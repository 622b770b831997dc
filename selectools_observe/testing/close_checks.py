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
from .callers import Call, Face
from .samples import make_trace, make_traces


class ClosingChecks(Backend):
    """Checks of closing."""

    async def test_verbs_after_close_are_refused(self, face: Face) -> None:
        await self._close(face, make_traces(2))
        verbs: list[Call] = [
            partial(face.save, make_trace("late")),
            partial(face.load, "run-000"),
            partial(face.load, "unknown"),
            face.list,
            partial(face.list, 0),
            partial(face.query, TraceFilter()),
            partial(face.query, TraceFilter(limit=0)),
            partial(face.delete, "run-000"),
            partial(face.delete, "unknown"),
        ]
        for verb in verbs:
            with pytest.raises(StoreClosedError):
                await verb()

    async def test_close_again_does_nothing(self, face: Face) -> None:
        await self._close(face, make_traces(1))
        await face.close()
        await face.close()

    async def test_close_of_a_store_that_was_never_used(self, face: Face) -> None:
        await self._close(face)
        with pytest.raises(StoreClosedError):
            await face.list()

    async def test_close_from_many_sides_at_once(self, face: Face) -> None:
        await self._close(face, make_traces(1), times=8)

    async def test_close_while_saves_are_under_way(self, face: Face, reopen: Reopen | None) -> None:
        self._skip_unless_closes()
        saves = [partial(face.save, make_trace(f"run-{n}")) for n in range(32)]
        outcomes = await face.together([*saves, face.close, *saves])
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert {type(error) for error in refused} <= {StoreClosedError}
        async with self.another(reopen) as second:
            acknowledged = {outcome for outcome in outcomes if isinstance(outcome, str)}
            assert acknowledged <= set(await second.ids())

    async def test_a_with_block_closes(self, face: Face) -> None:
        self._skip_unless_closes()
        await face.used_as_context(partial(face.save, make_trace("run")))
        with pytest.raises(StoreClosedError):
            await face.load("run")

    async def test_a_with_block_passes_errors_on(self, face: Face) -> None:
        self._skip_unless_closes()

        async def fail() -> None:
            raise KeyError("ours")

        with pytest.raises(KeyError, match="ours"):
            await face.used_as_context(fail)
        with pytest.raises(StoreClosedError):
            await face.list()

    async def _close(self, face: Face, traces: Sequence[AgentTrace] = (), times: int = 1) -> None:
        self._skip_unless_closes()
        await self.save_all(face, traces)
        assert await face.together([face.close] * times) == [None] * times

    def _skip_unless_closes(self) -> None:
        if not self.closes:
            pytest.skip("the store has no close")
