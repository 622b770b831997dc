"""Runs out of a store and into another, through every form that we write."""

from __future__ import annotations

from pathlib import Path

import pytest

import selectools_observe as so
from selectools_observe.interchange import read_saved_runs, saved_runs, write_parquet
from selectools_observe.interchange.exports import jsonl_lines
from selectools_observe.interchange.source import files_in

FORMS = ("jsonl", "parquet", "otlp", "sqlite")


def all_of(path: Path) -> list[object]:
    """All that a store says, in the order of saving, oldest first."""
    with so.SQLiteTraceStore(path) as store:
        summaries = list(store.iter_summaries(oldest_first=True))
        ids = [summary.run_id for summary in summaries]
        traces, said = store.load_many(ids), store.annotations_of(ids)
        return [(one, traces[one.run_id], said[one.run_id]) for one in summaries]


def files_of(form: str, store: so.SQLiteTraceStore, folder: Path) -> list[Path]:
    """The runs of a store as files of a form."""
    folder.mkdir()
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
        write_parquet(saved_runs(store), folder / "runs")
        return [Path(name) for name in files_in(str(folder / "runs"))]
    path = folder / f"runs.{form}"
    if form == "sqlite":
        store.backup(path)
    else:
        path.write_bytes(b"".join(jsonl_lines(saved_runs(store))))
    return [path]


def through(form: str, path: Path, folder: Path) -> Path:
    """The runs of a database in another, by way of this form."""
    folder.mkdir()
    made = folder / "made.db"
    with (
        so.SQLiteTraceStore(path) as store,
        so.SQLiteTraceStore(made, durability="normal") as target,
    ):
        if form == "otlp":
            pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")
            from selectools_observe.integrations.opentelemetry import OtlpReceiver, otlp_of_runs

            receiver = OtlpReceiver(target, journal=False)
            for run in saved_runs(store):
                assert receiver.receive(otlp_of_runs(run)).status == 200
            receiver.close()
            return made
        for file in files_of(form, store, folder / "files"):
            runs = list(read_saved_runs(file, skipped=pytest.fail))
            moments = [run.created_at for run in runs]
            target.save_many([run.trace for run in runs], created_at=moments)
            target.annotate_many([one for run in runs for one in run.annotations])
    return made
