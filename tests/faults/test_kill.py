"""Programs killed at any moment: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import os
import signal
import time

import pytest
import truth
from store_kinds import ON_DISK, Handle, file_of, ids, trace

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

ROUNDS_PER_FILE = 10


def after_a_while(chance) -> None:
    """From nought, while the file is being opened, up to 0.3 s; short times are as likely."""
    time.sleep(10 ** chance.uniform(-3.5, -0.5))


@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("store_kind", ON_DISK)
def test_writers_are_killed(store_kind, durability, zygote, chance, many, report, tmp_path):
    rounds = many(6, 100)  # 200 for each kind: both durabilities together
    folder, journals = tmp_path, []
    for number in range(rounds):
        if number % ROUNDS_PER_FILE == 0:
            folder, journals = tmp_path / f"{number}", []
            folder.mkdir()
        journals.append(folder / f"{number}.journal")
        child = zygote.start(
            "save",
            store_kind=store_kind,
            path=file_of(store_kind, folder),
            journal=journals[-1],
            name=f"r{number}t",
            seed=chance.random().hex(),
            durability=durability,
        )
        after_a_while(chance)
        child.kill()
        child.check(-signal.SIGKILL)
        report.add(rounds=1, faults=1)
        if file_of(store_kind, folder).exists():
            truth.check(
                store_kind.replace("async", "blocking"),
                file_of(store_kind, folder),
                journals,
                report,
            )
            # The copy of a killed rewrite goes with the next rewrite.
            assert len(truth.leftovers(folder)) <= 1


@pytest.mark.parametrize("store_kind", ["jsonl-blocking", "jsonl-async"])
def test_lines_that_were_saved_together_cut_anywhere(store_kind, chance, many, report, tmp_path):
    """All of them or none; but for a cut right between two lines, which an editor may have made."""
    whole = tmp_path / "whole"
    whole.mkdir()
    with Handle(store_kind, whole) as store:
        store.save(trace("alone"))
        alone = store.path.stat().st_size
        store.save_many([trace("a", n=1), trace("b", n=2), trace("c", n=3)])
    content = store.path.read_bytes()
    ends = {n + 1 for n, byte in enumerate(content) if byte == ord("\n")}
    places = [n for n in range(alone, len(content) - 1) if n not in ends]
    for place in chance.sample(places, many(40, len(places))):
        folder = tmp_path / f"{place}"
        folder.mkdir()
        file_of(store_kind, folder).write_bytes(content[:place])
        with Handle(store_kind, folder) as store, Handle(store_kind, folder) as other:
            assert ids(store.list()) == ["alone"]
            assert ids(other.list()) == ["alone"]
            store.save(trace("later"))
            for one in store, other:
                assert ids(one.list()) == ["later", "alone"]
            other.save_many([trace("d"), trace("e")])
            assert ids(store.list()) == ["e", "d", "later", "alone"]
        report.add(rounds=1, faults=1)
