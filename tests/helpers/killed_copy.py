"""A `copy` that is killed in its third batch, between its runs and their annotations."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, signal, sys
from selectools_observe.cli import main
from selectools_observe.cli.transfer import RunSaver

save, batches = RunSaver._save, []

def save_and_die(saver, runs):
    batches.append(runs)
    if len(batches) < 3:
        return save(saver, runs)
    moments = [run.created_at for run in runs]
    saver._store.save_many([run.trace for run in runs], created_at=moments)
    os.kill(os.getpid(), signal.SIGKILL)

RunSaver._save = save_and_die
sys.argv[0] = "selectools-observe"
main()
"""


def kill_copy(source: str, target: str) -> None:
    """Copy a part of a store."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, "copy", source, target], check=False)
    assert done.returncode == -9
