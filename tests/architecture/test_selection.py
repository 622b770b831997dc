"""Each test runs somewhere: what the test command leaves out, CI runs, and nox too."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTEST = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
MARKERS = {marker.partition(":")[0] for marker in PYTEST["markers"]}


def words(pattern: str, path: str) -> set[str]:
    """The words that a file of the repository has where the pattern's group is."""
    found = re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE)
    assert found, f"{path} has nothing like {pattern}"
    return {word for text in found for word in text.split()} - {"not", "and", "or"}


def test_the_default_leaves_out_what_is_marked():
    assert words(r'^DEFAULT = "(.*)"$', "tests/conftest.py") == MARKERS


def test_ci_runs_what_the_default_leaves_out():
    assert words(r'bin/pytest .*-m "?([a-z ]+)', ".ci/run") == {*MARKERS, "hypothesis"}


def test_nox_runs_what_the_default_leaves_out():
    rest = words(r'^REST = "(.*)"$', "noxfile.py")
    more = words(r'"pytest", (?:\*PARALLEL, )?"-m", "(\w+)"', "noxfile.py")
    assert rest | more == {*MARKERS, "hypothesis"}
