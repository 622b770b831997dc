"""The calls of a run as they are stored, without making a trace of its JSON: most of a run is text
that no statistics ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import inf, nan
from typing import NamedTuple, TypeAlias

import msgspec

from .amounts import Number
from .codec import decode
from .facets import facts_of
from .rollups import has_failed, is_call_of_tool, number, whole
from .trace import AgentTrace, StepType, TraceFacts, TraceStep

_SMALL = 2**31
_STEPS = frozenset({TraceStep})
_TEXTS = frozenset({str, type(None)})

Call: TypeAlias = tuple[bool, float, int, int, float]
"""Whether it failed, milliseconds, tokens sent and written, US dollars (no number: unknown)."""

NamedCalls: TypeAlias = list[tuple[str, Call]]
"""Calls, each with the name of what was called."""

GroupedCalls: TypeAlias = tuple[list[tuple[str, list[Call]]], list[tuple[str, list[Call]]]]
"""By the name of the model its calls, and the same of tools."""


class StoredCalls(NamedTuple):
    """What statistics and facets ask of the steps of a run.

    Attributes:
        models: The name of each call's model, and the call.
        tools: The same of tools; selecting one is no call.
        facts: What filters ask of them.
    """

    models: NamedCalls
    tools: NamedCalls
    facts: TraceFacts


class _Step(msgspec.Struct, gc=False):
    type: str
    timestamp: Number = 0.0
    duration_ms: Number = 0.0
    tool_name: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Number | None = None
    error: str | None = None
    request_model: str | None = None
    response_model: str | None = None


StepOfCall: TypeAlias = _Step | TraceStep
"""A step of a run that was read, at least what it says of calls."""


class _Run(msgspec.Struct, gc=False):
    run_id: str
    start_time: Number
    steps: list[_Step]
    parent_run_id: str | None = None


_decoder = msgspec.json.Decoder(_Run)


def stored_calls(data: bytes) -> StoredCalls | None:
    """The calls of a run, and facts of it; None if it cannot be read."""
    run = _read(data)
    if run is None:
        return None
    if isinstance(run, AgentTrace):
        return StoredCalls(*_calls_of(run.steps), facts_of(run))
    steps = run.steps
    failed = [step for step in steps if has_failed(step)]
    names = *_names(steps), *(_names(failed) if failed else ())
    return StoredCalls(*_calls_of(steps), TraceFacts(run.parent_run_id, bool(failed), *names))


def calls_alone(data: bytes) -> GroupedCalls | None:
    """The calls of the models and of the tools of a run; None if it cannot be read."""
    run = _read(data)
    if run is None:
        return None
    models, tools = _calls_of(run.steps)
    return _grouped(models), _grouped(tools)


def stored_steps(data: bytes) -> Sequence[StepOfCall]:
    """The steps of a run, as far as they tell of calls; none if it cannot be read."""
    run = _read(data)
    return () if run is None else run.steps


def steps_at_hand(trace: object) -> Sequence[TraceStep] | None:
    """The steps of a trace that is being saved; None of an object that only has its shape."""
    if type(trace) is AgentTrace and _STEPS.issuperset(map(type, trace.steps)):
        return trace.steps
    return None


def calls_at_hand(trace: object) -> GroupedCalls | None:
    """The calls of a trace that is being saved; None if what is stored may be something else."""
    steps = steps_at_hand(trace)
    if steps is None:
        return None
    models: dict[str, list[Call]] = {}
    tools: dict[str, list[Call]] = {}
    for step in steps:
        model, tool = step.model, step.tool_name
        if model is None and tool is None:
            continue
        call = _plain_call(step)
        if call is None or model.__class__ not in _TEXTS or tool.__class__ not in _TEXTS:
            return None
        if model is not None:
            _add(models, model, call)
        if tool is not None and is_call_of_tool(step.type):
            _add(tools, tool, call)
    return list(models.items()), list(tools.items())


def _add(found: dict[str, list[Call]], name: str, call: Call) -> None:
    if name in found:
        found[name].append(call)
    else:
        found[name] = [call]


def _grouped(calls: NamedCalls) -> list[tuple[str, list[Call]]]:
    found: dict[str, list[Call]] = {}
    for name, call in calls:
        _add(found, name, call)
    return list(found.items())


def _read(data: bytes) -> _Run | AgentTrace | None:
    with suppress(msgspec.MsgspecError, RecursionError):
        return _decoder.decode(data)
    try:
        trace: AgentTrace = decode(data)
    except ValueError:
        return None
    return trace


def _calls_of(steps: Sequence[StepOfCall]) -> tuple[NamedCalls, NamedCalls]:
    models: NamedCalls = []
    tools: NamedCalls = []
    for step in steps:
        if step.model is not None:
            models.append((str(step.model), _call(step)))
        if step.tool_name is not None and is_call_of_tool(step.type):
            tools.append((str(step.tool_name), _call(step)))
    return models, tools


def _names(steps: list[_Step]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The types, tools and models that occur."""
    return (
        frozenset([step.type for step in steps]),
        frozenset([step.tool_name for step in steps if step.tool_name is not None]),
        frozenset(_model_names(steps)),
    )


def _model_names(steps: list[_Step]) -> Iterator[str]:
    for step in steps:
        if step.model is not None:
            yield step.model
        if step.type == "llm_call":
            for name in (step.request_model, step.response_model):
                if name is not None:
                    yield name


def _call(step: StepOfCall) -> Call:
    took, cost = step.duration_ms, step.cost_usd
    return (
        step.error is not None or has_failed(step),
        took if took.__class__ is float else number(took),
        _tokens(step.prompt_tokens),
        _tokens(step.completion_tokens),
        nan if cost is None else number(cost),
    )


def _plain_call(step: TraceStep) -> Call | None:
    """The call of a step, if all that it says is stored as it is."""
    took, cost, error = step.duration_ms, step.cost_usd, step.error
    sent, written = step.prompt_tokens, step.completion_tokens
    if (
        took.__class__ is float
        and -inf < took < inf
        and (sent is None or (sent.__class__ is int and -_SMALL < sent < _SMALL))
        and (written is None or (written.__class__ is int and -_SMALL < written < _SMALL))
        and (cost is None or (cost.__class__ is float and -inf < cost < inf))
        and error.__class__ in _TEXTS
    ):
        failed = error is not None or step.type is StepType.ERROR
        return failed, took, sent or 0, written or 0, nan if cost is None else cost
    return None


def _tokens(count: int | None) -> int:
    if count is None:
        return 0
    return count if count.__class__ is int and -_SMALL < count < _SMALL else whole(count)
