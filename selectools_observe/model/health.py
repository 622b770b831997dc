"""The health of a store."""

from __future__ import annotations

import msgspec


class StoreHealth(msgspec.Struct, frozen=True):
    """What `health` tells of a store that answers.

    Attributes:
        answered_ms: How long the answer took, milliseconds.
        read_only: Whether it takes no saves: a standby, a server or a file that may only be read.
    """

    answered_ms: float
    read_only: bool = False
