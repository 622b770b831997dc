"""The page of setups: its lines run with the newest release of each framework, and it says what is
left out as the matrix does."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from environments import COMPLETE
from framework_table import SETUP, with_left_out
from frameworks import MATRIX

ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("SELECTOOLS_OBSERVE_FRAMEWORKS")
TEXT = SETUP.read_text("utf-8")
BLOCKS = re.compile(
    r"<!-- not run: nox -s frameworks runs it in the environment (\w+) -->\n```python\n(.*?)```",
    re.DOTALL,
)
FIRST = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_page_says_what_is_left_out():
    """``python tests/frameworks/framework_table.py`` writes it."""
    assert with_left_out(TEXT, json.loads(MATRIX.read_text("utf-8"))) == TEXT


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("environment", "lines"), BLOCKS.findall(TEXT), ids=[each[0] for each in BLOCKS.findall(TEXT)]
)
def test_the_lines_run(environment, lines, tmp_path):
    if not FOLDER:
        pytest.skip("SELECTOOLS_OBSERVE_FRAMEWORKS names no folder of environments")
    made = Path(FOLDER).resolve() / environment
    if not (made / COMPLETE).exists():
        pytest.skip(f"there is no whole environment {environment}")
    program = f"{FIRST.findall(TEXT)[0]}\n{lines}\nprovider.shutdown()\nstore.close()\n"
    done = subprocess.run(
        [str(made / "bin" / "python"), "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "traces.db").exists()
