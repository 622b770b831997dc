"""Summaries as ``trace_facets`` keeps them: a JSON array each, so that a page is decoded at once.

An array holds the fields of `TraceSummary`, without annotations, and the checksum of the metadata
as ``traces`` holds it. Long metadata is left out and read from ``traces`` when it is listed; the
array has ``true`` at its end then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any, TypeAlias, cast
from zlib import crc32

import msgspec

from ...model import timestamps
from ...model.checksum import checksum
from ...model.codec import EncodedTrace
from ...model.details import cost_of
from ...model.json_values import dumps_slowly, loads, replace_foreign
from ...model.trace import TraceSummary

LONG = 1024
"""Bytes of metadata that are not written a second time."""

WRONG_CHECKSUM = "its checksum does not match: it was damaged after it was saved"

_SHARED = 32 * 1024  # bytes of a page that the metadata of one of its summaries may hold on to
_METADATA, _CREATED_AT = 4, 3  # in the array
_FIELDS = len(TraceSummary.__struct_fields__) - 1
_Array: TypeAlias = tuple[
    str, int, float, datetime, msgspec.Raw, int, int, float | None, bool, str | None, str | None,
    str | None, str | None, str | None, str | None, list[str], str, datetime | None, float | None,
    int,
]  # fmt: skip
_Plain: TypeAlias = tuple[
    str, int, float, datetime, dict[str, Any], int, int, float | None, bool, str | None, str | None,
    str | None, str | None, str | None, str | None, list[str], str, datetime | None, float | None,
]  # fmt: skip

_make: Callable[..., TraceSummary] = TraceSummary
_encoder = msgspec.json.Encoder(enc_hook=replace_foreign)
_page_decoder = msgspec.json.Decoder(list[_Array])


class SummaryParts(msgspec.Struct, frozen=True, gc=False):
    """The JSON of a run's summary, before and after the one field that is not known before it is
    saved.
    """

    before: bytes
    after: bytes

    def saved_at(self, moment: bytes) -> bytes:
        """The whole summary, with the time of the save as `moment_of` gives it."""
        return b"".join((self.before, moment, self.after))


def moment_of(created_at: datetime) -> bytes:
    """The time of a save as it is written in summaries."""
    return _encoder.encode(created_at)


def summary_parts(trace: EncodedTrace, readable: bytes | None = None) -> SummaryParts:
    """The JSON of a run's summary.

    Args:
        trace: The run; its ``metadata`` is what ``traces`` holds.
        readable: What its metadata counts as, if that cannot be read.
    """
    metadata = trace.metadata if readable is None else readable
    usage, details = trace.usage, trace.details
    is_long = len(metadata) > LONG
    after = (
        None if is_long else msgspec.Raw(metadata), usage.prompt_tokens, usage.completion_tokens,
        cost_of(usage, details), trace.facts.has_error, details.name, details.input,
        details.output, details.session_id, details.user_id, details.agent, details.tags,
        details.outcome, details.started_at, details.wall_ms, checksum(trace.metadata),
        *((True,) if is_long else ()),
    )  # fmt: skip
    before = _encoder.encode((trace.run_id, trace.steps, trace.total_ms))
    try:
        written = _encoder.encode(after)
    except Exception:  # noqa: BLE001 - lone surrogates, which are written in another way
        written = dumps_slowly([None if is_long else loads(metadata), *after[1:]])
    return SummaryParts(before[:-1] + b",", b"," + written[1:])


def summaries_of_page(stored: Sequence[bytes], checksums: tuple[int, ...]) -> list[TraceSummary]:
    """The summaries of rows that are as we wrote them, as most are.

    Raises:
        ValueError: Some are not, or hold what only `summary_of` can read.
        TypeError: Likewise.
    """
    if tuple(map(crc32, stored)) != checksums:  # `checksum` is for what is long
        raise ValueError(WRONG_CHECKSUM)
    page = b"[%b]" % b",".join(stored)
    found: Sequence[tuple[Any, ...]] = _page_decoder.decode(page)
    if len(found) != len(stored):
        raise ValueError("not an array each")
    if len(page) <= _SHARED:
        summaries = list(starmap(_make, found))
        for summary in summaries:  # the checksum stands where annotations do
            summary.annotations = {}
        return summaries
    return [
        _make(*fields[:_METADATA], fields[_METADATA].copy(), *fields[_METADATA + 1 : _FIELDS])
        for fields in found
    ]


def summary_of(
    stored: object, stored_checksum: object, metadata: Callable[[], bytes | None]
) -> TraceSummary:
    """The summary of one row.

    Args:
        stored: What `to_bytes` wrote.
        stored_checksum: Its checksum.
        metadata: What gives the row's metadata, if that is not in it.

    Raises:
        ValueError: It is damaged.
    """
    kept = _checked(stored, stored_checksum)
    apart: msgspec.Raw | None = None
    if len(kept) > _FIELDS + 1:
        found = metadata()
        if found is None or checksum(found) != kept[_FIELDS]:
            raise ValueError(WRONG_CHECKSUM)
        apart, kept[_METADATA] = msgspec.Raw(found), {}
    try:
        summary = _make(*msgspec.convert(kept[:_FIELDS], _Plain))
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    if apart is not None:
        summary.metadata = cast("dict[str, Any]", apart)
    return summary


def is_summary_of(  # noqa: PLR0917 - the columns of a row
    stored: object,
    stored_checksum: object,
    run_id: object,
    steps: object,
    total_ms: object,
    created_at: object,
    metadata: object,
) -> bool:
    """Whether a row of ``traces`` with these columns is what its summary was made of."""
    try:
        kept = _checked(stored, stored_checksum)
        moment = msgspec.convert(kept[_CREATED_AT], datetime)
        columns = [
            _text(run_id), steps, total_ms, timestamps.from_text(_text(created_at)),
            checksum(metadata if isinstance(metadata, bytes) else str(metadata).encode()),
        ]  # fmt: skip
    except (ValueError, msgspec.MsgspecError):
        return False
    return [*kept[:_CREATED_AT], moment, kept[_FIELDS]] == columns


def _text(column: object) -> str:
    """A column that holds text."""
    if not isinstance(column, bytes):
        raise ValueError("not text")  # noqa: TRY004 - of the data, not of a caller
    return column.decode()


def _checked(stored: object, stored_checksum: object) -> list[Any]:
    if not isinstance(stored, bytes) or checksum(stored) != stored_checksum:
        raise ValueError(WRONG_CHECKSUM)
    kept = loads(stored)
    if not isinstance(kept, list) or not _FIELDS < len(kept) <= _FIELDS + 2:
        raise ValueError("its summary in the index is of another shape")
    return kept
