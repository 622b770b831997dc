"""Loads from SQLite by id."""

from __future__ import annotations

from benchmarks.families.base import Curve, Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings

_CONCURRENCY = (1, 8, 64)


def _groups(_settings: Settings) -> tuple[Group, ...]:
    blocking = Group(
        "blocking loads",
        (
            Probe("load-ours-blocking", "ours", "load:blocking", {"batch": 1_000}),
            Probe("load-selectools", "selectools", "load:blocking", {"batch": 500}),
            Probe("load-raw", "raw", "load:blocking", {"batch": 1_000}),
            Probe("load-mlflow", "mlflow", "load:blocking", {"batch": 20, "stored": 10}),
        ),
    )
    return (blocking, *(_async(concurrency) for concurrency in _CONCURRENCY))


def _async(concurrency: int) -> Group:
    ours = {"concurrency": concurrency, "batch": 1_024}
    theirs = {"concurrency": concurrency, "batch": 128}
    probes = [
        Probe(f"load-ours-{concurrency}", "ours", "load:asynchronous", ours),
        Probe(f"load-langgraph-{concurrency}", "langgraph", "load:asynchronous", theirs),
    ]
    if concurrency == max(_CONCURRENCY):
        probes.append(Probe("load-ours-many", "ours", "load:many"))
    return Group(f"async loads, {concurrency} at a time", tuple(probes))


def _metric(probe: str) -> Metric:
    return Metric(probe, "per_s")


def _rows(_settings: Settings) -> tuple[Row, ...]:
    blocking, many = _metric("load-ours-blocking"), _metric("load-ours-64")
    return (
        Row(
            "3",
            "blocking SQLite load",
            "/s",
            "higher",
            blocking,
            _metric("load-selectools"),
            "selectools",
            5.0,
        ),
        Row(
            "6",
            "async load, 64 at a time",
            "/s",
            "higher",
            many,
            _metric("load-langgraph-64"),
            "LangGraph aget_tuple",
            20.0,
            note="LangGraph: by checkpoint id, its exact-key path",
        ),
        Row(
            "ref",
            "load_many, 64 a call",
            "/s",
            "higher",
            _metric("load-ours-many"),
            many,
            "ours, 64 at a time",
        ),
        Row(
            "ref",
            "blocking SQLite load",
            "/s",
            "higher",
            blocking,
            _metric("load-mlflow"),
            "MLflow get_trace",
        ),
        Row(
            "ref",
            "blocking SQLite load",
            "/s",
            "higher",
            blocking,
            _metric("load-raw"),
            "raw sqlite3 select",
            note="raw: the row's text, not decoded",
        ),
    )


def _curves(_settings: Settings) -> tuple[Curve, ...]:
    return (
        Curve("selectools-observe, async", _points("load-ours")),
        Curve("LangGraph aget_tuple", _points("load-langgraph")),
        Curve("selectools-observe, blocking", ((1, _metric("load-ours-blocking")),)),
        Curve("selectools", ((1, _metric("load-selectools")),)),
        Curve("MLflow get_trace", ((1, _metric("load-mlflow")),)),
        Curve("raw sqlite3, not decoded", ((1, _metric("load-raw")),)),
        Curve("selectools-observe, load_many", ((64, _metric("load-ours-many")),)),
    )


def _points(prefix: str) -> tuple[tuple[float, Metric], ...]:
    return tuple((n, _metric(f"{prefix}-{n}")) for n in _CONCURRENCY)


FAMILY = Family(
    "load",
    "Loads a second, ten-step 6 KB traces, SQLite",
    _groups,
    _rows,
    Picture("loads a second", "loads at a time", _curves),
)
