"""Runs into and out of the files of other tools: `read_runs` reads every form that is known."""

from __future__ import annotations

from .exports import saved_runs
from .judgements import JudgementSaver
from .parquet_files import write_parquet
from .registry import UnknownFormError, forms, read_runs, read_saved_runs

__all__ = [
    "JudgementSaver",
    "UnknownFormError",
    "forms",
    "read_runs",
    "read_saved_runs",
    "saved_runs",
    "write_parquet",
]
