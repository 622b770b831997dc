"""Which release of each framework pip takes beside this package, if nobody names one.

``resolution.py [NAME ...]`` fails where that is an older one than the requirements name: pip goes
back to a release that asks for less, and does not say so. Nothing is installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from environments import REQUIREMENTS, ours

_PINNED = re.compile(r"([\w.-]+)(\[.*\])?==([\d.]+)")


def wrong(name: str) -> str | None:
    """What is wrong with the release that pip takes of a framework."""
    pinned = _PINNED.match((REQUIREMENTS / f"{name}.txt").read_text("utf-8"))
    if pinned is None:
        return f"{name}.txt does not begin with a framework and its release"
    package, _, known = pinned.groups()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-"]
    done = subprocess.run(
        [*command, "--ignore-installed", package, *ours()],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return f"{package}: {done.stderr.strip()[-500:]}"
    taken = {
        each["metadata"]["name"].lower().replace("_", "-"): each["metadata"]["version"]
        for each in json.loads(done.stdout)["install"]
    }[package]
    print(f"{package} {taken}", flush=True)
    return None if _numbers(taken) >= _numbers(known) else f"{package}: {taken}, not {known}"


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def main(names: list[str]) -> int:
    """Look at those that are named, or all; two at a time."""
    names = names or sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))
    with ThreadPoolExecutor(2) as pool:
        found = [each for each in pool.map(wrong, names) if each]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
