"""Checks of `update`: atomic changes of a stored trace."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from ..errors import InvalidTraceError, StoreClosedError, TraceNotFoundError
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, TraceStep
from .backend import Backend
from .callers import StoreCaller
from .samples import full_trace, make_trace, same

AT_ONCE = 64


def adding(name: str) -> Callable[[AgentTrace | None], AgentTrace]:
    """A change that adds one step."""

    def change(stored: AgentTrace | None) -> AgentTrace:
        trace = AgentTrace(run_id="run") if stored is None else stored
        trace.add(TraceStep("tool_execution", tool_name=name))
        trace.metadata["steps"] = len(trace)
        return trace

    return change


class UpdateChecks(Backend):
    """Checks of `update`."""

    async def test_update_of_a_run_that_is_not_there(self, caller: StoreCaller) -> None:
        seen: list[AgentTrace | None] = []

        def change(stored: AgentTrace | None) -> AgentTrace:
            seen.append(stored)
            return full_trace("run")

        assert await caller.update("run", change) is True
        assert set(map(type, seen)) == {type(None)}
        assert same((await caller.load("run")).to_dict(), full_trace("run").to_dict())

    async def test_update_replaces_and_makes_the_newest(self, caller: StoreCaller) -> None:
        await caller.save_many([make_trace("run", 1), make_trace("other", 1)])
        assert await caller.update("run", adding("t")) is True
        assert await caller.ids() == ["run", "other"]
        assert (await caller.load("run")).steps[-1].tool_name == "t"
        assert await caller.ids(TraceFilter(tool_name="t", metadata_match={"steps": 2})) == ["run"]

    async def test_an_update_that_gives_nothing_changes_nothing(self, caller: StoreCaller) -> None:
        await caller.save_many([make_trace("run", 1), make_trace("other", 1)])

        def change(stored: AgentTrace | None) -> None:
            if stored is not None:
                stored.steps.clear()

        assert await caller.update("run", change) is False
        assert await caller.update("absent", change) is False
        assert await caller.ids() == ["other", "run"]
        assert len(await caller.load("run")) == 1
        with pytest.raises(TraceNotFoundError):
            await caller.load("absent")

    async def test_an_update_that_raises_changes_nothing(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run", 1))

        def change(stored: AgentTrace | None) -> AgentTrace:
            adding("t")(stored)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await caller.update("run", change)
        assert len(await caller.load("run")) == 1
        await caller.save(make_trace("after"))
        assert await caller.ids() == ["after", "run"]

    async def test_an_update_cannot_save_another_run(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run", 1))
        with pytest.raises(InvalidTraceError, match="'run'"):
            await caller.update("run", lambda _: make_trace("other"))
        assert await caller.ids() == ["run"]

    async def test_an_update_cannot_save_what_is_no_trace(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run", 1))

        def circle(_: AgentTrace | None) -> AgentTrace:
            trace = AgentTrace(run_id="run")
            trace.metadata["itself"] = trace.metadata
            return trace

        with pytest.raises(InvalidTraceError):
            await caller.update("run", circle)
        assert len(await caller.load("run")) == 1

    async def test_an_update_needs_a_run_id(self, caller: StoreCaller) -> None:
        with pytest.raises(InvalidTraceError):
            await caller.update("", lambda _: make_trace("run"))
        assert await caller.ids() == []

    async def test_updates_of_one_run_at_once_lose_nothing(self, caller: StoreCaller) -> None:
        names = [f"t{n}" for n in range(AT_ONCE)]
        outcomes = await caller.together([partial(caller.update, "run", adding(n)) for n in names])
        assert outcomes == [True] * AT_ONCE
        assert sorted(str(step.tool_name) for step in await caller.load("run")) == sorted(names)
        assert await caller.ids(TraceFilter(metadata_match={"steps": AT_ONCE})) == ["run"]

    async def test_updates_beside_saves_of_other_runs(self, caller: StoreCaller) -> None:
        calls = [partial(caller.update, "run", adding(f"t{n}")) for n in range(AT_ONCE)]
        saves = [partial(caller.save, make_trace(f"other-{n}")) for n in range(AT_ONCE)]
        await caller.together([call for pair in zip(calls, saves, strict=True) for call in pair])
        assert len(await caller.load("run")) == AT_ONCE
        assert len(await caller.ids()) == AT_ONCE + 1

    async def test_no_update_after_close(self, caller: StoreCaller) -> None:
        await caller.close()
        with pytest.raises(StoreClosedError):
            await caller.update("run", adding("t"))
