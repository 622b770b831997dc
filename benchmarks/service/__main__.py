"""Measure the service: ``python -m benchmarks.service [--rounds 20] [--clients 8] [--only TEXT]``.

First each body of ``tests/server/attack_bodies.py``, or each with this text in its name, is sent
``--rounds`` times by each of ``--clients`` processes, while ``/health`` is asked a hundred times a
second; then ``--crowd`` clients ask for statistics and for lists while two others save. Prints p50
and p99 in ms, what memory the service took at most, and the p99 of a service that is not attacked.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from pathlib import Path

from .attack import attacked
from .crowd import crowded
from .process import Service


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--crowd", type=int, default=200)
    options.add_argument("--only", default="")
    options.add_argument("--seconds", type=float, default=10)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        with Service(folder / "attacked.db") as service, Service(folder / "quiet.db") as quiet:
            for row in attacked(service, quiet, chosen.clients, chosen.rounds, chosen.only):
                print(row)
        with Service(folder / "crowded.db") as service:
            for row in asyncio.run(crowded(service, chosen.crowd, chosen.seconds)):
                print(row)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
