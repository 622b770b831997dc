"""The newest release of each framework plays a script; the stored run is held against it.

Each framework has an environment of its own in the folder that SELECTOOLS_OBSERVE_FRAMEWORKS names
(``nox -s frameworks`` makes them). With SELECTOOLS_OBSERVE_FRAMEWORKS_WRITE=1 what is found is
written to ``matrix.json``, which the manual's table is made of.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from environments import COMPLETE
from fields import BROKEN_FIELDS, ESTIMATED, FIELDS, Stored, compared
from framework_table import table_in, tables
from frameworks import FRAMEWORKS, MATRIX, Framework, is_good, reason
from model_server import model_server

from selectools_observe import SQLiteTraceStore

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "frameworks.md"
FOLDER = os.environ.get("SELECTOOLS_OBSERVE_FRAMEWORKS")
WRITE = os.environ.get("SELECTOOLS_OBSERVE_FRAMEWORKS_WRITE")


def python_of(framework: Framework) -> Path:
    """The interpreter of a framework's environment; skips where there is none."""
    if not FOLDER:
        pytest.skip("SELECTOOLS_OBSERVE_FRAMEWORKS names no folder of environments")
    made = Path(FOLDER).resolve() / framework.environment
    if not (made / COMPLETE).exists():
        pytest.skip(f"there is no whole environment {framework.environment}")
    return made / "bin" / "python"


def play(framework: Framework, scenario: str, folder: Path) -> tuple[list[Stored], str]:
    """Play a scenario with a framework: the stored runs, the oldest first; and what it reported."""
    folder.mkdir()
    store, reported = folder / "traces.db", folder / "reported"
    program = HERE / "programs" / f"{framework.program}.py"
    with model_server() as url:
        address = f"{url}/{scenario}/{framework.environment}"
        done = subprocess.run(
            [str(python_of(framework)), str(program), address, str(store), str(reported)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert store.exists(), done.stderr[-3000:]
    if scenario == "answered":
        assert done.returncode == 0, done.stderr[-3000:]
    with SQLiteTraceStore(store) as kept:
        runs = [Stored(kept.load(found.run_id), found) for found in kept.list()]
    return runs[::-1], reported.read_text("utf-8")


@pytest.mark.frameworks
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.program)
def test_what_is_stored_is_what_was_scripted(framework, tmp_path):
    found: dict[str, str] = {}
    for scenario, fields in {"answered": FIELDS, "broken": BROKEN_FIELDS}.items():
        runs, reported = play(framework, scenario, tmp_path / scenario)
        assert len(runs) == 1, [stored.summary for stored in runs]
        found |= compared(runs[0], fields, reported)
    found = {name: found[name] for name in framework.fields}
    if WRITE:
        write(framework, found)
    assert found == known()[framework.program]


def known() -> dict[str, dict[str, str]]:
    """The matrix as it was found last."""
    return json.loads(MATRIX.read_text("utf-8")) if MATRIX.exists() else {}


def write(framework: Framework, found: dict[str, str]) -> None:
    """Put a row into the matrix."""
    rows: dict[str, Any] = known() | {framework.program: found}
    rows = {each.program: rows[each.program] for each in FRAMEWORKS if each.program in rows}
    MATRIX.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.program)
def test_nothing_that_is_reported_is_lost(framework):
    """What is not stored as it was scripted is not reported, or there is a reason."""
    row = known()[framework.program]
    assert list(row) == framework.fields
    unexplained = {
        field: found
        for field, found in row.items()
        if not is_good(found) and found != ESTIMATED and reason(framework, field, found) is None
    }
    assert unexplained == {}


def test_the_manual_has_the_table():
    """``python tests/frameworks/framework_table.py`` writes it."""
    assert table_in(PAGE.read_text("utf-8")) == tables(known())
