"""The messages of a step: those it was given, and those that came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..json_values import canonical
from ..trace import StepType, TraceStep
from .formats import messages_from, system_message
from .message import Message, ReasoningPart, TextPart


class StepMessages(NamedTuple):
    """The messages of a model call.

    Attributes:
        input: What the model was given, the system prompt first.
        output: What it answered.
    """

    input: list[Message]
    output: list[Message]


def messages_of(step: TraceStep) -> StepMessages:
    """The messages of a step in one shape, also of runs that were captured before steps had any.

    In this order: the step's ``input`` and ``output``; fields of the same names that a capture by
    OpenTelemetry or LangChain left in ``extra``; for a model call of selectools, ``reasoning``,
    which is its answer. A step that has none gives two empty lists.
    """
    extra = step.extra or {}
    given = _first(getattr(step, "input", None), extra, "input", "inputs", "messages", "prompt")
    came = _first(getattr(step, "output", None), extra, "output", "outputs", "response")
    asked = [*_instructions(given, extra), *messages_from(given, "user")]
    answered = messages_from(came, "assistant")
    if step.reasoning:
        answered = _with_reasoning(step, answered)
    return StepMessages(asked, answered)


def _first(own: Any, extra: Mapping[str, Any], *names: str) -> Any:
    if own is not None:
        return own
    return next((extra[name] for name in names if extra.get(name) is not None), None)


def _instructions(given: object, extra: Mapping[str, Any]) -> Iterable[Message]:
    """Instructions that stand next to the messages, unless the messages have them."""
    if isinstance(given, Mapping):
        return ()  # a request that brings its own
    return system_message(extra.get("system_instructions"))


def _with_reasoning(step: TraceStep, answered: list[Message]) -> list[Message]:
    """A step's ``reasoning`` is the answer where there is no other, or what came before it."""
    told = step.reasoning
    reasoning = told if isinstance(told, str) else canonical(told)  # a file may hold anything
    if not answered:
        said = TextPart if step.type == StepType.LLM_CALL else ReasoningPart
        return [Message("assistant", [said(content=reasoning)])]
    parts = [part for message in answered for part in message.parts]
    texts = {part.content for part in parts if isinstance(part, TextPart | ReasoningPart)}
    thoughts = [part.content for part in parts if isinstance(part, ReasoningPart) and part.content]
    if reasoning not in {*texts, "\n".join(thoughts)}:
        answered[0].parts.insert(0, ReasoningPart(content=reasoning))
    return answered
