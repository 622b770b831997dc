"""Agents of the real selectools that need no network: their model follows a script."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from selectools import Agent, AgentConfig, Message, Role, ToolCall, UsageStats, tool
from selectools.providers.base import Provider, ProviderError

Turn = Any
"""An answer, a list of tool calls, or an exception to raise."""

FLAKY = [
    ProviderError("429, try again"),
    [("weather", {"city": "Oslo"}), ("broken", {"part": "gear"})],
    "Rain, and the gear is broken.",
]
"""Two tools, of which one fails, after a retry."""


class Scripted(Provider):
    """Answers each agent's n-th call with the n-th turn; a new conversation begins anew."""

    name = "scripted"
    supports_async = True

    def __init__(self, turns: Sequence[Turn], *, streaming: bool = False) -> None:
        self.turns = turns
        self.supports_streaming = streaming
        self._failed: set[int] = set()
        self._lock = threading.Lock()

    def complete(self, *, model, messages, **_):
        return self._next(model, messages)

    async def acomplete(self, *, model, messages, **_):
        await asyncio.sleep(0)
        return self._next(model, messages)

    def stream(self, *, model, messages, **_):
        yield from self._pieces(model, messages)

    async def astream(self, *, model, messages, **_):
        for piece in self._pieces(model, messages):
            await asyncio.sleep(0)
            yield piece

    def _pieces(self, model, messages):
        message, _ = self._next(model, messages)
        yield from message.content.split(" ") if message.content else ()
        yield from message.tool_calls or ()

    def _next(self, model: str, messages: Sequence[Message]) -> tuple[Message, UsageStats]:
        asked = max(at for at, message in enumerate(messages) if message.role == Role.USER)
        taken = sum(message.role == Role.ASSISTANT for message in messages[asked:])
        answers = [turn for turn in self.turns if not isinstance(turn, Exception)]
        failure = self._failure_before(taken, id(messages))
        if failure is not None:
            raise type(failure)(*failure.args)
        # An AgentRouter mixes the conversations of requests at once: then it is the last turn.
        turn = answers[min(taken, len(answers) - 1)]
        usage = UsageStats(
            100 + taken, 20, 120 + taken, 0.0025, model, "scripted", cache_read_input_tokens=64
        )
        if isinstance(turn, str):
            return Message(role=Role.ASSISTANT, content=turn), usage
        calls = [ToolCall(*call, id=f"{taken}-{n}") for n, call in enumerate(turn)]
        return Message(role=Role.ASSISTANT, content="", tool_calls=calls), usage

    def _failure_before(self, taken: int, conversation: int) -> Exception | None:
        """The exception that stands before this turn, once a conversation."""
        at = [n for n, turn in enumerate(self.turns) if not isinstance(turn, Exception)]
        before = at[taken] - 1 if taken < len(at) else len(self.turns) - 1
        if before < 0 or not isinstance(self.turns[before], Exception):
            return None
        with self._lock:
            if taken < len(at) and conversation in self._failed:
                return None
            self._failed.add(conversation)
        return self.turns[before]


@tool()
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@tool()
def broken(part: str) -> str:
    """Fails."""
    raise LookupError(f"no spare {part}")


class Gate:
    """A tool that waits until it is let go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        entered, opened = self.entered, self.open

        @tool()
        async def gate(name: str) -> str:
            """Wait."""
            entered.set()
            await opened.wait()
            return f"{name} went through"

        self.tool = gate


def agent(
    turns: Sequence[Turn], *observers: Any, tools: Sequence[Any] = (), streaming=False, **config
) -> Agent:
    settings = {
        "max_retries": 1,
        "retry_backoff_seconds": 0,
        "rate_limit_cooldown_seconds": 0,
        "trace_metadata": {"user": "ada"},
        **config,
    }
    return Agent(
        tools=[weather, broken, *tools],
        provider=Scripted(turns, streaming=streaming),
        config=AgentConfig(model="scripted-1", observers=list(observers), **settings),
    )
