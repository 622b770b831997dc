"""What all subcommands take: the help, the terminal's options, runs by a beginning of their id."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from command import environment, run

import selectools_observe as so
from selectools_observe.cli.command_group import command


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.db"
    with so.SQLiteTraceStore(path) as store:
        store.save_many(so.AgentTrace(run_id=f"run-{n}{n}") for n in (1, 2, 3))
    return path


@pytest.mark.parametrize("arguments", [(), ("--quiet",)])
def test_without_a_subcommand_it_shows_its_help(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("--help").stdout
    assert done.stdout.splitlines()[0].startswith("Usage: selectools-observe ")


def test_every_subcommand_takes_the_options_of_the_terminal():
    for name, subcommand in command.commands.items():
        options = {option for parameter in subcommand.params for option in parameter.opts}
        assert {"-q", "--quiet", "--color"} <= options, name


def test_they_mean_the_same_before_and_after(path):
    assert "\x1b[" not in run("list", path).stdout
    coloured = run("--color", "always", "list", path).stdout
    assert "\x1b[36m" in coloured
    assert run("list", path, "--color", "always").stdout == coloured
    assert run("--color", "never", "list", path, "--color", "always").stdout == coloured
    noted = run("list", path, "-n", 1)
    assert "Next page: --cursor " in noted.stderr
    for quiet in (("-q", "list", path, "-n", 1), ("list", path, "-n", 1, "--quiet")):
        assert (run(*quiet).stdout, run(*quiet).stderr) == (noted.stdout, "")


class TestRunIds:
    @pytest.mark.parametrize(
        ("name", "found"), [("run-2", "run-22"), ("run-22", "run-22"), ("@1", "run-33")]
    )
    def test_beginnings_and_places(self, path, name, found):
        for arguments in (
            ("export",),
            ("list", "--jsonl"),
            ("query", "--jsonl"),
            ("tail", "--jsonl"),
        ):
            done = run("-s", path, *arguments, "--run-id", name)
            assert [json.loads(line)["run_id"] for line in done.stdout.splitlines()] == [found]

    def test_several(self, path):
        done = run("-s", path, "export", "--run-id", "run-1", "--run-id", "@1")
        assert [json.loads(line)["run_id"] for line in done.stdout.splitlines()] == [
            "run-11", "run-33",
        ]  # fmt: skip

    def test_one_that_could_be_several_is_an_error(self, path):
        done = run("-s", path, "export", "--run-id", "run-")
        assert (done.returncode, done.stdout) == (2, "")
        assert "several runs begin with 'run-': " in done.stderr

    def test_none(self, path):
        done = run("-s", path, "stats", "--run-id", "nope")
        assert (done.returncode, done.stderr) == (1, "No runs match.\n")

    def test_they_choose_what_is_deleted(self, path):
        assert run("-s", path, "delete", "--run-id", "@1", "--yes").returncode == 0
        assert [line["run_id"] for line in listed(path)] == ["run-22", "run-11"]


def listed(path):
    return [json.loads(line) for line in run("list", path, "--jsonl").stdout.splitlines()]


@pytest.mark.slow
def test_the_demo_names_the_command_as_it_was_called(tmp_path):
    program = tmp_path / "bin" / "selectools-observe"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nfrom selectools_observe.cli import main\nmain()\n", encoding="utf-8"
    )
    program.chmod(0o755)
    here = environment(COLUMNS="200")
    there = environment(COLUMNS="200", PATH=f"{program.parent}:{here['PATH']}")
    for called, variables, printed in (
        ("bin/selectools-observe", here, "bin/selectools-observe serve demo.db"),
        ("selectools-observe", there, " selectools-observe serve demo.db"),
        (
            f"{sys.executable} -m selectools_observe",
            here,
            f" {sys.executable} -m selectools_observe serve demo.db",
        ),
    ):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{called} demo"],
            cwd=tmp_path, env=variables, capture_output=True, encoding="utf-8", check=True,
        )  # fmt: skip
        assert printed in done.stdout.splitlines()[-1]
