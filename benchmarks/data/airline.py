"""The real airline runs of the tests, where that folder is there."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path

from benchmarks.data.generate import SeededRuns, TraceDict

_FILE = Path(__file__).resolve().parents[2] / "tests" / "data" / "airline" / "airline.jsonl.gz"
_GENERATED = 200


@functools.cache
def airline_runs() -> tuple[TraceDict, ...]:
    """The 200 real runs, or as many generated ones of the same shape."""
    if not _FILE.is_file():
        return tuple(SeededRuns().runs(_GENERATED))
    with gzip.open(_FILE, "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line)["trace"] for line in lines)


def source_name() -> str:
    """What ``airline_runs`` gives here, for the report."""
    if _FILE.is_file():
        return "200 real airline runs, and generated ones of their shape for the bigger sizes"
    return "generated runs of the airline shape (the real ones are not here)"
