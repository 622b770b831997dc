"""Saves to SQLite: one at a time, from threads, and many at a time in one event loop."""

from __future__ import annotations

from benchmarks.families.base import Curve, Family, Group, Metric, Picture, Probe, Row
from benchmarks.settings import Settings

_OURS = {1: 256, 8: 256, 64: 512, 512: 2_048}
_LANGGRAPH = (1, 8, 64)


def _groups(_settings: Settings) -> tuple[Group, ...]:
    return (
        Group(
            "blocking saves, 1 thread",
            (
                Probe("save-ours-1", "ours", "save:blocking"),
                Probe("save-selectools-1", "selectools", "save:blocking", {"batch": 128}),
                Probe("save-raw-1", "raw", "save:blocking"),
                Probe("save-mlflow-1", "mlflow", "save:blocking", {"batch": 5, "warm_up": 2}),
            ),
        ),
        Group(
            "blocking saves, 8 threads",
            (
                Probe("save-ours-8", "ours", "save:blocking", {"threads": 8, "batch": 512}),
                Probe("save-selectools-8", "selectools", "save:blocking", {"threads": 8}),
            ),
        ),
        *(_async(concurrency) for concurrency in _OURS),
    )


def _async(concurrency: int) -> Group:
    options = {"concurrency": concurrency, "batch": _OURS[concurrency]}
    probes = [Probe(f"save-ours-async-{concurrency}", "ours", "save:asynchronous", options)]
    if concurrency in _LANGGRAPH:
        options = {"concurrency": concurrency, "batch": 192}
        key = f"save-langgraph-{concurrency}"
        probes.append(Probe(key, "langgraph", "save:asynchronous", options))
    if concurrency == 64:
        options = {"concurrency": concurrency, "batch": 128}
        probes.append(Probe("save-openai-64", "openai_agents", "save:asynchronous", options))
    if concurrency == 512:
        probes.append(Probe("save-raw-100", "raw", "save:many", {"batch": 2_000}))
        probes.append(Probe("save-ours-many", "ours", "save:many", {"batch": 2_000}))
    return Group(f"async saves, {concurrency} at a time", tuple(probes))


def _metric(probe: str) -> Metric:
    return Metric(probe, "per_s")


def _rows(_settings: Settings) -> tuple[Row, ...]:
    one, many = _metric("save-ours-1"), _metric("save-ours-async-64")
    batches, ready = _metric("save-raw-100"), "raw: rows ready-made, no metadata index"
    return (
        Row(
            "1",
            "blocking SQLite save, 1 thread",
            "/s",
            "higher",
            one,
            _metric("save-selectools-1"),
            "selectools",
            3.0,
        ),
        Row(
            "2",
            "blocking SQLite save, 8 threads",
            "/s",
            "higher",
            _metric("save-ours-8"),
            _metric("save-selectools-8"),
            "selectools",
            6.0,
        ),
        Row(
            "4",
            "async save, 64 at a time",
            "/s",
            "higher",
            many,
            _metric("save-langgraph-64"),
            "LangGraph aput",
            15.0,
            note="LangGraph: msgpack in one blob",
        ),
        Row(
            "5",
            "async save, 512 at a time",
            "/s",
            "higher",
            _metric("save-ours-async-512"),
            batches,
            "raw sqlite3, 100 a commit",
            0.8,
            note=ready,
        ),
        Row(
            "ref",
            "save_many, 100 a call",
            "/s",
            "higher",
            _metric("save-ours-many"),
            batches,
            "raw sqlite3, 100 a commit",
            note=ready,
        ),
        Row(
            "ref",
            "async save, 64 at a time",
            "/s",
            "higher",
            many,
            _metric("save-openai-64"),
            "OpenAI Agents session",
            note="one shared session, the steps as its items",
        ),
        Row(
            "ref",
            "blocking SQLite save, 1 thread",
            "/s",
            "higher",
            one,
            _metric("save-mlflow-1"),
            "MLflow",
            note="MLflow: its file switched to WAL; a span a step, made in the save",
        ),
        Row(
            "ref",
            "blocking SQLite save, 1 thread",
            "/s",
            "higher",
            one,
            _metric("save-raw-1"),
            "raw sqlite3, commit each",
            note=ready,
        ),
    )


def _curves(_settings: Settings) -> tuple[Curve, ...]:
    ours = tuple((n, _metric(f"save-ours-async-{n}")) for n in _OURS)
    langgraph = tuple((n, _metric(f"save-langgraph-{n}")) for n in _LANGGRAPH)
    return (
        Curve("selectools-observe, async", ours),
        Curve(
            "selectools-observe, blocking (threads)",
            ((1, _metric("save-ours-1")), (8, _metric("save-ours-8"))),
        ),
        Curve(
            "selectools (threads)",
            ((1, _metric("save-selectools-1")), (8, _metric("save-selectools-8"))),
        ),
        Curve("LangGraph aput", langgraph),
        Curve("OpenAI Agents session", ((64, _metric("save-openai-64")),)),
        Curve("MLflow", ((1, _metric("save-mlflow-1")),)),
        Curve("raw sqlite3, commit each", ((1, _metric("save-raw-1")),)),
        Curve("raw sqlite3, 100 a commit", ((512, _metric("save-raw-100")),)),
    )


FAMILY = Family(
    "save",
    "Saves a second, ten-step 6 KB traces, SQLite WAL, synchronous=FULL",
    _groups,
    _rows,
    Picture("saves a second", "saves at a time", _curves),
)
