"""The table of what lands names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "developers" / "captured.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE)))


def test_there_is_one_a_line():
    lines = [line for line in TABLE.splitlines() if re.match(r"\| +\d* +\| ", line)]
    assert len(lines) > 30
    assert all(".py::" in line for line in lines)


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_it_is_there(path, name):
    tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
    defined = {node.name for node in tree.body if hasattr(node, "name")}
    assert name in defined
