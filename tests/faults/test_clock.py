"""The system's clock steps back, stands still and leaps: the order of saving holds."""

from __future__ import annotations

import time

import pytest
from store_kinds import ON_DISK
from turns import Turns

DAY = 86_400


def steps(chance):
    """What the clock does from now on: it is off by seconds, or it stands still."""
    now = int(time.time())
    return chance.choice(
        [
            {"shift": chance.randrange(-3600, 0), "still": 0},
            {"shift": chance.randrange(-400 * DAY, -DAY), "still": 0},
            {"shift": chance.randrange(0, 3600 * 24 * 365 * 20), "still": 0},
            {"shift": 0, "still": now},
            {"shift": 0, "still": now - chance.randrange(1000)},
            {"shift": 0, "still": 0},
        ]
    )


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_the_order_of_saving_holds(store_kind, failing, chance, many, report, tmp_path):
    """Two programs save in turns under the same odd clock; pages and cursors show the order."""
    zygote, control = failing
    folder = tmp_path / "store"
    folder.mkdir()
    control.clear()
    with Turns(zygote, store_kind, folder) as one, Turns(zygote, store_kind, folder) as other:
        for turns in one, other:
            turns.do("open")
        saved: list[str] = []
        for _ in range(many(15, 250)):
            control.set(**steps(chance))
            for turns in chance.choice([(one,), (other,), (one, other)]):
                saved += turns.do("save_named", chance.randrange(1, 4))
            if chance.random() < 0.1:
                one.do("close")
                one.do("open")
            for turns in one, other:
                assert turns.do("order", 7) == saved[::-1]
            report.add(rounds=1, faults=1)
        control.clear()
        for turns in one, other:
            turns.do("close")
    one.truth(report, other.journal)
