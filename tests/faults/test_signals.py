"""Programs that are told to stop, that fork with open stores, and that end without closing them."""

from __future__ import annotations

import os
import signal
import time

import pytest
import truth
from stops import ASKED_AGAIN
from store_kinds import ON_DISK, file_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

ENDINGS = {
    # how the program takes the signal, which signal, and how it ends
    "SIGTERM, as it comes": ("default", signal.SIGTERM, -signal.SIGTERM),
    "SIGTERM, as SystemExit": ("exit", signal.SIGTERM, 3),
    "SIGINT, as KeyboardInterrupt": ("interrupt", signal.SIGINT, 4),
    "SIGINT, and again": ("stubborn", signal.SIGINT, 4),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("store_kind", ON_DISK)
def test_told_to_stop_while_saving(store_kind, ending, zygote, chance, many, report, tmp_path):
    how, which, status = ENDINGS[ending]
    journals = []
    for number in range(many(3, 20)):
        journals.append(tmp_path / f"{number}.journal")
        child = zygote.start(
            "stop_when_told",
            store_kind=store_kind,
            path=file_of(store_kind, tmp_path),
            journal=journals[-1],
            name=f"r{number}t",
            seed=chance.random().hex(),
            how=how,
        )
        while not journals[-1].exists():
            time.sleep(0.001)
        time.sleep(chance.random() * 0.1)
        child.kill(which)
        ended = child.wait()
        again = child.said.count(ASKED_AGAIN)
        report.add(rounds=1, faults=1 + again, hung=child.hung, asked_again=again)
        assert ended == status, child.said
        truth.check(store_kind, file_of(store_kind, tmp_path), journals, report)


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_forks_in_the_midst_of_it(store_kind, zygote, chance, many, report, tmp_path):
    """Children that save, that only exit, and that are killed, while the parent goes on saving."""
    path = file_of(store_kind, tmp_path)
    for number in range(many(2, 25)):
        journal = tmp_path / f"{number}.journal"
        child = zygote.start(
            "fork_while_saving",
            store_kind=store_kind,
            path=path,
            journal=journal,
            name=f"r{number}",
            seed=chance.random().hex(),
        )
        ended = child.wait()
        report.add(rounds=1, faults=6, hung=child.hung)
        assert ended == 0, child.said
        assert "Traceback" not in child.said  # only of lines that were cut short by the kills
    truth.check(store_kind, path, sorted(tmp_path.glob("*.journal*")), report)
