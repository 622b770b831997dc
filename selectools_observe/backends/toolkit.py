"""What a backend of your own is made of: the codec, the filter's meaning, and small checks.

See ``docs/backends.md`` for a backend built from these, and `selectools_observe.testing` for the
suite that tells whether it is right.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ..model.codec import EncodedTrace, decode, encode
from ..model.details import RunDetails, make_summary
from ..model.facets import facts_of
from ..model.filters import TraceFilter, check_filter, check_page, matches
from ..model.json_values import dumps, loads
from ..model.timestamps import from_text, to_text
from ..model.trace import TraceFacts, TraceSummary, TraceUsage
from ..model.validation import is_storable_id
from .derived import AsyncDerivedMethods, DerivedMethods

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


class _KeptSummary(msgspec.Struct):
    run_id: str
    steps: int
    total_ms: float
    created_at: str
    metadata: msgspec.Raw
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    facts: TraceFacts
    details: RunDetails


_encoder = msgspec.json.Encoder(order="deterministic")  # sets in order


def summary_to_bytes(encoded: EncodedTrace, created_at: datetime) -> bytes:
    """All that `matches` asks of a trace, as JSON, to be kept next to the trace itself."""
    kept = _KeptSummary(
        encoded.run_id,
        encoded.steps,
        encoded.total_ms,
        to_text(created_at),
        msgspec.Raw(encoded.metadata),
        encoded.usage.prompt_tokens,
        encoded.usage.completion_tokens,
        encoded.usage.cost_usd,
        encoded.facts,
        encoded.details,
    )
    try:
        return _encoder.encode(kept)
    except UnicodeEncodeError:  # a name with a lone surrogate
        facts = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in msgspec.structs.asdict(encoded.facts).items()
        }
        parts = {"facts": facts, "details": encoded.details}
        raw = {name: msgspec.Raw(dumps(part)) for name, part in parts.items()}
        return dumps(msgspec.structs.replace(kept, **raw))


class _ReadSummary(msgspec.Struct):
    run_id: str
    steps: int
    total_ms: float
    created_at: str
    metadata: dict[str, Any]
    facts: TraceFacts
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    details: RunDetails = RunDetails()


_summary_decoder = msgspec.json.Decoder(_ReadSummary)


def summary_from_bytes(
    data: bytes, created_at: datetime | None = None
) -> tuple[TraceSummary, TraceFacts]:
    """What `summary_to_bytes` wrote.

    Args:
        data: That.
        created_at: When the run was saved, if that is kept elsewhere.

    Raises:
        ValueError: The data is something else.
    """
    kept = _read(data)
    try:
        summary = make_summary(
            kept.run_id,
            kept.steps,
            kept.total_ms,
            from_text(kept.created_at) if created_at is None else created_at,
            kept.metadata,
            TraceUsage(kept.prompt_tokens, kept.completion_tokens, kept.cost_usd),
            kept.facts.has_error,
            kept.details,
        )
    except TypeError as error:
        raise ValueError(f"not a stored summary: {error!r}") from error
    return summary, kept.facts


def _read(data: bytes) -> _ReadSummary:
    try:
        return _summary_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        pass  # lone surrogates, for one
    try:
        return msgspec.convert(loads(data), _ReadSummary)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a stored summary: {error}") from error
