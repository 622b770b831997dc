"""Check what is installed: its licences, and whether vulnerabilities of it are known.

``python .ci/supply_chain.py licences`` and ``... audit requirements.txt [offline]``, in an
environment with pip-licenses and pip-audit; see ``noxfile.py``. What could not be asked about is no
success, unless it is said that there is no network.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

# Whoever uses this package may use what it requires as freely.
ALLOWED = re.compile(
    r"\b(?:MIT|BSD|Apache\d?|ISC|PSFL?|Python Software Foundation|MPL|Mozilla|Unlicense|CC0|Zlib"
    r"|0BSD|HPND|Public Domain)\b",
    re.IGNORECASE,
)
REFUSED = re.compile(r"GPL|GNU|Proprietary|Commercial|SSPL|BUSL", re.IGNORECASE)
_MARKS = re.compile(r"(?:OSI|DFSG) approved\s*[;,]\s*", re.IGNORECASE)
_GROUP = re.compile(r"\(([^()]*\b(?:AND|OR)\b[^()]*)\)")
OWN = "selectools-observe"
TOOLS = {"pip-audit", "pip-licenses", "pip", "setuptools", "wheel"}
# What pip-audit says, in one form or another, where its database is out of reach.
_UNREACHABLE = re.compile(
    r"ConnectionError|ServiceError|Max retries|Failed to connect|Could not connect|timed out"
    r"|Name or service|HTTPSConnectionPool|Failed to (?:query|upgrade)|40[34]|503",
    re.IGNORECASE,
)


def is_allowed(licence: str) -> bool:
    """Whether one of its alternatives is free in all parts; a whole text goes by its title."""
    text = _MARKS.sub("", licence.strip().partition("\n")[0])
    while (group := _GROUP.search(text)) is not None:
        inner = "MIT" if is_allowed(group[1]) else "Proprietary"
        text = text[: group.start()] + inner + text[group.end() :]
    return any(
        all(map(_is_free, _PARTS.split(alternative))) for alternative in re.split(r"\bOR\b", text)
    )


def _is_free(name: str) -> bool:
    return bool(ALLOWED.search(name)) and not REFUSED.search(name)


_PARTS = re.compile(r"\bAND\b|[;,]")


def licences() -> int:
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    packages = [each for each in json.loads(told) if each["Name"] not in {OWN, *TOOLS}]
    refused = [
        f"{each['Name']} {each['Version']}: {each['License']}"
        for each in packages
        if not is_allowed(each["License"])
    ]
    print(f"{len(packages)} packages, {len(refused)} under licences that are not allowed")
    print("\n".join(refused))
    return 1 if refused else 0


def audit(requirements: Path, *, offline: bool) -> int:
    command = [sys.executable, "-m", "pip", "freeze", "--exclude", OWN]
    frozen = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in frozen.splitlines() if "==" in line]
    requirements.write_text("\n".join(lines), "utf-8")
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip"]
    command += ["--progress-spinner=off", "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    unasked = done.stdout.count("could not be audited")
    if done.returncode and "Found" not in done.stdout + done.stderr:
        if not _UNREACHABLE.search(done.stderr):
            return done.returncode
        unasked = len(lines)
    if not unasked:
        return done.returncode
    print(f"NOT AUDITED: the advisories of {unasked} of {len(lines)} packages are out of reach")
    if not offline:
        print('FAILED: without a network, say so: "nox -s audit -- offline"')
        return 1
    return done.returncode if "Found" in done.stdout + done.stderr else 0


if __name__ == "__main__":
    is_offline = "offline" in sys.argv[3:]
    sys.exit(
        licences() if sys.argv[1] == "licences" else audit(Path(sys.argv[2]), offline=is_offline)
    )
