"""The command: ``python -m benchmarks [--quick] [--only FAMILY,...] [--out DIR]``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data import source_name
from benchmarks.families import FAMILIES, Family
from benchmarks.machine import describe
from benchmarks.peers.registry import PEERS
from benchmarks.plots import draw
from benchmarks.report import markdown
from benchmarks.results import Results, to_json
from benchmarks.runner import Runner
from benchmarks.settings import FULL, QUICK, Settings
from benchmarks.workers import Workers

_HERE = Path(__file__).resolve().parent
_DISK_BYTES = 8 << 30
_WITH_SERVERS = ("engines",)
_DURABILITY = (
    "SQLite in WAL mode with synchronous=FULL for everyone, each save durable when it returns; "
    "JSONL handed to the operating system without fsync for everyone; remarks name exceptions."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print the table, write the files."""
    options = _parse(arguments)
    families = [FAMILIES[key] for key in options.only]
    settings = _settings(options)
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=options.work) as folder:
        about, results = _measure(Path(folder), families, settings, dict(options.python))
    _write(results, families, about, options.out)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, within two minutes")
    parser.add_argument(
        "--only",
        type=_families,
        metavar="FAMILY,...",
        help=f"some of: {', '.join(FAMILIES)}; all by default, but a quick run leaves out those "
        f"that start servers: {', '.join(_WITH_SERVERS)}",
    )
    parser.add_argument("--out", type=Path, help="where results.json and the pictures go")
    parser.add_argument(
        "--work",
        type=Path,
        help="where the stores are built and removed again; "
        "a disk, not a RAM disk (the default is the system's temporary folder)",
    )
    parser.add_argument("--rounds", type=int, help="rounds of every probe")
    parser.add_argument("--texts", type=int, help="runs that are searched by their texts")
    parser.add_argument("--engine-runs", type=int, help="runs in each server that is asked")
    parser.add_argument(
        "--python",
        type=_python,
        action="append",
        default=[],
        metavar="PEER=INTERPRETER",
        help="run a peer with the interpreter of another environment, where its "
        f"requirements clash; peers: {', '.join(PEERS)}",
    )
    options = parser.parse_args(arguments)
    left_out = _WITH_SERVERS if options.quick else ()
    options.only = options.only or [key for key in FAMILIES if key not in left_out]
    free = shutil.disk_usage(options.work or tempfile.gettempdir()).free
    if not options.quick and free < _DISK_BYTES:
        parser.error(f"a full run needs {_DISK_BYTES >> 30} GiB free where it works: see --work")
    options.out = options.out or (_HERE / "quick" if options.quick or _partial(options) else _HERE)
    return options


def _partial(options: argparse.Namespace) -> bool:
    """A run of some families must not overwrite the results of all of them."""
    return set(options.only) != set(FAMILIES)


def _families(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := [key for key in chosen if key not in FAMILIES]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return [key for key in FAMILIES if key in chosen]


def _python(text: str) -> tuple[str, str]:
    peer, _, interpreter = text.partition("=")
    if peer not in PEERS or not interpreter:
        raise argparse.ArgumentTypeError(f"{text!r} is not PEER=INTERPRETER")
    return peer, interpreter


def _settings(options: argparse.Namespace) -> Settings:
    settings = QUICK if options.quick else FULL
    return dataclasses.replace(
        settings,
        rounds=options.rounds or settings.rounds,
        texts=options.texts or settings.texts,
        engine_runs=options.engine_runs or settings.engine_runs,
    )


def _measure(
    folder: Path, families: list[Family], settings: Settings, pythons: dict[str, str]
) -> tuple[dict[str, Any], Results]:
    machine = describe(folder)
    workers = Workers(folder, settings, pythons)
    runner = Runner(workers, settings)
    started = time.monotonic()
    try:
        runner.run(families)
    finally:
        workers.end()
    about = {**_about(workers), "machine": machine, "seconds": round(time.monotonic() - started)}
    return about, Results(runner.measurements, settings)


def _about(workers: Workers) -> dict[str, Any]:
    hellos = workers.versions
    levels = {hello["default_synchronous"] for hello in hellos.values()}
    warning = "" if levels <= {2} else f" Here a connection's default is synchronous={levels}!"
    named = {PEERS[peer].distribution: hello["version"] for peer, hello in hellos.items()}
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "durability": _DURABILITY + warning,
        "traces": source_name(),
        "python": " and ".join(sorted({hello["python"] for hello in hellos.values()})),
        "sqlite": " and ".join(sorted({hello["sqlite"] for hello in hellos.values()})),
        "versions": {name: version for name, version in named.items() if name},
        "libraries": {peer: hello["libraries"] for peer, hello in hellos.items()},
        "absent": workers.absent,
    }


def _write(results: Results, families: list[Family], about: dict[str, Any], out: Path) -> None:
    content = json.dumps(to_json(results, families, about), indent=1) + "\n"
    (out / "results.json").write_text(content, encoding="utf-8")
    table = markdown(results.lines(families), about, quick=results.settings.quick)
    (out / "results.md").write_text(table, encoding="utf-8")
    print(table)
    try:
        draw(results, families, out)
    except ImportError as reason:
        print(f"No pictures: {reason}", file=sys.stderr)
