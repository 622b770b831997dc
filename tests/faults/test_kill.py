"""Programs killed at any moment: what was acknowledged is there, whole, and nothing is half there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import truth
from faces import ON_DISK, file_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

ROUNDS_PER_FILE = 10


def after_a_while(chance) -> None:
    """From nought, while the file is being opened, up to 0.3 s; short times are as likely."""
    time.sleep(10 ** chance.uniform(-3.5, -0.5))


@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("face", ON_DISK)
def test_writers_are_killed(face, durability, zygote, chance, many, report, tmp_path):
    rounds = many(6, 100)  # 200 for each face: both durabilities together
    folder, journals = tmp_path, []
    for number in range(rounds):
        if number % ROUNDS_PER_FILE == 0:
            folder, journals = tmp_path / f"{number}", []
            folder.mkdir()
        journals.append(folder / f"{number}.journal")
        child = zygote.start(
            "save",
            face=face,
            path=file_of(face, folder),
            journal=journals[-1],
            name=f"r{number}t",
            seed=chance.random().hex(),
            durability=durability,
        )
        after_a_while(chance)
        child.kill()
        child.check(-signal.SIGKILL)
        report.add(rounds=1, faults=1)
        if file_of(face, folder).exists():
            truth.check(face.replace("async", "blocking"), file_of(face, folder), journals, report)
            check_folder(folder, rounds)


def check_folder(folder: Path, _rounds: int) -> None:
    assert len(truth.leftovers(folder)) <= 1, "the copies of killed rewrites pile up"
