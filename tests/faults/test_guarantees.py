"""The pages about guarantees name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "docs" / "guarantees.md", ROOT / "docs" / "developers" / "fault-tests.md")
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", TEXT)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_is_there(path, name):
    assert (ROOT / path).exists()
    scope = ast.parse((ROOT / path).read_text("utf-8")).body
    for part in filter(None, name.split("::")):
        (found,) = [node for node in scope if getattr(node, "name", None) == part]
        scope = getattr(found, "body", [])
