"""Disks that fill up, fail and may not be written: real ones, as far as the machine allows."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NOBODY = 65534
NAMES = (
    "sync_errno", "sync_count", "write_errno", "write_count", "shift", "still", "half", "failed",
)  # fmt: skip
ALL = -1


class Control:
    """The numbers that `failing_disk.c` obeys: ``control.set(sync_errno=EIO, sync_count=1)``."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(4096))
        with path.open("r+b") as file:
            self._numbers = mmap.mmap(file.fileno(), 4096)

    def set(self, **numbers: int) -> None:
        for name, number in numbers.items():
            struct.pack_into("q", self._numbers, 8 * NAMES.index(name), number)

    def get(self, name: str) -> int:
        return struct.unpack_from("q", self._numbers, 8 * NAMES.index(name))[0]

    def clear(self) -> None:
        self.set(**dict.fromkeys(NAMES, 0))


def build(folder: Path) -> Path:
    """`failing_disk.c`, compiled."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not Path("/proc/self/fd").exists():
        pytest.skip("no C compiler here, or no Linux")
    library = folder / "failing_disk.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "failing_disk.c", "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the C compiler refuses: {done.stderr}")
    return library


@contextmanager
def tiny_disk(size: str) -> Iterator[Path]:
    """A file system of its own, of this size."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    with tempfile.TemporaryDirectory(prefix="disk") as folder:
        command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is refused here: {done.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run([umount, "--lazy", folder], check=True)


def become_nobody() -> None:
    """Give up the right to do everything."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: else /proc/self/fd is root's


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everybody may use, whoever runs the tests."""
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)
