"""Seeds, lengths and counts of the fault tests."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import disks
import pytest
import report as counting
from children import Zygote

SEED = int(os.environ.get("SELECTOOLS_OBSERVE_SEED") or random.SystemRandom().randrange(10**9))
IS_LONG = os.environ.get("SELECTOOLS_OBSERVE_TESTS") == "long"


@pytest.fixture
def seed(request) -> Iterator[int]:
    """The seed of this run, shown when a test fails; SELECTOOLS_OBSERVE_SEED sets it."""
    print(f"SELECTOOLS_OBSERVE_SEED={SEED}")
    return SEED


@pytest.fixture
def chance(seed, request) -> random.Random:
    """Random numbers of the test's own, the same for the same seed."""
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def many():
    """Picks a number: the first in the ordinary run, the second in the long one."""
    return lambda short, long: long if IS_LONG else short


@pytest.fixture
def report(request, seed) -> counting.Report:
    part = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    kept = counting.Report(part, request.node.name, seed)
    counting.reports.append(kept)
    return kept


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """A program that has loaded the package and forks children that do what they are told."""
    with Zygote() as parent:
        yield parent


@pytest.fixture(scope="session")
def failing(tmp_path_factory) -> Iterator[tuple[Zygote, disks.Control]]:
    """A zygote whose disk and clock the control makes fail, for files named ``traces.*``."""
    folder = tmp_path_factory.mktemp("failing")
    control = disks.Control(folder / "control")
    environment = {"FAULTS_CONTROL": str(folder / "control"), "FAULTS_PATH": "/traces."}
    with Zygote(preload=disks.build(folder), **environment) as parent:
        yield parent, control


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.timeout(3600 if IS_LONG else 600))


def pytest_terminal_summary(terminalreporter) -> None:
    if counting.reports:
        terminalreporter.section(f"faults (seed {SEED})")
        for line in counting.text():
            terminalreporter.line(line)


def pytest_sessionfinish() -> None:
    counting.write_if_asked()
