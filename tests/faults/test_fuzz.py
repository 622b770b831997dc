"""Any bytes at all, guided by coverage where atheris is installed; the corpus replayed elsewhere.

The corpus is made here, of what real files hold and of what once broke something: see `corpus`.
"""

from __future__ import annotations

import importlib.util
import os
import random
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import fuzz_targets
import pytest
from fuzz_targets import TARGETS

from selectools_observe import InMemoryTraceStore
from selectools_observe.backends.jsonl.line_format import to_line
from selectools_observe.model.codec import encode

HERE = Path(__file__).parent
FOUND = HERE.parent / "data" / "fuzz"  # inputs that broke something, by target


@pytest.fixture(autouse=True, scope="module")
def closed():
    yield
    fuzz_targets.close_stores()


def corpus(target: str) -> list[bytes]:
    """Inputs to begin with."""
    found = [b"", b"\0", b"{}", b"\xff\xfe" * 8]
    traces = fuzz_targets.some_traces()[:12]
    encoded = [encode(trace) for trace in traces]
    if target in ("decode", "value"):
        found += [e.trace for e in encoded] + [e.metadata for e in encoded]
        found += [
            b'{"run_id":"a","start_time":1e999,"steps":[]}',
            b"[" * 1000,
            b'{"run_id":"\\ud800"}',
        ]
        found += [b"-0", b"1E400", b'"\\u0000"', b"NaN", b"1" * 5000, b'{"a":1,"a":2}']
    if target == "line":
        lines = [to_line(e, datetime(2026, 1, 1, tzinfo=UTC)) for e in encoded]
        found += lines + [line[:80] for line in lines] + [lines[0][:-1] + lines[1]]
        found += [lines[0].replace(b"0", b"\0"), b"\0" * 100 + lines[1]]
    if target == "cursor":
        store = InMemoryTraceStore()
        store.save_many(traces)
        cursor = store.list(3).next_cursor.encode()
        store.close()
        found += [cursor, cursor[:-3], cursor.swapcase(), cursor * 2, "\u0661".encode(), b"=" * 40]
    chance = random.Random(target)
    found += [chance.randbytes(chance.randrange(400)) for _ in range(60)]
    folder = FOUND / target
    found += [file.read_bytes() for file in sorted(folder.glob("*"))] if folder.exists() else []
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus(target, report):
    for data in corpus(target):
        TARGETS[target](data)
        report.add(inputs=1)


@pytest.mark.parametrize("target", TARGETS)
def test_guided_by_coverage(target, many, tmp_path, report, seed):
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed")
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, data in enumerate(corpus(target)):
        (folder / f"{number}").write_bytes(data)
    done = subprocess.run(
        [
            *(sys.executable, str(HERE / "fuzz.py"), target, str(many(1, 120)), str(folder)),
            *(f"-seed={seed % 2**31 + 1}", f"-artifact_prefix={tmp_path}/broke-"),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )
    broke = [file.read_bytes() for file in tmp_path.glob("broke-*")]
    runs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    report.add(inputs=int(runs[1]) if runs else 0, broken=len(broke))
    assert not broke, f"{broke}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert done.returncode == 0, done.stderr[-3000:]
