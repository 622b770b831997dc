"""No test is in a hurry: what a busy machine makes slow must not look like a fault."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = re.compile(r"mark\.timeout\((?:\w+ if \w+ else )?(\d+)")


def test_no_test_has_less_time_than_the_suite_gives():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    least = settings["tool"]["pytest"]["ini_options"]["timeout"]
    limits = {
        (path.name, int(limit))
        for path in (ROOT / "tests").rglob("*.py")
        for limit in LIMIT.findall(path.read_text())
    }
    assert {(name, limit) for name, limit in limits if 0 < limit < least} == set()
