"""Times as stores keep them: ISO text in UTC with microseconds, and whole microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now() -> datetime:
    """The present, aware, UTC."""
    return datetime.now(UTC)


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
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    """The instant so many microseconds after 1970.

    Raises:
        ValueError: No calendar reaches it.
    """
    try:
        return _EPOCH + timedelta(microseconds=number)
    except OverflowError as error:
        raise ValueError(f"out of range: {number}") from error
