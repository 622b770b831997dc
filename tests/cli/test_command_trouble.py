"""The command when things go wrong: one line, the right exit code, and nothing is harmed."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from contextlib import closing

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from command import PROGRAM, environment, run, run_program, start

import selectools_observe as so
from selectools_observe.cli import runner as running
from selectools_observe.stores.open import open_store

HOSTILE = (
    "\x1b[31mred\x1b]0;title\x07\x9b2J\u202egnirts\u2066\u200b\ufeff\ud83d\x00\x7f"
    "<script>[bold]{{x}}\r\n\tend"
)
HOSTILE_ID = HOSTILE.replace("\ud83d", "").replace("\0", "")  # what no id can have
READS = [
    ["list"], ["list", "--jsonl"], ["list", "--json"], ["query", "a=1"], ["show"],
    ["show", "--full"], ["show", "--json"], ["stats"], ["stats", "--json"], ["tail"],
    ["compare", "@1", "@2"], ["export"], ["export", "--format", "csv"],
    ["delete", "--error", "--yes"],
]  # fmt: skip


@pytest.fixture
def told(capfd):
    """Run the command in this process; what it told, which must be one line."""

    def run_here(*arguments: object) -> str:
        code = running.run([str(argument) for argument in arguments])
        out, errors = capfd.readouterr()
        assert (code, out) == (3, ""), errors
        assert len(errors.splitlines()) == 1, errors
        assert errors.startswith("error: ")
        return errors

    return run_here


@pytest.mark.parametrize("arguments", READS, ids=" ".join)
class TestStoresInTrouble:
    def test_a_missing_one_is_not_made(self, arguments, tmp_path, told, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert "no.db: no such file" in told("-s", "no.db", *arguments)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_is_no_database(self, arguments, tmp_path, told):
        path = tmp_path / "x.db"
        path.write_bytes(b"\x00\x01 no database at all" * 500)
        assert "not an SQLite database" in told("-s", path, *arguments)

    def test_a_damaged_database(self, arguments, tmp_path, told):
        path = tmp_path / "x.db"
        with so.SQLiteTraceStore(path) as store:
            store.save_many(so.AgentTrace(run_id=f"r{n}") for n in range(500))
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (os.path.getsize(path) - 4096))
        assert "damaged" in told("-s", path, *arguments)

    def test_a_folder(self, arguments, tmp_path, told):
        assert "directory" in told("-s", tmp_path, *arguments)

    def test_a_database_of_something_else(self, arguments, tmp_path, told):
        path = tmp_path / "x.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE traces (song TEXT)")
        connection.close()
        assert "not a table of traces" in told("-s", path, *arguments)


def test_a_store_in_trouble_is_one_line_of_the_program_too(tmp_path):
    done = run_program("-s", "no.db", "list", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("error: no.db: no such file")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_locked_store_is_waited_for_and_then_told(tmp_path, capfd, monkeypatch):
    from selectools_observe.backends.sqlite import database

    monkeypatch.setattr(database, "BUSY_TIMEOUT", 0.2)
    path = tmp_path / "x.db"
    with so.SQLiteTraceStore(path) as store:
        store.save(so.AgentTrace(run_id="a"))
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        assert running.run(["-s", str(path), "list"]) == 3
    finally:
        holder.close()
    assert "the database is locked" in capfd.readouterr().err


def _become_mortal() -> None:
    """Give up root's right to write what may only be read."""
    overrides = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    for capability in overrides:
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP: holds from the next exec on


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities are Linux's")
@pytest.mark.parametrize("arguments", [["list"], ["show"], ["export"], ["stats"]], ids=" ".join)
@pytest.mark.parametrize("name", ["x.db", "x.jsonl"])
def test_a_folder_that_may_only_be_read(tmp_path, name, arguments):
    folder = tmp_path / "kept"
    folder.mkdir()
    store = open_store(folder / name)
    store.save(so.AgentTrace(run_id="a"))
    store.close()
    before = (folder / name).read_bytes()
    (folder / name).chmod(0o444)
    folder.chmod(0o555)
    try:
        if (
            subprocess.run(
                ["touch", str(folder / "y")],
                preexec_fn=_become_mortal,
                capture_output=True,
                check=False,
            ).returncode
            == 0
        ):
            pytest.skip("whoever runs this may write everything")
        done = subprocess.run(
            [*PROGRAM, "-s", str(folder / name), *arguments], preexec_fn=_become_mortal,
            capture_output=True, encoding="utf-8", env=environment(), timeout=60, check=False,
        )  # fmt: skip
    finally:
        folder.chmod(0o755)
    assert done.returncode in {0, 3}, done.stderr
    assert len(done.stderr.splitlines()) == (1 if done.returncode else 0)
    assert "Traceback" not in done.stderr
    assert (folder / name).read_bytes() == before


def test_a_torn_line_is_a_warning(tmp_path):
    path = tmp_path / "x.jsonl"
    with so.JSONLTraceStore(path) as store:
        store.save_many([so.AgentTrace(run_id="a"), so.AgentTrace(run_id="b")])
    text = path.read_text()
    path.write_text(text[:40] + "\n" + text)
    done = run("list", path, "--count")
    assert (done.stdout, done.returncode) == ("2\n", 0)
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    assert "unreadable" in done.stderr


def test_a_trace_that_cannot_be_read_is_told_and_the_rest_is_exported(tmp_path):
    path = tmp_path / "x.db"
    with so.SQLiteTraceStore(path) as store:
        store.save_many(so.AgentTrace(run_id=f"r{n}") for n in range(3))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE traces SET trace_json = '{' WHERE run_id = 'r1'")
    connection.close()
    done = run("export", "-s", path)
    assert [json.loads(line)["run_id"] for line in done.stdout.splitlines()] == ["r0", "r2"]
    assert done.returncode == 1
    assert done.stderr.startswith("warning: skipped")
    assert run("show", "r1", "-s", path).returncode == 3
    copied = run("copy", path, tmp_path / "y.db")
    assert copied.returncode == 1
    assert "2 runs saved" in copied.stderr


@pytest.mark.slow
def test_a_disk_that_is_full(tmp_path):
    with so.SQLiteTraceStore(tmp_path / "x.db") as store:
        store.save_many(so.AgentTrace(run_id=f"run-{n}") for n in range(2000))
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        for arguments in (["list", "--all"], ["export"], ["list", "-n", "1"]):
            done = subprocess.run(
                [*PROGRAM, "-s", str(tmp_path / "x.db"), *arguments],
                stdout=full, stderr=subprocess.PIPE, encoding="utf-8", env=environment(),
                timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 3
            errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1
            assert "No space left" in errors[0]
            assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def many_runs(tmp_path_factory):
    """More than a pipe holds, in all and in the last run."""
    path = tmp_path_factory.mktemp("many") / "x.db"
    steps = [so.TraceStep("llm_call", 1.0 + n, 1.0) for n in range(3000)]
    with so.SQLiteTraceStore(path) as store:
        store.save_many(so.AgentTrace(run_id=f"run-{n}") for n in range(3000))
        store.save(so.AgentTrace(run_id="last", steps=steps))
    return path


@pytest.mark.parametrize(
    "arguments",
    [["list", "--all"], ["list", "--all", "--jsonl"], ["export"], ["show", "--all"]],
    ids=" ".join,
)
def test_a_reader_that_has_enough(many_runs, arguments):
    with start("-s", many_runs, *arguments) as program:
        assert program.stdout.readline()
        program.stdout.close()
        errors = program.stderr.read()
        assert program.wait(60) == 141
    assert errors == ""


@pytest.mark.parametrize("arguments", [["tail", "-f", "--jsonl"], ["tail", "-f"]], ids=" ".join)
def test_ctrl_c(tmp_path, arguments):
    with so.SQLiteTraceStore(tmp_path / "x.db") as store:
        store.save(so.AgentTrace(run_id="a"))
    with start("-s", tmp_path / "x.db", *arguments) as program:
        assert program.stdout.readline()
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)
    assert program.returncode == 130
    assert errors.strip() == "error: interrupted"


def test_a_defect_is_one_line_too(tmp_path, capfd, monkeypatch):
    from selectools_observe.cli.commands import show

    def fail(*_, **__):
        raise RuntimeError("\x1b[31mboom")

    monkeypatch.setattr(show, "find_run", fail)
    so.SQLiteTraceStore(tmp_path / "x.db").close()
    assert running.run(["-s", str(tmp_path / "x.db"), "show"]) == 70
    told = capfd.readouterr().err
    assert told.startswith(r"error: internal error: RuntimeError: \x1b[31mboom")
    assert len(told.splitlines()) == 1


def hostile_runs():
    return [
        so.AgentTrace(
            run_id=f"{HOSTILE_ID}-{n}",
            parent_run_id=HOSTILE,
            metadata={HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}, "n": n},
            steps=[
                so.TraceStep(HOSTILE, 1.0, 5.0, tool_name=HOSTILE, tool_args={HOSTILE: n}),
                so.TraceStep("error", 2.0, error=HOSTILE, model=HOSTILE, summary=HOSTILE),
                so.TraceStep("llm_call", 3.0, reasoning=HOSTILE, node_name=HOSTILE, model=HOSTILE,
                    extra={HOSTILE: HOSTILE}, prompt_tokens=5),
                so.TraceStep("graph_routing", 4.0, from_node=HOSTILE, to_node=HOSTILE),
            ],
        )
        for n in range(3)
    ]  # fmt: skip


def raw_controls(text: str) -> set[str]:
    """What would do something to a terminal."""
    return {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} - set(
        "\n\u200c\u200d"
    )


class TestHostileRuns:
    @pytest.fixture(params=["db", "jsonl"])
    def path(self, request, tmp_path):
        store = open_store(tmp_path / f"x.{request.param}")
        store.save_many(hostile_runs())
        store.save(so.AgentTrace(run_id="child", parent_run_id=f"{HOSTILE_ID}-2"))
        store.close()
        return tmp_path / f"x.{request.param}"

    @pytest.mark.parametrize(
        "arguments",
        [
            ["list"], ["list", "--json"], ["list", "--jsonl"], ["show", "@2"], ["show", "@1"],
            ["show", "@2", "--full"], ["show", "@2", "--json"], ["show", HOSTILE[:4]],
            ["stats"], ["stats", "--json"], ["compare", "@2", "@3"],
            ["compare", "@2", "@3", "--json"],
            ["tail"], ["delete", "--error", "--dry-run"], ["delete", "@2", "--yes"],
            ["show", "x\x1b[2Jx"], ["query", "\x1b=1"], ["list", "--since", "\x9b2J"],
        ],
        ids=repr,
    )  # fmt: skip
    def test_nothing_reaches_the_terminal(self, path, arguments):
        done = run("-s", path, *arguments)
        assert raw_controls(done.stdout) == set()
        assert raw_controls(done.stderr) == set()
        assert "Traceback" not in done.stderr
        assert done.returncode in {0, 1, 2}

    @pytest.mark.slow
    def test_nor_through_a_pty(self, path):
        for arguments in (["list"], ["show", "@2", "--full"], ["compare", "@2", "@3"], ["stats"]):
            out = in_terminal("--quiet", "-s", str(path), *arguments)[0]
            assert "\x1b[31mred" not in out
            plain = re.sub(r"\x1b\[[0-9;]*m", "", out)  # our own colours
            assert raw_controls(plain) - {"\r"} == set()

    def test_json_has_all_of_it(self, path):
        found = json.loads(run("-s", path, "show", "@2", "--json").stdout)
        assert found["metadata"][HOSTILE] == HOSTILE
        (run_id,) = {
            json.loads(line)["run_id"]
            for line in run("-s", path, "list", "--jsonl", "-n", 1, "--error").stdout.splitlines()
        }
        assert run_id == f"{HOSTILE_ID}-2"

    def test_a_hostile_path(self, tmp_path):
        done = run("list", "-s", str(tmp_path / "a\x1b[31m\nb.db"))
        assert done.returncode == 3
        assert r"\x1b[31m" in done.stderr
        assert raw_controls(done.stderr) == set()

    def test_texts_of_many_megabytes(self, tmp_path):
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            text = "\x1b[2J" * 700_000
            store.save(so.AgentTrace(run_id="big", metadata={"m": text}, steps=[
                so.TraceStep("error", 1.0, tool_result=text, error=text, tool_name=text),
            ]))  # fmt: skip
        for arguments in (["list"], ["show"], ["stats"], ["tail"]):
            done = run("-s", tmp_path / "x.db", *arguments)
            assert raw_controls(done.stdout) == set()
            assert len(done.stdout) < 20_000


_TAKE_TERMINAL = """if True:
    import os, sys
    os.close(os.open(os.ttyname(0), os.O_RDWR))  # whose keys interrupt it from now on
    os.execv(sys.argv[1], sys.argv[1:])
"""


def in_terminal(
    *arguments: str, width: int = 100, keys: str = "", **variables: str
) -> tuple[str, int]:
    """Run the command in a terminal of its own; what it wrote, and its exit code."""
    terminal, inside = pty.openpty()
    child = subprocess.Popen(  # not `pty.fork`: other threads of the tests might hold a lock
        [sys.executable, "-c", _TAKE_TERMINAL, sys.executable, *PROGRAM[1:], *arguments],
        env=environment(TERM="xterm-256color", **variables),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    written, asked = b"", not keys
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            some = os.read(terminal, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # its end, on Linux
                raise
            break
        if not some:
            break
        written += some
        if not asked and b"[y/N]" in written:
            os.write(terminal, keys.encode())
            asked = True
    code = child.wait()
    os.close(terminal)
    return written.decode("utf-8", "replace"), code


@pytest.fixture
def path(tmp_path):
    with so.SQLiteTraceStore(tmp_path / "x.db") as store:
        store.save_many(so.AgentTrace(run_id=f"run-{n}", metadata={"n": n}) for n in range(5))
        store.save(so.AgentTrace(run_id="bad", steps=[so.TraceStep("error", error="no")]))
    return str(tmp_path / "x.db")


class TestInATerminal:
    def test_people_see_colours(self, path):
        out, code = in_terminal("list", path)
        assert code == 0
        assert "\x1b[36m" in out
        assert "✗" in out

    @pytest.mark.slow
    def test_no_color(self, path):
        assert "\x1b[3" not in in_terminal("list", path, NO_COLOR="1")[0]
        assert "\x1b[3" not in in_terminal("--color", "never", "list", path)[0]
        assert "\x1b[36m" in run("--color", "always", "list", path).stdout

    @pytest.mark.parametrize(
        "width", [40, *(pytest.param(n, marks=pytest.mark.slow) for n in (80, 120, 200))]
    )
    def test_lines_fit(self, path, width):
        from rich.cells import cell_len

        for arguments in (["list"], ["show", "bad"], ["compare", "bad", "run-1"], ["stats"]):
            out, _ = in_terminal(*arguments, "-s", path, width=width, NO_COLOR="1")
            plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
            wide = [line for line in plain.splitlines() if cell_len(line) > max(width, 70)]
            assert wide == []

    @pytest.mark.slow
    def test_yes_deletes_and_anything_else_does_not(self, path):
        out, code = in_terminal("delete", "bad", "-s", path, keys="n\n")
        assert (code, "Cancelled." in out) == (1, True)
        out, code = in_terminal("delete", "bad", "-s", path, keys="\x04")
        assert code == 1
        out, code = in_terminal("delete", "bad", "-s", path, keys="\x03")
        assert code == 130
        assert run("list", path, "--count").stdout == "6\n"
        out, code = in_terminal("delete", "bad", "-s", path, keys="y\n")
        assert (code, "Delete 1 of 6 runs (bad)?" in out) == (0, True)
        assert run("list", path, "--count").stdout == "5\n"

    def test_an_old_terminal_gets_plain_letters(self, path):
        out, code = in_terminal("show", "bad", "-s", path, PYTHONIOENCODING="ascii")
        assert code == 0
        assert out.isascii()

    def test_progress_goes_away_again(self, path, tmp_path):
        out, code = in_terminal("export", "-s", path, "-o", str(tmp_path / "out.jsonl"))
        assert code == 0
        assert "6 runs written to" in out.splitlines()[-1]
