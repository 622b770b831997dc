"""What a text query finds, told by examples and by laws."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import AgentTrace, StepType, TraceStep
from selectools_observe.model.codec import decode, encode
from selectools_observe.model.text_query import (
    JSONSieve,
    all_words_stand,
    distinct_words,
    hits_in,
    may_fold,
    parse_text,
    snippet_of,
    texts_of,
    trace_matches,
    words_of,
)


def saying(text: str, **fields: Any) -> AgentTrace:
    return AgentTrace(steps=[TraceStep(StepType.LLM_CALL, reasoning=text, **fields)])


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("refund", "A REFUND was made"),
        ("refund", "refunds are made"),
        ("refund", "the réfund"),
        ("réfund", "the refund"),
        ("resume", "re\u0301sume\u0301 attached"),
        ("strasse", "in der Straße"),
        ("lodz", "Łódź"),
        ("smorrebrod", "smørrebrød"),
        ("fi", "\ufb01nal"),
        ("123", "\uff11\uff12\uff13"),
        ('"gift card"', "a gift-card, please"),
        ('"gift card"', "Gift\nCard"),
        ("get_order_details", "called get_order_details()"),
        ("get_order_details", "get order details"),
        ("東京", "私は東京に住んでいます"),
        ("京に", "私は東京に住んでいます"),
        ("กรุง", "อยู่ที่กรุงเทพ"),
        ("хлеб", "ХЛЕБА"),
        ("हिन्दी", "यह हिन्दी है"),
        ("שלום", "שָׁלוֹם"),
        ("🎉", "done 🎉!"),
        ("refund card", "the card of the refund"),
        ('"unfinished phr', "an unfinished phr"),
        ("a@b.example", "mail a@b.example now"),
    ],
)
def test_finds(query: str, text: str) -> None:
    trace = saying(text)
    assert trace_matches(parse_text(query), trace)
    assert JSONSieve(parse_text(query)).may_match(encode(trace).trace)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("fund", "a refund"),  # not where a word begins
        ('"gift car"', "a gift card"),  # a phrase is whole words
        ('"gift card"', "a card as a gift"),
        ("get_order_details", "details of the order to get"),
        ("refund card", "a refund only"),
        ("京東", "東京"),
        ("get_order", "get the order"),
    ],
)
def test_does_not_find(query: str, text: str) -> None:
    assert not trace_matches(parse_text(query), saying(text))


def test_a_phrase_is_in_one_text() -> None:
    trace = AgentTrace(
        steps=[TraceStep(StepType.LLM_CALL, reasoning="a gift", tool_result="card number")]
    )
    assert not trace_matches(parse_text('"gift card"'), trace)
    assert trace_matches(parse_text("gift card"), trace)  # two terms may be in two texts


@pytest.mark.parametrize("nothing", ["", "  ", "!!", '""', "_ -"])
def test_a_query_without_words_says_so(nothing: str) -> None:
    with pytest.raises(ValueError, match="no word to search for"):
        parse_text(nothing)


def test_what_a_person_could_read_counts_and_keys_do_not() -> None:
    step = TraceStep(
        StepType.TOOL_EXECUTION,
        tool_name="find_flight",
        tool_args={"secretkey": {"city": "Oslo", "ids": [4711, "x9"]}},
        tool_result="two seats",
        reasoning="because",
        error="timeout",
        summary="looked",
        model="gpt-4o",
    )
    trace = AgentTrace(steps=[step], metadata={"customer": "Ada", "vip": True, "tags": ["gold"]})
    found = {(text.step, text.field, text.text) for text in texts_of(trace)}
    assert found == {
        (None, "metadata.customer", "Ada"),
        (None, "metadata.tags", "gold"),
        (1, "tool_name", "find_flight"),
        (1, "tool_args", "Oslo"),
        (1, "tool_args", "4711"),
        (1, "tool_args", "x9"),
        (1, "tool_result", "two seats"),
        (1, "reasoning", "because"),
        (1, "error", "timeout"),
        (1, "summary", "looked"),
    }
    assert not trace_matches(parse_text("secretkey"), trace)
    assert trace_matches(parse_text("4711 oslo ada"), trace)


def test_hits_name_the_step_the_field_and_the_words() -> None:
    long = "word " * 100
    trace = AgentTrace(
        steps=[
            TraceStep(StepType.LLM_CALL, reasoning="nothing"),
            TraceStep(StepType.TOOL_EXECUTION, tool_result=f"{long}the Réfund\n of it {long}"),
            TraceStep(StepType.LLM_CALL, reasoning="refunds"),
        ]
    )
    first, second = hits_in(parse_text("refund"), trace, 10)
    assert (first.step, first.field) == (2, "tool_result")
    assert [first.snippet[begin:end] for begin, end in first.marks] == ["Réfund"]
    assert "\n" not in first.snippet
    assert first.snippet.startswith("…")
    assert first.snippet.endswith("…")
    assert len(first.snippet) < 200
    assert (second.step, second.snippet, second.marks) == (3, "refunds", ((0, 7),))
    assert len(hits_in(parse_text("refund"), trace, 1)) == 1


TEXTS = st.text(
    st.sampled_from('aAbBéÉe\u0301ß İıøﬁ₂²½Ⅷ東京กิनि\u094dत_-."\\\n\x00🎉\ud800…—ǅ１Ａ𝐀ⓐ㎏ﷺꬰ'),
    max_size=12,
)  # fmt: skip


@given(TEXTS, TEXTS)
def test_the_sieve_and_the_index_words_never_hide_a_match(query: str, text: str) -> None:
    try:
        wanted = parse_text(query)
    except ValueError:
        return
    trace = saying(text)
    if trace_matches(wanted, trace):
        assert JSONSieve(wanted).may_match(encode(trace).trace)
        words = distinct_words(trace)
        for term in wanted.terms:
            *whole, last = term.words
            assert words.issuperset(whole)
            assert any(w == last or (term.is_prefix and w.startswith(last)) for w in words)


@given(TEXTS)
def test_a_text_is_found_by_its_own_words(text: str) -> None:
    if words_of(text):
        assert trace_matches(parse_text(f'"{text.replace(chr(34), " ")}"'), saying(text))
        for word in words_of(text):
            assert trace_matches(parse_text(word), saying(text))


@given(TEXTS, TEXTS, TEXTS)
def test_marks_are_of_words_that_were_found(query: str, before: str, text: str) -> None:
    try:
        wanted = parse_text(query)
    except ValueError:
        return
    snippet, marks = snippet_of(wanted, before * 20 + text)
    assert all(0 <= begin < end <= len(snippet) for begin, end in marks)
    assert list(marks) == sorted(marks)


@given(
    st.text(alphabet="ae\u2192\u2014\u2019\ufb01\xe9\u2122\u2167\u24d0\u2c61\u2105 ", max_size=12)
)
def test_what_folds_to_ascii_is_never_overlooked(text: str) -> None:
    assert may_fold(text.encode()) or not _hidden(text)


@pytest.mark.slow
def test_no_character_that_folds_to_ascii_is_overlooked() -> None:
    texts = [f"a{chr(n)}b {chr(n)}" for n in range(0x80, 0x20000) if not 0xD800 <= n < 0xE000]
    assert [text for text in texts if _hidden(text) and not may_fold(text.encode())] == []


@pytest.mark.parametrize(("text", "passes"), [
    ("naïve\nréfunds", True), ('\\ré"fund', False), ("a réturn of a function", False),
    ("refu\u0301nded", True), ("a déjà-vu", False), ("\u2708\ufe0f is done \U0001f642", False),
])  # fmt: skip
def test_a_run_with_accents_is_read_only_where_a_word_may_be_among_them(
    text: str,
    passes: bool,  # noqa: FBT001
) -> None:
    assert JSONSieve(parse_text("refund")).may_match(encode(saying(text)).trace) is passes


def test_pictures_hide_no_words() -> None:
    assert not may_fold("\u2708\ufe0f done \U0001f642".encode())


def _hidden(text: str) -> list[str]:
    lower = text.lower()
    return [word for word in words_of(text) if word.isascii() and word not in lower]


LONG_TEXTS = st.lists(
    st.sampled_from(
        (
            "word ",
            "wordly",
            "é",
            "\x7f",
            "\n",
            '"',
            "\\",
            "—",
            "\u064b",
            "x" * 40,
            "it goes on and ",
        )
    ),
    min_size=4,
    max_size=16,
).map(lambda pieces: "".join(pieces) * 2)


@given(st.lists(LONG_TEXTS, min_size=2, max_size=3), st.booleans())
def test_references_hide_no_word_unless_they_say_so(texts: list[str], is_ascii: bool) -> None:  # noqa: FBT001
    trace, said = AgentTrace(), ""
    for text in texts:
        said += text
        told = json.dumps([{"content": text}, said], ensure_ascii=is_ascii)
        trace.add(
            TraceStep(
                "llm_call", input=[{"content": said}, {"content": text}], output={"all": told}
            )
        )
    encoded = encode(trace)
    if encoded.shows_words and not may_fold(encoded.trace):
        assert all_words_stand(decode(encoded.trace), encoded.trace)
