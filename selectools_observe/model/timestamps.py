"""Times as stores keep them: ISO text in UTC with microseconds, and whole microseconds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from .trace import EPOCH, MICROSECOND


def now() -> datetime:
    """The present, aware, UTC."""
    return datetime.now(UTC)


def stated(moments: Iterable[datetime | None], number: int) -> list[datetime | None]:
    """Times of saving that a caller states for so many traces, in UTC.

    Raises:
        TypeError: One is not a time.
        ValueError: There are more or fewer, or one has no timezone.
    """
    found = [None if moment is None else _in_utc(moment) for moment in moments]
    if len(found) != number:
        raise ValueError(f"created_at has {len(found)} times for {number} traces")
    return found


def _in_utc(moment: object) -> datetime:
    if not isinstance(moment, datetime):
        raise TypeError(f"created_at must be datetimes, not {type(moment).__name__}")
    if moment.utcoffset() is None:
        raise ValueError(f"created_at has no timezone: {moment!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"created_at is out of range: {moment!r}") from None


def to_text(moment: datetime) -> str:
    """ISO text that sorts as the instants do."""
    return moment.isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """The instant of ISO text, in UTC.

    Raises:
        ValueError: It is no such text, or has no timezone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise ValueError(f"no timezone: {text!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"out of range: {text!r}") from error


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(number: int) -> datetime:
    """The instant so many microseconds after 1970.

    Raises:
        ValueError: No calendar reaches it.
    """
    try:
        return EPOCH + timedelta(microseconds=number)
    except OverflowError as error:
        raise ValueError(f"out of range: {number}") from error
