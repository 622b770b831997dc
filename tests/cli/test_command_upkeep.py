"""The commands that look after a store: verify, backup, repair and compact."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from command import run

import selectools_observe as so
from selectools_observe.stores.open import open_store


@pytest.fixture(params=["db", "jsonl"])
def path(request, tmp_path):
    made = tmp_path / f"x.{request.param}"
    store = open_store(made)
    store.save_many(so.AgentTrace(run_id=f"run-{n}", metadata={"n": n}) for n in range(300))
    store.close()
    return made


def damage(path) -> None:
    """Change a letter within a run, where only a checksum can tell."""
    data = path.read_bytes()
    place = data.index(b'"run_id":"run-150"')
    path.write_bytes(data[:place] + data[place:].replace(b'"n":150', b'"n":950', 1))


def test_a_store_that_is_whole(path):
    done = run("verify", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "300 runs intact, no problems" in done.stdout
    assert json.loads(run("verify", path, "--json").stdout)["ok"] is True


def test_damage_is_told_by_the_exit_code(path):
    damage(path)
    before = path.read_bytes()
    done = run("verify", path)
    assert done.returncode == 1
    assert "run-150" in done.stdout
    report = json.loads(run("verify", path, "--json").stdout)
    assert (report["ok"], report["checked"]) == (False, 299)
    assert path.read_bytes() == before


def test_a_backup_is_a_store(path, tmp_path):
    copy = tmp_path / f"copy{path.suffix}"
    assert run("backup", copy, "-s", path).returncode == 0
    assert run("list", copy, "--count").stdout == "300\n"
    again = run("backup", copy, "-s", path)
    assert again.returncode == 3
    assert "already exists" in again.stderr
    assert run("backup", copy, "-s", path, "--force").returncode == 0


def test_repair_saves_the_rest(path, tmp_path):
    damage(path)
    into = tmp_path / f"new{path.suffix}"
    assert run("repair", into, "-s", path).returncode == 2  # there is nobody to ask
    assert not into.exists()
    done = run("repair", into, "-s", path, "--yes", "--drop-suspect")
    assert done.returncode == 1
    assert "run-150" in done.stdout
    assert run("list", into, "--count").stdout == "299\n"
    assert run("verify", into).returncode == 0


def test_repair_of_a_file_that_does_not_open(tmp_path):
    path = tmp_path / "x.db"
    with so.SQLiteTraceStore(path) as store:
        store.save_many(so.AgentTrace(run_id=f"run-{n}") for n in range(300))
    with path.open("r+b") as file:
        file.write(b"\0" * 100)
    assert run("list", f"sqlite:///{path}").returncode == 3
    done = run("repair", tmp_path / "new.db", "-s", f"sqlite:///{path}", "--yes")
    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 1, 3}


def test_compact_gives_room_back(path):
    before = path.stat().st_size
    run("delete", "--since", "1d", "-n", 290, "-s", path, "--yes")
    done = run("compact", path)
    assert done.returncode == 0
    assert "before" in done.stdout
    assert path.stat().st_size < before
    assert run("list", path, "--count").stdout == "10\n"


@pytest.mark.parametrize(
    "arguments", [["verify"], ["compact"], ["backup", "x"], ["repair", "x", "-y"]]
)
def test_what_is_no_file(arguments, tmp_path):
    done = run("-s", "memory:", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "in memory" in done.stderr
    done = run("-s", "no.db", *arguments, cwd=tmp_path)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
