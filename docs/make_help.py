"""Write the help texts of the command into docs/command.md, as the command prints them.

pip install -e ".[cli]" && python docs/make_help.py
"""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from selectools_observe.cli.command_group import command

PAGE = Path(__file__).resolve().parent / "command.md"
WIDTH = 90
# A comment that names a command line, and the text block that shows what it prints.
SHOWN = re.compile(r"<!-- help of: ([a-z -]+?) -->\n\n?```text\n.*?^```$", re.MULTILINE | re.DOTALL)


def main() -> None:
    text = PAGE.read_text("utf-8")
    PAGE.write_text(with_help(text), encoding="utf-8")
    print(f"{PAGE.name}: {len(SHOWN.findall(text))} help texts")


def with_help(text: str) -> str:
    """The page with each help text as the command prints it today."""
    return SHOWN.sub(
        lambda found: f"<!-- help of: {found[1]} -->\n```text\n{help_of(found[1])}```", text
    )


def help_of(typed: str) -> str:
    """What the command prints when asked for help."""
    asked = CliRunner().invoke(
        command,
        [*typed.split()[1:], "--help"],
        prog_name="selectools-observe",
        terminal_width=WIDTH - 2,  # as click leaves free in a terminal
        catch_exceptions=False,
    )
    return asked.stdout


if __name__ == "__main__":
    main()
