"""docs/command.md says what the command says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from selectools_observe.cli.command_group import command
from selectools_observe.cli.exit_codes import EXIT_CODES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "command.md").read_text("utf-8")


def make_help():
    spec = importlib.util.spec_from_file_location("make_help", ROOT / "docs" / "make_help.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_help_texts_are_those_that_the_command_prints():
    """If this fails: python docs/make_help.py."""
    assert make_help().with_help(TEXT) == TEXT


def test_every_subcommand_has_its_help_text():
    shown = [name.removeprefix("selectools-observe").strip() for name, *_ in _shown()]
    assert sorted(shown) == sorted(["", *command.commands])


def test_every_subcommand_has_one_line_that_fits():
    for name, subcommand in command.commands.items():
        assert subcommand.get_short_help_str(100).endswith("."), name
        assert len(subcommand.get_short_help_str(100)) < 62, name


def test_exit_codes():
    rows = re.findall(r"^\| (\d+) \| (.*?) \|$", TEXT.replace(r"\|", "|"), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == EXIT_CODES


def test_pictures_are_there():
    names = re.findall(r"\]\((images/[^)]+)\)", TEXT)
    assert len(names) >= 4
    assert [name for name in names if not (ROOT / "docs" / name).exists()] == []


def _shown():
    return [(found[1],) for found in make_help().SHOWN.finditer(TEXT)]
