"""The rows of ``traces``: how a trace becomes one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from ...model.checksum import checksum
from ...model.codec import EncodedTrace
from ..sql.server_rows import kept_summary, key_of, readable_id
from ..sql.terms import terms_of, unpack
from .kept_calls import packed_calls

COLUMNS = (
    "key, run_id, steps, total_ms, cost_usd, prompt_tokens, completion_tokens, has_error, "
    "started_us, wall_ms, terms, summary, crc, trace, calls"
)
PLACES = ", ".join(["%s"] * 10 + ["%s::bigint[]"] + ["%s"] * 4)


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database: its id, and the values of `COLUMNS`."""

    run_id: str
    values: tuple[Any, ...]
    created_at: datetime | None = None


def row_of(encoded: EncodedTrace) -> TraceRow:
    """The row of a trace."""
    terms = unpack(terms_of(encoded.metadata, encoded.facts, encoded.details))
    usage = encoded.usage
    return TraceRow(
        encoded.run_id,
        (
            key_of(encoded.run_id),
            readable_id(encoded.run_id),
            encoded.steps,
            encoded.total_ms,
            usage.cost_usd,
            usage.prompt_tokens,
            usage.completion_tokens,
            encoded.facts.has_error,
            encoded.details.started_us,
            encoded.details.wall_ms,
            numbers(terms),
            kept_summary(encoded),
            checksum(encoded.trace),
            encoded.trace,
            packed_calls(encoded),
        ),
    )


# Arrays as text: of a list the driver looks at each item, which costs loads a third of their time.


def numbers(items: Iterable[int]) -> str:
    """An array of ``bigint``, for ``%s::bigint[]``."""
    return f"{{{','.join(map(str, items))}}}"


def keys_of(run_ids: Iterable[str]) -> str:
    """An array of the keys of runs, for ``%s::bytea[]``."""
    return array_of(map(key_of, run_ids))


def array_of(keys: Iterable[bytes]) -> str:
    """An array of keys, likewise."""
    return "{" + ",".join([f'"\\\\x{key.hex()}"' for key in keys]) + "}"
