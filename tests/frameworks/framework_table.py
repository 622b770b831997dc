"""The matrix of frameworks and fields as tables of the manual: ``python framework_table.py``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from fields import BROKEN_FIELDS, ESTIMATED, FIELDS
from frameworks import FRAMEWORKS, MATRIX, REQUIREMENTS, Framework, is_good, reason

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"
SETUP = PAGE.with_name("framework-setup.md")
_BEGIN, _END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"
_GROUPS = (("Agents", False), ("Clients of model providers", True))
Matrix = Mapping[str, Mapping[str, str]]


def tables(matrix: Matrix) -> str:
    """The tables, and who leaves out what."""
    parts = []
    for title, is_client in _GROUPS:
        group = [each for each in FRAMEWORKS if each.is_client is is_client]
        parts.append(f"### {title}\n\n{_table(group, matrix)}\n")
    lines = [f"- {line}" for line in _left_out(matrix)]
    return "\n".join([*parts, "### Who leaves out what\n", *lines, ""])


def _table(group: list[Framework], matrix: Matrix) -> str:
    versions = [_version(each) for each in group]
    heads = [f"{each.title} {version}" for each, version in zip(group, versions, strict=True)]
    names = [field.name for field in (*FIELDS, *BROKEN_FIELDS) if field.name in group[0].fields]
    rows = [
        ["", *heads],
        ["---", *(":-:" for _ in group)],
        ["reported by", *(_short(each.reporter) for each in group)],
    ]
    rows += [[name, *(_mark(matrix[each.program][name]) for each in group)] for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _short(reporter: str) -> str:
    return reporter.replace("'s instrumentation", "").replace("its ", "")


def _version(framework: Framework) -> str:
    """The release that was tried: what its requirements pin first."""
    first = (REQUIREMENTS / f"{framework.environment}.txt").read_text("utf-8").splitlines()[0]
    return first.partition("==")[2]


def _mark(found: str) -> str:
    return "✓" if is_good(found) else "≈" if found == ESTIMATED else "-"


def _left_out(matrix: Matrix) -> list[str]:
    """A line for each framework and reason."""
    lines = []
    for framework in FRAMEWORKS:
        said = _reasons(framework, matrix)
        if said:
            name = f"{framework.title} by {framework.reporter}" if framework.is_client else ""
            lines.append(f"{name or framework.title}: {said}.")
    return lines


def _reasons(framework: Framework, matrix: Matrix) -> str:
    """Which fields are not stored as they were scripted, by who leaves them out."""
    by_reason: dict[str, list[str]] = {}
    for field, found in matrix[framework.program].items():
        if not is_good(found) and found != ESTIMATED:
            why = reason(framework, field, found) or "not stored"
            by_reason.setdefault(why, []).append(field)
    return "; ".join(f"{', '.join(fields)} ({why})" for why, fields in by_reason.items())


def left_out(program: str, matrix: Matrix) -> str:
    """What is not stored of a framework's runs, as a sentence of the manual."""
    (framework,) = [each for each in FRAMEWORKS if each.program == program]
    said = _reasons(framework, matrix)
    cost = " Costs are estimated." if ESTIMATED in matrix[program].values() else ""
    return f"Not stored: {said}.{cost}\n" if said else f"All fields are stored.{cost}\n"


def with_left_out(page: str, matrix: Matrix) -> str:
    """The page of setups with what is left out, framework by framework."""
    return _LEFT_OUT.sub(lambda found: f"{found[1]}{left_out(found[2], matrix)}{found[3]}", page)


_LEFT_OUT = re.compile(r"(<!-- left out: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table_in(page: str) -> str:
    """The tables that the page has."""
    return page.partition(_BEGIN)[2].partition(_END)[0]


def main() -> None:
    """Write the tables into the page."""
    page = PAGE.read_text("utf-8")
    made = tables(json.loads(MATRIX.read_text("utf-8")))
    between = re.compile(re.escape(_BEGIN) + ".*" + re.escape(_END), re.DOTALL)
    PAGE.write_text(between.sub(lambda _: f"{_BEGIN}{made}{_END}", page), "utf-8")
    matrix = json.loads(MATRIX.read_text("utf-8"))
    SETUP.write_text(with_left_out(SETUP.read_text("utf-8"), matrix), "utf-8")


if __name__ == "__main__":
    main()
