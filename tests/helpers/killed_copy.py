"""A `copy` that is killed in its third batch, between its runs and their annotations."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, signal, sys
from selectools_observe.cli import main
from selectools_observe.interchange import store_copy

store_copy.SAVED_AT_ONCE = 500
save, batches = store_copy.save_runs, []

def save_and_die(target, runs):
    batches.append(runs)
    if len(batches) < 3:
        return save(target, runs)
    moments = [run.created_at for run in runs]
    target.save_many([run.trace for run in runs], created_at=moments)
    os.kill(os.getpid(), signal.SIGKILL)

store_copy.save_runs = save_and_die
sys.argv[0] = "selectools-observe"
main()
"""


def kill_copy(source: str, target: str) -> None:
    """Copy a part of a store."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, "copy", source, target], check=False)
    assert done.returncode == -9
