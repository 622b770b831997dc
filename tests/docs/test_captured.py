"""Every test that the tables of mended faults name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FOLDER = TESTS.parent / "docs" / "developers"
TEXTS = {name: (FOLDER / f"{name}.md").read_text("utf-8") for name in ("captured", "read")}
NAMED = sorted(set(re.findall(r"`((?:\w+/)+test_\w+\.py)(?:::(\w+))?`", "".join(TEXTS.values()))))


@pytest.mark.parametrize("name", TEXTS)
def test_every_line_of_the_table_names_a_test(name):
    rows = [line for line in TEXTS[name].splitlines() if line.startswith("| ")]
    assert len(rows) > 30
    assert [row for row in rows[1:] if ".py" not in row] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: str(value) or "whole")
def test_it_is_there(file, name):
    tree = ast.parse((TESTS / file.removeprefix("tests/")).read_text("utf-8"))
    here = {each.name for each in tree.body if hasattr(each, "name")}
    assert not name or name in here
