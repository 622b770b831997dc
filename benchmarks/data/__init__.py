"""The traces that every participant saves: real airline runs, and a generator of their shape.

Everything here speaks plain dictionaries in the ``AgentTrace.to_dict()`` shape, so that it needs
no participant installed; each peer turns them into its own objects before the clock starts.
"""

from benchmarks.data.airline import airline_runs, source_name
from benchmarks.data.generate import SeededRuns, TraceDict
from benchmarks.data.varieties import (
    TRACES_PER_USER,
    big_string,
    big_with_many_steps,
    fresh,
    small_traces,
    ten_step_6kb,
    user_name,
)

__all__ = [
    "TRACES_PER_USER",
    "SeededRuns",
    "TraceDict",
    "airline_runs",
    "big_string",
    "big_with_many_steps",
    "fresh",
    "small_traces",
    "source_name",
    "ten_step_6kb",
    "user_name",
]
