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
from .callers import Call, StoreCaller
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

    async def test_save_returns_the_run_id(self, caller: StoreCaller) -> None:
        assert await caller.save(make_trace("run-1")) == "run-1"

    async def test_save_keeps_every_field(self, caller: StoreCaller) -> None:
        trace = full_trace()
        await caller.save(trace)
        loaded = await caller.load("full")
        assert loaded.to_dict() == trace.to_dict()
        assert same(loaded.to_dict(), trace.to_dict())

    async def test_save_makes_up_no_fields(self, caller: StoreCaller) -> None:
        trace = make_trace("bare")
        await caller.save(trace)
        assert same((await caller.load("bare")).to_dict(), trace.to_dict())

    async def test_save_keeps_numbers_as_they_are(self, caller: StoreCaller) -> None:
        step = make_step(ms=3, cost_usd=1, prompt_tokens=2.5)
        await caller.save(AgentTrace([step], 1_700_000_000, "numbers"))
        loaded = await caller.load("numbers")
        assert same(loaded.start_time, 1_700_000_000)
        assert same(loaded.steps[0].duration_ms, 3)
        assert same(loaded.steps[0].cost_usd, 1)
        assert same(loaded.steps[0].prompt_tokens, 2.5)

    async def test_save_keeps_fields_of_unexpected_types(self, caller: StoreCaller) -> None:
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
        await caller.save(trace)
        assert same((await caller.load("odd")).to_dict(), trace.to_dict())

    async def test_save_keeps_a_trace_without_steps(self, caller: StoreCaller) -> None:
        await caller.save(AgentTrace(run_id="failed-early", metadata={"why": "no key"}))
        loaded = await caller.load("failed-early")
        assert loaded.steps == []
        assert loaded.metadata == {"why": "no key"}
        assert [summary.steps for summary in await caller.list()] == [0]

    async def test_save_keeps_many_steps(self, caller: StoreCaller) -> None:
        trace = make_trace("long", steps=2000)
        await caller.save(trace)
        assert same((await caller.load("long")).to_dict(), trace.to_dict())

    async def test_save_keeps_unknown_types_and_fields(self, caller: StoreCaller) -> None:
        trace = newer_trace()
        await caller.save(trace)
        loaded = await caller.load("newer")
        assert same(loaded.to_dict(), trace.to_dict())
        assert loaded.steps[0].type.value == "hologram"
        assert loaded.steps[1].type.value == ""

    async def test_save_settles_step_types(self, caller: StoreCaller) -> None:
        trace = make_trace("typed", of=[make_step("llm_call"), make_step("hologram")])
        await caller.save(trace)
        for one in (trace, await caller.load("typed")):
            assert [type(step.type) for step in one] == [StepType, StepType]
            assert [step.type.value for step in one] == ["llm_call", "hologram"]

    async def test_save_takes_foreign_traces(self, caller: StoreCaller) -> None:
        await caller.save(foreign_trace())
        loaded = await caller.load("foreign")
        assert isinstance(loaded, AgentTrace)
        assert [step.type.value for step in loaded] == [kind.value for kind in ForeignKind]
        assert (loaded.start_time, loaded.metadata) == (3.5, {"user": "bob"})
        assert loaded.steps[1].tool_args == {"q": [1]}
        assert loaded.to_dict()["tenant"] == "acme"
        assert loaded.to_dict()["steps"][0]["latency"] == {"p99": 7}

    async def test_save_takes_slotted_traces(self, caller: StoreCaller) -> None:
        await caller.save(SlottedTrace([SlottedStep("llm_call"), SlottedStep("quantum_leap")]))
        loaded = await caller.load("slotted")
        assert [step.type.value for step in loaded] == ["llm_call", "quantum_leap"]
        assert loaded.steps[0].tool_name == "search"
        assert loaded.parent_run_id == "parent"

    async def test_save_takes_whatever_has_the_shape(self, caller: StoreCaller) -> None:
        step = SimpleNamespace(type="error", error="broken")
        await caller.save(SimpleNamespace(run_id="shaped", start_time=1, steps=(step,)))
        loaded = await caller.load("shaped")
        assert (loaded.steps[0].type, loaded.steps[0].error) == (StepType.ERROR, "broken")

    async def test_save_counts_what_is_not_finite_as_zero(self, caller: StoreCaller) -> None:
        durations = [float("nan"), 5.0, float("inf"), float("-inf"), 10**400, 0.5]
        await caller.save(make_trace("odd", of=[make_step(ms=ms) for ms in durations]))
        assert [summary.total_ms for summary in await caller.list()] == [5.5]
        assert (await caller.load("odd")).total_duration_ms == 5.5

    # Snapshots.

    async def test_changes_to_a_saved_trace_do_not_reach_the_store(
        self, caller: StoreCaller
    ) -> None:
        trace = full_trace()
        before = full_trace().to_dict()
        await caller.save(trace)
        _spoil(trace)
        assert same((await caller.load("full")).to_dict(), before)
        assert [summary.metadata for summary in await caller.list()] == [before["metadata"]]
        assert await caller.ids(TraceFilter(metadata_match={"user_id": "alice"})) == ["full"]
        assert await caller.ids(TraceFilter(metadata_match={"user_id": "mallory"})) == []

    async def test_changes_to_a_loaded_trace_do_not_reach_the_store(
        self, caller: StoreCaller
    ) -> None:
        before = full_trace().to_dict()
        await caller.save(full_trace())
        _spoil(await caller.load("full"))
        assert same((await caller.load("full")).to_dict(), before)
        assert [summary.metadata for summary in await caller.list()] == [before["metadata"]]

    async def test_changes_to_a_summary_do_not_reach_the_store(self, caller: StoreCaller) -> None:
        before = full_trace().metadata
        await caller.save(full_trace())
        gives: list[Call] = [caller.list, partial(caller.query, TraceFilter())]
        for give in gives:
            for summary in await give():
                summary.metadata["nested"]["deep"]["er"].append("mallory")
                summary.metadata["user_id"] = "mallory"
                summary.steps = 0
            assert [summary.metadata for summary in await give()] == [before]
        assert (await caller.load("full")).metadata == before

    async def test_loaded_traces_share_nothing(self, caller: StoreCaller) -> None:
        await caller.save(full_trace())
        one, other = await caller.load("full"), await caller.load("full")
        _spoil(one)
        assert same(other.to_dict(), full_trace().to_dict())

    # Saving again.

    async def test_save_again_replaces(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run", 3, metadata={"v": 1, "old": True}, parent_run_id="p"))
        again = make_trace("run", 1, metadata={"v": 2})
        await caller.save(again)
        assert same((await caller.load("run")).to_dict(), again.to_dict())
        assert [(s.run_id, s.steps, s.metadata) for s in await caller.list()] == [
            ("run", 1, {"v": 2})
        ]

    async def test_save_again_forgets_what_was_there(self, caller: StoreCaller) -> None:
        old = make_step("error", tool_name="old", model="old")
        await caller.save(make_trace("run", of=[old], metadata={"v": 1}, parent_run_id="p"))
        await caller.save(make_trace("run", metadata={"v": 2}))
        for stale in (
            TraceFilter(metadata_match={"v": 1}),
            TraceFilter(parent_run_id="p"),
            TraceFilter(has_error=True),
            TraceFilter(step_type="error"),
            TraceFilter(tool_name="old"),
            TraceFilter(model="old"),
        ):
            assert await caller.ids(stale) == []
        assert await caller.ids(TraceFilter(metadata_match={"v": 2})) == ["run"]

    async def test_save_again_makes_it_the_newest(self, caller: StoreCaller) -> None:
        await self.save_all(caller, make_traces(4))
        await caller.save(make_trace("run-001"))
        expected = ["run-001", "run-003", "run-002", "run-000"]
        assert [summary.run_id for summary in await caller.list()] == expected
        assert await caller.ids() == expected

    async def test_save_again_many_times(self, caller: StoreCaller) -> None:
        for n in range(100):
            await caller.save(make_trace(f"run-{n % 3}", metadata={"n": n}))
        assert [summary.metadata["n"] for summary in await caller.list()] == [99, 98, 97]

    async def test_a_loaded_trace_saves_as_it_was(self, caller: StoreCaller) -> None:
        await caller.save(newer_trace())
        await caller.save(await caller.load("newer"))
        assert same((await caller.load("newer")).to_dict(), newer_trace().to_dict())

    # Refusing.

    async def test_any_text_is_a_run_id(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("other"))
        with all_cases() as case:
            for run_id in RUN_IDS:
                with case(run_id):
                    await caller.save(make_trace(run_id, metadata={"it": 1}))
                    assert (await caller.load(run_id)).run_id == run_id
                    assert await caller.ids() == [run_id, "other"]
                    assert await caller.ids(TraceFilter(run_ids=[run_id])) == [run_id]
                    assert await caller.delete(run_id) is True
                    assert await caller.ids() == ["other"]

    async def test_a_bad_run_id_is_refused(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("other"))
        with all_cases() as case:
            for run_id in BAD_RUN_IDS:
                with case(run_id):
                    with pytest.raises(InvalidTraceError, match="run_id"):
                        await caller.save(make_trace(run_id))
                    assert await caller.ids() == ["other"]

    async def test_a_run_id_of_surrogates_is_kept_or_refused(self, caller: StoreCaller) -> None:
        try:
            await caller.save(make_trace("\ud800"))
        except InvalidTraceError:
            assert await caller.ids() == []
        else:
            assert await caller.ids() == ["\ud800"]

    async def test_an_unstorable_value_is_refused(self, caller: StoreCaller) -> None:
        await self.save_all(caller, [full_trace("run"), make_trace("other")])
        with all_cases() as case:
            for kind, make_value in UNSTORABLE.items():
                with case(kind):
                    step = make_step(tool_args={"query": make_value()})
                    with pytest.raises(InvalidTraceError) as caught:
                        await caller.save(make_trace("run", of=[make_step(), step]))
                    _names(caught.value, "run", "steps[1].tool_args.query")
                    assert await caller.ids() == ["other", "run"]
                    assert same((await caller.load("run")).to_dict(), full_trace("run").to_dict())

    async def test_unstorable_metadata_is_refused(self, caller: StoreCaller) -> None:
        with all_cases() as case:
            for kind, make_value in UNSTORABLE.items():
                with case(kind):
                    with pytest.raises(InvalidTraceError) as caught:
                        await caller.save(make_trace("run", metadata={"a": {"b": make_value()}}))
                    _names(caught.value, "run", "metadata.a.b")
                    assert await caller.ids() == []
                    with pytest.raises(TraceNotFoundError):
                        await caller.load("run")

    async def test_what_is_no_trace_is_refused(self, caller: StoreCaller) -> None:
        with all_cases() as case:
            for kind, value in NO_TRACES.items():
                with case(kind):
                    with pytest.raises(InvalidTraceError):
                        await caller.save(value)
                    assert await caller.ids() == []

    async def test_an_invalid_trace_is_a_value_error(self, caller: StoreCaller) -> None:
        with pytest.raises(ValueError, match="run_id"):
            await caller.save(make_trace(""))


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
