"""What the command makes of texts, times and figures."""

from __future__ import annotations

import contextlib
import json
import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("click", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from hostile import profile

from selectools_observe import AgentTrace
from selectools_observe.cli.run_table import RunTable
from selectools_observe.cli.terminal import fit
from selectools_observe.model import figures
from selectools_observe.model.codec import encode
from selectools_observe.model.text import one_line, printable, printable_json, printable_lines
from selectools_observe.model.time_expressions import parse_time

UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ODD = st.sampled_from(
    "\x1b\x07\x9b\u202e\u2066\u200b\ufeff\ud83d\udc00\u0301\U000e0041\u65e5\U0001f469\u200d"
)
ANYTHING = st.text(ODD | st.characters(exclude_categories=()))


def is_harmless(text: str) -> bool:
    return all(c in "\u200c\u200d" or unicodedata.category(c) not in UNPRINTABLE for c in text)


class TestEscaping:
    @pytest.mark.parametrize("code", [0, 7, 8, 9, 10, 13, 27, 127, 0x85, 0x9B, 0xAD, 0x61C, 0x200B,
        0x200E, 0x202E, 0x2028, 0x2066, 0xD800, 0xDFFF, 0xFEFF, 0xFFF9,
        0xE0001, 0xE007F])  # fmt: skip
    def test_what_must_not_be_printed_is_written_out(self, code):
        assert is_harmless(printable(chr(code)))
        assert f"{code:x}" in printable(chr(code))

    @pytest.mark.slow
    def test_the_list_is_unicodes_own(self):
        every = map(chr, range(0x110000))
        assert [c for c in every if not is_harmless(printable(c))] == []

    def test_what_may_be_printed_is_left_alone(self):
        text = "naïve 日本語 👩‍👩‍👧 עברית ́ a\\b"
        assert printable(text) == text

    @profile(300)
    @given(ANYTHING)
    def test_no_text_comes_through(self, text):
        assert is_harmless(printable(text))
        assert is_harmless(one_line(text, 20))
        assert len(one_line(text, 20)) <= 21
        assert all(is_harmless(line) for line in printable_lines(text))

    @pytest.mark.slow
    @profile(300)
    @given(
        st.recursive(
            ANYTHING | st.none() | st.integers(),
            lambda s: st.lists(s) | st.dictionaries(ANYTHING, s),
        )
    )
    def test_json_means_the_same(self, value):
        for indent in (None, 1):
            text = printable_json(json.dumps(value, ensure_ascii=False, indent=indent))
            assert is_harmless(text.replace("\n", ""))
            assert json.loads(text) == json.loads(json.dumps(value))

    @profile(200)
    @given(ANYTHING, st.integers(0, 30), st.booleans())
    def test_a_cell_has_its_width(self, text, width, right):
        from rich.cells import cell_len

        assert cell_len(fit(one_line(text), width, right=right)) == width

    def test_a_long_text_is_not_looked_through(self):
        assert one_line("x" * 50_000_000, 10) == "x" * 10 + "…"


NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "ago"),
        [
            ("2h", timedelta(hours=2)), ("30m", timedelta(minutes=30)),
            ("90s", timedelta(seconds=90)),
            ("1.5d", timedelta(hours=36)), ("1w", timedelta(days=7)),
            ("2h ago", timedelta(hours=2)),
            ("now", timedelta()), (" 3D ", timedelta(days=3)),
        ],
    )  # fmt: skip
    def test_so_long_ago(self, text, ago):
        assert parse_time(text, now=NOW) == NOW - ago

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("2026-03-01T14:30Z", datetime(2026, 3, 1, 14, 30, tzinfo=UTC)),
            ("2026-03-01t14:30:05.5+02:00", datetime(2026, 3, 1, 12, 30, 5, 500_000, UTC)),
            ("2026-03-01 14:30", datetime(2026, 3, 1, 14, 30).astimezone()),
            ("2026-03-01", datetime(2026, 3, 1).astimezone()),
        ],
    )
    def test_a_moment(self, text, wanted):
        assert parse_time(text) == wanted
        assert parse_time(text).tzinfo is not None

    def test_a_day_is_meant_from_its_beginning_or_to_its_end(self):
        for day in ("2026-03-01", "today", "yesterday"):
            start, end = parse_time(day, now=NOW), parse_time(day, end_of_day=True, now=NOW)
            assert timedelta(hours=22) < end - start < timedelta(hours=26)
            assert (start.hour, start.minute, end.hour, end.minute) == (0, 0, 23, 59)
        assert parse_time("today", now=NOW) - parse_time("yesterday", now=NOW) >= timedelta(
            hours=22
        )

    @pytest.mark.parametrize(
        "text", ["", "soon", "2h3", "-2h", "2026-13-01", "9" * 400 + "d", "0000-01-01"]
    )
    def test_what_is_no_time_says_what_is(self, text):
        with pytest.raises(ValueError, match=r"is not a time: write 2h|too long ago"):
            parse_time(text)

    @profile(300)
    @given(st.text(max_size=20))
    def test_any_text_is_a_time_or_an_error_in_words(self, text):
        with contextlib.suppress(ValueError):
            assert parse_time(text).tzinfo is not None


def test_amounts_are_whole_in_the_list():
    runs = [encode(AgentTrace(run_id=f"r{n}")).summary(datetime.now(UTC)) for n in range(2)]
    runs[0].cost_usd, runs[1].cost_usd = 1_234_567.891, -0.5
    lines = [RunTable(80, runs).line(run).plain for run in runs]
    assert ["$1,234,567.89" in lines[0], "-$0.5000" in lines[1]] == [True, True]


@pytest.mark.parametrize(
    ("words", "value", "wanted"),
    [
        (figures.duration, 0, "-"), (figures.duration, 0.04, "0.0 ms"),
        (figures.duration, 99.94, "99.9 ms"),
        (figures.duration, 99.96, "100 ms"), (figures.duration, 999.6, "1.00 s"),
        (figures.duration, 59_996, "1m 00s"), (figures.duration, 125_000, "2m 05s"),
        (figures.duration, 12_000_000, "3h 20m"), (figures.duration, 1e300, "1.2e+292d"),
        (figures.count, 0, "0"), (figures.count, 9999, "9,999"), (figures.count, 12_345, "12.3k"),
        (figures.count, 4_560_000, "4.56M"), (figures.count, 1e15, "1e+15"),
        (figures.dollars, 0, "-"), (figures.dollars, 0.00001, "<$0.0001"),
        (figures.dollars, 0.0041, "$0.0041"), (figures.dollars, 12.3, "$12.30"),
    ],
)  # fmt: skip
def test_figures(words, value, wanted):
    assert words(value) == wanted
