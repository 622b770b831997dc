"""A real selectools agent whose model follows a script, with tools that are really called."""

from __future__ import annotations

from selectools import Agent, AgentConfig, Message, Role, ToolCall, UsageStats, tool
from selectools.providers.base import Provider


class ScriptedProvider(Provider):
    """Asks for two tools, the second twice, then answers; for every question anew."""

    name = "scripted"
    supports_streaming = False
    supports_async = True

    turns = (
        [("capital_of", {"country": "France"})],
        [("population_of", {"city": "Paris"}), ("population_of", {"city": "Atlantis"})],
        "Paris, with two million people.",
    )

    def complete(self, *, model, messages, **_):
        asked = max(at for at, message in enumerate(messages) if message.role == Role.USER)
        taken = sum(message.role == Role.ASSISTANT for message in messages[asked:])
        turn = self.turns[taken]
        reply = Message(role=Role.ASSISTANT, content=turn if isinstance(turn, str) else "")
        if not isinstance(turn, str):
            reply.tool_calls = [
                ToolCall(name, args, id=f"{taken}-{number}")
                for number, (name, args) in enumerate(turn)
            ]
        return reply, UsageStats(10, 5, 15, 0.001, model, "scripted")

    async def acomplete(self, *, model, messages, **_):
        return self.complete(model=model, messages=messages)


@tool()
def capital_of(country: str) -> str:
    """The capital of a country."""
    return {"France": "Paris"}[country]


@tool()
def population_of(city: str) -> str:
    """How many live in a city; fails for one that does not exist."""
    return {"Paris": "two million"}[city]


TOOLS = [capital_of, population_of]


def make_agent(*observers, provider=None, **metadata) -> Agent:
    config = AgentConfig(model="gpt-4o", observers=list(observers), trace_metadata=dict(metadata))
    return Agent(tools=TOOLS, provider=provider or ScriptedProvider(), config=config)
