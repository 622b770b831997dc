"""Runs worth comparing with a run: of the same task, the same input, the same session or user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..model.filters import TraceFilter
from ..model.trace import TraceSummary

Reason: TypeAlias = Literal["task", "input", "session", "user"]

TASK_KEYS = (
    "task_id", "task", "example_id", "dataset_item_id", "reference_example_id", "sample_id",
    "test_case", "case_id", "scenario", "question_id",
)  # fmt: skip
"""Under which metadata keys evaluations name what a run was to do."""

_MOST_WORDS = 12  # of an input, that its text is looked for by
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class CandidateQuery:
    """One way to find runs to compare with.

    Attributes:
        reason: What they have in common.
        key: The metadata key, where it is one.
        value: What is the same.
        filters: Finds them, and may find more; newest first.
    """

    reason: Reason
    key: str | None
    value: Any
    filters: TraceFilter
    run: TraceSummary

    def accepts(self, found: TraceSummary) -> bool:
        """Whether a run that was found is one to compare with."""
        if found.run_id == self.run.run_id:
            return False
        return self.reason != "input" or found.input == self.run.input


def candidate_queries(run: TraceSummary) -> Iterator[CandidateQuery]:
    """How to find runs to compare with a run, the most telling first."""
    for key in TASK_KEYS:
        value = run.metadata.get(key)
        if value is not None and not isinstance(value, dict | list):
            filters = TraceFilter(metadata_match={key: value})
            yield CandidateQuery("task", key, value, filters, run)
    words = [] if run.input is None else _WORD.findall(run.input)[:_MOST_WORDS]
    if words:
        filters = TraceFilter(text=f'"{" ".join(words)}"')
        yield CandidateQuery("input", None, run.input, filters, run)
    if run.session_id is not None:
        filters = TraceFilter(session_id=run.session_id)
        yield CandidateQuery("session", None, run.session_id, filters, run)
    if run.user_id is not None:
        filters = TraceFilter(user_id=run.user_id)
        yield CandidateQuery("user", None, run.user_id, filters, run)
