"""The rows of ``traces``, and arrays of what names them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from ...model import timestamps
from ..sql.server_rows import key_of

COLUMNS = (
    "key, run_id, steps, total_ms, cost_usd, prompt_tokens, completion_tokens, has_error, "
    "started_us, wall_ms, terms, summary, crc, trace, calls"
)
_KEY = slice(12, 28)  # after how many values there are, its type and its length


class TraceRow(msgspec.Struct, frozen=True, gc=False):
    """A trace on its way into the database.

    Attributes:
        run_id: Its id.
        packed: The values of `COLUMNS`, as `binary_rows` packs them.
        created_at: When it is to have been saved; None: when it is.
    """

    run_id: str
    packed: bytes
    created_at: datetime | None = None

    @property
    def key(self) -> bytes:
        """The primary key."""
        return self.packed[_KEY]

    @property
    def created_us(self) -> int | None:
        """When it is to have been saved, microseconds since 1970; None: when it is."""
        moment = self.created_at
        return None if moment is None else timestamps.to_microseconds(moment)


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
