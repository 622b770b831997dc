"""What a user without a framework sees."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules[{missing!r}] = None
import selectools_observe.integrations
try:
    import selectools_observe.integrations.{module}
except ImportError as error:
    print(type(error).__name__, error.name, error, sep="|")
"""


def printed(program: str) -> str:
    """The line that a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    (line,) = done.stdout.splitlines()
    return line


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("selectools", "selectools", "selectools"),
        ("selectools.serve", "selectools", "selectools"),
        ("langchain", "langchain_core", "langchain"),
    ],
)
def test_a_missing_framework_names_the_command_that_installs_it(module, missing, extra):
    kind, name, message = printed(PROGRAM.format(missing=missing, module=module)).split("|")
    assert (kind, name.split(".")[0]) == ("ModuleNotFoundError", missing)
    assert message.endswith(f'pip install "selectools-observe[{extra}]"')


BROKEN = """
import sys
from importlib import import_module
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ImportError("too old")
sys.meta_path.insert(0, Broken())
try:
    {use}
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("psycopg", "postgres", "import selectools_observe.backends.postgres.session"),
        ("clickhouse_connect", "clickhouse",
         "import selectools_observe.backends.clickhouse.driver"),
        ("langchain_core", "langchain", "import selectools_observe.integrations.langchain"),
        ("starlette", "server", "from selectools_observe.server import create_app"),
        ("genai_prices", "prices",
         "from selectools_observe.analytics.prices import PriceTable; PriceTable()"),
        ("pyarrow", "parquet",
         "from selectools_observe.interchange import parquet_reader as r; r.loaded_pyarrow()"),
        ("zstandard", "zstd",
         "from selectools_observe.interchange.inspect_log import _unpack_zstd; _unpack_zstd()"),
        ("polars", "polars",
         "from selectools_observe.analytics.dataframes import to_dataframe as f; f([], 'polars')"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_names_the_command_and_the_reason(package, extra, use):
    line = printed(BROKEN.format(package=package, use=use))
    assert line.endswith(f'does not work here (too old): pip install "selectools-observe[{extra}]"')
