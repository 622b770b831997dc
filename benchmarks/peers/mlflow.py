"""MLflow tracing on SQLite: a trace is a root span with one child span a step.

Asynchronous logging is off, so that a save has reached the database when it returns, as everyone
else's has. MLflow leaves SQLite's rollback journal on; the file is switched to WAL here, which
stays with the file. Making the spans is part of the save, for MLflow stores no ready-made trace.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow

from benchmarks.data import TraceDict


class Tracking:
    """``start_span_no_context`` for the run and for each step, and ``get_trace``."""

    def __init__(self, path: Path) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._trace_ids: dict[str, str] = {}
        mlflow.set_tracking_uri(f"sqlite:///{path}")
        artifacts = path.with_name(path.name + "-artifacts").as_uri()
        experiment = mlflow.create_experiment("benchmark", artifact_location=artifacts)
        mlflow.set_experiment(experiment_id=experiment)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode=WAL")

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
        raise NotImplementedError

    def by_metadata(self, key: str, value: object) -> int:
        raise NotImplementedError

    def close(self) -> None:
        """The tracking store keeps its engine until the process ends."""


def blocking(_kind: str, path: Path) -> Tracking:
    """Only ``sqlite``."""
    return Tracking(path)


def asynchronous(_kind: str, _path: Path) -> Any:
    """There is none: its asynchronous logging acknowledges before it stores."""
    raise NotImplementedError("MLflow has no awaited save")
