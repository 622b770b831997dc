"""How long the event loop is held by big traces and by queries on a big store."""

from __future__ import annotations

from benchmarks.families.base import Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings


def _groups(settings: Settings) -> tuple[Group, ...]:
    repeats = 1 if settings.quick else 3
    return (
        Group(
            "event loop, 10 MB traces and queries",
            (
                Probe("hold-ours", "ours", "loop:hold", {"repeats": repeats, "queries": 20}),
                Probe("hold-jsonl", "ours", "loop:hold", {"repeats": repeats, "kind": "jsonl"}),
                Probe("hold-memory", "ours", "loop:hold", {"repeats": repeats, "kind": "memory"}),
                Probe("hold-langgraph", "langgraph", "loop:hold", {"repeats": repeats}),
            ),
        ),
    )


def _rows(settings: Settings) -> tuple[Row, ...]:
    return (
        _row(
            "12a",
            "loop held at the longest, SQLite",
            "hold-ours",
            "hold_ms",
            20.0,
            f"10 MB saves and loads, {settings.medium:,} traces queried",
        ),
        _row("12b", "loop held, 99th percentile, SQLite", "hold-ours", "p99_ms", 5.0),
        _row("ref", "... idle loop at the longest", "hold-ours", "idle_ms"),
        _row("ref", "... by the 10 MB trace of many steps", "hold-ours", "steps_ms"),
        _row("ref", "... by the single 10 MB string", "hold-ours", "string_ms"),
        _row("ref", "... by lists and user queries", "hold-ours", "query_ms"),
        _row("ref", "... by one query with a tenth of the store", "hold-ours", "broad_ms"),
        _row("ref", "loop held at the longest, JSONL", "hold-jsonl", "hold_ms"),
        _row("ref", "loop held at the longest, in memory", "hold-memory", "hold_ms"),
        Row(
            "ref",
            "loop held at the longest, 10 MB traces",
            "ms",
            "lower",
            Metric("hold-ours", "hold_ms"),
            Metric("hold-langgraph", "hold_ms"),
            "LangGraph aput, aget_tuple",
            note="LangGraph: no queries",
        ),
    )


def _row(
    number: str, title: str, probe: str, name: str, target: float | None = None, note: str = ""
) -> Row:
    """Make a row that ours alone has to keep below a bound."""
    metric = Metric(probe, name)
    return Row(number, title, "ms", "limit", metric, target=target, sized=True, note=note)


FAMILY = Family(
    "loop", "Event loop held, milliseconds", _groups, _rows, Picture("milliseconds", one_panel=True)
)
