"""A chat model of the real LangChain that needs no network: it follows a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from pydantic import PrivateAttr

USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "total_tokens": 120,
    "input_token_details": {"cache_read": 64, "cache_creation": 8},
    "output_token_details": {"reasoning": 5},
}
CALLS = [
    {"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"},
    {"name": "broken", "args": {"part": "gear"}, "id": "c2", "type": "tool_call"},
]
FLAKY = [TimeoutError("try again"), CALLS, "Rain, and the gear is broken."]
"""Two tools, of which one fails, after a retry."""


class Scripted(BaseChatModel):
    """Answers the n-th call after a question with the n-th turn; an exception is raised once."""

    turns: list[Any]
    _raised: set[int] = PrivateAttr(default_factory=set)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop=None, **kwargs):
        return {**super()._get_ls_params(stop=stop, **kwargs), "ls_model_name": "scripted-1"}

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        message = self._next(messages)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs) -> Iterator[Any]:
        message = self._next(messages)
        words = [AIMessageChunk(word) for word in message.content.split(" ") if word]
        calls = [
            {"name": c["name"], "args": str(c["args"]).replace("'", '"'), "id": c["id"], "index": n}
            for n, c in enumerate(message.tool_calls)
        ]
        last = AIMessageChunk(
            "",
            tool_call_chunks=calls,
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
        )
        for chunk in [*words, last]:
            piece = ChatGenerationChunk(message=chunk)
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.content), chunk=piece)
            yield piece

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        asked = max(n for n, message in enumerate(messages) if message.type == "human")
        taken = sum(message.type == "ai" for message in messages[asked:])
        answers = [n for n, turn in enumerate(self.turns) if not isinstance(turn, BaseException)]
        at = answers[taken] if taken < len(answers) else len(self.turns)
        before = self.turns[at - 1] if at else None
        if isinstance(before, BaseException):
            with self._lock:
                first, _ = at not in self._raised, self._raised.add(at)
            if first or at == len(self.turns):
                raise type(before)(*before.args)
        turn = self.turns[at]
        return AIMessage(
            turn if isinstance(turn, str) else "",
            tool_calls=[] if isinstance(turn, str) else turn,
            usage_metadata=USAGE,
            response_metadata={
                "model_name": "scripted-1-0101",
                "finish_reason": "stop",
                "token_usage": {"cost": 0.0025},
            },
            additional_kwargs={"reasoning_content": "Let me think."},
        )


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


@tool
def broken(part: str) -> str:
    """Fails."""
    raise LookupError(f"no spare {part}")
