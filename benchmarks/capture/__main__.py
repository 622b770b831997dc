"""Entry point of ``python -m benchmarks.capture``."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.capture.cases import measure_all


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capture", description=__doc__)
    parser.add_argument("--runs", type=int, default=1500, help="runs a case and round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the best median counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="capture-") as folder:
        for case in measure_all(Path(folder), options.runs, options.rounds):
            print(case, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
