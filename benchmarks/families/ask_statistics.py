"""Asking a store of many runs what they add up to, and which are first in an order."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.families.base import Group, Metric, Probe, Row
from benchmarks.settings import Settings

_READ = "reading each trace"


def groups(settings: Settings) -> Iterator[Group]:
    """Statistics beside reading each trace, and as the store grows."""
    windows = {"size": settings.texts, "kind": "windows"}
    yield Group(
        f"statistics of {settings.texts:,} runs of 6 KB",
        (
            Probe("statistics-windows", "ours", "ask_statistics:statistics", windows),
            Probe("statistics-read", "ours", "ask_statistics:by_reading", windows),
        ),
    )
    yield Group(
        f"statistics and orders, {settings.sizes[1]:,} and {settings.large:,} runs of 550 bytes",
        tuple(
            probe
            for size in (settings.sizes[1], settings.large)
            for probe in (
                Probe(
                    f"statistics-{size}",
                    "ours",
                    "ask_statistics:statistics",
                    {"size": size, "kind": "small"},
                ),
                Probe(f"orders-{size}", "ours", "ask_statistics:orders", {"size": size}),
            )
        ),
    )


def rows(settings: Settings) -> Iterator[Row]:
    """What the issue asks of these."""
    small, large = settings.sizes[1], settings.large
    yield Row(
        "13.6",
        f"statistics by day, model and tool of {settings.texts:,} runs of 6 KB",
        "ms",
        "lower",
        Metric("statistics-windows", "statistics_ms"),
        Metric("statistics-read", "statistics_ms"),
        _READ,
        30.0,
    )
    yield Row(
        "13.6",
        "the same the first time, when it is made",
        "ms",
        "lower",
        Metric("statistics-windows", "first_ms"),
        Metric("statistics-read", "statistics_ms"),
        _READ,
    )
    yield Row(
        "13.6",
        f"statistics of {large:,} runs of 550 bytes against {small:,}",
        "ms",
        "growth",
        Metric(f"statistics-{large}", "statistics_ms"),
        Metric(f"statistics-{small}", "statistics_ms"),
        f"ours at {small:,}",
        10.0,
        sized=True,
    )
    for metric, said, target in (
        ("filtered_ms", "statistics", 2000.0), ("count_ms", "a count", 1000.0),
    ):  # fmt: skip
        yield Row(
            "13.6",
            f"{said} of a filter that the index does not decide and that leaves all of {large:,}",
            "ms",
            "limit",
            Metric(f"statistics-{large}", metric),
            target=target,
            sized=True,
        )
    yield Row(
        "13.2",
        f"the first 50 of {large:,} in the slowest order, against list(50)",
        "ms",
        "growth",
        Metric(f"orders-{large}", "order_ms"),
        Metric(f"orders-{large}", "list_ms"),
        "list(50)",
        50.0,
        sized=True,
    )
    yield Row(
        "13.5",
        f"a page of 50 users' runs, of {large:,}",
        "ms",
        "limit",
        Metric(f"orders-{large}", "groups_ms"),
        target=100.0,
        sized=True,
    )
