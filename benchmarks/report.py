"""The table, as Markdown that reads well in a terminal too."""

from __future__ import annotations

from typing import Any

from benchmarks.results import Figure, Line

_HEAD = (
    "#",
    "case",
    "ours (low to high)",
    "against",
    "theirs (low to high)",
    "measured",
    "target",
    "reached",
    "remark",
)


def markdown(lines: list[Line], about: dict[str, Any], *, quick: bool) -> str:
    """What was run on, then the table."""
    rows = [_HEAD, *(_cells(line, quick=quick) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    table = [_join(row, widths) for row in rows]
    table.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*_preface(about, quick=quick), "", *table, "", *_legend(quick=quick)]) + "\n"


def _join(row: tuple[str, ...], widths: list[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "| " + " | ".join(cells) + " |"


def _preface(about: dict[str, Any], *, quick: bool) -> list[str]:
    machine = about["machine"]
    place = f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    size, system = (
        "Quick run" if quick else "Full run",
        f"{machine['system']}, Python {about['python']}",
    )
    disk = f"{machine['filesystem']}, one fsync {machine['fsync_ms']} ms"
    load = f"load average {machine['load_average']} at the start"
    return [
        f"{size} on {place}, {system}, SQLite {about['sqlite']}, {disk}, {load}.",
        f"Durability: {about['durability']}",
        f"Traces: {about['traces']}.",
        "Versions: "
        + (", ".join(f"{k} {v}" for k, v in about["versions"].items()) or "none")
        + ".",
        *(f"Left out: {reason}" for reason in about["absent"].values()),
    ]


def _legend(*, quick: bool) -> list[str]:
    medians = (
        "Medians of all rounds, with the lowest and the highest round. 'measured' is the ratio of "
        "the medians, the bigger the better; where the target is a bound (at most), it is ours "
        "over the other, or ours itself."
    )
    smaller = "'smaller': a quick run's stores are smaller than the target's."
    return [medians, smaller] if quick else [medians]


def _cells(line: Line, *, quick: bool) -> tuple[str, ...]:
    row = line.row
    return (
        row.number,
        row.title,
        _figure(line.ours, row.unit),
        row.other_label or "-",
        _figure(line.other, row.unit),
        _measured(line),
        _target(line),
        _verdict(line, quick=quick),
        line.remark,
    )


def _figure(figure: Figure | None, unit: str) -> str:
    if figure is None:
        return "-"
    spread = f"{number(figure.low)} to {number(figure.high)}"
    return f"{number(figure.median)} {unit} ({spread})".replace(" /s", "/s")


def _measured(line: Line) -> str:
    if line.measured is None:
        return "-"
    suffix = f" {line.row.unit}" if line.row.relation == "limit" else "x"
    return number(line.measured) + suffix


def _target(line: Line) -> str:
    row = line.row
    if row.target is None:
        return "-"
    if row.relation in ("higher", "lower"):
        return f"at least {row.target:g}x"
    return f"at most {row.target:g}" + (f" {row.unit}" if row.relation == "limit" else "x")


def _verdict(line: Line, *, quick: bool) -> str:
    if line.reached is None:
        return "-"
    return ("yes" if line.reached else "NO") + (" (smaller)" if quick and line.row.sized else "")


def number(value: float) -> str:
    """Three significant digits, thousands with a comma."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.2g}"
