"""One picture a family: curves where there is an x, bars of the rows where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.families import Family
from benchmarks.families.base import Curve
from benchmarks.report import number
from benchmarks.results import Line, Results

_OURS, _OTHER, _TARGET = "#2563eb", "#9ca3af", "#dc2626"


def draw(results: Results, families: list[Family], out: Path) -> list[Path]:
    """Write ``<family>.svg`` for each; needs matplotlib."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    return [path for family in families if (path := _draw(results, family, out))]


def _draw(results: Results, family: Family, out: Path) -> Path | None:
    from matplotlib import pyplot as plt

    figure = _maker(family)(plt, results, family)
    if figure is None:
        return None
    figure.tight_layout()
    path = out / f"{family.key}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def _maker(family: Family) -> Callable[[Any, Results, Family], Any]:
    if family.picture.curves:
        return _curves
    return _one_panel if family.picture.one_panel else _bars


def _curves(plt: Any, results: Results, family: Family) -> Any:
    picture = family.picture
    assert picture.curves is not None
    drawn = [_points(results, curve) for curve in picture.curves(results.settings)]
    if not any(points for _, points in drawn):
        return None
    figure, axes = plt.subplots(figsize=(8, 5))
    for label, points in drawn:
        if points:
            _curve(axes, label, points)
    axes.set(xscale="log", yscale="log", xlabel=picture.xlabel, ylabel=picture.ylabel)
    ticks = sorted({x for _, points in drawn for x, *_ in points})
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.set_title(family.title, fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _points(results: Results, curve: Curve) -> tuple[str, list[tuple[float, float, float, float]]]:
    found = ((x, results.figure(metric)) for x, metric in curve.points)
    return curve.label, [(x, f.median, f.low, f.high) for x, f in found if f]


def _curve(axes: Any, label: str, points: list[tuple[float, float, float, float]]) -> None:
    x, middle, low, high = zip(*points, strict=True)
    ours = label.startswith(("selectools-observe", "ours"))
    style = "-o" if ours else "--s"
    width = 2 if ours else 1.2
    (drawn,) = axes.plot(x, middle, style, label=label, linewidth=width, markersize=5)
    axes.vlines(x, low, high, color=drawn.get_color(), alpha=0.5, linewidth=width)


def _one_panel(plt: Any, results: Results, family: Family) -> Any:
    """A bar a row of ours, and of theirs where there is one; a mark where the target is."""
    lines = [line for line in results.lines([family]) if line.ours or line.other]
    if not lines:
        return None
    figure, axes = plt.subplots(figsize=(8, 1 + 0.4 * len(lines)))
    for line in reversed(lines):
        _bar(axes, line)
    axes.margins(x=0.15)
    axes.set(xlabel=family.picture.ylabel)
    axes.set_title(family.title, fontsize=10)
    axes.tick_params(labelsize=8)
    return figure


def _bar(axes: Any, line: Line) -> None:
    row, figure = line.row, line.other or line.ours
    assert figure is not None
    label = f"{row.other_label}: {row.title}" if line.other else row.title
    axes.barh(label, figure.median, color=_OTHER if line.other else _OURS)
    axes.text(figure.median, label, f" {number(figure.median)}", va="center", fontsize=8)
    if row.target is not None and not line.other:
        axes.plot([row.target], [label], "|", color=_TARGET, markersize=16, markeredgewidth=2)


def _bars(plt: Any, results: Results, family: Family) -> Any:
    lines = [line for line in results.lines([family]) if line.ours or line.other]
    if not lines:
        return None
    height = 0.6 + 0.95 * len(lines)
    figure, axes = plt.subplots(len(lines), 1, figsize=(8, height), squeeze=False)
    for panel, line in zip(axes[:, 0], lines, strict=True):
        _panel(panel, line)
    figure.suptitle(family.title, fontsize=10)
    return figure


def _panel(panel: Any, line: Line) -> None:
    row = line.row
    bars = [("selectools-observe", line.ours, _OURS), (row.other_label, line.other, _OTHER)]
    shown = [(label, figure, color) for label, figure, color in reversed(bars) if figure]
    for label, figure, color in shown:
        panel.barh(label, figure.median, color=color)
        panel.text(
            figure.median, label, f" {number(figure.median)} {row.unit}", va="center", fontsize=7
        )
    panel.margins(x=0.25)
    if row.relation == "limit" and row.target is not None:
        panel.axvline(row.target, color=_TARGET, linewidth=1)
    panel.set_title(f"{row.title}{_better(line)}", fontsize=8, loc="left")
    panel.tick_params(labelsize=7)
    panel.set_xticks([])


def _better(line: Line) -> str:
    if line.measured is None or line.row.relation == "limit":
        return ""
    return f" ({number(line.measured)} times)"
