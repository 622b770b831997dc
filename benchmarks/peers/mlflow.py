"""MLflow tracing on SQLite or PostgreSQL: a trace is a root span with one child span a step.

Asynchronous logging is off, so that a save has reached the database when it returns, as everyone
else's has. MLflow leaves SQLite's rollback journal on; the file is switched to WAL here, which
stays with the file. Making the spans is part of the save, for MLflow stores no ready-made trace.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow

from benchmarks.data import TraceDict


class Tracking:
    """``start_span_no_context`` for the run and for each step, and ``get_trace``."""

    def __init__(self, uri: str, artifacts: Path) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._trace_ids: dict[str, str] = {}
        mlflow.set_tracking_uri(uri)
        self._experiment = mlflow.create_experiment(
            "benchmark", artifact_location=artifacts.as_uri()
        )
        mlflow.set_experiment(experiment_id=self._experiment)

    def native(self, trace: TraceDict) -> Any:
        return trace

    def save(self, item: Any) -> None:
        tags = {key: str(value) for key, value in item["metadata"].items()}
        root = mlflow.start_span_no_context("run", tags=tags)
        for step in item["steps"]:
            span = mlflow.start_span_no_context(step["type"], parent_span=root, attributes=step)
            span.end()
        root.end()
        self._trace_ids[item["run_id"]] = root.trace_id

    def load(self, run_id: str) -> None:
        if mlflow.get_trace(self._trace_ids[run_id]) is None:
            raise LookupError(run_id)

    def newest(self, count: int) -> int:
        return self._found(None, count)

    def by_metadata(self, key: str, value: object) -> int:
        return self._found(f"tag.{key} = '{value}'", 100)

    def by_text(self, text: str) -> int:
        return self._found(f"trace.text LIKE '%{text}%'", 50)

    def _found(self, wanted: str | None, most: int) -> int:
        found = mlflow.search_traces(
            locations=[self._experiment],
            filter_string=wanted,
            max_results=most,
            return_type="list",
            include_spans=False,
        )
        return len(found)

    def close(self) -> None:
        """The tracking store keeps its engine until the process ends."""


def blocking(kind: str, place: Any) -> Tracking:
    """Only ``sqlite``, and ``postgres``, whose place is a URL."""
    if kind == "postgres":
        uri = place.replace("postgresql:", "postgresql+psycopg:")
        return Tracking(uri, Path(tempfile.mkdtemp(prefix="mlflow-artifacts-")))
    tracking = Tracking(f"sqlite:///{place}", place.with_name(place.name + "-artifacts"))
    with closing(sqlite3.connect(place)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    return tracking


def asynchronous(_kind: str, _path: Path) -> Any:
    """There is none: its asynchronous logging acknowledges before it stores."""
    raise NotImplementedError("MLflow has no awaited save")
