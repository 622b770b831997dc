"""A selectools agent that needs no network: a support desk whose model follows a script.

The other examples run it. The agent, its tools and its traces are real; only the words of the
model are written down beforehand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from selectools import (
    Agent,
    AgentConfig,
    AgentObserver,
    Message,
    Role,
    Tool,
    ToolCall,
    UsageStats,
    tool,
)
from selectools.providers.base import Provider

Calls = list[tuple[str, dict[str, Any]]]
Turn = str | Calls  # the model answers, or calls tools

SCRIPT: dict[str, list[Turn]] = {
    "Where is my kettle, order 1042?": [
        [("find_order", {"order_id": "1042"})],
        [("track_parcel", {"parcel": "NV-7731"}), ("find_policy", {"topic": "late parcels"})],
        [("track_parcel", {"parcel": "NV-7731"})],
        "It is out for delivery and arrives today. Sorry that it is two days late.",
    ],
    "Order 977 came broken, I want my money back.": [
        [("find_order", {"order_id": "977"}), ("find_policy", {"topic": "refunds"})],
        [("refund", {"order_id": "977", "amount": 24.5})],
        "Done: 24.50 is on its way back to your card.",
    ],
    "When are you open?": [
        "Every day from eight to six.",
    ],
    "Can I send order 1042 back if I do not like it?": [
        [("find_policy", {"topic": "returns"})],
        "Yes, within 30 days, and the postage is on us.",
    ],
}

CONVERSATION = list(zip(["ada", "ben", "cleo", "ada"], SCRIPT, strict=True))
"""Who asks what, in order."""


class ScriptedProvider(Provider):
    """Plays the model: takes the next turn of the script, after a moment of thought."""

    name = "scripted"
    supports_streaming = False
    supports_async = True

    def complete(
        self, *, model: str, messages: Sequence[Message], **_: Any
    ) -> tuple[Message, UsageStats]:
        message, usage = self._next(model, messages)
        time.sleep(_thinking(usage))
        return message, usage

    async def acomplete(
        self, *, model: str, messages: Sequence[Message], **_: Any
    ) -> tuple[Message, UsageStats]:
        message, usage = self._next(model, messages)
        await asyncio.sleep(_thinking(usage))
        return message, usage

    def _next(self, model: str, messages: Sequence[Message]) -> tuple[Message, UsageStats]:
        asked = max(at for at, message in enumerate(messages) if message.role == Role.USER)
        taken = sum(message.role == Role.ASSISTANT for message in messages[asked:])
        turn = SCRIPT[messages[asked].content][taken]
        reply = Message(role=Role.ASSISTANT, content=turn if isinstance(turn, str) else "")
        if not isinstance(turn, str):
            reply.tool_calls = [ToolCall(*call, id=f"{taken}-{call[0]}") for call in turn]
        return reply, _usage(model, messages, str(turn))


def _usage(model: str, messages: Iterable[Message], reply: str) -> UsageStats:
    """About four letters to a token."""
    sent = sum(len(message.content or "") for message in messages) // 4
    written = len(reply) // 4
    cost = (2.5 * sent + 10 * written) / 1_000_000
    return UsageStats(sent, written, sent + written, cost, model, "scripted")


def _thinking(usage: UsageStats) -> float:
    return 0.02 + float(usage.completion_tokens) / 500


def make_agent(user: str, observers: Sequence[AgentObserver] = ()) -> Agent:
    """An agent for one user; what is in `trace_metadata` is what its runs can be found by."""
    config = AgentConfig(
        model="scripted",
        trace_metadata={"user": user, "app": "support-desk"},
        observers=list(observers),
    )
    return Agent(tools=_tools(), provider=ScriptedProvider(), config=config)


def _tools() -> list[Tool]:
    orders = {
        "977": "a mug, 24.50, delivered on 2 May",
        "1042": "a kettle, 89.00, parcel NV-7731, due on 3 May",
    }
    policies = {
        "late parcels": "Say sorry. After five days, offer a refund.",
        "refunds": "Up to 50.00 without asking anyone.",
        "returns": "Within 30 days, we pay the postage.",
    }
    carrier_is_awake = False

    @tool()
    def find_order(order_id: str) -> str:
        """Look an order up."""
        return orders[order_id]

    @tool()
    def find_policy(topic: str) -> str:
        """Look up what the house rules say."""
        return policies[topic]

    @tool()
    def track_parcel(parcel: str) -> str:
        """Ask the carrier where a parcel is. The first call of the day wakes the carrier up."""
        nonlocal carrier_is_awake
        time.sleep(0.03)
        if not carrier_is_awake:
            carrier_is_awake = True
            raise TimeoutError(f"the carrier did not answer about {parcel}")
        return f"{parcel} is out for delivery"

    @tool()
    def refund(order_id: str, amount: float) -> str:
        """Pay money back."""
        return f"refunded {amount:.2f} for order {order_id}"

    return [find_order, find_policy, track_parcel, refund]
