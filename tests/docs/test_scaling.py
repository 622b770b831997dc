"""The plan of docs/scaling.md is what its arithmetic gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def plan() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_plan", DOCS / "make_plan.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["make_plan"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_table_of_today(plan):
    assert plan.table() in (DOCS / "scaling.md").read_text("utf-8"), plan.table()


def test_twice_the_bytes_take_twice_the_disk(plan):
    def disk(**fields: int) -> str:
        (line,) = [
            line
            for line in plan.table(plan.Measured(**fields)).splitlines()
            if line.startswith("| disk, one copy")
        ]
        return line.split("|")[2].strip()

    assert disk(row_bytes=950, key_bytes=50) == "100 TB"
    assert disk(row_bytes=1_900, key_bytes=100) == "200 TB"
