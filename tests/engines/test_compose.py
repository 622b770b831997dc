"""The compose file for a team: it is one, and each service's command does what it is there for.

Docker is not needed: the commands are run as they are written, with the programs that the images
hold. What differs is the name of the database's host, the folder of the backups and that
``pip install`` does nothing; the ``sleep`` between two rounds ends a service.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgres_server import PostgresServer, find_binaries, free_port

pytest.importorskip("psycopg", reason="the package psycopg is not installed")
yaml = pytest.importorskip("yaml", reason="the package PyYAML is not installed")

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.stores.postgres import PostgresTraceStore

FILE = Path(__file__).resolve().parents[2] / "examples" / "compose.yaml"
TOKEN = "a-token-of-the-team"
ENVIRONMENT = {"POSTGRES_PASSWORD": "a-password", "PAGE_TOKEN": TOKEN}


class Team:
    """What the services see: a database, programs, a folder for backups."""

    def __init__(self, server: PostgresServer, folder: Path, binaries: str) -> None:
        self.port = server.port
        self.page_port = free_port()
        self.url = f"postgresql://agents@127.0.0.1:{server.port}/agents"
        self.backups = folder / "backups"
        self.backups.mkdir()
        stubs = folder / "stubs"
        stubs.mkdir()
        self._stub(stubs / "pip", "exit 0")
        self._stub(stubs / "sleep", "kill $PPID")
        self._stub(
            stubs / "selectools-observe", f'exec {sys.executable} -m selectools_observe "$@"'
        )
        self._path = f"{stubs}:{binaries}:{os.environ['PATH']}"

    @staticmethod
    def _stub(path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def start(self, service: str) -> subprocess.Popen[str]:
        """Start a service as the file says."""
        about = yaml.safe_load(FILE.read_text())["services"][service]
        command = about["command"].replace("$$", "$")
        command = command.replace("@db/", f"@127.0.0.1:{self.port}/")
        command = command.replace("-h db", f"-h 127.0.0.1 -p {self.port}")
        command = command.replace("/backups", str(self.backups))
        command = command.replace("--host 0.0.0.0", f"--host 0.0.0.0 --port {self.page_port}")
        variables = {
            name: ENVIRONMENT[value[2:].partition(":")[0].rstrip("}")]
            for name, value in about["environment"].items()
        }
        return subprocess.Popen(
            shlex.split(command),
            env={**os.environ, **variables, "PATH": self._path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, service: str) -> str:
        """One round of a service; what it says."""
        output, _ = self.start(service).communicate(timeout=120)
        return output


@pytest.fixture
def team(postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Team]:
    import psycopg

    binaries = find_binaries()
    assert binaries is not None
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE agents LOGIN")
        connection.execute("CREATE DATABASE agents OWNER agents")
        yield Team(postgres_server, tmp_path, binaries)
        connection.execute("DROP DATABASE agents WITH (FORCE)")
        connection.execute("DROP ROLE agents")


def test_the_file_is_a_compose_file():
    compose = pytest.importorskip("compose_spec", reason="the package compose-spec is missing")
    found = compose.PyCompose.from_yaml(FILE.read_text())
    found.validate()
    assert set(found.services) == {"db", "page", "retention", "backup"}


@pytest.mark.slow
def test_the_page_answers_whoever_has_the_token(team):
    with PostgresTraceStore(team.url) as store:
        store.save(made("run-1"))
    page = team.start("page")
    try:
        address = f"http://127.0.0.1:{team.page_port}"
        wait_for(f"{address}/health", page)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/api/traces")
        asked = urllib.request.Request(
            f"{address}/api/traces", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked) as answer:
            assert b"run-1" in answer.read()
    finally:
        page.kill()
        page.communicate()


def wait_for(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url).close()
        except OSError as error:
            if process.poll() is not None:
                raise AssertionError(process.communicate()[0]) from error
            assert time.monotonic() < deadline, "the page does not answer"
            time.sleep(0.1)
        else:
            return


def test_old_runs_go_but_for_those_that_somebody_annotated(team):
    old = datetime.now(UTC) - timedelta(days=91)
    with PostgresTraceStore(team.url) as store:
        store.save_many([made("old"), made("judged")], created_at=[old, old])
        store.save(made("new"))
        store.annotate("judged", "good", label="yes")
        team.run("retention")
        assert [found.run_id for found in store.list()] == ["new", "judged"]


def test_retention_may_begin_before_anything_was_saved(team):
    assert "Traceback" not in team.run("retention")


def test_a_backup_gives_all_runs_back(team):
    with PostgresTraceStore(team.url) as store:
        saved = store.save_many([made(f"run-{number}") for number in range(200)])
        store.annotate("run-7", "good", label="yes")
        expired = team.backups / "2020-01-01.dump"
        expired.touch()
        os.utime(expired, (0, 0))
        assert team.run("backup") == ""
        (dump,) = team.backups.iterdir()
        assert dump.name == f"{datetime.now():%F}.dump"  # noqa: DTZ005 - as `date` has it
        store.delete_many(saved)
        store.save(made("after"))
    restore = [
        f"{find_binaries()}/pg_restore", "--clean", "--if-exists", "-d", team.url, str(dump),
    ]  # fmt: skip
    subprocess.run(restore, check=True)
    with PostgresTraceStore(team.url) as store:
        assert [found.run_id for found in store.list(300)] == saved[::-1]
        assert list(store.load_many(saved)) == saved
        assert len(store.annotations("run-7")) == 1


def made(run_id: str) -> AgentTrace:
    return AgentTrace(run_id=run_id, steps=[TraceStep("llm_call", duration_ms=1.0)])
