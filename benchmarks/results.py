"""From samples to figures: medians, spread, ratios, verdicts, and the JSON file."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.families import Family, Metric, Row
from benchmarks.runner import Measurement
from benchmarks.settings import Settings


@dataclass(frozen=True)
class Figure:
    """The median of a metric over the rounds, and how far they went apart."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Line:
    """A row with its figures."""

    family: str
    row: Row
    ours: Figure | None
    other: Figure | None
    measured: float | None
    reached: bool | None
    remark: str


class Results:
    """Everything that a run measured."""

    def __init__(self, measurements: dict[str, Measurement], settings: Settings) -> None:
        self.measurements, self.settings = measurements, settings

    def figure(self, metric: Metric | None) -> Figure | None:
        """A metric's figure, if its probe gave any samples."""
        one = self.measurements.get(metric.probe) if metric else None
        values = one.values(metric.name) if one and metric else []
        if not values:
            return None
        return Figure(statistics.median(values), min(values), max(values), len(values))

    def lines(self, families: list[Family]) -> list[Line]:
        """The table."""
        return [
            self._line(family, row) for family in families for row in family.rows(self.settings)
        ]

    def _line(self, family: Family, row: Row) -> Line:
        ours, other = self.figure(row.ours), self.figure(row.other)
        measured = row.measured(ours.median, other.median if other else None) if ours else None
        remark = "; ".join(filter(None, (*self._problems(row), row.note)))
        return Line(family.key, row, ours, other, measured, row.reached(measured), remark)

    def _problems(self, row: Row) -> list[str]:
        probes = [metric.probe for metric in (row.ours, row.other) if metric]
        found = [self.measurements[key].problem for key in probes if key in self.measurements]
        return list(dict.fromkeys(filter(None, found)))


def to_json(results: Results, families: list[Family], about: dict[str, Any]) -> dict[str, Any]:
    """The content of ``results.json``."""
    return {
        **about,
        "settings": results.settings.to_dict(),
        "rows": [_row_json(line) for line in results.lines(families)],
        "measurements": {key: _probe_json(results, key) for key in results.measurements},
    }


def _row_json(line: Line) -> dict[str, Any]:
    return {
        "family": line.family,
        "number": line.row.number,
        "case": line.row.title,
        "unit": line.row.unit,
        "relation": line.row.relation,
        "ours": _figure_json(line.ours),
        "against": line.row.other_label,
        "other": _figure_json(line.other),
        "measured": line.measured,
        "target": line.row.target,
        "reached": line.reached,
        "remark": line.remark,
    }


def _figure_json(figure: Figure | None) -> dict[str, Any] | None:
    return vars(figure) if figure else None


def _probe_json(results: Results, key: str) -> dict[str, Any]:
    one = results.measurements[key]
    return {
        "family": one.family,
        "participant": one.probe.peer,
        "probe": one.probe.function,
        "options": one.probe.options,
        "problem": one.problem,
        "samples": one.samples,
    }
