"""What a backend of your own is made of: the codec, the filter's meaning, and small checks.

See ``docs/backends.md`` for a backend built from these, and `selectools_observe.testing` for the
suite that tells whether it is right.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from ..model.codec import EncodedTrace, decode, encode
from ..model.details import details_from_bytes, details_to_bytes, make_summary
from ..model.facets import facts_of
from ..model.filters import TraceFilter, check_filter, check_page, matches
from ..model.json_values import dumps, loads
from ..model.trace import TraceFacts, TraceSummary, TraceUsage
from ..model.validation import is_storable_id
from .derived import AsyncDerivedMethods, DerivedMethods
from .timestamps import from_text, to_text

__all__ = [
    "AsyncDerivedMethods",
    "DerivedMethods",
    "EncodedTrace",
    "TraceFacts",
    "TraceFilter",
    "TraceSummary",
    "check_filter",
    "check_page",
    "decode",
    "dumps",
    "encode",
    "facts_of",
    "is_storable_id",
    "loads",
    "matches",
    "summary_from_bytes",
    "summary_to_bytes",
]


def summary_to_bytes(encoded: EncodedTrace, created_at: datetime) -> bytes:
    """All that `matches` asks of a trace, as JSON, to be kept next to the trace itself."""
    facts = {
        "parent_run_id": encoded.facts.parent_run_id,
        "has_error": encoded.facts.has_error,
        "step_types": sorted(encoded.facts.step_types),
        "tool_names": sorted(encoded.facts.tool_names),
        "models": sorted(encoded.facts.models),
        "failed_types": sorted(encoded.facts.failed_types),
        "failed_tools": sorted(encoded.facts.failed_tools),
        "failed_models": sorted(encoded.facts.failed_models),
    }
    return dumps(
        {
            "run_id": encoded.run_id,
            "steps": encoded.steps,
            "total_ms": encoded.total_ms,
            "created_at": to_text(created_at),
            "metadata": loads(encoded.metadata),
            "prompt_tokens": encoded.usage.prompt_tokens,
            "completion_tokens": encoded.usage.completion_tokens,
            "cost_usd": encoded.usage.cost_usd,
            "facts": facts,
            "details": loads(details_to_bytes(encoded.details) or b"{}"),
            "started_us": encoded.details.started_us,
            "wall_ms": encoded.details.wall_ms,
        }
    )


def summary_from_bytes(data: bytes) -> tuple[TraceSummary, TraceFacts]:
    """What `summary_to_bytes` wrote.

    Raises:
        ValueError: The data is something else.
    """
    kept = loads(data)
    try:
        facts = msgspec.convert(kept["facts"], TraceFacts)
        usage = TraceUsage(
            kept.get("prompt_tokens", 0),
            kept.get("completion_tokens", 0),
            kept.get("cost_usd", 0.0),
        )
        summary = make_summary(
            kept["run_id"],
            kept["steps"],
            kept["total_ms"],
            from_text(kept["created_at"]),
            kept["metadata"],
            usage,
            facts.has_error,
            details_from_bytes(
                dumps(kept.get("details", {})), kept.get("started_us"), kept.get("wall_ms")
            ),
        )
    except (TypeError, KeyError, msgspec.MsgspecError) as error:
        raise ValueError(f"not a stored summary: {error!r}") from error
    return summary, facts
