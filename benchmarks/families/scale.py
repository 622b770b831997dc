"""What happens as the store grows to a million traces."""

from __future__ import annotations

from benchmarks.families.base import Curve, Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings


def _groups(settings: Settings) -> tuple[Group, ...]:
    calls = 30 if settings.quick else 200
    return (_user_query(settings, calls), _reads(settings, calls), _saves(settings))


def _user_query(settings: Settings, calls: int) -> Group:
    ours = {"size": settings.medium, "calls": calls}
    return Group(
        f"one user in {settings.medium:,} traces",
        (
            Probe("user-ours", "ours", "scale:user_query", ours),
            Probe("user-selectools", "selectools", "scale:user_query", {**ours, "calls": 1}),
        ),
    )


def _reads(settings: Settings, calls: int) -> Group:
    ours = [
        Probe(f"reads-ours-{size}", "ours", "scale:latency", {"size": size, "calls": calls})
        for size in settings.sizes
    ]
    theirs = [
        Probe(
            f"reads-selectools-{size}", "selectools", "scale:peer_reads", {"size": size, "calls": 1}
        )
        for size in _peer_sizes(settings)
    ]
    return Group(f"reads from {settings.small:,} to {settings.large:,} traces", (*ours, *theirs))


def _peer_sizes(settings: Settings) -> list[int]:
    return [size for size in settings.sizes if size <= settings.medium]


def _saves(settings: Settings) -> Group:
    return Group(
        f"saves into {settings.large:,} traces",
        (
            Probe("into-empty", "ours", "scale:save_into", {"size": 0}),
            Probe("into-large", "ours", "scale:save_into", {"size": settings.large}),
        ),
    )


def _rows(settings: Settings) -> tuple[Row, ...]:
    small, large = f"reads-ours-{settings.small}", f"reads-ours-{settings.large}"
    sizes = f"{settings.large:,} against {settings.small:,}"
    label = f"ours at {settings.small:,}"
    reads = (
        ("8a", "user query", "user_ms", 2.0),
        ("8b", "list(50)", "list_ms", 2.0),
        ("8c", "page of 50, slowest depth", "page_ms", 2.0),
        ("ref", "newest 50 of a tenth (env)", "env_ms", None),
    )
    return (
        Row(
            "7",
            f"metadata_match, one user in {settings.medium:,}",
            "ms",
            "lower",
            Metric("user-ours", "user_ms"),
            Metric("user-selectools", "user_ms"),
            "selectools",
            1000.0,
            sized=True,
            note="selectools: filled by SQL with its own rows",
        ),
        *(
            Row(
                number,
                f"{title}, {sizes}",
                "ms",
                "growth",
                Metric(large, name),
                Metric(small, name),
                label,
                target,
                sized=True,
            )
            for number, title, name, target in reads
        ),
        Row(
            "9",
            f"async save, 64 at a time, into {settings.large:,}",
            "/s",
            "higher",
            Metric("into-large", "per_s"),
            Metric("into-empty", "per_s"),
            "ours, empty",
            0.7,
            sized=True,
        ),
    )


def _curves(settings: Settings) -> tuple[Curve, ...]:
    names = {"user_ms": "user query", "list_ms": "list(50)", "page_ms": "page, slowest depth"}
    ours = [
        Curve(f"ours: {title}", _points("ours", name, list(settings.sizes)))
        for name, title in names.items()
    ]
    theirs = [
        Curve(f"selectools: {names[name]}", _points("selectools", name, _peer_sizes(settings)))
        for name in ("user_ms", "list_ms")
    ]
    return (*ours, *theirs)


def _points(peer: str, name: str, sizes: list[int]) -> tuple[tuple[float, Metric], ...]:
    return tuple((size, Metric(f"reads-{peer}-{size}", name)) for size in sizes)


FAMILY = Family(
    "scale",
    "Latency by store size, SQLite, 550-byte traces, blocking",
    _groups,
    _rows,
    Picture("milliseconds, median", "traces in the store", _curves),
)
