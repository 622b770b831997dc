"""What the annotations of many runs say together."""

from __future__ import annotations

from collections import Counter

import msgspec

from .percentiles import PercentileBuilder, Percentiles
from .trace import TraceSummary

MOST_NAMES = 500
"""How many names, and how many labels of each, are distinguished."""


class AnnotationStatistics(msgspec.Struct, frozen=True):
    """What the newest annotations with one name say together.

    Attributes:
        runs: How many runs have one.
        score: How the scores of those that have one are spread; its mean is the mean score.
        labels: How many runs have each label, most first.
    """

    runs: int
    score: Percentiles
    labels: dict[str, int]


class AnnotationCollector:
    """Takes summaries and says what their annotations say together."""

    def __init__(self) -> None:
        self._runs: Counter[str] = Counter()
        self._scores: dict[str, PercentileBuilder] = {}
        self._labels: dict[str, Counter[str]] = {}

    def add(self, summary: TraceSummary) -> None:
        """Count what was said of a run."""
        for name, one in summary.annotations.items():
            if name not in self._runs and len(self._runs) >= MOST_NAMES:
                continue
            self._runs[name] += 1
            scores = self._scores.setdefault(name, PercentileBuilder())
            labels = self._labels.setdefault(name, Counter())
            if one.score is not None:
                scores.add(one.score)
            if one.label is not None and (one.label in labels or len(labels) < MOST_NAMES):
                labels[one.label] += 1

    def result(self) -> dict[str, AnnotationStatistics]:
        """What was counted, by name."""
        return {
            name: AnnotationStatistics(
                self._runs[name],
                self._scores[name].spread(),
                dict(sorted(self._labels[name].items(), key=lambda pair: (-pair[1], pair[0]))),
            )
            for name in sorted(self._runs)
        }
