"""What a run of a selectools agent costs more with our observers.

The agent calls a model twice and two tools; the model answers at once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from selectools import Agent, AgentConfig, AgentObserver, Message, Role, ToolCall, UsageStats, tool
from selectools.observe import SQLiteTraceStore as TheirStore
from selectools.providers.base import Provider

from benchmarks.integrations.rounds import TimedStore, blocking, in_a_loop, show, show_save
from selectools_observe import AsyncInMemoryTraceStore, AsyncSQLiteTraceStore, InMemoryTraceStore
from selectools_observe.integrations.selectools import AsyncTraceSavingObserver, TraceSavingObserver


@tool()
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


class Model(Provider):
    name = "scripted"
    supports_streaming = False
    supports_async = True

    def complete(self, *, messages: Any, **_: Any) -> tuple[Message, UsageStats]:
        usage = UsageStats(100, 20, 120, 0.0025, "scripted", "scripted")
        if messages[-1].role == Role.TOOL:
            return Message(role=Role.ASSISTANT, content="Rain."), usage
        calls = [ToolCall("weather", {"city": city}, id=city) for city in ("Oslo", "Rome")]
        return Message(role=Role.ASSISTANT, content="", tool_calls=calls), usage

    async def acomplete(self, **given: Any) -> tuple[Message, UsageStats]:
        return self.complete(**given)


class ThePages(AgentObserver):
    """The observer that selectools' documentation shows, with its own store, made to work."""

    def __init__(self, store: TheirStore) -> None:
        self.store = store

    def on_run_end(self, _: str, result: Any) -> None:
        self.store.save(result.trace)


def runner(*observers: AgentObserver) -> Agent:
    config = AgentConfig(model="scripted", observers=list(observers), parallel_tool_execution=False)
    return Agent(tools=[weather], provider=Model(), config=config)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        database = TimedStore(Path(folder) / "blocking.db")
        observers: dict[str, list[AgentObserver]] = {
            "no observers": [],
            "an observer that does nothing": [AgentObserver()],
            "selectools' own SQLite store": [ThePages(TheirStore(f"{folder}/theirs.db"))],
            "saved in memory": [TraceSavingObserver(InMemoryTraceStore())],
            "saved in SQLite, durability full": [TraceSavingObserver(database)],
        }
        agents = {name: runner(*given) for name, given in observers.items()}
        runs = {
            name: (lambda agent=agent: agent.clone_for_isolation().run("How is it?"))
            for name, agent in agents.items()
        }
        show("run", blocking(runs, rounds))
        show_save(database)
        database.close()
        observers = {
            "no observers": [],
            "saved in memory": [AsyncTraceSavingObserver(AsyncInMemoryTraceStore())],
            "saved in SQLite, durability full": [
                AsyncTraceSavingObserver(AsyncSQLiteTraceStore(Path(folder) / "async.db"))
            ],
        }
        agents = {name: runner(*given) for name, given in observers.items()}
        aruns = {
            name: (lambda agent=agent: agent.clone_for_isolation().arun("How is it?"))
            for name, agent in agents.items()
        }
        show("arun", in_a_loop(aruns, rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
