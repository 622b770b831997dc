"""What is new in each model call of a run: a call repeats what was said before it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..model.json_values import canonical, plain
from ..model.messages import (
    Message,
    Part,
    RawPart,
    ReasoningPart,
    StepMessages,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    messages_of,
)
from ..model.trace import TraceStep


class NewMessages:
    """Reads the steps of one run in order and tells what each of them adds to what was said.

    What stands at the head of a step's ``input`` as it did in the call before, of the same graph
    node if there was one, is history. So is an answer or a result that was said already.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._last: list[Any] = []  # the messages of the last call, as they are stored
        self._last_of: dict[object, list[Any]] = {}  # the same by graph node

    def of(self, step: TraceStep) -> StepMessages:
        """What the step was given that is new, and all that came of it."""
        rest, goes_on = self._without_history(step)
        given, answered = messages_of(rest)
        # Behind a shared history, a person who says the same again says it again; an answer
        # or a result stands there already.
        new = [
            message
            for message in given
            if self.add(message) or (goes_on and message.role in {"user", "system"})
        ]
        for message in answered:
            self.add(message)
        return StepMessages(new, answered)

    def add(self, message: Message) -> bool:
        """Take a message as said; whether it is said for the first time."""
        key = _key_of(message)
        is_new = key not in self._said
        self._said.add(key)
        return is_new

    def _without_history(self, step: TraceStep) -> tuple[TraceStep, bool]:
        """The step without the messages that the call before it had too; whether there are any."""
        given = step.input
        if not isinstance(given, list):
            return step, False
        node = step.node_name if isinstance(step.node_name, str) else None
        before = self._last_of.get(node, self._last)
        self._last = self._last_of[node] = given
        shared = _shared(before, given)
        # What is left of a list may not look like one of messages any more: nothing is.
        return msgspec.structs.replace(step, input=given[shared:] or None), shared > 0


def _shared(before: list[Any], given: list[Any]) -> int:
    """How many messages both begin with; nearly always all that were there before."""
    if given[: len(before)] == before:
        return len(before)
    pairs = enumerate(zip(before, given, strict=False))
    unlike = (at for at, (one, other) in pairs if one is not other and one != other)
    return next(unlike, min(len(before), len(given)))


def _key_of(message: Message) -> str:
    """What tells one message from another, whichever way it was captured."""
    return canonical([message.role, [_bare(part) for part in message.parts]])


def _bare(part: Part) -> Any:
    if isinstance(part, ToolCallPart):
        return ["call", part.id or part.name, None if part.id else plain(part.arguments)]
    if isinstance(part, ToolResultPart):
        return ["result", part.id or part.name, None if part.id else plain(part.response)]
    if isinstance(part, RawPart):
        return ["raw", plain(part.value)]
    if isinstance(part, TextPart | ReasoningPart):
        return [part.__class__.__name__, part.content]
    return plain(msgspec.to_builtins(part))
