"""Lists of fifty summaries, against selectools and against bare sqlite3."""

from __future__ import annotations

from benchmarks.families.base import Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings

_TARGETS = {"sqlite": 1.5, "jsonl": 1.5, "memory": 1.0}


def _groups(_settings: Settings) -> tuple[Group, ...]:
    return tuple(
        Group(
            f"list(50), {kind}",
            (
                Probe(f"list-ours-{kind}", "ours", "lists:newest", {"kind": kind}),
                Probe(
                    f"query-ours-{kind}",
                    "ours",
                    "lists:newest",
                    {"kind": kind, "method": "newest_with_steps"},
                ),
                Probe(
                    f"list-selectools-{kind}",
                    "selectools",
                    "lists:newest",
                    {"kind": kind, "calls": 20 if kind == "jsonl" else 200},
                ),
                *(
                    (Probe("list-raw", "raw", "lists:newest", {"kind": kind}),)
                    if kind == "sqlite"
                    else ()
                ),
            ),
        )
        for kind in _TARGETS
    )


def _rows(_settings: Settings) -> tuple[Row, ...]:
    ours = {
        (asked, kind): Metric(f"{asked}-ours-{kind}", "list_ms")
        for kind in _TARGETS
        for asked in ("list", "query")
    }
    against = (
        Row(
            f"13.7 {kind}" if asked == "list" else f"13.7 {kind}, query",
            f"list(50), {kind}" if asked == "list" else f"query of 50 by a range, {kind}",
            "ms",
            "lower",
            metric,
            Metric(f"list-selectools-{kind}", "list_ms"),
            "selectools' list(50)",
            _TARGETS[kind],
        )
        for (asked, kind), metric in ours.items()
    )
    floor = Row(
        "ref",
        "list(50), bare sqlite3",
        "ms",
        "lower",
        ours["list", "sqlite"],
        Metric("list-raw", "list_ms"),
        "raw: the columns as they are stored, nothing decoded or checked",
    )
    return (*against, floor)


FAMILY = Family("lists", "Lists of fifty", _groups, _rows, Picture())
