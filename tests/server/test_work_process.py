"""A process for work on what others sent: bounded, used again, and started again."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading

import pytest

from selectools_observe.errors import InvalidTraceError
from selectools_observe.runtime.work_process import WorkProcess, WorkProcessError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits and signals of POSIX")


@pytest.fixture
def process():
    made = WorkProcess("process_work:answers", seconds=1)
    yield made
    made.close()


def test_it_answers_and_is_used_again(process):
    assert process.pid is None
    pids = {pid for _ in range(3) for pid in process.ask("pid")}
    assert pids == {process.pid}
    assert list(process.ask("size", b"x" * 5_000_000)) == [5_000_000]
    assert list(process.ask("many", b"3000")) == list(range(3000))
    assert list(process.ask("many", b"0")) == []
    assert list(process.ask("print")) == ["an answer"]
    assert pids == {process.pid}


def test_errors_are_those_of_the_work(process):
    found = process.ask("raise")
    assert next(found) == "begun"
    with pytest.raises(InvalidTraceError, match="are wrong"):
        next(found)
    assert list(process.ask("size", b"abc")) == [3]


@pytest.mark.parametrize("how", ["raise", "die"])
def test_an_error_keeps_no_text(process, how):
    """A full collection of garbage waits for a quiet moment, so nothing large may wait for it."""
    text = bytearray(100)
    there = sys.getrefcount(text)
    gc.disable()
    try:
        with pytest.raises((InvalidTraceError, WorkProcessError)):
            list(process.ask(how, text))
        assert sys.getrefcount(text) == there
    finally:
        gc.enable()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["die", "memory", "time"])
def test_one_that_takes_too_much_is_ended_and_another_started(process, how):
    with pytest.raises(WorkProcessError):
        list(process.ask(how))
    assert list(process.ask("size", b"abc")) == [3]


def test_one_that_was_killed_is_started_again(process):
    (pid,) = process.ask("pid")
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    (other,) = process.ask("pid")
    assert other != pid


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has")
def test_one_that_has_grown_is_started_again(process):
    (pid,) = process.ask("grow")
    (other,) = process.ask("pid")
    assert other != pid


def test_answers_that_nobody_takes_end_it(process):
    found = process.ask("wait")
    assert next(found) == "begun"
    found.close()
    assert process.pid is None
    assert list(process.ask("size", b"abc")) == [3]


def test_threads_take_turns(process):
    found: list[int] = []

    def work() -> None:
        for size in range(20):
            found.extend(process.ask("size", b"x" * size))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(4 * list(range(20)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_has_one_of_its_own(process):
    (pid,) = process.ask("pid")
    child = os.fork()
    if child == 0:
        (other,) = process.ask("pid")
        process.close()
        os._exit(0 if other != pid else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert list(process.ask("pid")) == [pid]


def test_it_ends_with_the_program_that_started_it():
    program = (
        "from selectools_observe.runtime.work_process import WorkProcess\n"
        "process = WorkProcess('process_work:answers')\n"
        "print(*process.ask('pid'), flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.stdout), 0)


def test_no_folder_comes_before_those_of_the_program(process, tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path)
    assert list(process.ask("size", b"abc")) == [3]


@pytest.mark.skipif(
    "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="other libraries are not asked"
)
def test_freed_memory_is_given_back():
    program = """
from pathlib import Path
from selectools_observe.runtime.freed_memory import give_back_freed_memory
give_back_freed_memory()
size = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096
before = size()
bytes(30 << 20)  # when it is freed, the C library raises the size that it gives back at once
blocks = [b"x" * (1 << 20) for _ in range(40)]
last = b"y" * 100_000
del blocks
assert size() - before < 16 << 20, size() - before
"""
    subprocess.run([sys.executable, "-c", program], check=True)
