"""The in-memory stores."""

from __future__ import annotations

from benchmarks.families.base import Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings


def _groups(_settings: Settings) -> tuple[Group, ...]:
    return (
        Group(
            "in-memory saves",
            (
                Probe("memory-save-ours", "ours", "memory:save"),
                Probe("memory-save-selectools", "selectools", "memory:save"),
            ),
        ),
        Group(
            "in-memory queries",
            (
                Probe("memory-query-ours", "ours", "memory:query", {"calls": 100}),
                Probe("memory-query-selectools", "selectools", "memory:query", {"calls": 20}),
            ),
        ),
    )


def _rows(_settings: Settings) -> tuple[Row, ...]:
    return (
        Row(
            "11a",
            "in-memory save",
            "/s",
            "higher",
            Metric("memory-save-ours", "per_s"),
            Metric("memory-save-selectools", "per_s"),
            "selectools",
            0.25,
            note="ours keeps a deep snapshot, selectools a reference",
        ),
        *(
            Row(
                number,
                f"in-memory metadata query, {found} of 2,000 traces",
                "ms",
                "lower",
                Metric("memory-query-ours", name),
                Metric("memory-query-selectools", name),
                "selectools",
                target,
            )
            for number, found, name, target in (
                ("11b", 50, "query_ms", 5.0),
                ("ref", 1_000, "half_ms", None),
            )
        ),
    )


FAMILY = Family("memory", "In memory, against selectools", _groups, _rows, Picture())
