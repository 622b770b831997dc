"""Checks of `save`: snapshots, replacing, what it takes and what it refuses."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from ..errors import InvalidTraceError, TraceNotFoundError
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, StepType
from .backend import Backend
from .callers import Call, Face
from .cases import all_cases
from .samples import (
    ForeignKind,
    ForeignTrace,
    Plain,
    SlottedStep,
    SlottedTrace,
    foreign_trace,
    full_trace,
    make_step,
    make_trace,
    make_traces,
    newer_trace,
    same,
)


class Mute(Plain):
    """A value without any form at all."""

    def __str__(self) -> str:
        raise RuntimeError("nothing to say")


def loop_of_dicts() -> dict[str, Any]:
    """A dictionary that contains itself."""
    loop: dict[str, Any] = {"fine": 1}
    loop["self"] = loop
    return loop


def loop_of_lists() -> list[Any]:
    """A list that contains itself."""
    loop: list[Any] = [1]
    loop.append({"back": (loop,)})
    return loop


UNSTORABLE: dict[str, Callable[[], Any]] = {
    "dict-in-itself": loop_of_dicts,
    "list-in-itself": loop_of_lists,
    "no-text-form": Mute,
    "surrogate-and-loop": lambda: {"\ud800": [10**400, loop_of_dicts()]},
}

BAD_RUN_IDS: list[Any] = ["", None, 5, b"run", ["run"]]

RUN_IDS = [
    "index",
    " ",
    "a/../b\\c:d*",
    'it\'s "q" `b`',
    "a\x00b",
    "a\n\r\tb",
    "%_$.*[]{}",
    "Ünïcode \U0001f600",
    "x" * 1000,
]

NO_TRACES: dict[str, Any] = {
    "none": None,
    "text": "run",
    "empty-dict": {},
    "object": object(),
    "class": AgentTrace,
    "no-steps": ForeignTrace(steps=None, run_id="run"),  # type: ignore[arg-type]
    "bad-step": ForeignTrace(steps=[object()], run_id="run"),  # type: ignore[list-item]
    "no-step": AgentTrace([None], 0, "run"),  # type: ignore[list-item]
    "bad-type": AgentTrace([make_step(5)], 0, "run"),  # type: ignore[arg-type]
    "bad-metadata": AgentTrace([], 0, "run", None, ["a"]),  # type: ignore[arg-type]
}


class SavingChecks(Backend):
    """Checks of `save`."""

    async def test_save_returns_the_run_id(self, face: Face) -> None:
        assert await face.save(make_trace("run-1")) == "run-1"

    async def test_save_keeps_every_field(self, face: Face) -> None:
        trace = full_trace()
        await face.save(trace)
        loaded = await face.load("full")
        assert loaded.to_dict() == trace.to_dict()
        assert same(loaded.to_dict(), trace.to_dict())

    async def test_save_makes_up_no_fields(self, face: Face) -> None:
        trace = make_trace("bare")
        await face.save(trace)
        assert same((await face.load("bare")).to_dict(), trace.to_dict())

    async def test_save_keeps_numbers_as_they_are(self, face: Face) -> None:
        step = make_step(ms=3, cost_usd=1, prompt_tokens=2.5)
        await face.save(AgentTrace([step], 1_700_000_000, "numbers"))
        loaded = await face.load("numbers")
        assert same(loaded.start_time, 1_700_000_000)
        assert same(loaded.steps[0].duration_ms, 3)
        assert same(loaded.steps[0].cost_usd, 1)
        assert same(loaded.steps[0].prompt_tokens, 2.5)

    async def test_save_keeps_fields_of_unexpected_types(self, face: Face) -> None:
        fields: dict[str, Any] = {
            "tool_name": 5,
            "tool_args": ["a", 1],
            "tool_result": {"rows": [1, None]},
            "model": ["gpt-4o"],
            "prompt_tokens": "many",
            "summary": False,
            "children": {"left": 1},
        }
        trace = make_trace("odd", of=[make_step(**fields)], parent_run_id=7)
        await face.save(trace)
        assert same((await face.load("odd")).to_dict(), trace.to_dict())

    async def test_save_keeps_a_trace_without_steps(self, face: Face) -> None:
        await face.save(AgentTrace(run_id="failed-early", metadata={"why": "no key"}))
        loaded = await face.load("failed-early")
        assert loaded.steps == []
        assert loaded.metadata == {"why": "no key"}
        assert [summary.steps for summary in await face.list()] == [0]

    async def test_save_keeps_many_steps(self, face: Face) -> None:
        trace = make_trace("long", steps=2000)
        await face.save(trace)
        assert same((await face.load("long")).to_dict(), trace.to_dict())

    async def test_save_keeps_unknown_types_and_fields(self, face: Face) -> None:
        trace = newer_trace()
        await face.save(trace)
        loaded = await face.load("newer")
        assert same(loaded.to_dict(), trace.to_dict())
        assert loaded.steps[0].type.value == "hologram"
        assert loaded.steps[1].type.value == ""

    async def test_save_settles_step_types(self, face: Face) -> None:
        trace = make_trace("typed", of=[make_step("llm_call"), make_step("hologram")])
        await face.save(trace)
        for one in (trace, await face.load("typed")):
            assert [type(step.type) for step in one] == [StepType, StepType]
            assert [step.type.value for step in one] == ["llm_call", "hologram"]

    async def test_save_takes_foreign_traces(self, face: Face) -> None:
        await face.save(foreign_trace())
        loaded = await face.load("foreign")
        assert isinstance(loaded, AgentTrace)
        assert [step.type.value for step in loaded] == [kind.value for kind in ForeignKind]
        assert (loaded.start_time, loaded.metadata) == (3.5, {"user": "bob"})
        assert loaded.steps[1].tool_args == {"q": [1]}
        assert loaded.to_dict()["tenant"] == "acme"
        assert loaded.to_dict()["steps"][0]["latency"] == {"p99": 7}

    async def test_save_takes_slotted_traces(self, face: Face) -> None:
        await face.save(SlottedTrace([SlottedStep("llm_call"), SlottedStep("quantum_leap")]))
        loaded = await face.load("slotted")
        assert [step.type.value for step in loaded] == ["llm_call", "quantum_leap"]
        assert loaded.steps[0].tool_name == "search"
        assert loaded.parent_run_id == "parent"

    async def test_save_takes_whatever_has_the_shape(self, face: Face) -> None:
        step = SimpleNamespace(type="error", error="broken")
        await face.save(SimpleNamespace(run_id="shaped", start_time=1, steps=(step,)))
        loaded = await face.load("shaped")
        assert (loaded.steps[0].type, loaded.steps[0].error) == (StepType.ERROR, "broken")

    async def test_save_counts_what_is_not_finite_as_zero(self, face: Face) -> None:
        durations = [float("nan"), 5.0, float("inf"), float("-inf"), 10**400, 0.5]
        await face.save(make_trace("odd", of=[make_step(ms=ms) for ms in durations]))
        assert [summary.total_ms for summary in await face.list()] == [5.5]
        assert (await face.load("odd")).total_duration_ms == 5.5

    # Snapshots.

    async def test_changes_to_a_saved_trace_do_not_reach_the_store(self, face: Face) -> None:
        trace = full_trace()
        before = full_trace().to_dict()
        await face.save(trace)
        _spoil(trace)
        assert same((await face.load("full")).to_dict(), before)
        assert [summary.metadata for summary in await face.list()] == [before["metadata"]]
        assert await face.ids(TraceFilter(metadata_match={"user_id": "alice"})) == ["full"]
        assert await face.ids(TraceFilter(metadata_match={"user_id": "mallory"})) == []

    async def test_changes_to_a_loaded_trace_do_not_reach_the_store(self, face: Face) -> None:
        before = full_trace().to_dict()
        await face.save(full_trace())
        _spoil(await face.load("full"))
        assert same((await face.load("full")).to_dict(), before)
        assert [summary.metadata for summary in await face.list()] == [before["metadata"]]

    async def test_changes_to_a_summary_do_not_reach_the_store(self, face: Face) -> None:
        before = full_trace().metadata
        await face.save(full_trace())
        gives: list[Call] = [face.list, partial(face.query, TraceFilter())]
        for give in gives:
            for summary in await give():
                summary.metadata["nested"]["deep"]["er"].append("mallory")
                summary.metadata["user_id"] = "mallory"
                summary.steps = 0
            assert [summary.metadata for summary in await give()] == [before]
        assert (await face.load("full")).metadata == before

    async def test_loaded_traces_share_nothing(self, face: Face) -> None:
        await face.save(full_trace())
        one, other = await face.load("full"), await face.load("full")
        _spoil(one)
        assert same(other.to_dict(), full_trace().to_dict())

    # Saving again.

    async def test_save_again_replaces(self, face: Face) -> None:
        await face.save(make_trace("run", 3, metadata={"v": 1, "old": True}, parent_run_id="p"))
        again = make_trace("run", 1, metadata={"v": 2})
        await face.save(again)
        assert same((await face.load("run")).to_dict(), again.to_dict())
        assert [(s.run_id, s.steps, s.metadata) for s in await face.list()] == [
            ("run", 1, {"v": 2})
        ]

    async def test_save_again_forgets_what_was_there(self, face: Face) -> None:
        old = make_step("error", tool_name="old", model="old")
        await face.save(make_trace("run", of=[old], metadata={"v": 1}, parent_run_id="p"))
        await face.save(make_trace("run", metadata={"v": 2}))
        for stale in (
            TraceFilter(metadata_match={"v": 1}),
            TraceFilter(parent_run_id="p"),
            TraceFilter(has_error=True),
            TraceFilter(step_type="error"),
            TraceFilter(tool_name="old"),
            TraceFilter(model="old"),
        ):
            assert await face.ids(stale) == []
        assert await face.ids(TraceFilter(metadata_match={"v": 2})) == ["run"]

    async def test_save_again_makes_it_the_newest(self, face: Face) -> None:
        await self.save_all(face, make_traces(4))
        await face.save(make_trace("run-001"))
        expected = ["run-001", "run-003", "run-002", "run-000"]
        assert [summary.run_id for summary in await face.list()] == expected
        assert await face.ids() == expected

    async def test_save_again_many_times(self, face: Face) -> None:
        for n in range(100):
            await face.save(make_trace(f"run-{n % 3}", metadata={"n": n}))
        assert [summary.metadata["n"] for summary in await face.list()] == [99, 98, 97]

    async def test_a_loaded_trace_saves_as_it_was(self, face: Face) -> None:
        await face.save(newer_trace())
        await face.save(await face.load("newer"))
        assert same((await face.load("newer")).to_dict(), newer_trace().to_dict())

    # Refusing.

    async def test_any_text_is_a_run_id(self, face: Face) -> None:
        await face.save(make_trace("other"))
        with all_cases() as case:
            for run_id in RUN_IDS:
                with case(run_id):
                    await face.save(make_trace(run_id, metadata={"it": 1}))
                    assert (await face.load(run_id)).run_id == run_id
                    assert await face.ids() == [run_id, "other"]
                    assert await face.ids(TraceFilter(run_ids=[run_id])) == [run_id]
                    assert await face.delete(run_id) is True
                    assert await face.ids() == ["other"]

    async def test_a_bad_run_id_is_refused(self, face: Face) -> None:
        await face.save(make_trace("other"))
        with all_cases() as case:
            for run_id in BAD_RUN_IDS:
                with case(run_id):
                    with pytest.raises(InvalidTraceError, match="run_id"):
                        await face.save(make_trace(run_id))
                    assert await face.ids() == ["other"]

    async def test_a_run_id_of_surrogates_is_kept_or_refused(self, face: Face) -> None:
        try:
            await face.save(make_trace("\ud800"))
        except InvalidTraceError:
            assert await face.ids() == []
        else:
            assert await face.ids() == ["\ud800"]

    async def test_an_unstorable_value_is_refused(self, face: Face) -> None:
        await self.save_all(face, [full_trace("run"), make_trace("other")])
        with all_cases() as case:
            for kind, make_value in UNSTORABLE.items():
                with case(kind):
                    step = make_step(tool_args={"query": make_value()})
                    with pytest.raises(InvalidTraceError) as caught:
                        await face.save(make_trace("run", of=[make_step(), step]))
                    _names(caught.value, "run", "steps[1].tool_args.query")
                    assert await face.ids() == ["other", "run"]
                    assert same((await face.load("run")).to_dict(), full_trace("run").to_dict())

    async def test_unstorable_metadata_is_refused(self, face: Face) -> None:
        with all_cases() as case:
            for kind, make_value in UNSTORABLE.items():
                with case(kind):
                    with pytest.raises(InvalidTraceError) as caught:
                        await face.save(make_trace("run", metadata={"a": {"b": make_value()}}))
                    _names(caught.value, "run", "metadata.a.b")
                    assert await face.ids() == []
                    with pytest.raises(TraceNotFoundError):
                        await face.load("run")

    async def test_what_is_no_trace_is_refused(self, face: Face) -> None:
        with all_cases() as case:
            for kind, value in NO_TRACES.items():
                with case(kind):
                    with pytest.raises(InvalidTraceError):
                        await face.save(value)
                    assert await face.ids() == []

    async def test_an_invalid_trace_is_a_value_error(self, face: Face) -> None:
        with pytest.raises(ValueError, match="run_id"):
            await face.save(make_trace(""))


def _spoil(trace: AgentTrace) -> None:
    """Change a `full_trace` at every depth."""
    trace.metadata["nested"]["deep"]["er"].append("mallory")
    trace.metadata["tags"].clear()
    trace.metadata["user_id"] = "mallory"
    args = trace.steps[0].tool_args or {}
    args["in"][0]["a"] = "mallory"
    args["new"] = 1
    (trace.steps[0].children or []).append("mallory")
    trace.steps[0].duration_ms = 1e9
    trace.steps.pop()
    trace.add(make_step("error"))
    trace.parent_run_id = "mallory"


def _names(error: InvalidTraceError, run_id: str, path: str) -> None:
    assert error.run_id == run_id
    assert error.path.startswith(path)
    assert run_id in str(error)
    assert path in str(error)
