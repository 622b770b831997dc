"""A seeded generator of runs that look like the airline agent's: same steps, sizes and metadata."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

TraceDict = dict[str, Any]

_FIRST = ("Mia", "Omar", "Liam", "Aarav", "Sofia", "Chen", "Noah", "Ivan", "Yara", "Raj")
_LAST = ("Li", "Rossi", "Lee", "Ahmed", "Garcia", "Muller", "Kim", "Silva", "Patel", "Moore")
_CITIES = ("SEA", "DFW", "ATL", "JFK", "SFO", "LAX", "ORD", "BOS", "DEN", "MIA", "PHX", "IAH")
_TOOLS = (
    "get_reservation_details",
    "search_direct_flight",
    "get_user_details",
    "update_reservation_flights",
    "calculate",
    "cancel_reservation",
    "book_reservation",
)
_SENTENCES = (
    "I can help you with that, but I'll need to check your reservation first.",
    "Could you please provide your user ID and the reservation number?",
    "The flight from {a} to {b} on 2024-05-{d} is available for ${p} per passenger.",
    "Here are the details:\n\n- **Cabin:** economy\n- **Passengers:** {n}\n- **Insurance:** no",
    "According to our policy, basic economy flights cannot be modified.",
    "Your payment of ${p} will go to the card ending in {d}. Would you like to proceed?",
    "The refund will reach your original payment method within 5 to 7 business days.",
    "Is there anything else I can do for you today, a seat, a bag, another trip?",
)


class SeededRuns:
    """Runs of the airline shape; the same seed gives the same runs."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)

    def runs(self, count: int) -> Iterator[TraceDict]:
        """Whole runs: 2 to 50 steps, 22 at the median, about 500 bytes of JSON a step."""
        for number in range(count):
            steps = min(50, max(2, round(self._random.gauss(23, 9))))
            yield self.run(number, steps)

    def run(self, number: int, step_count: int) -> TraceDict:
        """One run of exactly ``step_count`` steps."""
        start = 1_715_800_000.0 + 60 * number
        steps = self._steps(start, step_count)
        return as_trace(self.run_id(), start, steps, self._metadata(number))

    def run_id(self) -> str:
        """A random (version 4) UUID: nothing a B-tree could find in order."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _metadata(self, number: int) -> dict[str, Any]:
        return {
            "source": "generated",
            "env": "airline",
            "agent_model": "gpt-4o",
            "task_id": number % 50,
            "trial": number // 50,
            "reward": float(self._random.random() < 0.4),
            "user_id": self._user(),
        }

    def _user(self) -> str:
        first, last = self._random.choice(_FIRST), self._random.choice(_LAST)
        return f"{first}_{last}_{self._random.randrange(10_000):04}".lower()

    def _steps(self, clock: float, count: int) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = []
        while len(steps) < count:
            steps.extend(self._turn())
        for step in steps[:count]:
            step["timestamp"] = round(clock, 4)
            clock += step["duration_ms"] / 1000 + 0.5
        return steps[:count]

    def _turn(self) -> list[dict[str, Any]]:
        if self._random.random() < 0.5:
            return [self._answer(self._text())]
        tool = self._random.choice(_TOOLS)
        args = {"reservation_id": f"{self._random.getrandbits(30):06X}"[:6]}
        return [self._answer(""), self._selection(tool, args), self._execution(tool, args)]

    def _answer(self, text: str) -> dict[str, Any]:
        tokens = 20 + len(text) // 4
        step = {
            "type": "llm_call",
            "timestamp": 0.0,
            "duration_ms": round(250 + 1.7 * tokens, 1),
            "model": "gpt-4o",
            "prompt_tokens": self._random.randrange(1_500, 6_000),
            "completion_tokens": tokens,
            "cost_usd": round(self._random.uniform(0.004, 0.02), 6),
            "summary": f"gpt-4o → {len(text)} chars",
        }
        return {**step, "reasoning": text} if text else step

    def _selection(self, tool: str, args: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "tool_selection",
            "timestamp": 0.0,
            "duration_ms": 0.0,
            "tool_name": tool,
            "tool_args": args,
        }

    def _execution(self, tool: str, args: dict[str, Any]) -> dict[str, Any]:
        failed = self._random.random() < 0.06
        step = {
            "type": "error" if failed else "tool_execution",
            "timestamp": 0.0,
            "duration_ms": round(self._random.uniform(20, 90), 1),
            "tool_name": tool,
            "tool_args": args,
        }
        return {**step, "error": "Error: not found"} if failed else {**step, **self._result()}

    def _result(self) -> dict[str, Any]:
        flights = [self._flight() for _ in range(self._random.randrange(2, 7))]
        passengers = [{"first_name": self._random.choice(_FIRST), "dob": "1990-04-05"}]
        result = {"user_id": self._user(), "flights": flights, "passengers": passengers}
        return {"tool_result": json.dumps(result)}

    def _flight(self) -> dict[str, Any]:
        origin, destination = self._random.sample(_CITIES, 2)
        return {
            "origin": origin,
            "destination": destination,
            "flight_number": f"HAT{self._random.randrange(300):03}",
            "date": f"2024-05-{self._random.randrange(10, 31)}",
            "price": self._random.randrange(60, 600),
        }

    def _text(self) -> str:
        chosen = self._random.sample(_SENTENCES, self._random.randrange(3, 7))
        a, b = self._random.sample(_CITIES, 2)
        numbers = {"d": self._random.randrange(10, 31), "p": self._random.randrange(60, 600)}
        return " ".join(chosen).format(a=a, b=b, n=self._random.randrange(1, 4), **numbers)


def as_trace(
    run_id: str, start: float, steps: list[dict[str, Any]], metadata: dict[str, Any]
) -> TraceDict:
    """Put the parts together in the ``to_dict()`` shape."""
    return {
        "run_id": run_id,
        "start_time": start,
        "total_duration_ms": sum(step["duration_ms"] for step in steps),
        "step_count": len(steps),
        "steps": steps,
        "metadata": metadata,
    }
