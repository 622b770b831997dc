"""Memory, disk, and import time."""

from __future__ import annotations

from benchmarks.families.base import Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings


def _groups(settings: Settings) -> tuple[Group, ...]:
    return (
        Group(
            f"iter_traces over {settings.medium:,} traces",
            (Probe("stream", "ours", "footprint:stream", fresh=True),),
        ),
        Group(
            "disk",
            (
                Probe("disk-ours", "ours", "footprint:disk"),
                Probe("disk-selectools", "selectools", "footprint:disk"),
            ),
        ),
        Group(
            "imports",
            (
                _import("ours", "selectools_observe"),
                _import("selectools", "selectools"),
                _import("langgraph", "langgraph.checkpoint.sqlite.aio"),
            ),
        ),
    )


def _import(peer: str, module: str) -> Probe:
    return Probe(f"import-{peer}", peer, "footprint:import_time", {"module": module})


def _rows(settings: Settings) -> tuple[Row, ...]:
    ours = Metric("import-ours", "import_ms")
    return (
        Row(
            "13",
            f"iter_traces over {settings.medium:,}: memory above the start",
            "MiB",
            "limit",
            Metric("stream", "mib"),
            target=64.0,
            sized=True,
        ),
        Row(
            "14",
            "disk beyond the traces' own JSON, airline runs",
            "%",
            "limit",
            Metric("disk-ours", "percent"),
            target=25.0,
            note="own JSON: compact UTF-8; after close",
        ),
        Row(
            "ref",
            "... against selectools",
            "%",
            "growth",
            Metric("disk-ours", "percent"),
            Metric("disk-selectools", "percent"),
            "selectools",
        ),
        Row("15a", "import selectools_observe", "ms", "limit", ours, target=80.0),
        Row(
            "15b",
            "import, fresh interpreters",
            "ms",
            "lower",
            ours,
            Metric("import-selectools", "import_ms"),
            "selectools",
            10.0,
        ),
        Row(
            "ref",
            "import, fresh interpreters",
            "ms",
            "lower",
            ours,
            Metric("import-langgraph", "import_ms"),
            "LangGraph saver",
        ),
    )


FAMILY = Family("footprint", "Memory, disk, imports", _groups, _rows, Picture())
