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
from .callers import Face
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

    async def test_update_of_a_run_that_is_not_there(self, face: Face) -> None:
        seen: list[AgentTrace | None] = []

        def change(stored: AgentTrace | None) -> AgentTrace:
            seen.append(stored)
            return full_trace("run")

        assert await face.update("run", change) is True
        assert set(map(type, seen)) == {type(None)}
        assert same((await face.load("run")).to_dict(), full_trace("run").to_dict())

    async def test_update_replaces_and_makes_the_newest(self, face: Face) -> None:
        await face.save_many([make_trace("run", 1), make_trace("other", 1)])
        assert await face.update("run", adding("t")) is True
        assert await face.ids() == ["run", "other"]
        assert (await face.load("run")).steps[-1].tool_name == "t"
        assert await face.ids(TraceFilter(tool_name="t", metadata_match={"steps": 2})) == ["run"]

    async def test_an_update_that_gives_nothing_changes_nothing(self, face: Face) -> None:
        await face.save_many([make_trace("run", 1), make_trace("other", 1)])

        def change(stored: AgentTrace | None) -> None:
            if stored is not None:
                stored.steps.clear()

        assert await face.update("run", change) is False
        assert await face.update("absent", change) is False
        assert await face.ids() == ["other", "run"]
        assert len(await face.load("run")) == 1
        with pytest.raises(TraceNotFoundError):
            await face.load("absent")

    async def test_an_update_that_raises_changes_nothing(self, face: Face) -> None:
        await face.save(make_trace("run", 1))

        def change(stored: AgentTrace | None) -> AgentTrace:
            adding("t")(stored)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await face.update("run", change)
        assert len(await face.load("run")) == 1
        await face.save(make_trace("after"))
        assert await face.ids() == ["after", "run"]

    async def test_an_update_cannot_save_another_run(self, face: Face) -> None:
        await face.save(make_trace("run", 1))
        with pytest.raises(InvalidTraceError, match="'run'"):
            await face.update("run", lambda _: make_trace("other"))
        assert await face.ids() == ["run"]

    async def test_an_update_cannot_save_what_is_no_trace(self, face: Face) -> None:
        await face.save(make_trace("run", 1))

        def circle(_: AgentTrace | None) -> AgentTrace:
            trace = AgentTrace(run_id="run")
            trace.metadata["itself"] = trace.metadata
            return trace

        with pytest.raises(InvalidTraceError):
            await face.update("run", circle)
        assert len(await face.load("run")) == 1

    async def test_an_update_needs_a_run_id(self, face: Face) -> None:
        with pytest.raises(InvalidTraceError):
            await face.update("", lambda _: make_trace("run"))
        assert await face.ids() == []

    async def test_updates_of_one_run_at_once_lose_nothing(self, face: Face) -> None:
        names = [f"t{n}" for n in range(AT_ONCE)]
        outcomes = await face.together([partial(face.update, "run", adding(n)) for n in names])
        assert outcomes == [True] * AT_ONCE
        assert sorted(str(step.tool_name) for step in await face.load("run")) == sorted(names)
        assert await face.ids(TraceFilter(metadata_match={"steps": AT_ONCE})) == ["run"]

    async def test_updates_beside_saves_of_other_runs(self, face: Face) -> None:
        calls = [partial(face.update, "run", adding(f"t{n}")) for n in range(AT_ONCE)]
        saves = [partial(face.save, make_trace(f"other-{n}")) for n in range(AT_ONCE)]
        await face.together([call for pair in zip(calls, saves, strict=True) for call in pair])
        assert len(await face.load("run")) == AT_ONCE
        assert len(await face.ids()) == AT_ONCE + 1

    async def test_no_update_after_close(self, face: Face) -> None:
        await face.close()
        with pytest.raises(StoreClosedError):
            await face.update("run", adding("t"))
