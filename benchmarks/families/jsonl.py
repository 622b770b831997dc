"""JSONL archives."""

from __future__ import annotations

from benchmarks.families.base import Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings


def _groups(settings: Settings) -> tuple[Group, ...]:
    return (
        Group(
            f"JSONL reads, {settings.jsonl_lines:,} lines",
            (
                Probe("jsonl-ours", "ours", "jsonl:read", {"loads": 500, "lists": 50}),
                Probe("jsonl-selectools", "selectools", "jsonl:read", {"loads": 4, "lists": 1}),
            ),
        ),
        Group(
            "JSONL saves, no fsync",
            (
                Probe("jsonl-save-ours", "ours", "jsonl:save"),
                Probe("jsonl-save-selectools", "selectools", "jsonl:save"),
                Probe("jsonl-save-async", "ours", "jsonl:save_async"),
            ),
        ),
        Group("JSONL opening", (Probe("jsonl-open", "ours", "jsonl:opening"),)),
    )


def _rows(settings: Settings) -> tuple[Row, ...]:
    lines = f"{settings.jsonl_lines:,} lines"
    saves = Metric("jsonl-save-selectools", "per_s")
    return (
        Row(
            "10a",
            f"JSONL load, {lines}",
            "ms",
            "lower",
            Metric("jsonl-ours", "load_ms"),
            Metric("jsonl-selectools", "load_ms"),
            "selectools",
            1000.0,
            sized=True,
            note="mean over random lines of the same file",
        ),
        Row(
            "10b",
            f"JSONL list(50), {lines}",
            "ms",
            "lower",
            Metric("jsonl-ours", "list_ms"),
            Metric("jsonl-selectools", "list_ms"),
            "selectools",
            500.0,
            sized=True,
        ),
        Row(
            "10c",
            f"JSONL save, {lines}, no fsync",
            "/s",
            "higher",
            Metric("jsonl-save-ours", "per_s"),
            saves,
            "selectools",
            3.0,
        ),
        Row(
            "ref",
            "JSONL async save, 64 at a time, no fsync",
            "/s",
            "higher",
            Metric("jsonl-save-async", "per_s"),
            saves,
            "selectools, one thread",
        ),
        Row(
            "ref",
            f"JSONL opening and first load, {lines}",
            "s",
            "limit",
            Metric("jsonl-open", "open_s"),
            note="the scan that builds the index",
        ),
    )


FAMILY = Family("jsonl", "JSONL archive, against selectools", _groups, _rows, Picture())
