"""Disks that are full, fail, or may not be written; and a file taken away from under a store."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import disks
import pytest
from store_kinds import ON_DISK, file_of
from turns import Refused, Turns

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")


def until_refused(turns: Turns, *request: object, most: int = 2000) -> Refused:
    """Repeat a request until the store says no."""
    for _ in range(most):
        try:
            turns.do(*request)
        except Refused as refused:
            return refused
    raise AssertionError("the disk is never full")


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_a_disk_that_fills_up(store_kind, zygote, many, report, tmp_path):
    with disks.tiny_disk("64m") as disk:
        folder = disk / "store"
        folder.mkdir()
        ballast = disk / "ballast"
        with Turns(zygote, store_kind, folder) as turns:
            turns.do("open")
            for _ in range(many(3, 20)):
                ballast.write_bytes(bytes(free(disk) - 400_000))
                for request in ("save", 1), ("save_many", 5):
                    refused = until_refused(turns, *request)
                    check_refusal(refused, turns.path, "full", "Free some space")
                check_no_harm(turns, "delete_one")
                turns.do("check")  # what was acknowledged stays readable meanwhile
                ballast.unlink()
                turns.do("save", 3)
                turns.do("check")
                report.add(rounds=1, faults=2)
            turns.do("close")
        turns.truth(report)


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_opening_on_a_full_disk(store_kind, zygote, report, tmp_path):
    with disks.tiny_disk("2m") as disk:
        folder = disk / "store"
        folder.mkdir()
        with Turns(zygote, store_kind, folder) as turns:
            turns.do("open")
            turns.do("save", 10)
            turns.do("close")
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file:
                while free(disk):
                    file.write(bytes(min(4096, free(disk))))
            try:
                turns.do("open")
                turns.do("check")
            except Refused as refused:
                check_refusal(refused, turns.path, "full", "Free some space")
            ballast.unlink()
            turns.do("open")
            turns.do("save", 1)
            turns.do("check")
            turns.do("close")
            report.add(rounds=1, faults=1)
        turns.truth(report)


def check_no_harm(turns: Turns, *request: object) -> None:
    """It is done, or it is refused in words."""
    try:
        turns.do(*request)
    except Refused as refused:
        check_refusal(refused, turns.path, "", "Free some space")


def free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def check_refusal(refused: Refused, path: Path, problem: str = "", remedy: str = "") -> None:
    """It names the file, what happened to it, and what to do about it."""
    assert refused.kind == "StorageError", refused
    assert str(path) in refused.text
    assert problem in refused.text
    assert re.search(remedy, refused.text)


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_a_limit_to_the_size_of_files(store_kind, zygote, report, tmp_path):
    """``ulimit -f``: the system says EFBIG to what goes beyond."""
    folder = tmp_path / "store"
    folder.mkdir()
    with Turns(zygote, store_kind, folder, size_limit=3_000_000) as turns:
        turns.do("open")
        for _ in range(3):
            refused = until_refused(turns, "save", 1)
            check_refusal(refused, turns.path)
            turns.do("check")
            report.add(rounds=1, faults=1)
        turns.do("close")
    turns.truth(report)


FAULTS = {
    "sync": {"sync_errno": errno.EIO},
    "write": {"write_errno": errno.EIO},
    "half a write": {"write_errno": errno.ENOSPC, "half": 1},
    "no space": {"write_errno": errno.ENOSPC},
}


@pytest.mark.parametrize("durability", ["normal", "full"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("store_kind", ON_DISK)
def test_a_disk_that_fails(store_kind, fault, durability, failing, chance, many, report, tmp_path):
    """The system's own calls fail, now and then, in the midst of opening, saving and deleting."""
    zygote, control = failing
    folder = tmp_path / "store"
    folder.mkdir()
    numbers = {name.replace("errno", "count"): 1 for name in FAULTS[fault] if "errno" in name}
    with Turns(zygote, store_kind, folder, options={"durability": durability}) as turns:
        turns.do("open")
        turns.do("save", 20)
        for _ in range(many(6, 60)):
            control.clear()
            control.set(**FAULTS[fault], **numbers)
            before = control.get("failed")
            for request in chance.sample([("save", 3), ("save_many", 4), ("delete_one",)], 3):
                try:
                    turns.do(*request)
                except Refused as refused:
                    check_refusal(refused, turns.path)
            report.add(rounds=1, faults=control.get("failed") - before)
            control.clear()
            turns.do("check")
            turns.do("save", 1)  # it works again
            if chance.random() < 0.2:
                turns.do("close")
                control.set(**FAULTS[fault], **numbers)
                reopen(turns)
                control.clear()
        turns.do("close")
    turns.truth(report)


def reopen(turns: Turns) -> None:
    try:
        turns.do("open")
    except Refused as refused:
        check_refusal(refused, turns.path)
        turns.do("open")


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_nothing_is_acknowledged_while_syncing_fails(store_kind, failing, report, tmp_path):
    zygote, control = failing
    folder = tmp_path / "store"
    folder.mkdir()
    with Turns(zygote, store_kind, folder, options={"durability": "full"}) as turns:
        turns.do("open")
        turns.do("save", 5)
        control.clear()
        control.set(sync_errno=errno.EIO, sync_count=disks.ALL)
        for _ in range(5):
            with pytest.raises(Refused, match="StorageError"):
                turns.do("save", 1)
            report.add(rounds=1, faults=1)
        turns.do("check")
        control.clear()
        turns.do("save", 5)
        turns.do("close")
    assert len(turns.truth(report).certain) == 10


def mode(path: Path, bits: int) -> None:
    for part in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        if part.exists():
            part.chmod(bits)


@pytest.mark.skipif(os.name != "posix", reason="permissions are others here")
@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("store_kind", ON_DISK)
def test_what_may_not_be_written(store_kind, what, zygote, report):
    """As a user without rights: root may do everything."""
    with disks.open_folder() as outer:
        folder = outer / "store"
        folder.mkdir()
        folder.chmod(0o777)
        with Turns(zygote, store_kind, folder, become="nobody") as turns:
            turns.do("open")
            turns.do("save", 5)
            turns.do("close")
            locked = file_of(store_kind, folder) if what == "file" else folder
            locked.chmod(0o444 if what == "file" else 0o555)
            os.chown(locked, 0, 0)
            try:
                turns.do("open")
                turns.do("check")
                turns.do("save", 1)
            except Refused as refused:
                check_refusal(refused, turns.path, "", "permission|may be written")
            else:
                assert (store_kind.startswith("jsonl"), what) == (
                    True,
                    "folder",
                )  # only its lines grow
            report.add(rounds=1, faults=1)
            mode(locked, 0o777)
            turns.do("open")
            turns.do("save", 1)
            turns.do("check")
            turns.do("close")
        turns.truth(report)


@pytest.mark.skipif(os.name != "posix", reason="there are no such limits here")
@pytest.mark.parametrize("store_kind", ON_DISK)
def test_a_system_that_gives_no_more_threads(store_kind, zygote, report):
    """It is said in words; and who waits for the answer gets one."""
    with disks.open_folder() as outer:
        folder = outer / "store"
        folder.mkdir()
        folder.chmod(0o777)
        with Turns(zygote, store_kind, folder, become="nobody", threads=0, deadline=200) as turns:
            try:
                turns.do("open")
                turns.do("save", 1)
                turns.do("close")
            except Refused as refused:
                check_refusal(refused, turns.path, "no thread could be started", "raise the limit")
                report.add(rounds=1, faults=1)
            else:
                assert store_kind.endswith("blocking")


# A file that is taken away.


@pytest.mark.parametrize("how", ["removed", "folder removed", "renamed", "replaced"])
@pytest.mark.parametrize("store_kind", ON_DISK)
def test_a_file_taken_away_under_an_open_store(store_kind, how, zygote, report, tmp_path):
    """Saves are acknowledged only into a file that can be opened again under its name."""
    folder, other = tmp_path / "store", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    with Turns(zygote, store_kind, other) as elsewhere:
        elsewhere.do("open")
        elsewhere.do("save", 3)
        elsewhere.do("close")
    with Turns(zygote, store_kind, folder) as turns, Turns(zygote, store_kind, folder) as after:
        turns.do("open")
        turns.do("save", 5)
        take_away(turns.path, how, elsewhere.path)
        after.do("open")
        after.do("save", 1)
        turns.journal.write_text("")  # what was there before went with the file
        for number in range(1, 6):
            turns.do("save", 1)
            turns.do("check")
            assert after.do("count") == turns.do("count") == [1 + number + 3 * (how == "replaced")]
        report.add(rounds=1, faults=1)
        turns.do("close")
        after.do("save", 1)
        after.do("close")
    journals = [after.journal, *([elsewhere.journal] if how == "replaced" else [])]
    turns.truth(report, *journals)


def take_away(path: Path, how: str, other: Path) -> None:
    if how == "renamed":
        path.rename(path.with_name("elsewhere"))
    elif how == "replaced":
        os.replace(other, path)
    else:
        path.unlink()
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    if how == "folder removed":
        path.parent.rmdir()
