"""Time zones by the names that people write: ``Europe/Berlin``, ``UTC``, ``+05:30``, ``local``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches

FORMS = "UTC, local, an offset such as +05:30, or a name such as Europe/Berlin"

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+)*")
_MOST_HOURS = 24


class _LocalZone(tzinfo):
    """The zone of this machine, by the offset of each moment: it may change with the season."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, _: datetime | None) -> timedelta | None:
        return None  # the system does not tell

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


def parse_zone(text: str) -> tzinfo:
    """The time zone that a text names.

    Raises:
        ValueError: There is none of that name; the nearest one is named.
    """
    wanted = text.strip()
    if wanted.upper() in {"UTC", "Z", "GMT"}:
        return UTC
    if wanted.lower() == "local":
        return _LocalZone()
    if (found := _OFFSET.fullmatch(wanted)) and int(found[2]) < _MOST_HOURS:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        return timezone(-offset if found[1] == "-" else offset)
    return _named(wanted)


def _named(name: str) -> tzinfo:
    import zoneinfo  # noqa: PLC0415 - only names need it

    if _NAME.fullmatch(name):  # nothing that could lead out of the database's folder
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    known = zoneinfo.available_timezones()
    if not known:
        raise ValueError(
            f"{name!r:.80} cannot be looked up, since this system has no time zone database: "
            "pip install tzdata, or write an offset such as +05:30"
        )
    near = get_close_matches(name, known, 1, 0.6)
    meant = f": did you mean {near[0]!r}?" if near else f": write {FORMS}"
    raise ValueError(f"{name!r:.80} is not a time zone{meant}")
