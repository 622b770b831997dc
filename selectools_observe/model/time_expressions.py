"""Times as people write them: ``2h``, ``yesterday``, ``2026-03-01``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])(?:\s+ago)?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LAST_MOMENT = time(23, 59, 59, 999_999)

FORMS = "2h, 30m, 3d, 1w, today, yesterday, 2026-03-01, 2026-03-01T14:30 or 2026-03-01T14:30Z"


def parse_time(
    text: str,
    *,
    end_of_day: bool = False,
    now: datetime | None = None,
    zone: tzinfo | None = None,
) -> datetime:
    """The instant that a person means, aware.

    ``2h`` is two hours ago. A date, ``today`` and ``yesterday`` are the first moment of the day, or
    its last with ``end_of_day``. What names no time zone is in ``zone``, or else local time.

    Raises:
        ValueError: It is nothing of the kind.
    """
    now = datetime.now(UTC) if now is None else now
    wanted = text.strip().lower()
    if wanted == "now":
        return now
    if ago := _AGO.fullmatch(wanted):
        try:
            return now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        except OverflowError as error:
            raise ValueError(f"{text!r} is too long ago") from error
    if wanted in {"today", "yesterday"}:
        day = now.astimezone(zone) - timedelta(days=wanted == "yesterday")
        wanted = day.date().isoformat()
    try:
        moment = datetime.fromisoformat(wanted.upper())
        if _DATE.fullmatch(wanted) and end_of_day:
            moment = datetime.combine(moment, _LAST_MOMENT)
        if moment.tzinfo:
            return moment
        return moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is not a time: write {FORMS}") from error
