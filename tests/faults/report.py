"""What the fault tests counted: printed at the end, and appended to a file of JSON lines."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

VARIABLE = "SELECTOOLS_OBSERVE_FAULT_REPORT"

# Printed for every part, also when they are nought: that is what the tests are for.
HARMS = ("lost", "duplicated", "hung", "leaked_handles", "leaked_threads")


class Report:
    """The counts of one test: rounds, faults, acknowledged saves, and the harm that was done."""

    def __init__(self, part: str, case: str, seed: int) -> None:
        self.part = part
        self.case = case
        self.seed = seed
        self._counts: Counter[str] = Counter(dict.fromkeys(HARMS, 0))
        self.journals: dict[Path, dict[str, int]] = {}
        """What each journal that was read tells, once, however often it was read."""

    @property
    def counts(self) -> Counter[str]:
        counts = Counter(self._counts)
        for told in self.journals.values():
            counts.update(told)
        return counts

    def add(self, **counts: int) -> None:
        self._counts.update(counts)

    def highest(self, **values: int) -> None:
        """Note values of which the greatest counts, such as the size of a log."""
        for name, value in values.items():
            self._counts[name] = max(self._counts[name], value)


reports: list[Report] = []


def write(path: Path) -> None:
    with path.open("a") as file:
        for report in reports:
            line = {"part": report.part, "case": report.case, "seed": report.seed}
            file.write(json.dumps({**line, **report.counts}) + "\n")


def write_if_asked() -> None:
    if os.environ.get(VARIABLE):
        write(Path(os.environ[VARIABLE]))


def totals() -> dict[str, Counter[str]]:
    """The counts of each part, all its tests together; of what is a maximum, the greatest."""
    found: dict[str, Counter[str]] = {}
    for report in reports:
        part = found.setdefault(report.part, Counter())
        for name, value in report.counts.items():
            part[name] = max(part[name], value) if name.startswith("most_") else part[name] + value
    return found


def text() -> list[str]:
    return [
        f"{part}: "
        + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counts.items())
        for part, counts in totals().items()
    ]


def table(lines: list[str]) -> list[str]:
    """The totals of such a file as a table of Markdown; only what was counted in all parts."""
    columns = ("rounds", "faults", "acknowledged", *HARMS)
    parts: dict[str, Counter[str]] = {}
    for line in lines:
        counts = json.loads(line)
        parts.setdefault(counts["part"], Counter()).update({n: counts.get(n, 0) for n in columns})
    rows = [[part, *(f"{counts[name]:,}" for name in columns)] for part, counts in parts.items()]
    together = sum(parts.values(), Counter())
    rows.append(["together", *(f"{together[name]:,}" for name in columns)])
    heads = ["part", *(name.replace("_", " ") for name in columns)]
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


if __name__ == "__main__":
    found = [line for name in sys.argv[1:] for line in Path(name).read_text().splitlines()]
    print("\n".join(table(found)))
