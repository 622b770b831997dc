"""The documentation, run: every Python block of the pages, and what it shows.

The Python blocks of a page run in order, in one namespace and one empty folder; `await` may stand
at the top level. A text block right after one is what it prints. A comment right before a block
says more about it:

* ``<!-- output of: FILE -->``: an excerpt of what that program prints, but for the numbers.
* ``<!-- as in: FILE -->``: the text stands in that file.
* ``<!-- not run: REASON -->``: this Python block is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import importlib.util
import inspect
import io
import re
import subprocess
import sys
import textwrap
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md"))]
OPTIONAL = {
    "agents",
    "duckdb",
    "fastapi",
    "httpx",
    "langchain",
    "langchain_core",
    "langgraph",
    "opentelemetry",
    "pandas",
    "polars",
    "pydantic_ai",
    "redis",
    "selectools",
    "starlette",
    "urllib3",
}

BLOCK = re.compile(
    r"(?:^<!-- *(?P<note>[^\n]*?) *-->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    page: Path
    line: int
    language: str
    body: str
    note: str
    follows: Block | None = None
    """The block before it, if nothing stands between."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found: list[Block] = []
    end = 0
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("body")) + 1
        adjoins = bool(found) and not text[end : match.start()].strip()
        block = Block(page, line, match["language"], match["body"], match["note"] or "")
        block.follows = found[-1] if adjoins else None
        found.append(block)
        end = match.end()
    return found


def everywhere(language: str, note: str = "") -> list[Any]:
    """The blocks of all pages in a language that carry such a note, as parameters."""
    of_all = [block for page in PAGES for block in blocks(page)]
    chosen = [b for b in of_all if b.language == language and b.note.startswith(note)]
    return [pytest.param(block, id=block.place) for block in chosen]


def run(block: Block, namespace: dict[str, Any], runner: asyncio.Runner) -> str:
    """Run a Python block; return what it printed. Tracebacks show the page's own lines."""
    code = compile(
        "\n" * (block.line - 1) + block.body,
        str(block.page),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    if block.note.startswith("not run:"):
        return ""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(code, namespace))
        else:
            exec(code, namespace)
    return printed.getvalue()


# The stores of selectools have no close.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__docs__"}
    printed: dict[int, str] = {}
    with asyncio.Runner() as runner:
        for block in blocks(page):
            if block.language == "python":
                try:
                    printed[block.line] = run(block, namespace, runner)
                except ModuleNotFoundError as error:
                    if str(error.name).partition(".")[0] not in OPTIONAL:
                        raise
                    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
                        namespace.clear()  # the page would have closed it further down
                        gc.collect()
                    pytest.skip(f"{block.place} and what follows need {error.name}")
            elif block.language == "text" and block.follows and block.follows.language == "python":
                assert printed[block.follows.line].rstrip() == block.body.rstrip(), block.place
    namespace.clear()
    gc.collect()  # what a page left unclosed warns here


@pytest.mark.parametrize("block", everywhere("text", "as in:"))
def test_quotations_stand_in_the_file(block: Block):
    quoted = (ROOT / block.note.removeprefix("as in:").strip()).read_text("utf-8")
    assert textwrap.dedent(block.body) in re.sub(r"^ +", "", quoted, flags=re.MULTILINE)


@pytest.mark.parametrize("block", everywhere("text", "output of:"))
def test_excerpts_are_what_a_program_prints(block: Block, tmp_path: Path):
    pytest.importorskip("selectools")
    program = ROOT / block.note.removeprefix("output of:").strip()
    output = subprocess.run(
        [sys.executable, "-X", "utf8", str(program)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    ).stdout
    assert without_numbers(block.body) in without_numbers(output)


def without_numbers(text: str) -> str:
    """The text with run ids and timings made alike, and runs of spaces too."""
    text = re.sub(r"\b[0-9a-f]{8}\b", "RUN", text)
    return re.sub(r" +[\d.]+ ms", " N ms", text).strip()


@pytest.mark.parametrize("block", everywhere("sh"))
def test_shell_blocks_name_what_exists(block: Block):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    for command in re.split(r"&&|\n", block.body.replace("\\\n", " ")):
        words = command.partition("#")[0].split()
        for option, word in zip(["", *words], words, strict=False):
            if option == "--group":
                assert word in project["dependency-groups"], command
            elif option == "-m" and word in {"benchmarks", "selectools_observe"}:
                assert importlib.util.find_spec(word) or (ROOT / word).is_dir(), command
            elif re.fullmatch(r"[\w./-]+\.(py|txt|toml)", word) and not word.startswith("/"):
                assert (ROOT / word).exists(), command
            elif extra := re.fullmatch(r'"?[\w.-]+\[([\w,]+)\]"?', word):
                extras = project["project"]["optional-dependencies"]
                assert set(extra[1].split(",")) <= set(extras), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path):
    text = page.read_text("utf-8")
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_there_is_one_test_command():
    """`.ci/run` takes it from the README."""
    notes = [block for block in blocks(ROOT / "README.md") if block.note == "the test command"]
    (command,) = notes
    assert command.body.count("\n") == 1
    assert command.body.rstrip().endswith("pytest -n auto --dist worksteal")


def test_every_page_is_in_the_manual():
    """What no table of contents names is not in the site's navigation."""
    docs = ROOT / "docs"
    named: set[str] = set()
    for contents in (docs / "index.md", docs / "reference" / "index.md"):
        text = contents.read_text("utf-8")
        for toctree in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL):
            lines = [line for line in toctree.splitlines() if line and not line.startswith(":")]
            named |= {str((contents.parent / f"{line}.md").relative_to(docs)) for line in lines}
    pages = {page.relative_to(docs).as_posix() for page in docs.glob("**/*.md")}
    assert pages - {"index.md"} == named
