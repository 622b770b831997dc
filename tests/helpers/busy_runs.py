"""Run tests again and again beside a machine that is kept busy.

Usage: python tests/helpers/busy_runs.py [RUNS [TEST...]]; without tests, the default selection.

Two programs compute and one writes and syncs, for each core. A run that fails leaves its output in
the folder that is named at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

RUNS = 20
COMPUTES = "while True: sum(range(10_000))"
WRITES = """
import os, sys
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(100):
            file.write(os.urandom(100_000))
            file.flush()
            os.fsync(file.fileno())
"""
TESTS = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal"]


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    tests = [*TESTS, *sys.argv[2:]]
    folder = Path(tempfile.mkdtemp(prefix="busy-runs-"))
    failed = 0
    with busy():
        for number in range(1, runs + 1):
            failed += not passes(tests, folder / f"run-{number}.txt", number)
    print(f"{runs - failed} of {runs} runs passed", *([f"see {folder}"] if failed else []))
    return 1 if failed else 0


def passes(tests: list[str], output: Path, number: int) -> bool:
    """Run the tests once, and say how it went."""
    began = time.monotonic()
    with output.open("w") as file:
        code = subprocess.run(tests, stdout=file, stderr=file, check=False).returncode
    told = re.findall(r"^.*(?:passed|failed).* in .*$", output.read_text(), re.MULTILINE)
    print(f"run {number}: {told[-1] if told else f'exit code {code}'}"
          f" ({time.monotonic() - began:.0f} s)", flush=True)  # fmt: skip
    return code == 0


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Other programs that want the processor and the disk."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for core in range(os.cpu_count() or 1):
            for arguments in ([COMPUTES], [COMPUTES], [WRITES, f"{folder}/{core}"]):
                program = stack.enter_context(subprocess.Popen([sys.executable, "-c", *arguments]))
                stack.callback(program.kill)
        yield


if __name__ == "__main__":
    sys.exit(main())
