"""Redactors: what takes secrets out of steps and metadata before they reach a store.

A redactor is a callable. It is given each step of a run (a `TraceStep`) and the run's metadata (a
dictionary), both copies of its own made of plain JSON values, and returns what is to be stored
instead; it may change what it was given and return that.
"""

from .cards import redact_cards
from .keys import SECRET_KEYS, redact_keys
from .patterns import redact_emails, redact_pattern, redact_texts
from .tokens import redact_tokens
from .traversal import REDACTED, Redactor

__all__ = [
    "REDACTED",
    "SECRET_KEYS",
    "Redactor",
    "common_redactors",
    "redact_cards",
    "redact_emails",
    "redact_keys",
    "redact_pattern",
    "redact_texts",
    "redact_tokens",
]


def common_redactors() -> list[Redactor]:
    """Keys by name, tokens, e-mail addresses and card numbers, in the order that finds most."""
    return [redact_keys(), redact_tokens(), redact_emails(), redact_cards()]
