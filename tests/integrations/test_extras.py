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


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("selectools", "selectools", "selectools"),
        ("selectools.serve", "selectools", "selectools"),
        ("langchain", "langchain_core", "langchain"),
    ],
)
def test_a_missing_framework_names_the_command_that_installs_it(module, missing, extra):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(missing=missing, module=module)],
        capture_output=True,
        check=True,
        text=True,
    )
    kind, name, message = done.stdout.strip().split("|")
    assert (kind, name.split(".")[0]) == ("ModuleNotFoundError", missing)
    assert message.endswith(f'pip install "selectools-observe[{extra}]"')
