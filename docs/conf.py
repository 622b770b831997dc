"""The docs site: ``nox -s site``, or ``sphinx-build -W docs docs/_build/html``.

Sphinx with MyST reads the Markdown pages as they are; furo is the theme; autodoc makes the
reference from the docstrings. Nothing is fetched while it builds.
"""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BLOB = f"{PROJECT['urls']['Repository']}/blob/main"

project = "selectools-observe"
author = PROJECT["authors"][0]["name"]
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
default_role = "code"

html_theme = "furo"
html_title = "selectools-observe"
html_show_sphinx = False
html_theme_options = {
    "source_repository": PROJECT["urls"]["Repository"],
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
# Frameworks that are not installed are stood in for: the reference is of our names.
autodoc_mock_imports = [
    name
    for name in ("agents", "langchain_core", "opentelemetry", "pandas", "polars", "selectools")
    if importlib.util.find_spec(name) is None
]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True


def links_to_the_repository(_: Sphinx, name: str, source: list[str]) -> None:
    """What a page links to outside of docs/ is read on the repository's own site."""
    up = "../" * (name.count("/") + 1)
    source[0] = re.sub(
        rf"(?<!!)\[([^\]]*)\]\({re.escape(up)}(?!\.\.)([^)#\s]+)", rf"[\1]({BLOB}/\2", source[0]
    )


def front_page(_: Sphinx, name: str, source: list[str]) -> None:
    """The README above the table of contents."""
    if name == "index":
        readme = (ROOT / "README.md").read_text("utf-8")
        readme = re.sub(r"\]\(docs/", "](", readme)
        readme = re.sub(r"!\[([^\]]*)\]\(benchmarks/", r"![\1](../benchmarks/", readme)
        readme = re.sub(r"\]\((?=[A-Z.]|benchmarks/|examples/)(?!\.\./)", f"]({BLOB}/", readme)
        contents = source[0].partition("\n")[2]
        source[0] = f"{readme}\n{contents}"


def setup(app: Sphinx) -> None:
    app.connect("source-read", links_to_the_repository)
    app.connect("source-read", front_page)
