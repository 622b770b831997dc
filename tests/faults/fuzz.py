"""Fuzzing guided by coverage: ``python fuzz.py TARGET SECONDS CORPUS``.

New inputs that reach new code are kept in a folder that is thrown away; an input that breaks a law
is written beside it, and its traceback to the standard error.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
with atheris.instrument_imports(include=["selectools_observe"]):
    import fuzz_targets

name, seconds, corpus, *more = sys.argv[1:]
with tempfile.TemporaryDirectory() as found:
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            "-timeout=30",
            "-report_slow_units=30",  # a machine that pauses is no defect
            "-max_len=4096",
            "-print_final_stats=1",
            *more,
            found,
            corpus,
        ],
        fuzz_targets.TARGETS[name],
    )
    atheris.Fuzz()
