"""Traces made from their run id and version alone, so that whoever reads one knows what it is."""

from __future__ import annotations

import random

from selectools_observe import AgentTrace, StepType, TraceStep

# Most runs are small; now and then one is larger than a page, a pipe or a batch.
_SIZES = (100, 100, 400, 400, 1500, 1500, 6000, 6000, 60_000)


def make(run_id: str, version: int = 1) -> AgentTrace:
    """The only trace that may ever be stored as this version of this run."""
    chance = random.Random(f"{run_id}/{version}")
    size = 400_000 if chance.random() < 0.005 else chance.choice(_SIZES)
    steps = [
        TraceStep(
            type=StepType.TOOL_EXECUTION if number % 2 else StepType.LLM_CALL,
            timestamp=float(number),
            duration_ms=chance.randrange(10_000) / 4,
            tool_name=f"tool{number % 3}" if number % 2 else None,
            summary=chance.randbytes(size // 10).hex(),
        )
        for number in range(5)
    ]
    metadata = {"version": version, "who": run_id.partition("-")[0]}
    return AgentTrace(steps=steps, start_time=1.0, run_id=run_id, metadata=metadata)


def version_of(trace: AgentTrace) -> int:
    return trace.metadata["version"]
