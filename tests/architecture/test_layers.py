"""Imports point downward only, and importing the package brings nothing but what it needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "selectools_observe"
NAME = PACKAGE.name

# From the bottom up; what is on one line must not import each other.
LAYERS = [
    {"errors"},
    {"runtime"},
    {"model"},
    {"protocols"},
    {"backends", "analytics"},
    {"stores"},
    {"capture"},
    {"integrations"},
    {"interchange"},
    {NAME},
    {"server"},
    {"cli"},
]
ROOMS = {"memory", "jsonl", "sqlite", "postgres", "clickhouse"}
DEPENDENCIES = {"aiofiles", "aiosqlite", "anyio", "msgspec"}
# What a module needs beyond them is an extra of its own.
EXTRAS = {
    "backends.clickhouse.driver": {"clickhouse_connect"},
    "backends.postgres.session": {"psycopg"},
    "cli": {"click", "rich"},
    "interchange.inspect_log": {"zstandard"},
    "interchange.parquet_files": {"pyarrow"},
    "interchange.parquet_schema": {"pyarrow"},
    "analytics.dataframes": {"pandas", "polars"},
    "analytics.prices": {"genai_prices"},
    "integrations.langchain.events": {"langchain_core"},
    "integrations.langchain.values": {"langchain_core", "pydantic"},
    "integrations.langchain.handlers": {"langchain_core"},
    "integrations.selectools.observers": {"selectools"},
    "integrations.selectools.serve": {"selectools"},
    "server": {"h11", "starlette", "uvicorn"},
    "server.mcp.mcp_server": {"mcp"},
    "server.mcp.recorded_data": {"mcp"},
    "server.mcp.tools": {"mcp", "pydantic"},
    "integrations.openai_agents.tracing_processor": {"agents"},
    "integrations.opentelemetry.span_exporter": {"opentelemetry"},
    "integrations.opentelemetry.otlp_proto": {"google", "opentelemetry"},
    "integrations.opentelemetry.otlp_exporter": {"urllib3"},
}
# What those four need themselves.
BENEATH = {"exceptiongroup", "idna", "sniffio", "typing_extensions"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "testing" not in path.parts)


def dotted(path: Path) -> str:
    """The name of a module's file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The full names of what a module imports, at its top or anywhere else."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    name = dotted(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node, package)


def _from(node: ast.ImportFrom, package: str) -> Iterator[str]:
    parent = package.rsplit(".", node.level - 1)[0] if node.level else ""
    base = ".".join(part for part in (parent, node.module) if part)
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if _is_module(full) else base


def _is_module(name: str) -> bool:
    path = PACKAGE.parent / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def part_of(module: str) -> str:
    """The part of the package that a module belongs to; the package itself for its front door."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else NAME


def room_of(module: str) -> str | None:
    """The backend that a module belongs to."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 and parts[1] == "backends" and parts[2] in ROOMS else None


def height(module: str) -> int:
    (found,) = [n for n, layer in enumerate(LAYERS) if part_of(module) in layer]
    return found


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_point_downward(path):
    name = dotted(path)
    for target in imports(path):
        if target.split(".")[0] == NAME and part_of(target) != part_of(name):
            assert height(target) < height(name), f"{name} imports {target}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_backends_do_not_import_each_other(path):
    name = dotted(path)
    if part_of(name) == "backends":
        found = {room_of(target) for target in imports(path)} - {None}
        assert found <= {room_of(name)}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_only_the_dependencies_are_imported(path):
    foreign = {target.split(".")[0] for target in imports(path)} - sys.stdlib_module_names
    name = dotted(path).removeprefix(f"{NAME}.")
    extra = EXTRAS.get(name, set()) | EXTRAS.get(part_of(dotted(path)), set())
    assert foreign <= {NAME, *DEPENDENCIES, *extra}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_nothing_imports_the_suite(path):
    assert [name for name in imports(path) if name.startswith(f"{NAME}.testing")] == []


def test_all_layers_are_there():
    assert {part_of(dotted(path)) for path in MODULES} == set().union(*LAYERS)


def test_importing_brings_only_the_dependencies():
    program = (
        "import json, sys; before = set(sys.modules); import selectools_observe; "
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        cwd=PACKAGE.parent,
    )
    loaded = set(json.loads(done.stdout)) - sys.stdlib_module_names
    loaded = {name for name in loaded if not name.startswith("_")}
    assert loaded <= {NAME, *DEPENDENCIES, *BENEATH}
    assert NAME in loaded
