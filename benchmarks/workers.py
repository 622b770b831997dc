"""Worker processes, seen from the parent: start, ask, and end."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.registry import PEERS
from benchmarks.settings import Settings

_NUMBERS = itertools.count()
_ROOT = Path(__file__).resolve().parents[1]
_QUIET = {
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "OPENAI_AGENTS_DISABLE_TRACING": "true",
}


class FailedError(Exception):
    """A worker could not do what it was asked; the text is the reason to print."""


class GoneError(FailedError):
    """The worker did not answer in time, or has ended."""


class Worker:
    """One process holding one participant."""

    def __init__(self, peer: str, python: str, folder: Path, settings: Settings) -> None:
        mine = folder / f"{peer}-{next(_NUMBERS)}"
        shared = folder / "shared"
        for place in (mine, shared):
            place.mkdir(exist_ok=True)
        arguments = [peer, str(mine), str(shared), json.dumps(settings.to_dict())]
        self._log = (folder / f"{mine.name}.log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", *arguments],
            cwd=_ROOT,
            env={**os.environ, **_QUIET},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, method: str, timeout: float, **request: Any) -> Any:
        """Send one request and wait for its answer, or end the process when it takes too long."""
        timer = threading.Timer(timeout, self._process.kill)
        timer.start()
        try:
            answer = self._exchange({"method": method, **request})
        finally:
            timer.cancel()
        if not answer:
            self.end()
            raise GoneError(f"no answer within {timeout:.0f} s, or the process ended")
        reply = json.loads(answer)
        if "error" in reply:
            raise FailedError(reply["error"])
        return reply["ok"]

    def _exchange(self, request: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()
        except OSError:
            return ""

    def end(self) -> None:
        """Close its input, which ends it; kill it if it does not."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


class Workers:
    """One long-lived worker a participant, started when first needed."""

    def __init__(self, folder: Path, settings: Settings, pythons: dict[str, str]) -> None:
        self._folder, self._settings, self._pythons = folder, settings, pythons
        self._running: dict[str, Worker] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.absent: dict[str, str] = {}

    def get(self, peer: str) -> Worker:
        """The participant's worker; raises ``FailedError`` when the participant is not there."""
        if peer in self.absent:
            raise FailedError(self.absent[peer])
        if peer not in self._running:
            self._running[peer] = self._start(peer)
        return self._running[peer]

    @contextlib.contextmanager
    def fresh(self, peer: str) -> Iterator[Worker]:
        """A worker for one measurement."""
        self.get(peer)
        worker = self._start(peer)
        try:
            yield worker
        finally:
            worker.end()

    def _start(self, peer: str) -> Worker:
        python = self._pythons.get(peer, sys.executable)
        worker = Worker(peer, python, self._folder, self._settings)
        try:
            self.versions[peer] = worker.ask("hello", self._settings.patience_seconds)
        except FailedError as reason:
            self.absent[peer] = f"{PEERS[peer].label} is not here: {reason}"
            worker.end()
            raise FailedError(self.absent[peer]) from reason
        return worker

    def drop(self, peer: str) -> None:
        """End a worker that is stuck; the next use starts another."""
        if peer in self._running:
            self._running.pop(peer).end()

    def end(self) -> None:
        """End them all."""
        for peer in list(self._running):
            self.drop(peer)
