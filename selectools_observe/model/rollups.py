"""What the calls of a run add up to, by model and by tool: a pure function of the trace.

Kept next to a run, it answers statistics without the trace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import msgspec

from .trace import AgentTrace, StepType, TraceStep

_LARGEST_COUNT = 2**63 - 1  # as in summaries


class CallRollup(msgspec.Struct, array_like=True, gc=False):
    """The calls of one model or tool in one run.

    Attributes:
        name: The model or the tool.
        calls: How many steps.
        errors: How many of them failed.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens written.
        durations: Milliseconds of each call.
        tokens: Tokens of each call, both ways; empty if no call has any.
        costs: US dollars of each call whose cost is known.
    """

    name: str
    calls: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    durations: list[float] = []
    tokens: list[int] = []
    costs: list[float] = []

    def _add(self, step: TraceStep) -> None:
        prompt, completion = whole(step.prompt_tokens), whole(step.completion_tokens)
        self.calls += 1
        self.errors += has_failed(step)
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.durations.append(number(step.duration_ms))
        if prompt or completion:
            self.tokens.append(prompt + completion)
        if step.cost_usd is not None:
            self.costs.append(number(step.cost_usd))


class Rollup(msgspec.Struct, array_like=True, gc=False):
    """A run's calls, by model and by tool. Selecting a tool is no call."""

    models: list[CallRollup] = []
    tools: list[CallRollup] = []


def rollup_of(trace: AgentTrace) -> Rollup:
    """What the calls of a run add up to."""
    return Rollup(
        _calls((step.model, step) for step in trace.steps if step.model is not None),
        _calls(
            (step.tool_name, step)
            for step in trace.steps
            if step.tool_name is not None and is_call_of_tool(step.type)
        ),
    )


def _calls(named: Iterable[tuple[object, TraceStep]]) -> list[CallRollup]:
    calls: dict[str, CallRollup] = {}
    for name, step in named:
        text = str(name)
        if text not in calls:
            calls[text] = CallRollup(text)
        calls[text]._add(step)  # noqa: SLF001 - its own module
    return list(calls.values())


def is_call_of_tool(step_type: str) -> bool:
    """Whether a step of this type that names a tool calls it."""
    return step_type != StepType.TOOL_SELECTION


class FailingStep(Protocol):
    """The part of a step that says whether it failed."""

    @property
    def type(self) -> str: ...
    @property
    def error(self) -> object: ...


def has_failed(step: FailingStep) -> bool:
    """Whether a step is of type ``error`` or carries an error's text."""
    return step.type == StepType.ERROR or step.error is not None


def number(value: object) -> float:
    """A quantity of a step as a finite number; 0 for what is none."""
    if isinstance(value, int | float):
        try:
            found = float(value)
        except OverflowError:
            return 0.0
        return found if math.isfinite(found) else 0.0
    return 0.0


def whole(value: object) -> int:
    """A count of a step as an integer; 0 for what is none."""
    count = value if isinstance(value, int) else int(number(value))
    return max(-_LARGEST_COUNT, min(count, _LARGEST_COUNT))
