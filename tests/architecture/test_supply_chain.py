"""The audit of what is installed: what could not be asked about is no success."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / ".ci" / "supply_chain.py"
KNOWN, GONE, NEITHER = (
    "print('Found 1 known vulnerability')\nraise SystemExit(1)",
    "import sys\nsys.exit('requests.exceptions.ConnectionError: Max retries exceeded')",
    "print('attrs: could not be audited')",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "offline", "status"),
    [
        ("print('No known vulnerabilities found')", False, 0),
        (KNOWN, False, 1),
        (KNOWN, True, 1),
        (GONE, False, 1),
        (GONE, True, 0),
        (NEITHER, False, 1),
        (NEITHER, True, 0),
        ("raise SystemExit('a fault of its own')", True, 1),
    ],
)
def test_an_audit_fails_unless_all_was_asked_about(tmp_path, tool, offline, status):
    (tmp_path / "pip_audit.py").write_text(tool)
    command = [sys.executable, str(PROGRAM), "audit", str(tmp_path / "requirements.txt")]
    ran = subprocess.run(
        [*command, *(["offline"] if offline else [])],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert ("NOT AUDITED" in ran.stdout) == (tool in {GONE, NEITHER})
