"""Draw the pictures of terminals: run the command, and make an SVG of what it prints.

pip install -e ".[cli]" && python docs/make_pictures.py

With the path of a store, the command is shown on that instead of on the demo's.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "images"
# Rich's own frame, without the font that it would fetch from a server.
FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
    white-space: pre;
}}
.{unique_id}-title {{ font-family: ui-sans-serif, Arial, sans-serif; font-size: 18px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""


COMMANDS = {
    "demo": ("demo", 100),
    "list": ("list -n 12", 120),
    "show": ("show @1", 100),
    "stats": ("stats", 90),
    "compare": ("compare @1 @2", 110),
}
"""Pictures of the command: what is typed, and how wide the terminal is."""


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    draw_commands(sys.argv[1] if len(sys.argv) > 1 else None)


def draw_commands(store: str | None) -> None:
    """A picture of each of `COMMANDS`, on a copy of the store or on the demo's."""
    with tempfile.TemporaryDirectory() as folder:
        if store is None:
            printed("demo demo.db", 100, folder)
        else:
            shutil.copy(store, f"{folder}/demo.db")
        for name, (typed, width) in COMMANDS.items():
            lines = Text.from_ansi(printed(typed, width, folder)).split()
            typed_line = Text(f"$ selectools-observe {typed}", "bold")
            path = PICTURES / f"command-{name}.svg"
            draw([typed_line, *lines], f"selectools-observe {typed}", path)


def printed(typed: str, width: int, folder: str) -> str:
    """What the command prints in a terminal so wide, with its colours."""
    surroundings = {
        **os.environ, "COLUMNS": str(width), "SELECTOOLS_OBSERVE_STORE": "demo.db", "TZ": "UTC",
    }  # fmt: skip
    said = subprocess.run(
        [
            sys.executable,
            "-X",
            "utf8",
            "-m",
            "selectools_observe",
            "--color",
            "always",
            *typed.split(),
        ],
        cwd=folder,
        env=surroundings,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,  # compare tells by its exit code that runs differ
    ).stdout
    # As it is called once it is installed.
    return said.replace(f"{sys.executable} -m selectools_observe", "selectools-observe")


def draw(lines: Iterable[Text], title: str, path: Path) -> None:
    lines = list(lines)
    width = max(line.cell_len for line in lines) + 2
    console = Console(record=True, width=width, file=io.StringIO())
    for line in lines:
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title=title, code_format=FRAME, unique_id=path.stem)
    path.write_text(svg, encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(lines)} lines, {len(svg) // 1024} KB")


if __name__ == "__main__":
    main()
