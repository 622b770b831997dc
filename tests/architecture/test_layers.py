"""The layout shows the architecture: imports point downward, without circles; files are nouns.

Importing the package brings nothing but what it needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from layout import NAME, Layout

# From the bottom up; what is on one line must not import each other. The package itself is its
# front door, which the service and the command use as anybody does.
LAYERS = """
    errors extras
    runtime
    model
    protocols
    backends analytics
    stores
    capture
    integrations
    interchange
    selectools_observe
    server testing
    cli
    __main__
"""
# The same within the backends.
BACKENDS = """
    files queries
    retention_keeper
    base
    file_base memory
    method_table
    derived jsonl
    toolkit
    sql
    sqlite postgres clickhouse
"""


def heights(layers: str) -> dict[str, int]:
    return {part: row for row, line in enumerate(layers.split("\n")) for part in line.split()}


HEIGHTS = heights(LAYERS)
ENGINES = {"memory", "jsonl", "sqlite", "postgres", "clickhouse"}
DEPENDENCIES = {"aiofiles", "aiosqlite", "anyio", "msgspec"}
# What a module or a package needs beyond them is an extra of its own.
EXTRAS = {
    "backends.clickhouse.driver": {"clickhouse_connect", "zstandard"},
    "backends.postgres.session": {"psycopg"},
    "cli": {"click", "rich"},
    "interchange.inspect_log": {"zstandard"},
    "interchange.parquet_files": {"pyarrow"},
    "interchange.parquet_reader": {"pyarrow"},
    "interchange.parquet_schema": {"pyarrow"},
    "analytics.typed_columns": {"pyarrow"},
    "analytics.dataframes": {"pandas", "polars", "pyarrow"},
    "analytics.prices": {"genai_prices"},
    "integrations.langchain.events": {"langchain_core"},
    "integrations.langchain.values": {"langchain_core", "pydantic"},
    "integrations.langchain.handlers": {"langchain_core"},
    "integrations.selectools.observers": {"selectools"},
    "integrations.selectools.serve": {"selectools"},
    "testing": {"pytest"},
    "server": {"h11", "starlette", "uvicorn"},
    "server.mcp.mcp_server": {"mcp", "pydantic"},
    "server.mcp.recorded_data": {"mcp"},
    "server.mcp.tools": {"mcp", "pydantic"},
    "integrations.openai_agents.tracing_processor": {"agents"},
    "integrations.opentelemetry.span_exporter": {"opentelemetry"},
    "integrations.opentelemetry.otlp_proto": {"google", "opentelemetry"},
    "integrations.opentelemetry.otlp_exporter": {"urllib3"},
}
# What those four need themselves.
BENEATH = {"exceptiongroup", "idna", "sniffio", "typing_extensions"}


@pytest.fixture(scope="module")
def ours():
    return Layout(Path(__file__).parents[2])


def part_of(module: str) -> str:
    """The part of the package that a module belongs to; the package itself for its front door."""
    return module.split(".")[1] if "." in module else NAME


def engine_of(module: str) -> str | None:
    """The backend that a module belongs to."""
    parts = module.split(".")
    return parts[2] if parts[1:2] == ["backends"] and parts[2:3] and parts[2] in ENGINES else None


def test_imports_point_downward(ours):
    for module, target in ours.arrows_of_modules():
        here, there = part_of(module), part_of(target)
        assert here == there or HEIGHTS[there] < HEIGHTS[here], (module, target)


def test_imports_of_the_backends_point_downward(ours):
    rows, package = heights(BACKENDS), f"{NAME}.backends."
    for module, target in ours.arrows_of_modules():
        if module.startswith(package) and target.startswith(package):
            here, there = (name.removeprefix(package).split(".")[0] for name in (module, target))
            assert here == there or rows[there] < rows[here], (module, target)


def test_all_layers_are_there(ours):
    assert {part_of(module) for module in ours.files} == set(HEIGHTS)


def test_backends_do_not_import_each_other(ours):
    for module, target in ours.arrows_of_modules():
        if part_of(module) == "backends" and engine_of(target) is not None:
            assert engine_of(module) == engine_of(target), (module, target)


def test_only_the_dependencies_are_imported(ours):
    for module in ours.files:
        name = module.removeprefix(f"{NAME}.")
        extra = EXTRAS.get(name, set()) | EXTRAS.get(part_of(module), set())
        assert ours.foreign(module) <= DEPENDENCIES | extra, module


def test_no_module_imports_itself_through_others(ours):
    assert ours.circles() == []


def test_files_are_named_by_nouns(ours):
    assert ours.gerunds() == []


def test_a_name_is_used_again_only_where_the_folder_says_which(ours):
    assert ours.ambiguous() == {}


def test_the_top_level_is_small(ours):
    assert len(ours.rooms()) <= 15


def modules_after(statement: str) -> set[str]:
    """What is imported by a statement, in an interpreter of its own."""
    program = (
        f"import json, sys; before = set(sys.modules); {statement}; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    return set(json.loads(done.stdout))


def test_importing_brings_only_the_dependencies():
    loaded = {name.split(".")[0] for name in modules_after(f"import {NAME}")}
    loaded = {name for name in loaded - sys.stdlib_module_names if not name.startswith("_")}
    assert loaded <= {NAME, *DEPENDENCIES, *BENEATH}
    assert NAME in loaded


def test_a_blocking_store_brings_its_backend_and_no_event_loop():
    loaded = modules_after(f"from {NAME} import SQLiteTraceStore")
    assert {engine_of(name) for name in loaded} == {None, "sqlite"}
    assert "asyncio" not in loaded
