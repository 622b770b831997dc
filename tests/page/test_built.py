"""The built files are those that the sources give."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SERVER = Path(__file__).resolve().parents[2] / "selectools_observe" / "server"
PAGE, STATIC = SERVER / "page", SERVER / "static"
SERVED = ("index.html", "app.js", "app.css")
BUILT = (*SERVED, "licenses.txt")


def test_the_built_files_are_of_these_sources(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    if not (PAGE / "node_modules" / "esbuild").is_dir():
        pytest.skip(f"the page's packages are not installed: npm ci in {PAGE.name}/")
    subprocess.run([node, "build.mjs", str(tmp_path)], cwd=PAGE, check=True, capture_output=True)
    for name in BUILT:
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes(), (
            f"{name} is not what src/ gives: run `npm ci && npm run build` in {PAGE}"
        )


def test_the_types_hold():
    npx = shutil.which("npx")
    if npx is None or not (PAGE / "node_modules" / "typescript").is_dir():
        pytest.skip("no node here, or the page's packages are not installed")
    done = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "--noEmit"],
        cwd=PAGE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_nothing_is_fetched_from_elsewhere():
    for name in SERVED:
        text = (STATIC / name).read_text("utf-8")
        found = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s\"'`)]*", text))
        # A namespace, and the address in an error message of the markdown reader.
        named = ("www.w3.org", "github.com/markedjs")
        assert {url for url in found if not any(n in url for n in named)} == set(), name


def test_the_page_has_no_inline_script_or_style():
    html = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", html) == []


def test_the_lockfile_names_no_registry():
    lock = (PAGE / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
