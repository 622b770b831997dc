"""What a run of a LangChain agent costs more with our handlers, and with LangChain's own tracer.

The agent calls a model twice and two tools; the model answers at once. LangChain's tracer feeds the
real LangSmith client, of which only the HTTP session is replaced by one that sends nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import requests
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_core.tracers import LangChainTracer
from langsmith import Client

from benchmarks.integrations.rounds import TimedStore, blocking, in_a_loop, show, show_save
from selectools_observe import AsyncInMemoryTraceStore, AsyncSQLiteTraceStore, InMemoryTraceStore
from selectools_observe.integrations.langchain import (
    AsyncTraceCallbackHandler,
    TraceCallbackHandler,
)

QUESTION = {"messages": [("user", "How is it?")]}
USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
CALLS = [
    {"name": "weather", "args": {"city": city}, "id": city, "type": "tool_call"}
    for city in ("Oslo", "Rome")
]


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


class Model(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        return self

    def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
        answered = any(message.type == "tool" for message in messages)
        message = AIMessage(
            "Rain." if answered else "",
            tool_calls=[] if answered else CALLS,
            usage_metadata=USAGE,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: Any, *what: Any, **more: Any) -> ChatResult:
        return self._generate(messages, *what, **more)


class NoSession(requests.Session):
    """Says that all was received."""

    def request(self, *_: Any, **__: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = 202
        return response


def own_tracer() -> LangChainTracer:
    client = Client(api_url="http://localhost:1", api_key="none", session=NoSession(), info={})
    return LangChainTracer(client=client)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    agent = create_agent(Model(), [weather])

    def invoking(callbacks: dict[str, list[Any]]) -> dict[str, Any]:
        variants = {"no callbacks": [], **callbacks}
        return {
            name: (lambda given=given: agent.invoke(QUESTION, {"callbacks": given}))
            for name, given in variants.items()
        }

    def ainvoking(callbacks: dict[str, list[Any]]) -> dict[str, Any]:
        variants = {"no callbacks": [], **callbacks}
        return {
            name: (lambda given=given: agent.ainvoke(QUESTION, {"callbacks": given}))
            for name, given in variants.items()
        }

    with tempfile.TemporaryDirectory() as folder:
        database = TimedStore(Path(folder) / "blocking.db")
        ours = {
            "saved in memory": TraceCallbackHandler(InMemoryTraceStore()),
            "saved in memory, without contents": TraceCallbackHandler(
                InMemoryTraceStore(), contents=False
            ),
            "saved in SQLite, durability full": TraceCallbackHandler(database),
        }
        show("invoke", blocking(invoking({n: [h] for n, h in ours.items()}), rounds))
        show_save(database)
        aours = {
            "saved in memory": AsyncTraceCallbackHandler(AsyncInMemoryTraceStore()),
            "saved in SQLite, durability full": AsyncTraceCallbackHandler(
                AsyncSQLiteTraceStore(Path(folder) / "async.db")
            ),
        }
        show("ainvoke", in_a_loop(ainvoking({n: [h] for n, h in aours.items()}), rounds))
        database.close()
    # Apart: what its client does in the background would be charged to the others too.
    tracer = {"LangChain's tracer, nothing sent": [own_tracer()]}
    show("invoke", blocking(invoking(tracer), rounds))
    show("ainvoke", in_a_loop(ainvoking(tracer), rounds))
    return int(any(handler.failed for handler in [*ours.values(), *aours.values()]))


if __name__ == "__main__":
    sys.exit(main())
