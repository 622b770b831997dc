"""What a text query means: words, phrases, and the texts of a run in which they are looked for.

Case and accents do not matter. A bare word finds words that begin with it, a quoted phrase these
words in a row, and a term with punctuation in it (``get_order_details``) its words in a row. In
scripts without spaces each character is a word, so that any part of a text is found. Every term
must occur somewhere in the run; the words of one term in one text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec

from .page import Page
from .trace import AgentTrace, TraceStep

# Scripts that put no spaces between words (Thai, Lao, Myanmar, Khmer, kana, Han and their
# neighbours), and pictures: each character is a word.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U0001f000-\U0001faff"
    "\U00020000-\U0003ffff"
)
# Marks that stand on or under a letter: accents, and the vowel points of Hebrew and Arabic.
_ACCENTS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7\u0610-\u061a\u064b-\u065f"
    "\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
# The Brahmic scripts write vowels as marks, which are part of their words.
_INDIC = "\u0900-\u0963\u0966-\u0dff"

_ASCII = bytes(range(128))
# Letters to small ones, digits to themselves, anything else to a space.
_WORDS_ONLY = bytes(
    ord(c.lower()) if (c := chr(n)).isascii() and c.isalnum() else 32 for n in range(256)
)
_TERM = re.compile(r'"([^"]*)(?:"|$)|[^\s"]+')

# Letters with a stroke or joined, which Unicode does not take apart.
_PLAIN_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ħ": "h",
        "ŧ": "t",
        "æ": "ae",
        "œ": "oe",
        "\u0131": "i",
        "ð": "d",
    }
)


class _Patterns(NamedTuple):
    word: re.Pattern[str]
    token: re.Pattern[str]
    marks: re.Pattern[str]
    alone: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    """Made at first use: it takes longer than importing all the rest of the model."""
    return _Patterns(
        word=re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])(?:[^\W_]|[{_ACCENTS}{_INDIC}]))+"),
        token=re.compile("[A-Za-z0-9\x80-\U0010ffff]+"),
        marks=re.compile(f"[{_ACCENTS}]+"),
        alone=re.compile(f"[{_ALONE}]"),
    )


_SNIPPET = 160  # characters
_BEFORE = 50  # of them before the first word found


class TextTerm(msgspec.Struct, frozen=True, gc=False):
    """One term of a query.

    Attributes:
        words: The words that must stand in a row, folded.
        is_prefix: Whether the word found may go on after the last of them.
    """

    words: tuple[str, ...]
    is_prefix: bool = False

    @property
    def pattern(self) -> str:
        """What occurs in the `joined` words of a text that has the term."""
        return f" {' '.join(self.words)}{'' if self.is_prefix else ' '}"


class TextQuery(msgspec.Struct, frozen=True):
    """A query: terms that must all occur."""

    terms: tuple[TextTerm, ...]

    def matches(self, texts: Iterable[str]) -> bool:
        """Whether every term occurs in some text."""
        missing = [term.pattern for term in self.terms]
        for text in texts:
            words = joined(text)
            missing = [pattern for pattern in missing if pattern not in words]
            if not missing:
                return True
        return not missing

    def occurs_in(self, text: str) -> bool:
        """Whether some term occurs in the text."""
        words = joined(text)
        return any(term.pattern in words for term in self.terms)


@lru_cache(maxsize=256)
def parse_text(text: str) -> TextQuery:
    """The query that a person typed.

    Raises:
        ValueError: There is no word in it.
    """
    terms = []
    for found in _TERM.finditer(text):
        phrase = found[1]
        words = tuple(words_of(found[0] if phrase is None else phrase))
        if words:
            bare = phrase is None and len(words) == 1 and not _patterns().alone.match(words[0])
            terms.append(TextTerm(words, bare))
    if not terms:
        raise ValueError(f"no word to search for: {text!r:.80}")
    return TextQuery(tuple(dict.fromkeys(terms)))


def words_of(text: str) -> list[str]:
    """The words of a text, folded, in their order."""
    if text.isascii() or not (patterns := _patterns()).word.search(_beyond_ascii(text)):
        # A dash, quotes, an ellipsis: nothing of which words are made.
        return text.encode("ascii", "replace").translate(_WORDS_ONLY).decode("ascii").split()
    words: list[str] = []
    for token in patterns.token.findall(text):
        if token.isascii():
            words.append(token.lower())
        else:
            words += [word for _, _, word in _placed_words(token)]
    return words


def _beyond_ascii(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass").translate(None, _ASCII)
    return data.decode("utf-8", "surrogatepass")


def joined(text: str) -> str:
    """The words of a text with a space around each."""
    return f" {' '.join(words_of(text))} "


def _placed_words(text: str) -> Iterator[tuple[int, int, str]]:
    """Each word, folded, and where it stands."""
    for found in _patterns().word.finditer(text):
        for word in _folded(found[0]):
            yield found.start(), found.end(), word


@lru_cache(maxsize=16384)
def _folded(word: str) -> tuple[str, ...]:
    if word.isascii():
        return (word.lower(),)
    decomposed = unicodedata.normalize("NFKD", word.casefold().translate(_PLAIN_LETTERS))
    plain = unicodedata.normalize("NFC", _patterns().marks.sub("", decomposed).casefold())
    # A compatibility character may stand for several words.
    return tuple(_patterns().word.findall(plain))


class FieldText(msgspec.Struct, frozen=True, gc=False):
    """A text of a run that a person can read.

    Attributes:
        step: The number of its step, from 1; None for one of the run itself.
        field: The field that holds it, such as ``tool_result`` or ``metadata.user``.
        text: The text.
    """

    step: int | None
    field: str
    text: str


class SearchHit(msgspec.Struct, frozen=True):
    """Where a query was found.

    Attributes:
        run_id: The run.
        step: The number of the step, from 1; None if it is in the run's own fields.
        field: The field of the step or the run.
        snippet: A piece of the text, on one line.
        marks: The beginning and the end in the snippet of each word found.
    """

    run_id: str
    step: int | None
    field: str
    snippet: str
    marks: tuple[tuple[int, int], ...] = ()


class SearchPage(Page[SearchHit]):
    """Hits, newest runs first, and in ``next_cursor`` where the next page begins."""


# Of messages, what only programs read.
_NOT_SAID = frozenset(
    {
        "role", "type", "id", "object", "index", "call_id", "tool_call_id", "tool_use_id", "status",
        "finish_reason", "stop_reason", "signature", "mime_type", "media_type",
    }
)  # fmt: skip

_RUN_FIELDS = ("name", "input", "output")
_STEP_FIELDS = ("summary", "reasoning", "tool_name", "tool_args", "tool_result", "error")


def texts_of(trace: AgentTrace) -> Iterator[FieldText]:
    """Every text of a run that a person can read; keys are none."""
    for name in _RUN_FIELDS:
        yield from _texts_in(None, name, getattr(trace, name, None))
    for key, value in trace.metadata.items():
        yield from _texts_in(None, f"metadata.{key}", value, numbers=False)
    for number, step in enumerate(trace.steps, 1):
        yield from _texts_of_step(number, step)


def _texts_of_step(number: int, step: TraceStep) -> Iterator[FieldText]:
    for name in (*_STEP_FIELDS, "input", "output"):
        value = getattr(step, name, None)
        if value.__class__ is str:
            yield FieldText(number, name, value)
        elif value is not None:
            yield from _texts_in(number, name, value)


def _texts_in(
    step: int | None, field: str, value: Any, *, numbers: bool = True
) -> Iterator[FieldText]:
    """The strings in a value, at any depth; numbers as they are written, unless unwanted."""
    are_messages = field in {"input", "output"}
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield FieldText(step, field, value)
        elif isinstance(value, Mapping):
            kept = [v for k, v in value.items() if not (are_messages and k in _NOT_SAID)]
            waiting += reversed(kept)
        elif isinstance(value, Sequence) and not isinstance(value, bytes):
            waiting += reversed(value)
        elif numbers and value.__class__ in {int, float}:
            yield FieldText(step, field, _as_written(value))


def _as_written(number: float) -> str:
    """A number as it stands in JSON: Python and msgspec write an exponent differently."""
    text = str(number)
    return msgspec.json.encode(number).decode() if "e" in text else text


def distinct_words(trace: AgentTrace) -> set[str]:
    """The words of a run, each once: what an index of words keeps of it."""
    return set(words_of("\n".join({found.text for found in texts_of(trace)})))


def trace_matches(query: TextQuery, trace: AgentTrace) -> bool:
    """Whether a run has every term."""
    return query.matches(found.text for found in texts_of(trace))


def hits_in(query: TextQuery, trace: AgentTrace, most: int) -> list[SearchHit]:
    """The first so many places of a run in which some term occurs; each text once."""
    hits: list[SearchHit] = []
    seen: set[str] = set()
    for found in texts_of(trace):
        if len(hits) == most:
            break
        if found.text not in seen and query.occurs_in(found.text):
            seen.add(found.text)
            snippet, marks = snippet_of(query, found.text)
            hits.append(SearchHit(trace.run_id, found.step, found.field, snippet, marks))
    return hits


def snippet_of(query: TextQuery, text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A piece of a text around the first term found, on one line, and the words found in it."""
    spans = _spans(query, text)
    start = max(0, spans[0][0] - _BEFORE) if spans else 0
    if start:  # not in the midst of a word
        space = text.find(" ", start, spans[0][0])
        start = space + 1 if space >= 0 else start
    end = min(len(text), start + _SNIPPET)
    before, after = "…" if start else "", "…" if end < len(text) else ""
    # Each character of whitespace becomes one space, so that places stay what they are.
    piece = re.sub(r"[\s\x00-\x1f\x7f]", " ", text[start:end])
    shift = len(before) - start
    inside = [(first + shift, min(last, end) + shift) for first, last in spans if first < end]
    return f"{before}{piece}{after}", tuple(span for span in inside if span[0] >= len(before))


def _spans(query: TextQuery, text: str) -> list[tuple[int, int]]:
    """Where the words of all terms stand in a text."""
    placed = list(_placed_words(text))
    found: set[tuple[int, int]] = set()
    for term in query.terms:
        many = len(term.words)
        for first in range(len(placed) - many + 1):
            row = placed[first : first + many]
            if _is_row(term, [word for _, _, word in row]):
                found.update((start, end) for start, end, _ in row)
    return sorted(found)


def _is_row(term: TextTerm, words: Sequence[str]) -> bool:
    *first, last = words
    if tuple(first) != term.words[:-1]:
        return False
    return last.startswith(term.words[-1]) if term.is_prefix else last == term.words[-1]


# UTF-8 beginnings of characters that may fold to ASCII: Latin letters, accents and other marks,
# letters in other shapes (superscript, in circles, full width, mathematical) and ligatures. What
# chooses the shape of a picture, and pictures themselves, are none of these.
_FOLDABLE = re.compile(
    rb"[\xc2-\xcd]|\xd6[\x91-\xbf]|\xd7[\x81-\x87]|\xd8[\x90-\x9a]|\xd9[\x8b-\x9f\xb0]"
    rb"|\xe1[\xaa\xab\xb4-\xbb]|\xe2[\x81-\x85\x91-\x93\xb1]|\xe2\x86\x89|\xe3[\x88-\x8f]"
    rb"|\xea[\x9c-\xad]|\xef[\xac\xbc\xbd]|\xef\xb8[\xa0-\xaf]|\xf0[\x9d\x9e]|\xf0\x90\x9e"
    rb"|\xf0\x9f[\x84-\x89\xaf]"
)

FOLDABLE_CHARACTERS = (
    r"\\x{80}-\\x{2bf}\\x{300}-\\x{37f}\\x{1d00}-\\x{1eff}\\x{2040}-\\x{217f}\\x{2440}-\\x{24ff}"
    r"\\x{2c40}-\\x{2c7f}\\x{3200}-\\x{33ff}\\x{a700}-\\x{ab7f}\\x{fb00}-\\x{fb3f}"
    r"\\x{ff00}-\\x{ff7f}\\x{1d000}-\\x{1ffff}"
)
"""The same characters, as a class of RE2 within a literal of SQL."""


class JSONSieve:
    """Tells quickly, by the JSON of a run, that a query does not match it.

    Args:
        query: The query.

    Attributes:
        words: Words of small ASCII letters that a run which matches has, unless it `may_hide`
            them; first the one that is looked for soonest.
    """

    def __init__(self, query: TextQuery) -> None:
        words = dict.fromkeys(word for term in query.terms for word in term.words)
        # The longest is the rarest, as a rule.
        ascii_words = sorted((word for word in words if word.isascii()), key=len, reverse=True)
        # What looks for it goes from one of its first letter to the next.
        self.words = sorted(
            [word for word in ascii_words if not _ESCAPED.match(word)], key=_commonness
        )
        self._words = [word.encode() for word in ascii_words]
        self._needs_others = len(ascii_words) < len(words)

    def may_match(self, data: bytes) -> bool:
        """False if the run certainly does not match."""
        lower = data.lower()
        hidden = [word for word in self._words if word not in lower]
        if hidden:
            return may_hide(data) and _may_have_folded(hidden, data)
        return not self._needs_others or not data.isascii() or b"\\u" in data


# What stands in a text that holds JSON for a letter; the JSON of a run may have the letter instead.
_ESCAPED = re.compile("u[0-9a-f]{4}")
_SHORT = 3
_BY_RARITY = "qzjxkvwybpghfmdulcsainorte"


def _commonness(word: str) -> tuple[bool, int]:
    return len(word) < _SHORT, _BY_RARITY.find(word[0]) % 100


# What is in the JSON of a run if a word may be an escape, or in pieces (see `references`).
HIDING = (b"\\u", b"$text")


def may_hide(data: bytes) -> bool:
    """Whether a run may have a word of ASCII letters that its JSON does not show as such."""
    return may_fold(data) or any([mark in data for mark in HIDING])


def _may_have_folded(words: Iterable[bytes], data: bytes) -> bool:
    """Whether words that do not stand in it may be there in letters that fold to theirs."""
    if any([mark in data for mark in HIDING]):
        return True
    # No word reaches beyond a quote or a space.
    texts = [text for text in data.split(b'"') if not text.isascii()]
    pieces = {piece for text in texts for piece in text.split(b" ") if not piece.isascii()}
    beyond = b" ".join(pieces)
    found = " ".join(words_of(beyond.decode(errors="replace")))
    return all([word.decode() in found for word in words])


def all_words_stand(trace: AgentTrace, data: bytes) -> bool:
    """Whether each word of ASCII letters that a run has stands in its JSON."""
    lower = data.lower()
    standing = set(data.translate(_WORDS_ONLY).decode().split())
    others = [word for word in distinct_words(trace) - standing if word.isascii()]
    return all([word.encode() in lower or _ESCAPED.match(word) for word in others])


def may_fold(data: bytes) -> bool:
    """Whether there are letters in it that may fold to ASCII: those with accents, for example."""
    if data.isascii() or _has_only_signs(data):
        return False
    return bool(_FOLDABLE.search(data.translate(None, _ASCII)))


_SIGNS = b"\xe2"
_LETTERS_AMONG_SIGNS = frozenset(
    bytes([second]) for second in (*range(0x81, 0x86), *range(0x91, 0x94), 0xB1)
)
_ZERO_THIRDS = "\u2189".encode()[1:]  # the one letter among arrows
_FEW_SIGNS = 64


def _has_only_signs(data: bytes) -> bool:
    """Whether all beyond ASCII is some dashes, quotes and arrows, which is seen soonest."""
    start, place = 0, data.find(_SIGNS)
    for _ in range(_FEW_SIGNS):
        if place < 0:
            return data[start:].isascii()
        end = data[place + 1 : place + 3]
        if end[:1] in _LETTERS_AMONG_SIGNS or end == _ZERO_THIRDS:
            return False
        if not data[start:place].isascii():
            return False
        start = place + 3
        place = data.find(_SIGNS, start)
    return False
