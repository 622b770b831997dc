"""The kinds of trace the cases use."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator

from benchmarks.data.airline import airline_runs
from benchmarks.data.generate import SeededRuns, TraceDict, as_trace

TRACES_PER_USER = 50
"""At any store size, so that one user's query returns the same number of rows."""

_STEPS = 10
_LOW, _HIGH = 5_500, 6_500
_STRIDE = 3
_ENVIRONMENTS = ("production", "staging", "development")
_SHARES = (60, 30, 10)


def json_size(trace: TraceDict) -> int:
    """Bytes of the trace's own JSON in its most compact form."""
    return len(json.dumps(trace, separators=(",", ":"), ensure_ascii=False).encode())


def ten_step_6kb() -> tuple[TraceDict, ...]:
    """Ten-step traces of 5.5 to 6.5 KB: windows cut from the airline runs."""
    return _ten_step_pool()


@functools.cache
def _ten_step_pool() -> tuple[TraceDict, ...]:
    windows = (window for run in airline_runs() for window in _windows(run))
    return tuple(window for window in windows if _LOW <= json_size(window) <= _HIGH)


def _windows(run: TraceDict) -> Iterator[TraceDict]:
    steps = run["steps"]
    for start in range(0, len(steps) - _STEPS + 1, _STRIDE):
        cut = steps[start : start + _STEPS]
        yield as_trace(run["run_id"], run["start_time"], cut, run["metadata"])


def fresh(pool: tuple[TraceDict, ...], count: int, seed: int) -> list[TraceDict]:
    """``count`` traces from the pool, in turn, each under a run id of its own."""
    ids = SeededRuns(seed)
    return [{**pool[n % len(pool)], "run_id": ids.run_id()} for n in range(count)]


def user_name(number: int) -> str:
    """The user whose traces a scale query asks for."""
    return f"user_{number:07}"


def small_traces(start: int, stop: int) -> Iterator[TraceDict]:
    """Rows ``start`` to ``stop`` of a big store: two short steps, about 550 bytes of JSON each.

    Every user has ``TRACES_PER_USER`` of them, spread evenly from ``start`` to ``stop``; ``env``
    is the key of low cardinality. Run ids are random, so they arrive in no order.
    """
    rng = random.Random(start)
    ids = SeededRuns(1_000_003 + start)
    first, users = start // TRACES_PER_USER, max(1, (stop - start) // TRACES_PER_USER)
    for row in range(start, stop):
        user = user_name(first + (row - start) % users)
        yield _small(ids.run_id(), row, user, rng)


def _small(run_id: str, row: int, user: str, rng: random.Random) -> TraceDict:
    started = 1_715_800_000.0 + row
    tool = {"tool_name": "get_user_details", "tool_args": {"user_id": user}}
    steps = [
        _small_step("llm_call", started, rng, model="gpt-4o", reasoning="I will look you up."),
        _small_step("tool_execution", started + 1, rng, **tool, tool_result='{"found": true}'),
    ]
    metadata = {
        "source": "generated",
        "env": rng.choices(_ENVIRONMENTS, _SHARES)[0],
        "agent_model": "gpt-4o",
        "task_id": row % 50,
        "trial": row % 4,
        "reward": float(row % 3 == 0),
        "user_id": user,
    }
    return as_trace(run_id, started, steps, metadata)


def _small_step(kind: str, at: float, rng: random.Random, **fields: object) -> dict[str, object]:
    return {
        "type": kind,
        "timestamp": at,
        "duration_ms": round(rng.uniform(20, 500), 1),
        **fields,
    }


def big_with_many_steps(size: int) -> TraceDict:
    """One run whose JSON is about ``size`` bytes, made of steps of ordinary length."""
    source = SeededRuns(11)
    sample = source.run(0, 500)
    return source.run(1, max(1, size * 500 // json_size(sample)))


def big_string(size: int) -> TraceDict:
    """One run of ten steps, one of which carries a single string of ``size`` bytes."""
    run = SeededRuns(12).run(0, _STEPS)
    text = "The agent read this page of the archive, and then the next one. "
    run["steps"][-1]["tool_result"] = text * (size // len(text))
    return run
