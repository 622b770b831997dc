"""What rows of a server's tables have in common: keys, readable ids, checks of what is read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from ...errors import CorruptTraceError
from ...model import timestamps
from ...model.annotations import Annotation, annotation_from_bytes
from ...model.checksum import checksum
from ...model.codec import EncodedTrace
from ...model.trace import TraceFacts, TraceSummary
from ..toolkit import summary_from_bytes, summary_to_bytes

log = logging.getLogger(__name__)

_KEY_SIZE = 16  # bytes
_ANY_TIME = datetime.fromtimestamp(0, UTC)
_DAMAGED = "its checksum does not match: it was damaged after it was saved"


def key_of(run_id: str) -> bytes:
    """The primary key of a run: ids may be longer than an index takes."""
    return blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=_KEY_SIZE).digest()


def readable_id(run_id: str) -> str:
    """The id as a text column takes it, each as one of its own."""
    plain = run_id.replace("\x01", "\x01\x02").replace("\0", "\x01\x01")
    return plain.encode("utf-8", "backslashreplace").decode()


def kept_summary(encoded: EncodedTrace) -> bytes:
    """The summary as JSON; the time of the save is a column of its own."""
    return summary_to_bytes(encoded, _ANY_TIME)


def read_summary(
    where: str, row: int, created_us: int, summary: bytes
) -> tuple[TraceSummary, TraceFacts] | None:
    """The summary and the facts of a row; None, and a line in the log, if it is damaged."""
    try:
        return summary_from_bytes(summary, timestamps.from_microseconds(created_us))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        log.warning("%s: row %d skipped: %s", where, row, error)
        return None


def checked_trace(
    run_id: str, where: str, stored: tuple[bytes, int] | None
) -> bytes | CorruptTraceError | None:
    """The JSON of a trace, told by its checksum to be what was saved."""
    if stored is None:
        return None
    trace, crc = stored
    return trace if checksum(trace) == crc else CorruptTraceError(run_id, where, _DAMAGED)


def annotations_of(where: str, rows: Iterable[Sequence[Any]]) -> dict[str, list[Annotation]]:
    """The annotations of rows, by run; a damaged one is logged and left out."""
    found: dict[str, list[Annotation]] = {}
    for created_us, crc, data in rows:
        try:
            one = _checked_annotation(crc, data)
        except ValueError as error:
            log.warning("%s: an annotation was skipped: %s", where, error)
            continue
        one = replace(one, created_at=timestamps.from_microseconds(created_us))
        found.setdefault(one.run_id, []).append(one)
    return found


def _checked_annotation(crc: int, data: bytes) -> Annotation:
    if checksum(data) != crc:
        raise ValueError(_DAMAGED)
    return annotation_from_bytes(data)
