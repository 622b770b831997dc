"""The pages about guarantees name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
SECURITY = DOCS / "security.md"
READ = DOCS / "developers" / "read.md"
PAGES = (DOCS / "guarantees.md", DOCS / "developers" / "fault-tests.md", SECURITY, READ)
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)
_TEST = r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`"
NAMED = sorted(set(re.findall(_TEST, TEXT)))


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_is_there(path, name):
    assert (ROOT / path).exists()
    scope = ast.parse((ROOT / path).read_text("utf-8")).body
    for part in filter(None, name.split("::")):
        (found,) = [node for node in scope if getattr(node, "name", None) == part]
        scope = getattr(found, "body", [])


def test_every_fault_of_reading_names_its_test():
    rows = [line for line in READ.read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 30
    assert [row for row in rows if not re.search(_TEST, row.split("|")[-2])] == []


def test_every_promise_of_security_names_its_test():
    holds = SECURITY.read_text("utf-8").partition("## What holds")[2].partition("\n## ")[0]
    rows = [line for line in holds.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    assert [row for row in rows if not re.search(_TEST, row.split("|")[-2])] == []
