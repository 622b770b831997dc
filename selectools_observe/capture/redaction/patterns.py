"""Redactors for patterns in text: one's own, and e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Callable

from .traversal import REDACTED, Redactor, Walk

# The part before the @ has at most 64 characters; a limit also keeps long texts from taking long.
# A file's name is no address: images for screens of twice the density are called so.
_EMAIL = re.compile(
    r"[\w.!#$&'*+/=?^`{|}~-]{1,64}(?:@|%40)(?!\dx\.[a-z]{3,4}\b)(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,63}"
)


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
        if "@" not in text and "%40" not in text:
            return text
        return _EMAIL.sub(lambda _: replacement, text)

    return Walk(change)
