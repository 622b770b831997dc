"""Run selectools' own published tests of its trace and trace store against ours.

``python tests/dropin/selectools_suite.py FOLDER`` downloads the source of selectools 1.3.0 into the
folder, has its tests import our classes under their names, and runs them. Nothing of it is kept.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

RELEASE = "selectools==1.3.0"
FILES = ("test_trace.py", "test_trace_store.py")
OURS = {
    "selectools.observe.trace_store": "selectools_observe",
    "selectools.observe": "selectools_observe",
    "selectools.trace": "selectools_observe",
}
# What contradicts the contract, by name, with the reason.
LEFT_OUT = {
    "test_trace_store.py::TestInMemoryTraceStore::test_inmemory_preserves_exact_trace": (
        "asks that a loaded run is the saved object: ours is a copy, which nothing can change"
    ),
    "test_trace_store.py::TestSQLiteTraceStore::test_row_to_summary_bad_metadata": (
        "calls the private method _conn"
    ),
    "test_trace_store.py::TestSQLiteTraceStore::test_row_to_summary_empty_metadata": (
        "calls the private method _conn"
    ),
}


def main(folder: Path) -> int:
    """Download, rename, run; the exit status of pytest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    for name, text in published_tests(folder):
        (folder / name).write_text(renamed(text), "utf-8")
    left_out = [f"--deselect={name}" for name in LEFT_OUT]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return subprocess.run([*command, *left_out, *FILES], cwd=folder, check=False).returncode


def published_tests(folder: Path) -> list[tuple[str, str]]:
    """The names and texts of the tests in the source distribution."""
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps"]
    source = ["--no-binary=selectools", f"--dest={folder}", RELEASE]
    subprocess.run([*pip, *source], check=True)
    (archive,) = folder.glob("selectools-*.tar.gz")
    top = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive) as tar:
        return [(name, tar.extractfile(f"{top}/tests/{name}").read().decode()) for name in FILES]


def renamed(text: str) -> str:
    """The text with our package's names where it imports theirs."""
    for theirs, ours in OURS.items():
        text = re.sub(rf"\b{re.escape(theirs)}(?=\s|$|\")", ours, text, flags=re.MULTILINE)
    return text


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
