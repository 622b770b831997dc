"""Observations of Langfuse as its API answers them, written by its own SDK's types.

`pip install langfuse`. There is no service here: the values are ours, the shapes the SDK's. The
older shape, a trace with its observations, is that of SDK 3, which wrote the same names.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from langfuse.api import (
    GetScoresV3Meta,
    GetScoresV3Response,
    ObservationsV2Meta,
    ObservationsV2Response,
    ObservationV2,
    Score,
    ScoreV3,
)
from langfuse.api.core.pydantic_utilities import parse_obj_as

BEGAN = datetime(2026, 11, 1, 12, tzinfo=UTC)


def observations(number: int, city: str) -> list[dict[str, Any]]:
    """An agent's, of one trace."""
    trace = f"{number:032x}"
    about = {
        "traceId": trace, "projectId": "project-1", "userId": "ada", "sessionId": "session-1",
        "environment": "production", "traceName": "weather",
    }  # fmt: skip
    usage = {"input": 30, "input_cached_tokens": 10, "output": 9, "total": 49}
    cost = {"input": 6e-6, "output": 5.4e-6, "total": 1.14e-5}
    failed = city == "Atlantis"
    rows: list[dict[str, Any]] = [
        {"type": "AGENT", "name": "weather", "input": f"How warm is {city}?",
         "output": None if failed else "It is 12 degrees.", "metadata": {"team": "weather"}},
        {"type": "GENERATION", "name": "chat", "model": "gpt-4o-mini",
         "input": [{"role": "user", "content": f"How warm is {city}?"}],
         "output": {"role": "assistant", "content": "I look it up."},
         "modelParameters": {"temperature": 0.5}, "usageDetails": usage, "costDetails": cost,
         "totalCost": cost["total"]},
        {"type": "TOOL", "name": "lookup", "input": {"city": city},
         "output": None if failed else f"12 degrees in {city}",
         "level": "ERROR" if failed else "DEFAULT",
         "statusMessage": "there is no such city" if failed else None},
    ]  # fmt: skip
    for place, row in enumerate(rows):
        began = BEGAN + timedelta(milliseconds=250 * place, hours=number)
        ended = BEGAN + timedelta(milliseconds=250 * place + 200 if place else 900, hours=number)
        rows[place] = row | about | {
            "id": f"{number:08x}{place:08x}", "startTime": began, "endTime": ended,
            "parentObservationId": f"{number:08x}{0:08x}" if place else None,
            "latency": (ended - began).total_seconds(),
        }  # fmt: skip
    return rows


def scores(number: int, *, is_v3: bool) -> list[dict[str, Any]]:
    """What was said of one trace and of its generation, as both versions of the API answer it."""
    trace, span = f"{number:032x}", f"{number:08x}{1:08x}"
    rows: list[dict[str, Any]] = [
        {"name": "correct", "value": True if is_v3 else 1, "stringValue": "True",
         "dataType": "BOOLEAN", "source": "ANNOTATION", "authorUserId": "ada",
         "comment": "It names a number."},
        {"name": "tone", "value": "curt" if is_v3 else 0, "stringValue": "curt",
         "dataType": "CATEGORICAL", "source": "EVAL"},
        {"name": "brevity", "value": 0.25, "dataType": "NUMERIC", "source": "API"},
    ]  # fmt: skip
    when = BEGAN + timedelta(hours=number, minutes=5)
    for place, row in enumerate(rows):
        about = (
            {"traceId": trace, "observationId": span if place == 2 else None}
            if not is_v3
            else {"subject": {"kind": "observation", "id": span, "traceId": trace}}
            if place == 2
            else {"subject": {"kind": "trace", "id": trace}}
        )
        times = dict.fromkeys(("timestamp", "createdAt", "updatedAt"), when)
        common = {"id": f"score-{number}-{place}", "environment": "production"}
        rows[place] = row | about | times | common | ({"projectId": "project-1"} if is_v3 else {})
        if is_v3:
            rows[place].pop("stringValue", None)
    return rows


def main(folder: Path) -> None:
    traces = [observations(number, city) for number, city in ((1, "Oslo"), (2, "Atlantis"))]
    rows = [parse_obj_as(ObservationV2, row) for trace in traces for row in trace]
    answer = ObservationsV2Response(data=rows, meta=ObservationsV2Meta())
    (folder / "observations.json").write_text(json.dumps(json.loads(answer.json()), indent=1))
    whole = []
    for trace in traces:
        plain = [json.loads(parse_obj_as(ObservationV2, row).json()) for row in trace]
        whole.append(
            {
                "id": trace[0]["traceId"], "name": "weather", "userId": "ada",
                "sessionId": "session-1", "timestamp": plain[0]["startTime"],
                "input": plain[0]["input"], "output": plain[0]["output"], "tags": ["production"],
                "metadata": {"team": "weather"}, "observations": plain,
                "scores": [
                    json.loads(parse_obj_as(Score, row).json())
                    for row in scores(len(whole) + 1, is_v3=False)
                ],
            }
        )  # fmt: skip
    (folder / "traces.json").write_text(json.dumps(whole, indent=1))
    said = [parse_obj_as(ScoreV3, row) for n in (1, 2) for row in scores(n, is_v3=True)]
    told = GetScoresV3Response(data=said, meta=GetScoresV3Meta(limit=50))
    (folder / "scores.json").write_text(json.dumps(json.loads(told.json()), indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
