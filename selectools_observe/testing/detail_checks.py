"""Checks of what a run says of itself: name, input, output, session, user, agent, tags, outcome."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, TraceStep
from .backend import Backend
from .callers import StoreCaller
from .cases import all_cases

_BEGAN = 1_700_000_000.0
_START = datetime.fromtimestamp(_BEGAN, UTC)
_MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Where is it?"},
]


def _step(kind: str = "llm_call", at: float = 0.0, ms: float = 10.0, **fields: Any) -> TraceStep:
    return TraceStep(kind, _BEGAN + at, ms, **fields)


def _run(run_id: str, *steps: TraceStep, start_time: float = _BEGAN, **fields: Any) -> AgentTrace:
    return AgentTrace([*steps], start_time, run_id, **fields)


def detailed_runs() -> list[AgentTrace]:
    """Runs that say of themselves what others leave to their metadata and steps."""
    failed = _step("tool_execution", 1, tool_name="search", error="Timeout")
    return [
        _run(
            "own",
            _step(input=_MESSAGES, output={"role": "assistant", "content": "In Rome."}),
            _step("tool_execution", 1.5, 500.0, tool_name="search"),
            name="refund",
            input="Where is my parcel?",
            output="In Rome",
            session_id="s-1",
            user_id="alice",
            agent="support",
            tags=["paid", "eu"],
            outcome="ok",
        ),
        _run(
            "told",
            _step(input=_MESSAGES, output={"role": "assistant", "content": "In Rome."}),
            metadata={
                "workflow_name": "refund", "thread_id": "s-1", "user": "alice",
                "agent_name": "support", "tags": ["eu"],
            },
        ),
        _run("failed", failed, _step("tool_execution", 2, tool_name="other")),
        _run("mended", failed, _step("tool_execution", 2, tool_name="search")),
        _run("answered", failed, _step(at=2), session_id="s-2", tags=["eu"]),
        _run("broken", _step(), _step("error", 60, error="ValueError: x"), name="nightly"),
        _run("stopped", _step(), _step("cancelled", 1), user_id="bob"),
        _run("waiting", _step("graph_interrupt", 1, interrupt_key="ok?")),
        _run("resumed", _step("graph_interrupt", 1), _step("graph_resume", 2)),
        _run("killed", _step(), metadata={"unfinished": True}),
        _run("odd", name="", outcome="lost", tags=[]),
        _run("timeless", TraceStep("llm_call", 0.0, 7.0), start_time=0.0),
        _run("later", _step(at=90), start_time=_BEGAN + 90),
        _run("long", _step(ms=10), end_time=_BEGAN + 40.5),
    ]  # fmt: skip


_SECOND = timedelta(seconds=1)
_EAST = timezone(timedelta(hours=9))

QUESTIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({"name": "refund"}, {"own", "told"}),
    ({"name": ""}, {"odd"}),
    ({"name": "Refund"}, set()),
    ({"session_id": "s-1"}, {"own", "told"}),
    ({"user_id": "alice"}, {"own", "told"}),
    ({"agent": "support"}, {"own", "told"}),
    ({"tags": ["eu"]}, {"own", "told", "answered"}),
    ({"tags": ("eu", "paid")}, {"own"}),
    ({"tags": {"paid", "us"}}, set()),
    ({"tags": ["eu"], "session_id": "s-2"}, {"answered"}),
    ({"outcome": "error"}, {"failed", "broken"}),
    ({"outcome": "cancelled"}, {"stopped"}),
    ({"outcome": "interrupted"}, {"waiting"}),
    ({"outcome": "unfinished"}, {"killed"}),
    ({"outcome": "lost"}, {"odd"}),
    (
        {"outcome": "ok"},
        {"own", "told", "mended", "answered", "resumed", "timeless", "later", "long"},
    ),
    ({"has_error": True, "outcome": "ok"}, {"mended", "answered"}),
    ({"started_since": _START + _SECOND}, {"later"}),
    ({"started_since": _START.astimezone(_EAST) + 90 * _SECOND}, {"later"}),
    ({"started_until": _START - _SECOND}, set()),
    ({"started_since": _START, "started_until": _START, "name": "nightly"}, {"broken"}),
    ({"min_wall_ms": 60_000}, {"broken"}),
    ({"min_wall_ms": 2000, "max_wall_ms": 2000}, {"own"}),
    ({"min_wall_ms": 40_500, "max_wall_ms": 40_500}, {"long"}),
    ({"max_wall_ms": 10}, {"told", "killed", "odd", "later"}),
    ({"max_wall_ms": float("inf"), "started_until": _START, "outcome": "lost"}, {"odd"}),
]


class DetailChecks(Backend):
    """Checks of a run's own fields: kept, summarised, asked for."""

    async def test_a_runs_own_fields_are_kept(self, caller: StoreCaller) -> None:
        (trace, *_) = detailed_runs()
        await caller.save(trace)
        loaded = await caller.load("own")
        assert loaded.to_dict() == trace.to_dict()
        assert loaded.steps[0].input == _MESSAGES
        assert loaded.tags == ["paid", "eu"]

    async def test_summaries_tell_of_them(self, caller: StoreCaller) -> None:
        await self.save_all(caller, detailed_runs()[:2])
        reported, own = await caller.list()
        for summary in (reported, own):
            assert (summary.name, summary.session_id, summary.user_id, summary.agent) == (
                "refund", "s-1", "alice", "support",
            )  # fmt: skip
            assert (summary.outcome, summary.started_at) == ("ok", _START)
        assert (own.input, own.output, own.tags) == (
            "Where is my parcel?", "In Rome", ["paid", "eu"],
        )  # fmt: skip
        assert (reported.input, reported.output, reported.tags) == (
            "Where is it?",
            "In Rome.",
            ["eu"],
        )
        assert (own.wall_ms, own.total_ms) == (2000, 510)
        own.tags.append("mallory")
        assert (await caller.list())[1].tags == ["paid", "eu"]

    async def test_long_texts_are_shortened_in_summaries(self, caller: StoreCaller) -> None:
        await caller.save(_run("long", input="é" * 5000, output={"a": ["x" * 5000]}))
        (summary,) = await caller.list()
        assert summary.input == "é" * 199 + "…"
        assert summary.output is not None
        assert len(summary.output) == 200
        assert (await caller.load("long")).output == {"a": ["x" * 5000]}

    async def test_what_nothing_tells_is_not_known(self, caller: StoreCaller) -> None:
        await self.save_all(
            caller, [_run("bare"), _run("timeless", _step(at=-_BEGAN), start_time=0)]
        )
        timeless, bare = await caller.list()
        assert (bare.name, bare.input, bare.session_id, bare.tags) == (None, None, None, [])
        assert (bare.outcome, bare.wall_ms, bare.started_at) == ("ok", 0.0, _START)
        assert (timeless.started_at, timeless.wall_ms) == (None, None)

    async def test_fields_of_another_type_are_kept(self, caller: StoreCaller) -> None:
        with all_cases() as case:
            for odd in (5, True, 1.5, [], {}, {"a": [None]}, ["x"], "\ud800", "a\0b"):
                with case(odd):
                    await self._check_odd_fields(caller, odd)

    async def _check_odd_fields(self, caller: StoreCaller, odd: Any) -> None:
        names = ("name", "input", "output", "session_id", "user_id", "agent", "tags", "outcome")
        await caller.save(_run("odd", _step(input=odd, output=odd), **dict.fromkeys(names, odd)))
        await caller.save(_run("even"))
        loaded = await caller.load("odd")
        assert [getattr(loaded, name) for name in names] == [odd] * len(names)
        assert (loaded.steps[0].input, loaded.steps[0].output) == (odd, odd)
        assert [summary.run_id for summary in await caller.list()] == ["even", "odd"]

    async def test_query_by_them(self, caller: StoreCaller) -> None:
        await self.save_all(caller, detailed_runs())
        with all_cases() as case:
            for fields, expected in QUESTIONS:
                with case(fields):
                    assert set(await caller.ids(TraceFilter(**fields))) == expected


class DetailCountChecks(Backend):
    """Checks that counts ask for a run's own fields too."""

    async def test_count_by_a_runs_own_fields(self, caller: StoreCaller) -> None:
        await caller.save_many(detailed_runs())
        for fields, expected in QUESTIONS:
            assert await caller.count(TraceFilter(**fields)) == len(expected), fields
