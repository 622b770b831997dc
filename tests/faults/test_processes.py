"""Many programs with one file: opened at once, written, read, cleared and compacted."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

import pytest
import truth
from store_kinds import ON_DISK, Handle, file_of, ids, trace

from selectools_observe import StorageError
from selectools_observe.backends.files import filelock
from selectools_observe.backends.sqlite import database

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

BACKENDS = ["sqlite", "jsonl"]
OPENERS = 16
LOG = (
    160 * 1024 * 1024
)  # bytes of write-ahead log, never to be exceeded: without care, 2 GB a minute


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_sixteen_open_a_new_file_at_once(store_kind, zygote, many, report, tmp_path):
    for number in range(many(4, 50)):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        gate = folder / "gate.journal"
        journals = [folder / f"{n}.journal" for n in range(OPENERS)]
        children = [
            zygote.start(
                "open_at_once",
                store_kind=store_kind,
                path=file_of(store_kind, folder),
                journal=journal,
                name=f"o{n}",
                gate=gate,
            )
            for n, journal in enumerate(journals)
        ]
        time.sleep(0.05)  # lets them come to the gate; who is late finds it open
        gate.touch()
        report.add(rounds=1, openings=OPENERS)
        check_children(children, report)
        expected = truth.check(store_kind, file_of(store_kind, folder), journals, report)
        assert len(expected.certain) == OPENERS


@pytest.mark.parametrize("backend", BACKENDS)
def test_writers_readers_and_deleters(backend, zygote, chance, many, report, tmp_path):
    """Eight write, four read, two delete and compact; half of each are async."""
    store_kind, stop = f"{backend}-blocking", tmp_path / "stop.journal"
    path = file_of(store_kind, tmp_path)
    writers = [tmp_path / f"w{n}.journal" for n in range(8)]
    given = [tmp_path / f"g{n}.journal" for n in range(2)]
    cleared = [tmp_path / f"c{n}.journal" for n in range(2)]
    seconds = many(3, 60)
    common = {"path": path, "stop": stop, "deadline": 180 + 3 * seconds}
    children = [
        zygote.start("save", **common, **of_writer(backend, n, journal, chance))
        for n, journal in enumerate(writers)
    ]
    everything = [str(journal) for journal in (*writers, *given, *cleared)]
    for n in range(4):
        options = {
            "store_kind": both(backend, n),
            "journals": everything,
            "seed": f"{chance.random()}",
        }
        children.append(zygote.start("read", **common, **options))
    for n in range(2):
        options = {"store_kind": both(backend, n), "journal": given[n], "name": f"g{n}"}
        children.append(zygote.start("give_away", **common, **options))
        options = {
            "store_kind": both(backend, n + 1),
            "journal": cleared[n],
            "seed": f"{chance.random()}",
        }
        children.append(zygote.start("clear", **common, journals=[str(given[n])], **options))
    most_log = watch_log(path, seconds)
    stop.touch()
    check_children(children, report)
    report.add(rounds=1, processes=len(children))
    report.highest(most_bytes_of_log=most_log)
    assert most_log < LOG + 2 * path.stat().st_size  # compacting writes all of it through the log
    truth.check(store_kind, path, [*writers, *given, *cleared], report)
    assert truth.leftovers(tmp_path) == []


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_a_lock_that_another_program_keeps(store_kind, report, tmp_path, monkeypatch):
    """A save waits for it; then it says so, has saved nothing, and may be done again."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.2)
    monkeypatch.setattr(filelock, "_TIMEOUT", 0.2)
    with Handle(store_kind, tmp_path) as store:
        store.save(trace("before"))
        with kept_lock(store_kind, store.path):
            with pytest.raises(StorageError, match=r"locked.*Another program has held its lock"):
                store.save(trace("refused"))
            assert ids(store.list()) == ["before"]
            report.add(rounds=1, faults=1)
        store.save(trace("after"))
        assert ids(store.list()) == ["after", "before"]


@contextlib.contextmanager
def kept_lock(store_kind: str, path: Path):
    if store_kind.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("BEGIN IMMEDIATE")
            yield
    else:
        fcntl = pytest.importorskip("fcntl", reason="locks are others here")
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def both(backend: str, number: int) -> str:
    return f"{backend}-{'async' if number % 2 else 'blocking'}"


def of_writer(backend: str, number: int, journal: Path, chance) -> dict:
    return {
        "store_kind": both(backend, number),
        "journal": journal,
        "name": f"w{number}t",
        "seed": chance.random().hex(),
        "tasks": 1 + number % 4,
    }


def watch_log(path: Path, seconds: float) -> int:
    """The greatest size of the write-ahead log in this time."""
    log, most = Path(f"{path}-wal"), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, log.stat().st_size if log.exists() else 0)
        time.sleep(0.02)
    return most


def check_children(children, report) -> None:
    """All came to their end in time, without a word."""
    endings = [child.wait() for child in children]
    report.add(hung=sum(child.hung for child in children))
    for child, ending in zip(children, endings, strict=True):
        assert not ending, child.said
        assert not child.said
