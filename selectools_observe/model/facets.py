"""What filters and summaries tell of a trace's steps, by what of them is stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .amounts import Number, is_finite, total_of
from .json_values import plain
from .shapes import SummarizedStep
from .trace import AgentTrace, StepType, TraceFacts, TraceStep, TraceUsage

_OTHER_MODELS = ("request_model", "response_model")
_LARGEST = 2**63 - 1  # that a database's integer holds
_INTEGERS = frozenset({int})
_FLOATS = frozenset({float})
_STRINGS = frozenset({str})
_NONE: frozenset[str] = frozenset()


def facts_of(trace: AgentTrace) -> TraceFacts:
    """What filters ask of a trace beyond its summary."""
    return StepScan(trace.steps).facts(trace.parent_run_id)


class StepScan:
    """What one pass over the steps of a run collects: facts, sums and details are made of it.

    Attributes:
        types: The types that occur.
        failed: The steps of type ``error``, and those that carry an error.
        has_input: Whether some step has an input.
        has_output: Whether some step has an output.
    """

    __slots__ = (
        "_completion_tokens", "_cost_usd", "_costs", "_models", "_prompt_tokens", "_tools",
        "failed", "has_input", "has_output", "types",
    )  # fmt: skip

    def __init__(self, steps: Sequence[TraceStep]) -> None:  # noqa: C901 - once a field
        self.failed: list[TraceStep] = []
        self.has_input = self.has_output = False
        tools: list[Any] = []
        models: list[Any] = []
        prompt_tokens: list[Number] = []
        completion_tokens: list[Number] = []
        costs: list[Number] = []
        kinds: set[StepType] = set()
        for step in steps:
            kind = step.type
            kinds.add(kind)
            if step.tool_name is not None:
                tools.append(step.tool_name)
            if step.model is not None:
                models.append(step.model)
            if step.prompt_tokens is not None:
                prompt_tokens.append(step.prompt_tokens)
            if step.completion_tokens is not None:
                completion_tokens.append(step.completion_tokens)
            if step.cost_usd is not None:
                costs.append(step.cost_usd)
            if kind == "error" or (step.error is not None and is_set(step.error)):
                self.failed.append(step)
            if step.input is not None:
                self.has_input = True
            if step.output is not None:
                self.has_output = True
            if step.extra and kind == "llm_call":  # what was asked for, and what answered
                models += [step.extra[name] for name in _OTHER_MODELS if name in step.extra]
        self.types = {str.__str__(kind) for kind in kinds}
        self._tools, self._models = tools, models
        self._prompt_tokens, self._completion_tokens = prompt_tokens, completion_tokens
        self._costs, self._cost_usd = costs, _dollars(costs) if costs else 0.0

    def facts(self, parent_run_id: object) -> TraceFacts:
        """What filters ask of the run, by what is stored, which may differ from what was given."""
        failed = StepScan(self.failed).names() if self.failed else ()
        parent = None if parent_run_id is None else next(iter(_texts([parent_run_id])), None)
        return TraceFacts(parent, bool(self.failed), *self.names(), *failed)

    def names(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """The types, tools and models that occur."""
        return (
            _texts(self.types),
            _texts(self._tools) if self._tools else _NONE,
            _texts(self._models) if self._models else _NONE,
        )

    @property
    def is_free(self) -> bool:
        """Whether some step says what it cost, and all that do say nothing."""
        return bool(self._costs) and not self._cost_usd and any(map(is_finite, self._costs))

    def usage(self) -> TraceUsage:
        """The sums of tokens and costs; what is no finite number counts as 0."""
        return TraceUsage(
            _whole(self._prompt_tokens) if self._prompt_tokens else 0,
            _whole(self._completion_tokens) if self._completion_tokens else 0,
            self._cost_usd,
        )


def is_free_of(steps: Sequence[Any]) -> bool:
    """Whether some step says what it cost, and all that do say nothing."""
    reported = [step.cost_usd for step in steps if step.cost_usd is not None]
    return any(map(is_finite, reported)) and not _dollars(reported)


def has_error(steps: Sequence[SummarizedStep]) -> bool:
    """Whether some step is of type ``error`` or carries an error."""
    return "error" in {step.type for step in steps} or _some_error(steps)


def _some_error(steps: Sequence[SummarizedStep]) -> bool:
    return any([is_set(step.error) for step in steps if step.error is not None])


def usage_of(steps: Sequence[SummarizedStep]) -> TraceUsage:
    """The sums of tokens and costs; what is no finite number counts as 0."""
    return TraceUsage(
        _whole([step.prompt_tokens for step in steps if step.prompt_tokens is not None]),
        _whole([step.completion_tokens for step in steps if step.completion_tokens is not None]),
        _dollars([step.cost_usd for step in steps if step.cost_usd is not None]),
    )


def _whole(values: Sequence[Number]) -> int:
    if not _INTEGERS.issuperset(map(type, values)):
        values = [int(value) for value in values if is_finite(value)]
    total = int(sum(values))
    return total if -_LARGEST <= total <= _LARGEST else max(-_LARGEST, min(total, _LARGEST))


def _dollars(values: Sequence[Number]) -> float:
    if not values:
        return 0.0
    if not _FLOATS.issuperset(map(type, values)):
        values = [float(value) for value in values if is_finite(value)]
    return float(total_of(values))


def is_set(value: object) -> bool:
    """Whether an error is stored as more than null."""
    return value is not None and (value.__class__ is str or plain(value) is not None)


def _texts(values: Collection[Any]) -> frozenset[str]:
    """The strings among the values, as they are stored."""
    try:
        distinct = frozenset(values)
    except TypeError:  # some cannot be hashed
        return frozenset(filter(_is_text, map(plain, values)))
    if _STRINGS.issuperset(map(type, distinct)) and "".join(distinct).isascii():  # as most are
        return distinct
    return frozenset(filter(_is_text, map(plain, distinct)))


def _is_text(value: object) -> bool:
    return isinstance(value, str)
