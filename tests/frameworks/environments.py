"""Makes an environment for each framework: ``environments.py FOLDER [NAME ...]``.

Their requirements clash with each other's and with ours. What this package needs comes into each;
the package itself is found by PYTHONPATH.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements"
COMPLETE = "complete"
"""A file in an environment that is whole; the test of another skips."""


def ours() -> list[str]:
    """What this package needs to capture and to know prices."""
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *extras["otel"], *extras["prices"]]


def make(folder: Path, name: str) -> str | None:
    """Make one environment; return what went wrong."""
    made = folder / name
    python = made / "bin" / "python"
    if not python.exists():
        venv.create(made, with_pip=True)
    command = [python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS / f"{name}.txt", *ours()]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return f"{name}: {done.stderr.strip()[-500:]}"
    (made / COMPLETE).touch()
    return None


def main(arguments: list[str]) -> int:
    """Make those that are named, or all; two at a time."""
    folder = Path(arguments[0]).resolve()
    names = arguments[1:] or sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))
    with ThreadPoolExecutor(2) as pool:
        failed = [each for each in pool.map(lambda name: make(folder, name), names) if each]
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
