"""What groups ask of rows: columns, and of each summary what puts its run into groups."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...model.group_sums import RunColumns
from ...model.groups import GroupCollector, field_of, group_values, stored_key, texts_of
from ...model.json_values import loads
from ..sql.row import Row
from ..sql.server_rows import read_summary

COLUMNS = (
    "seq, created_us, summary, started_us, steps, has_error::int, prompt_tokens, "
    "completion_tokens, total_ms, cost_usd"
)
"""What `add_rows` takes of each row."""


class _Details(msgspec.Struct, gc=False):
    """The part of `RunDetails` that runs are grouped by."""

    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    agent: str | None = None
    tags: list[str] = []
    outcome: str = "ok"


class _WithDetails(msgspec.Struct, gc=False):
    details: _Details = msgspec.field(default_factory=_Details)


class _WithMetadata(msgspec.Struct):
    metadata: dict[str, msgspec.Raw]


_details = msgspec.json.Decoder(_WithDetails)
_metadata = msgspec.json.Decoder(_WithMetadata)


def add_rows(collector: GroupCollector, where: str, rows: Sequence[Row]) -> None:
    """Count runs, newest first, without their annotations."""
    if not rows:
        return
    key = stored_key(collector.by)
    assert key is not None  # noqa: S101 - who asks has looked
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for text in _texts(key, where, row):
            places.setdefault(text, []).append(place)
    seqs, created, _, started, *numbers = zip(*rows, strict=True)
    pairs = zip(started, created, strict=True)
    began = [saved if start is None else start for start, saved in pairs]
    # A cost that is not known is 0 in its column, which adds nothing either.
    collector.add_runs(RunColumns(*numbers), began, seqs, places)


def _texts(key: str, where: str, row: Row) -> list[str]:
    """The groups that a row's run is in, each once; none if its summary is damaged."""
    try:
        found = _values(key, row[2])
    except ValueError:  # more than msgspec reads, or damaged
        read = read_summary(where, row[0], row[1], row[2])
        found = [] if read is None else list(group_values(read[0], key))
    return found if len(found) < 2 else list(dict.fromkeys(found))


def _values(key: str, summary: bytes) -> list[str]:
    field = field_of(key)
    if field is not None:
        return texts_of(getattr(_details.decode(summary).details, field))
    value = _metadata.decode(summary).metadata.get(key.removeprefix("metadata."))
    return [] if value is None else texts_of(loads(bytes(value)))
