"""Time zones by the names that people write."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from selectools_observe.model.zones import parse_zone

WINTER = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("UTC", 0), ("z", 0), (" gmt ", 0), ("+05:30", 5.5), ("-3", -3), ("UTC+0900", 9),
        ("Europe/Berlin", 1), ("Asia/Kolkata", 5.5), ("Etc/GMT+5", -5),
    ],
)  # fmt: skip
def test_names_and_offsets(text, hours):
    assert WINTER.astimezone(parse_zone(text)).utcoffset() == timedelta(hours=hours)


def test_local_is_that_of_this_machine():
    assert WINTER.astimezone(parse_zone("local")).utcoffset() is not None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process cannot be set here")
def test_local_follows_the_season(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        zone, berlin = parse_zone("local"), parse_zone("Europe/Berlin")
        for hour in range(0, 24 * 366, 5):
            moment = WINTER + timedelta(hours=hour)
            there = moment.astimezone(zone)
            assert there.isoformat() == moment.astimezone(berlin).isoformat()
            assert there.timestamp() == moment.timestamp()
        assert WINTER.astimezone(zone).tzname() == "CET"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text",
    ["", "+25", "+05:75", "Europe/Berln", "../Berlin", "/etc/passwd", "a\0b", "Europe/", "é"],
)
def test_others_are_refused(text):
    with pytest.raises(ValueError, match="is not a time zone"):
        parse_zone(text)


def test_the_nearest_is_named():
    with pytest.raises(ValueError, match="did you mean 'Europe/Berlin'"):
        parse_zone("Europe/Berln")
