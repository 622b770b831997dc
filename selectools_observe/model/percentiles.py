"""Percentiles of a quantity over many runs, in bounded memory.

As long as the values are few they are all kept, and percentiles are exact. After that they are
counted in buckets whose bounds grow by a constant factor, so that a percentile is off by 1 % of its
own value at most (the idea of DDSketch: Masson, Rim and Lee, VLDB 2019).
"""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import truediv

import msgspec

from .amounts import added

EXACT_UP_TO = 1000
"""So many values are kept as they are."""

_ERROR = 0.01
LOG_FACTOR = math.log((1 + _ERROR) / (1 - _ERROR))
SMALLEST = 1e-9  # what is closer to zero counts as zero


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How a quantity is spread; all are 0 where there was no value.

    Attributes:
        count: How many values there were.
        total: Their sum.
        mean: Their mean.
        min: The smallest.
        p50: The median: half of the values are at most this. Always one of the values, or within
            1 % of one; never something between two.
        p90: Nine tenths are at most this.
        p95: 19 twentieths are at most this.
        p99: 99 hundredths are at most this.
        max: The largest.
        error: How far a percentile may be off, as a share of its value: 0 if it is exact.
    """

    count: int = 0
    total: float = 0.0
    mean: float = 0.0
    min: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    error: float = 0.0


class Sketch(msgspec.Struct, array_like=True, gc=False):
    """What a `PercentileBuilder` has taken, in few bytes; two of them can be added.

    Attributes:
        count: How many values there were.
        total: Their sum.
        min: The smallest.
        max: The largest.
        values: The values, if they are few; or else None.
        buckets: How many values each bucket has, if they are many.
    """

    count: int = 0
    total: float = 0.0
    min: float = 0.0
    max: float = 0.0
    values: list[float] | None = None
    buckets: dict[int, int] | None = None


LARGEST = sys.float_info.max
ZERO_BUCKET = -(2**31)  # the bucket of what counts as zero, before all others


class PercentileBuilder:
    """Takes values one by one and says how they are spread.

    Values are finite and not negative: durations, tokens, costs. Others count as 0.
    """

    __slots__ = ("_buckets", "_count", "_exact", "_max", "_min", "_total")

    def __init__(self) -> None:
        self._exact: array[float] | None = array("d")
        self._buckets: Counter[int] = Counter()
        self._count = 0
        self._total = 0.0
        self._min = math.inf
        self._max = 0.0

    def add(self, value: float) -> None:
        """Take a value."""
        if not 0 < value <= LARGEST:
            value = 0.0
        self._count += 1
        total = self._total + value
        self._total = min(total, LARGEST)
        self._min = min(self._min, value)
        self._max = max(self._max, value)
        if self._exact is None:
            self._buckets[_bucket(value)] += 1
        else:
            self._exact.append(value)
            if len(self._exact) > EXACT_UP_TO:
                self._count_in_buckets()

    def extend(self, values: Collection[float]) -> None:
        """Take many values."""
        if not values:
            return
        least, most = min(values), max(values)
        if not (least >= 0 and most <= LARGEST):
            values = [value if 0 < value <= LARGEST else 0.0 for value in values]
            least, most = min(values), max(values)
        self._note(len(values), added(values), least, most)
        if self._exact is None:
            self._buckets.update(_buckets(values, least))
            return
        self._exact.extend(values)
        if len(self._exact) > EXACT_UP_TO:
            self._count_in_buckets()

    def add_sketch(self, sketch: Sketch) -> None:
        """Take what another has taken."""
        if not sketch.count:
            return
        if sketch.values is not None:
            self.extend(sketch.values)
            return
        self._note(sketch.count, sketch.total, sketch.min, sketch.max)
        self._count_in_buckets()
        buckets = self._buckets
        for bucket, count in (sketch.buckets or {}).items():
            buckets[bucket] += count

    def sketch(self, most_values: int) -> Sketch:
        """What was taken; the values themselves only if they are no more than that."""
        if not self._count:
            return Sketch()
        exact = self._exact
        values = None if exact is None or len(exact) > most_values else list(exact)
        buckets: dict[int, int] | None = None
        if values is None:
            buckets = dict(self._buckets if exact is None else Counter(map(_bucket, exact)))
        return Sketch(self._count, self._total, self._min, self._max, values, buckets)

    def _note(self, count: int, total: float, least: float, most: float) -> None:
        self._count += count
        self._total = min(self._total + total, LARGEST)
        self._min = min(self._min, least)
        self._max = max(self._max, most)

    def _count_in_buckets(self) -> None:
        if self._exact is not None:
            self._buckets.update(map(_bucket, self._exact))
            self._exact = None

    @property
    def total(self) -> float:
        """The sum of the values so far."""
        return self._total

    def spread(self) -> Percentiles:
        """How the values so far are spread."""
        if not self._count:
            return Percentiles()
        p50, p90, p95, p99 = self.at_ranks(ranks_of(self._count))
        mean = self._total / self._count
        error = 0.0 if self._exact is not None else _ERROR
        return Percentiles(
            self._count, self._total, mean, self._min, p50, p90, p95, p99, self._max, error
        )

    def at_ranks(self, ranks: Sequence[int]) -> list[float]:
        """The values of these ranks, which ascend; the smallest value has rank 1."""
        if self._exact is not None:
            ordered = sorted(self._exact)
            return [ordered[rank - 1] for rank in ranks]
        found: list[float] = []
        passed = 0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            while len(found) < len(ranks) and passed >= ranks[len(found)]:
                found.append(min(max(_middle(bucket), self._min), self._max))
        return found


def ranks_of(count: int) -> list[int]:
    """The nearest ranks of p50, p90, p95 and p99 among this many values."""
    return [max(1, math.ceil(share * count)) for share in (0.5, 0.9, 0.95, 0.99)]


def _bucket(value: float) -> int:
    return ZERO_BUCKET if value < SMALLEST else math.ceil(math.log(value) / LOG_FACTOR)


def _buckets(values: Collection[float], least: float) -> Iterable[int]:
    """The bucket of each of many values, the least of which is known."""
    if least < SMALLEST:
        return map(_bucket, values)
    return map(math.ceil, map(truediv, map(math.log, values), repeat(LOG_FACTOR)))


def _middle(bucket: int) -> float:
    """The value that no value of the bucket is further from than the error allowed."""
    return 0.0 if bucket == ZERO_BUCKET else math.exp((bucket - 1) * LOG_FACTOR) * (1 + _ERROR)
