"""A worker process: one participant, told over its standard input what to measure.

Each line in is a JSON request, each line out its JSON answer. Whatever a participant prints goes to
standard error, so that it cannot spoil the answers.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import json
import os
import shutil
import sqlite3
import sys
import traceback
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS, Peer, adapter
from benchmarks.probes.base import Bench, Sampler
from benchmarks.settings import Settings

_LIBRARIES = ("aiosqlite", "aiofiles", "anyio", "msgspec", "langgraph-checkpoint", "openai")


class Worker:
    """The probes open in this process, by key."""

    def __init__(self, peer: Peer, folder: Path, shared: Path, settings: Settings) -> None:
        self._peer, self._folder, self._shared = peer, folder, shared
        self._settings = settings
        self._open: dict[str, tuple[contextlib.ExitStack, Sampler, Path]] = {}

    def hello(self) -> dict[str, Any]:
        """Import the participant: it is there, or this raises the reason why not."""
        adapter(self._peer)
        return {
            "version": _version(self._peer),
            "python": sys.version.split()[0],
            "sqlite": sqlite3.sqlite_version,
            "libraries": _libraries(),
            "default_synchronous": _default_synchronous(self._folder),
        }

    def open(self, key: str, probe: str, options: dict[str, Any]) -> None:
        """Enter a probe, ``module:function``; it does its preparation and warm-up now."""
        module, function = probe.split(":")
        folder = self._folder / f"{len(self._open)}-{key}"
        folder.mkdir(parents=True)
        bench = Bench(self._settings, self._peer, folder, self._shared)
        factory = getattr(importlib.import_module(f"benchmarks.probes.{module}"), function)
        stack = contextlib.ExitStack()
        self._open[key] = stack, stack.enter_context(factory(bench, **options)), folder

    def sample(self, key: str) -> dict[str, float]:
        """One round of an open probe."""
        return self._open[key][1]()

    def close(self, key: str) -> None:
        """Leave a probe and remove its files."""
        stack, _, folder = self._open.pop(key)
        stack.close()
        shutil.rmtree(folder, ignore_errors=True)


def _version(peer: Peer) -> str:
    try:
        return importlib.metadata.version(peer.distribution) if peer.distribution else ""
    except importlib.metadata.PackageNotFoundError:
        return "source tree"


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _default_synchronous(folder: Path) -> int:
    """What a WAL connection gets that sets nothing: 2 is FULL, and several peers rely on it."""
    path = folder / "default.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        level = int(db.execute("PRAGMA synchronous").fetchone()[0])
    path.unlink()
    return level


def _answer(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    method = request.pop("method")
    try:
        return {"ok": getattr(worker, method)(**request)}
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def main() -> None:
    """Serve requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    peer, folder, shared, settings = sys.argv[1:]
    worker = Worker(
        PEERS[peer], Path(folder), Path(shared), Settings.from_dict(json.loads(settings))
    )
    for line in sys.stdin:
        answers.write(json.dumps(_answer(worker, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
