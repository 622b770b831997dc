"""What the scripted model says and the tools do: the truth that stored runs are compared with.

Values are unlike each other, so that a look into what a framework reports finds each of them.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

SYSTEM = "You are the support desk of a bookshop."
QUESTION = "Where is order 7? Refund five euros."
ANSWER = "Order 7 is on its way, and five euros are refunded."
AGENT = "clerk_3131"
SESSION = "session-1717"
USER = "user-ada-2929"
ASKED_MODEL = "gpt-4o"
ANSWERED_MODEL = "gpt-4o-2024-08-06"
CLAUDE = "claude-sonnet-4-5-20250929"
GEMINI = "gemini-2.5-flash"
OUT_OF_ORDER = "the model is out of order today"
MODEL_SECONDS = 0.06
TOOL_SECONDS = 0.04

SCENARIOS = ("answered", "broken")
"""``answered``: two tools, of which one fails and is called again; then an answer.
``broken``: one tool, then the model refuses the next request."""


class Usage(NamedTuple):
    """Tokens of a call; cached ones are of the prompt, reasoning ones of the completion."""

    prompt: int
    completion: int
    cached: int
    reasoning: int


class Call(NamedTuple):
    """A tool call: its id, and what came of it."""

    id: str
    name: str
    arguments: dict[str, Any]
    result: str | None = None
    error: str | None = None


class Turn(NamedTuple):
    """One answer of the model: a call of a tool, or a text."""

    usage: Usage
    call: Call | None = None
    text: str | None = None


CALLS = (
    Call("call_aa11", "find_order", {"number": 7}, result="order 7 was sent on Monday"),
    Call("call_bb22", "refund", {"order": 7, "amount": -5}, error="the amount must be positive"),
    Call("call_cc33", "refund", {"order": 7, "amount": 5}, result="5 euros go back to the card"),
)
TURNS = (
    Turn(Usage(1311, 5131, 517, 4037), CALLS[0]),
    Turn(Usage(1423, 5142, 619, 4143), CALLS[1]),
    Turn(Usage(1531, 5153, 727, 4253), CALLS[2]),
    Turn(Usage(1637, 5164, 829, 4367), text=ANSWER),
)


def find_order(number: int) -> str:
    """Find an order.

    Args:
        number: The number of the order.
    """
    time.sleep(TOOL_SECONDS)
    return f"order {number} was sent on Monday"


def refund(order: int, amount: int) -> str:
    """Give money back.

    Args:
        order: The number of the order.
        amount: How many euros.
    """
    if amount < 0:
        raise ValueError("the amount must be positive")
    return f"{amount} euros go back to the card"
