"""A redactor for what stands under a telling name: ``api_key``, ``authorization``, ``password``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from .traversal import REDACTED, Redactor, Walk

SECRET_KEYS = (
    "api_key",
    "api_keys",
    "access_key",
    "access_token",
    "account_key",
    "auth_token",
    "authorization",
    "bearer",
    "bearer_token",
    "client_secret",
    "connection_string",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "csrf_token",
    "encryption_key",
    "id_token",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "password_confirmation",
    "password_hash",
    "passwords",
    "private_key",
    "pwd",
    "refresh_token",
    "secret",
    "secret_access_key",
    "secret_key",
    "secrets",
    "session_token",
    "signing_key",
    "token",
)
"""The names that `redact_keys` looks for unless it is given others."""

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_COOKIES = re.compile(r"((?:set-)?cookie2?\s{0,4}:\s{0,4})[^\r\n]+", re.IGNORECASE)
# What stands between a name and its value; a blank only after a flag of a command line.
_JOINT = r"""(?P<joint>\\*["']?\]?\s{0,4}(?:=>|:=|[:=>])\s{0,4}|[ ]+)"""
_LONGEST_NAME = 64
_OF_A_NAME = re.compile(r"[\w.\- ]*")
# A value in quotes, the last of which may be cut off, or after a scheme's name, or one word.
_VALUE = re.compile(
    r"""\\*"(?:[^"\\]|\\[^"])*(?:\\*"|\Z)|\\*'(?:[^'\\]|\\[^'])*(?:\\*'|\Z)"""
    r"""|(?:(?:bearer|basic|digest|token)\s+)?[^\s"',;&<>(){}\[\]\\]+""",
    re.IGNORECASE,
)
_OPENING_QUOTE = re.compile(r"""\\*["']""")


def redact_keys(*names: str, replacement: str = REDACTED) -> Redactor:
    """A redactor for values under certain keys, at any depth, whatever the value.

    A key is told by its last words: ``api_key`` finds ``apiKey``, ``X-API-Key`` and
    ``OPENAI_API_KEY``, and ``token`` finds ``github_token`` but neither ``prompt_tokens`` nor
    ``token_count``. Found are keys of objects, header pairs (``["Authorization", "..."]``), objects
    with ``name`` and ``value``, and in plain text ``password=...``, ``"password": "..."``,
    ``--password ...`` and header lines. ``null``, booleans and empty texts stay.

    Args:
        names: The names; `SECRET_KEYS` unless given.
        replacement: What stands for the value.

    Raises:
        ValueError: A name has no letters.
    """
    chosen = [_words(name) for name in names or SECRET_KEYS]
    if not all(chosen):
        raise ValueError(f"a key's name must have letters: {names!r}")
    joined = frozenset("".join(words) for words in chosen)

    @functools.lru_cache(4096)
    def is_secret(key: str) -> bool:
        words = _words(key[-_LONGEST_NAME:])
        while words and words[-1].isdigit():
            words.pop()
        return any("".join(words[at:]) in joined for at in range(len(words)))

    ends = frozenset(words[-1] for words in chosen)
    in_text = _InText(ends, is_secret, replacement)

    def change(text: str) -> str:
        lowered = text.lower()
        for end in ends:
            if end in lowered:
                break
        else:
            return text
        if "cookie" in joined and "cookie" in lowered:
            text = _COOKIES.sub(lambda found: f"{found[1]}{replacement}", text)
        return in_text.redacted(text)

    return Walk(change, secret=is_secret, replacement=replacement)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]


class _InText:
    """Finds ``name: value`` and its likes in plain text."""

    def __init__(
        self, ends: Iterable[str], is_secret: Callable[[str], bool], replacement: str
    ) -> None:
        any_end = "|".join(sorted(map(re.escape, ends), key=len, reverse=True))
        self._candidate = re.compile(f"(?:{any_end}){_JOINT}")
        self._slower = re.compile(self._candidate.pattern, re.IGNORECASE)
        self._is_secret = is_secret
        self._replacement = replacement

    def redacted(self, text: str) -> str:
        pieces: list[str] = []
        done = 0
        lowered = text.lower()
        # One character in all of Unicode becomes two, and places would no longer agree.
        same = len(lowered) == len(text)
        candidates = self._candidate.finditer(lowered) if same else self._slower.finditer(text)
        for found in candidates:
            if found.start() < done or not self._is_named(text, found):
                continue
            value = _VALUE.match(text, found.end())
            if value is None or value[0].startswith(self._replacement):
                continue
            quote = _OPENING_QUOTE.match(value[0])
            opening = quote[0] if quote else ""
            pieces += text[done : found.end()], opening, self._replacement, opening
            done = value.end()
        return "".join([*pieces, text[done:]]) if pieces else text

    def _is_named(self, text: str, found: re.Match[str]) -> bool:
        """Whether what ends before the joint is the name of a secret."""
        end = found.start("joint")
        before = text[max(0, end - _LONGEST_NAME) : end]
        if not found["joint"].strip() and not before.split(" ")[-1].startswith("-"):
            return False
        backwards = _OF_A_NAME.match(before[::-1])
        return backwards is not None and self._is_secret(backwards[0][::-1])
