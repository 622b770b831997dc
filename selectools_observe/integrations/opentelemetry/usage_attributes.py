"""Tokens and costs under names that no table lists one by one: told by the words in them.

Everybody who reports usage uses the same few words in an order and a spelling of their own:
``gen_ai.usage.cached_input_tokens``, ``ai.usage.inputTokenDetails.cacheReadTokens``, or an object
in one attribute. What is counted is found by the name without its dots, lines and capitals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .attributes import count, money, parsed_text, read
from .semconv import FIELDS, Kind

_BEGINNINGS = (
    "gen_ai.usage", "gen_ai.response.usage", "llm.usage", "llm.token_count", "ai.usage", "usage",
    "langfuse.observation.usage_details", "mlflow.chat.tokenUsage", "braintrust.metrics",
)  # fmt: skip
_COSTS = (
    "gen_ai.cost", "gen_ai.usage.cost", "gen_ai.client.cost", "llm.cost", "llm.total_cost",
    "llm.usage.cost", "ai.cost", "ai.usage.cost", "cost", "total_cost", "usage.cost",
    "mlflow.llm.cost", "langfuse.observation.cost_details",
)  # fmt: skip
_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")
_IN = ("input", "prompt")
_OUT = ("output", "completion")


def _both(words: tuple[str, ...], *patterns: str) -> frozenset[str]:
    return frozenset(pattern.format(word) for word in words for pattern in patterns)


_WORDS: dict[str, frozenset[str]] = {
    "prompt_tokens": _both(_IN, "{}", "{}tokens", "{}tokencount", "{}tokenscount")
    | {"tokens"},
    "completion_tokens": _both(_OUT, "{}", "{}tokens", "{}tokencount", "{}tokenscount")
    | {"candidatestokencount"},
    "cache_read_tokens": _both(
        _IN, "cached{}tokens", "cacheread{}tokens", "{}cachedtokens", "{}cachereadtokens",
        "{}cacheread", "{}tokendetailscachereadtokens", "{}tokensdetailscachedtokens",
        "{}tokensdetailscacheread", "{}tokensdetailscachereadtokens", "{}detailscacheread",
        "{}tokendetailscacheread", "{}tokenscached",
        "{}detailscacheinput",
    ) | {"cachereadtokens", "cachedtokens", "cacheread", "cachedcontenttokencount"},
    "cache_write_tokens": _both(
        _IN, "cachewrite{}tokens", "cachecreation{}tokens", "{}cachecreation", "{}cachewrite",
        "{}cachewritetokens", "{}cachecreationtokens", "{}tokendetailscachewritetokens",
        "{}tokensdetailscachewritetokens", "{}tokendetailscachecreation", "{}detailscachewrite",
    ) | {"cachewritetokens", "cachecreationtokens", "cachewrite", "cachecreation"},
    "reasoning_tokens": _both(
        _OUT, "reasoning{}tokens", "{}reasoningtokens", "{}reasoning", "{}tokenreasoning",
        "{}tokendetailsreasoningtokens", "{}tokensdetailsreasoningtokens",
        "{}tokendetailsreasoning", "{}detailsreasoning", "{}tokensreasoning",
    ) | {"reasoningtokens", "reasoning", "thinkingtokens", "thoughtstokencount"},
    "audio_input_tokens": _both(
        _IN, "audio{}tokens", "{}audiotokens", "{}audio", "{}tokendetailsaudio",
        "{}tokensdetailsaudiotokens", "{}detailsaudio",
    ),
    "audio_output_tokens": _both(
        _OUT, "audio{}tokens", "{}audiotokens", "{}audio", "{}tokendetailsaudio",
        "{}tokensdetailsaudiotokens", "{}detailsaudio",
    ),
}  # fmt: skip
_MEANINGS = {word: meaning for meaning, words in _WORDS.items() for word in words}


def usage_in(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens and cost by the names of a step's fields and extras."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        if name.startswith(_BEGINNINGS):
            for word, leaf in _leaves(_after(name), parsed_text(value), 0):
                meaning = _MEANINGS.get(_NOT_A_LETTER.sub("", word.lower()))
                tokens = None if meaning is None else count(leaf)
                if meaning is not None and tokens is not None:
                    found.setdefault(meaning, tokens)
        if name.startswith(_COSTS) and _is_cost(name):
            cost = money(value)
            if cost is not None:
                found.setdefault("cost_usd", cost)
    return found


def reported(attributes: Mapping[str, Any], meaning: str) -> Any:
    """What attributes say that a step's field or extra of this name is; None if they do not."""
    for name in FIELDS[Kind.MODEL][meaning]:
        if name in attributes:
            value = read(meaning, attributes[name], name)
            if value is not None:
                return value
    return usage_in(attributes).get(meaning)


_TOTALS = re.compile(r"(?:^|\.)(?:cost|total|total_cost|usd|cost_usd|cost_details)$")


def _is_cost(name: str) -> bool:
    """Whether a name is that of the whole cost, not of a part."""
    return _TOTALS.search(name) is not None


def _after(name: str) -> str:
    """What of a name says what is counted."""
    beginning = max((each for each in _BEGINNINGS if name.startswith(each)), key=len)
    return name[len(beginning) :].removeprefix(".").removeprefix("details.")


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and depth < _DEEPEST:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner, depth + 1)
    else:
        yield name, value


_DEEPEST = 3
