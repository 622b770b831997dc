"""The rows of ``traces``: how a trace becomes one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from ...model import timestamps
from ...model.checksum import checksum
from ...model.codec import encode
from ..sql.server_rows import kept_summary, key_of, readable_id
from ..sql.terms import terms_of, unpack
from .kept_calls import packed_calls

COLUMNS = (
    "key, run_id, steps, total_ms, cost_usd, prompt_tokens, completion_tokens, has_error, "
    "started_us, wall_ms, terms, summary, crc, trace, calls"
)
PLACES = ", ".join(["%s"] * 10 + ["%s::bigint[]"] + ["%s"] * 4)
_TERMS = 10


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database.

    Attributes:
        run_id: Its id.
        columns: The values of `COLUMNS`, its terms packed.
        created_at: When it is to have been saved; None: when it is.
    """

    run_id: str
    columns: tuple[Any, ...]
    created_at: datetime | None = None

    @property
    def key(self) -> bytes:
        """The primary key."""
        key: bytes = self.columns[0]
        return key

    @property
    def created_us(self) -> int | None:
        """When it is to have been saved, microseconds since 1970; None: when it is."""
        moment = self.created_at
        return None if moment is None else timestamps.to_microseconds(moment)

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of `PLACES`."""
        columns = self.columns
        return (*columns[:_TERMS], numbers(unpack(columns[_TERMS])), *columns[_TERMS + 1 :])


def row_of(trace: object) -> TraceRow:
    """The row of a trace.

    Raises:
        InvalidTraceError: It cannot be stored.
    """
    encoded = encode(trace)
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
            terms_of(encoded.metadata, encoded.facts, encoded.details),
            kept_summary(encoded),
            checksum(encoded.trace),
            encoded.trace,
            packed_calls(encoded, trace),
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
