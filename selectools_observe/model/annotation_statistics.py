"""What the annotations of many runs say together."""

from __future__ import annotations

from collections import Counter

import msgspec

from .annotations import Latest
from .percentiles import PercentileBuilder, Percentiles, ranks_of

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


class _Scores:
    """Takes scores and says how they are spread. Those below 0 are kept apart, mirrored."""

    def __init__(self) -> None:
        self._above = PercentileBuilder()
        self._below = PercentileBuilder()

    def add(self, score: float) -> None:
        if score < 0:
            self._below.add(-score)
        else:
            self._above.add(score)

    def spread(self) -> Percentiles:
        below, above = self._below.spread(), self._above.spread()
        if not below.count:
            return above
        count, total = below.count + above.count, above.total - below.total
        ranks = ranks_of(count)
        mirrored = [below.count + 1 - rank for rank in reversed(ranks) if rank <= below.count]
        values = [-value for value in reversed(self._below.at_ranks(mirrored))]
        values += self._above.at_ranks([rank - below.count for rank in ranks if rank > below.count])
        p50, p90, p95, p99 = values
        most = above.max if above.count else -below.min
        error = max(below.error, above.error)
        return Percentiles(count, total, total / count, -below.max, p50, p90, p95, p99, most, error)


class AnnotationCollector:
    """Takes the newest annotations of runs and says what they say together."""

    def __init__(self) -> None:
        self._runs: Counter[str] = Counter()
        self._scores: dict[str, _Scores] = {}
        self._labels: dict[str, Counter[str]] = {}

    def add(self, said: Latest) -> None:
        """Count the annotations of a run."""
        for name, one in said.items():
            if name not in self._runs and len(self._runs) >= MOST_NAMES:
                continue
            self._runs[name] += 1
            scores = self._scores.setdefault(name, _Scores())
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
