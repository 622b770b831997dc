"""Asking a store of many runs: by what was said, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.families import ask_statistics
from benchmarks.families.base import Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings

_KINDS = {
    "windows": "runs of 6 KB",
    "conversations": "whole conversations",
    "small": "runs of 550 bytes",
}


def _groups(settings: Settings) -> tuple[Group, ...]:
    size = settings.texts
    texts = (
        Group(
            f"a phrase in 3 of {size:,} {title}",
            (
                Probe(f"like-{kind}", "raw", "ask:like", {"kind": kind, "size": size}),
                *(
                    Probe(
                        f"text-{state}-{kind}",
                        "ours",
                        "ask:text",
                        {"kind": kind, "size": size, "state": state},
                    )
                    for state in ("plain", "indexed")
                ),
            ),
        )
        for kind, title in _KINDS.items()
    )
    saves = Group(
        "saves, 512 at a time, while words are indexed",
        tuple(
            Probe(f"saves-{state}", "ours", "ask:saves", {"indexed": state == "indexed"})
            for state in ("indexed", "plain")
        ),
    )
    return (*texts, saves, *ask_statistics.groups(settings))


def _rows(settings: Settings) -> tuple[Row, ...]:
    return (*_text_rows(settings), _SAVES, *ask_statistics.rows(settings))


def _text_rows(settings: Settings) -> Iterator[Row]:
    for kind, title in _KINDS.items():
        like = Metric(f"like-{kind}", "phrase_ms")
        for state, said, target in (("indexed", "indexed", 20.0), ("plain", "not indexed", 1.0)):
            yield Row(
                f"13.1 {kind}",
                f"a phrase in 3 of {settings.texts:,} {title}, {said}",
                "ms",
                "lower",
                Metric(f"text-{state}-{kind}", "phrase_ms"),
                like,
                "SQLite's LIKE over the same rows",
                target,
            )
        yield Row(
            f"13.1 {kind}",
            f"a common word's first 50 of {settings.texts:,} {title}",
            "ms",
            "limit",
            Metric(f"text-indexed-{kind}", "common_ms"),
            target=50.0,
        )
        yield Row(
            f"13.1 {kind}",
            f"the index of words, as a share of the JSON of {title}",
            "",
            "limit",
            Metric(f"text-indexed-{kind}", "share"),
            target=0.15,
        )


_SAVES = Row(
    "13.1 saves",
    "saves, 512 at a time, index of words on and off",
    "/s",
    "higher",
    Metric("saves-indexed", "per_s"),
    Metric("saves-plain", "per_s"),
    "the same store without it",
    0.9,
)

FAMILY = Family("ask", "Asking", _groups, _rows, Picture())
