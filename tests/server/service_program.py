"""The service, run as a program of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys

PROGRAM = """
import sys
from selectools_observe.server import run
run(sys.argv[1], port=int(sys.argv[2]), on_ready=lambda url: print(url, flush=True))
print("ended", flush=True)
"""


@contextlib.contextmanager
def program(path, port=0):
    """The service in a process of its own, and its address."""
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", PROGRAM, str(path), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
