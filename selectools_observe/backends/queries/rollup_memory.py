"""What the calls of runs add up to, remembered by stores that would read the runs again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeAlias

import msgspec

from ...model.rollups import Rollup
from .paging import PageRow

_MOST = 200_000  # runs, of some hundred bytes each

_decode = msgspec.msgpack.Decoder(Rollup).decode
_encode = msgspec.msgpack.Encoder().encode

Version: TypeAlias = tuple[int, str, datetime]
"""A run as it was saved once."""


def version_of(row: PageRow) -> Version:
    """What tells a row from all others, whatever was saved meanwhile."""
    return row.key, row.summary.run_id, row.summary.created_at


class RollupMemory:
    """Rollups in few bytes, by the versions of runs that they belong to."""

    def __init__(self) -> None:
        self._epoch = ""
        self._kept: dict[Version, bytes] = {}

    def known(self, epoch: str, rows: Sequence[PageRow]) -> dict[Version, Rollup | None]:
        """The rollups that are known; None for runs that could not be read.

        Args:
            epoch: The numbering that the rows' keys belong to.
            rows: The rows.
        """
        if epoch != self._epoch:
            self._epoch, self._kept = epoch, {}
        kept = self._kept
        found = ((version, kept.get(version)) for version in map(version_of, rows))
        return {
            version: _decode(packed) if packed else None
            for version, packed in found
            if packed is not None
        }

    def add(self, rollups: Mapping[Version, Rollup | None]) -> None:
        """Remember rollups, None for runs that cannot be read; but none with what cannot be packed.

        That is a lone surrogate in a name, or a count of more than 64 bits.
        """
        if len(self._kept) > _MOST:
            self._kept = {}
        for version, rollup in rollups.items():
            with suppress(UnicodeEncodeError, OverflowError):
                self._kept[version] = b"" if rollup is None else _encode(rollup)
