"""How the tokens of providers look, by ``provider_rules.json``.

Facts from the rules of gitleaks (https://github.com/gitleaks/gitleaks, MIT); the file says of which
version, and when they were taken. ``.ci/update_token_rules.py`` makes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec


class Rule(NamedTuple):
    """A form of token.

    Attributes:
        name: The rule's name at gitleaks.
        keywords: What a text must hold in lower case, one of these, for it to be worth trying.
        form: The regular expression.
        bits: How many bits of information each character must bear at least.
    """

    name: str
    keywords: tuple[str, ...]
    form: str
    bits: float


class _File(msgspec.Struct):
    version: str
    taken_on: str
    rules: tuple[Rule, ...]


_FILE = msgspec.json.decode(Path(__file__).with_suffix(".json").read_bytes(), type=_File)
VERSION, TAKEN_ON, RULES = _FILE.version, _FILE.taken_on, _FILE.rules
