"""The vocabulary: a probe measures, a row compares two measurements and knows its target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.settings import Settings

Relation = Literal["higher", "lower", "growth", "limit"]


@dataclass(frozen=True)
class Probe:
    """One measurement: ``function`` in ``benchmarks.probes``, run in the peer's worker."""

    key: str
    peer: str
    function: str
    options: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    """Start a new process for every round."""


@dataclass(frozen=True)
class Group:
    """Probes that take turns, round after round."""

    title: str
    probes: tuple[Probe, ...]


@dataclass(frozen=True)
class Metric:
    """One number of one probe."""

    probe: str
    name: str


@dataclass(frozen=True)
class Row:
    """One line of the table.

    ``relation`` says how ``ours`` and ``other`` make the measured figure: ``higher`` is ours over
    theirs (throughput), ``lower`` theirs over ours (latency); both have to reach the target.
    ``growth`` is ours over the other, and ``limit`` is ours alone; both have to stay within it.
    """

    number: str
    title: str
    unit: str
    relation: Relation
    ours: Metric
    other: Metric | None = None
    other_label: str = ""
    target: float | None = None
    sized: bool = False
    """The target holds for the full sizes only."""
    note: str = ""

    def measured(self, ours: float, other: float | None) -> float | None:
        """The figure that the target speaks of."""
        if self.relation == "limit":
            return ours
        if other is None:
            return None
        return other / ours if self.relation == "lower" else ours / other

    def reached(self, measured: float | None) -> bool | None:
        """Whether the target is met; None where there is no target or no figure."""
        if measured is None or self.target is None:
            return None
        if self.relation in ("higher", "lower"):
            return measured >= self.target
        return measured <= self.target


@dataclass(frozen=True)
class Family:
    """Groups, rows, and the curves of the picture, all made from the sizes of the run."""

    key: str
    title: str
    groups: Callable[[Settings], tuple[Group, ...]]
    rows: Callable[[Settings], tuple[Row, ...]]
    picture: Picture


@dataclass(frozen=True)
class Curve:
    """One line in a picture: a label, and (x, metric) points."""

    label: str
    points: tuple[tuple[float, Metric], ...]


@dataclass(frozen=True)
class Picture:
    """Curves over x, or, without curves, bars of the rows: a panel each, or one for all."""

    ylabel: str = ""
    xlabel: str = ""
    curves: Callable[[Settings], tuple[Curve, ...]] | None = None
    one_panel: bool = False
