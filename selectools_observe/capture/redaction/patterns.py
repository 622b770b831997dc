"""Redactors for patterns in text: one's own, and e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .traversal import REDACTED, Redactor, Walk

# A file's name is no address: images for screens of twice the density are called so.
_AT = re.compile(r"@|%40")
_DOMAIN = re.compile(r"(?!\dx\.[a-z]{3,4}\b)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,63}")
_LOCAL_PART = re.compile(r"[\w.!#$&'*+/=?^`{|}~-]{1,64}\Z")
_LONGEST_LOCAL_PART = 64


def redact_texts(change: Callable[[str], str]) -> Redactor:
    """A redactor that puts every text of a run through a function.

    Keys, arguments, results, errors and metadata, at any depth, also inside of JSON that is kept as
    text.

    Args:
        change: Given a text, returns what is to be stored.
    """
    return Walk(change)


def redact_pattern(pattern: str | re.Pattern[str], replacement: str = REDACTED) -> Redactor:
    """A redactor that replaces whatever matches a regular expression, in every text of a run.

    Args:
        pattern: The regular expression.
        replacement: What stands for a match, as in `re.sub`.
    """
    compiled = re.compile(pattern)
    return Walk(lambda text: compiled.sub(replacement, text))


def redact_emails(replacement: str = REDACTED) -> Redactor:
    """A redactor for e-mail addresses, URL-encoded ones too."""

    def change(text: str) -> str:
        pieces: list[str] = []
        done = 0
        for start, end in _addresses(text):
            pieces += text[done:start], replacement
            done = end
        return "".join([*pieces, text[done:]]) if pieces else text

    return Walk(change, is_pure=True)


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    """Where each e-mail address begins and ends, looked for from its @ on."""
    done = 0
    for at in _AT.finditer(text):
        domain = _DOMAIN.match(text, at.end()) if at.start() >= done else None
        if domain is None:
            continue
        first = max(done, at.start() - _LONGEST_LOCAL_PART)
        local = _LOCAL_PART.search(text[first : at.start()])
        if local is not None:
            done = domain.end()
            yield first + local.start(), done
