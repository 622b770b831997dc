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


@pytest.mark.parametrize(
    ("licence", "status"),
    [
        ("MIT", 0),
        ("Apache-2.0 AND MIT", 0),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", 0),
        ("GPL-3.0-only OR MIT", 0),
        ("DFSG approved; MIT License", 0),
        ("MIT License\n\nThe software is limited, commercial or not; GPL", 0),
        ("GNU Lesser General Public License v3 (LGPLv3)", 1),
        # These were taken for what they have in them.
        ("GPL-3.0-only AND MIT", 1),
        ("Apache-2.0 AND (GPL-2.0-only OR AGPL-3.0-only)", 1),
        ("MIT License; Other/Proprietary License", 1),
        ("Limited use, submit a request", 1),
        ("UNKNOWN", 1),
    ],
)
def test_a_licence_is_free_in_all_that_it_is_made_of(tmp_path, licence, status):
    package = {"Name": "x", "Version": "1", "License": licence}
    (tmp_path / "piplicenses.py").write_text(f"import json\nprint(json.dumps([{package!r}]))")
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), "licences"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == status, ran.stdout + ran.stderr
