"""Draw the README's pictures: runs the first example and makes an SVG of what it prints.

pip install -e ".[selectools]" --group pictures && python docs/make_pictures.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python examples/first_run.py"

STYLES = {
    r"^\S.*$": "bold",
    r"^  run +user +steps +total +question$": "dim",
    r"^  [0-9a-f]{8}\b": "cyan",
    r"^ +\d+\. (llm_call)": "blue",
    r"^ +\d+\. (tool_\w+)": "magenta",
    r"^ +\d+\. error .*$": "bold red",
    r"^  \w+ said: .*$": "red",
    r"^      total .*$": "dim",
    r"(?<=step for step: )yes$": "bold green",
}

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


def main() -> None:
    pictures = ROOT / "docs" / "images"
    pictures.mkdir(exist_ok=True)
    draw(f"$ {COMMAND}\n{output_of_first_run()}", pictures / "first-run.svg")


def output_of_first_run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-X", "utf8", str(ROOT / "examples" / "first_run.py")],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            check=True,
        ).stdout


def draw(output: str, path: Path) -> None:
    lines = [styled(line) for line in output.splitlines()]
    width = max(line.cell_len for line in lines) + 2
    console = Console(record=True, width=width, file=Path("/dev/null").open("w"))  # noqa: SIM115
    for line in lines:
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title=COMMAND, code_format=FRAME, unique_id="first-run")
    path.write_text(svg, encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(lines)} lines, {len(svg) // 1024} KB")


def styled(line: str) -> Text:
    text = Text(line)
    for pattern, style in STYLES.items():
        text.highlight_regex(pattern, style)
    return text


if __name__ == "__main__":
    main()
