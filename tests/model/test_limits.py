"""Limits on what a text may become: counted on the text, before it is decoded."""

from __future__ import annotations

import itertools
import json
import random
import time

import pytest
from hostile import plain_values, profile
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe.model import integers
from selectools_observe.model.limits import JsonScanner, LimitError, Limits, check_json

ROOMY = Limits(digits=10**9, values=10**9, depth=10**9)


def values_in(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_in, inner))


def depth_of(value) -> int:
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0)


def scan(text: bytes, limits: Limits, cuts: list[int]) -> JsonScanner:
    scanner = JsonScanner(limits)
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        scanner.feed(text[start:end])
    return scanner


class TestScanner:
    @profile(300)
    @given(plain_values, st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
    def test_it_counts_as_the_decoder_would(self, value, cuts, is_ascii):
        text = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
        counted = scan(text, ROOMY, cuts).values
        assert values_in(value) <= counted <= 2 * values_in(value) + 1  # an empty one counts twice

    @profile(300)
    @given(plain_values, st.lists(st.integers(0, 10_000), max_size=6))
    def test_a_limit_that_is_met_is_no_limit_that_is_passed(self, value, cuts):
        text = json.dumps(value).encode()
        digits = max(
            map(len, "".join(c if c.isdigit() else " " for c in text.decode()).split()), default=0
        )
        scan(
            text,
            Limits(digits=digits, depth=depth_of(value), values=2 * values_in(value) + 1),
            cuts,
        )

    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            (b"1" * 11, "digits"),
            (b"[1.5, -" + b"2" * 11 + b"]", "digits"),
            (b"0." + b"3" * 11, "digits"),
            (b"1e" + b"4" * 11, "digits"),
            (b"[[]" + b",[]" * 60 + b"]", "values"),
            (b'{"a": {"b": "' + b"x" * 500 + b'"}, "c": [' + b"1," * 99 + b"1]}", "values"),
            (b"[" * 9, "depth"),
            (b'{"a":' * 9, "depth"),
            (b'["\\\\", ' + b"[" * 9, "depth"),
        ],
    )
    @pytest.mark.parametrize("size", [1, 2, 7, 10_000])
    def test_what_is_too_much_is_refused_however_it_is_cut(self, text, limit, size):
        limits = Limits(digits=10, values=100, depth=8)
        with pytest.raises(LimitError, match=rf"\(limit: {limit}\)"):
            scan(text, limits, list(range(0, len(text), size)))

    @pytest.mark.parametrize(
        "text",
        [
            b'"' + b"1" * 500 + b'"',
            b'"' + b"[" * 500 + b'"',
            b'"' + b"," * 500 + b'"',
            b'"' + b'\\"[' * 500 + b'"',
            b'"' + b"\\\\" * 500 + b'"',
            json.dumps({"9" * 400: '\\"[' * 200, "b": "\\"}).encode(),
        ],
    )
    @pytest.mark.parametrize("size", [1, 3, 10_000])
    def test_what_stands_in_strings_is_not_counted(self, text, size):
        scan(text, Limits(digits=10, values=100, depth=8), list(range(0, len(text), size)))

    def test_a_short_text_is_within_any_limit(self):
        assert check_json(b"[1]") >= 2


class TestIntegers:
    @profile(60)
    @given(st.integers(0, 2**32), st.integers(1, 30_000), st.booleans())
    def test_any_integer_is_its_digits_and_back(self, seed, digits, is_negative):
        text = "".join(random.Random(seed).choices("0123456789", k=digits)).lstrip("0") or "0"
        text = f"-{text}" if is_negative and text != "0" else text
        value = integers.from_text(text)
        assert integers.to_text(value) == text
        assert value % (10**9 + 7) == _modulo(text)

    @pytest.mark.parametrize("digits", [3999, 4000, 4001, 8000, 8001, 100_000])
    @pytest.mark.parametrize("value", [lambda n: 10**n, lambda n: 10**n - 1, lambda n: -(10**n)])
    def test_at_the_edges(self, digits, value):
        assert integers.from_text(integers.to_text(value(digits))) == value(digits)

    @pytest.mark.slow  # and repeated: machines pause
    def test_time_grows_less_than_quadratically(self):
        # A ratio in one process: 16 times the digits are 256 times the time if quadratic.
        def seconds(digits: int) -> float:
            text = "7" * digits
            began = time.process_time()
            integers.to_text(integers.from_text(text))
            return time.process_time() - began

        small = min(seconds(20_000) for _ in range(5))
        assert min(seconds(320_000) for _ in range(2)) < 128 * small


def _modulo(text: str) -> int:
    remainder = 0
    for digit in text.removeprefix("-"):
        remainder = (remainder * 10 + int(digit)) % (10**9 + 7)
    return -remainder % (10**9 + 7) if text.startswith("-") else remainder


@profile(200)
@given(plain_values, st.sampled_from([3, 20, 300]), st.sampled_from([1, 3, 50]))
def test_a_text_is_refused_as_its_bytes_are(value, most, deepest):
    text = json.dumps([value, " " * 300, 10**most, "[{,"], ensure_ascii=False)
    limits = Limits(digits=most, values=most, depth=deepest)
    refused = []
    for each in (text, text.encode("utf-8", "surrogatepass")):
        try:
            check_json(each, limits)
        except LimitError as error:
            refused.append(error.limit)
    assert len(refused) in {0, 2}


@pytest.mark.parametrize("before", [0, 1, 19, 20, 21, 100])
def test_many_digits_are_found_wherever_they_are(before):
    limits = Limits(digits=20)
    text = f'["{"x" * before}", "{"y" * 300}", {{}}]'
    assert check_json(text.replace("{}", "1" * 20), limits)
    with pytest.raises(LimitError, match="digits"):
        check_json(text.replace("{}", "1" * 21), limits)
