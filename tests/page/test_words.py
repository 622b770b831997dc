"""What the page writes of numbers and of texts: the same as the command, and nothing hidden."""

from __future__ import annotations

import random
import unicodedata
from datetime import UTC, datetime

import pytest

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.analytics.step_tree import parents
from selectools_observe.model import figures
from selectools_observe.model.codec import encode
from selectools_observe.model.text import printable

_READ = """
import { readFileSync } from "node:fs";
const given = JSON.parse(readFileSync(0, "utf-8"));
"""


def amounts() -> list[float]:
    """Dollars of all sizes, and those beside which a figure changes."""
    chance = random.Random(7)
    edges = [0.99994, 0.99995, 0.99996, 0.125, 0.03125, 1.005, 1.999, 9.996, 999.999, 999_999.995]
    edges += [0.00005, 0.000049999, 1e15, 9.99e14, 1e21, 1e100, 0.0, -0.5, -1234.565]
    return edges + [
        10 ** chance.uniform(-7, 16) * chance.choice([1, 1, 1, -1]) for _ in range(10_000)
    ]


def test_page_and_command_write_the_same_money(run_script):
    script = f"""{_READ}
    import {{ dollars }} from "SRC/format.ts";
    console.log(JSON.stringify(given.map(dollars)));
    """
    found = run_script(script, amounts())
    assert found == [figures.dollars(amount) for amount in amounts()]


SEEN = f"""{_READ}
import {{ seen }} from "SRC/unseen.ts";
import {{ visible }} from "SRC/parts/highlight.tsx";
const text = (part) => Array.isArray(part) ? part.map(text).join("")
  : typeof part === "object" ? text(part.props.children) : part;
console.log(JSON.stringify(given.map((one) => [seen(one), text(visible(one))])));
"""


def test_no_mark_that_turns_text_around_gets_through(run_script):
    marks = ["\u202e", "\u2066", "\u200b", "\u200e", "\ufeff", "\u3164", "\U000e0041"]
    texts = [f"bad {mark}fdp.exe and {mark}xyz" for mark in marks] + ["a\u200db", "\u200cx"]
    for shown, drawn in run_script(SEEN, texts):
        assert shown == drawn
        assert not any(mark in shown for mark in [*marks, "\u200d", "\u200c"])
        assert shown.count("<U+") >= 1


NEEDED = [
    "می\u200cخواهم", "क्\u200dष", "👩\u200d👩\u200d👧", "❤\ufe0f\u200d🔥", "plain",  # noqa: RUF001
    "👩🏽\u200d💻", "🏳\ufe0f\u200d🌈", "1\ufe0f\u20e3", "葛\U000e0100", "ᠬ\u180b",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
]  # fmt: skip


@pytest.mark.parametrize("text", NEEDED)
def test_joiners_stay_where_a_script_or_an_emoji_needs_them(run_script, text):
    assert run_script(SEEN, [text]) == [[text, text]]
    assert printable(text) == text


@pytest.mark.parametrize("step", [61, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def test_page_and_command_write_out_the_same_characters(run_script, step):
    """Characters between letters, after an emoji and twice; some that are none yet."""
    unseen = {*range(0x2000, 0x2070), *range(0xE0000, 0xE0200), *range(0x180B, 0x180F)}
    codes = {code for code in range(0, 0x110000, step) if unicodedata.category(chr(code)) != "Cn"}
    every = [chr(code) for code in sorted({*codes, *range(0, 0x110000, 61), *unseen})]
    every = [one for one in every if one not in "\t\n"]
    texts = [f"a{one}b" for one in every]
    texts += [f"👩{one}👩" for one in every if printable(one) != one or not one.isprintable()]
    texts += [f"葛{one}{one}" for one in every if printable(one) != one or not one.isprintable()]
    found = run_script(SEEN.replace("text(visible(one))", "0"), texts)
    unlike = [
        text for text, (shown, _) in zip(texts, found, strict=True)
        if (shown == text) != (printable(text) == text)
    ]  # fmt: skip
    assert unlike == []


CUT = (
    _READ
    + """
import { endsInString, highlight } from "SRC/parts/highlight";
const said = (one) => typeof one === "object" ? one.props.class + ":" + one.props.children : one;
let inside = false;
const told = given.map((piece) => {
  const parts = highlight(piece, inside).map(said);
  inside = endsInString(piece, inside);
  return [parts, inside];
});
console.log(JSON.stringify(told));
"""
)


def test_a_string_that_is_cut_keeps_its_colour(run_script):
    """A date in it is no number, in the piece before the cut and in the one after it."""
    told = run_script(CUT, ['{"a":"on 2024-05-15', ' at 15:00","b":7}', '["x"]'])
    assert told == [
        [["{", 'jk:"a"', ":", 'js:"on 2024-05-15', ""], True],
        [['js: at 15:00"', ",", 'jk:"b"', ":", "jn:7", "}"], False],
        [["[", 'js:"x"', "]"], False],
    ]


def test_the_durations_are_those_of_the_command(run_script, airline_traces):
    """From the first beginning to the last end, and all steps together."""
    at = 1_700_000_000.0
    beside = [
        TraceStep("llm_call", timestamp=at, duration_ms=1_000),
        TraceStep("tool_execution", timestamp=at + 0.2, duration_ms=5_000, tool_name="a"),
        TraceStep("llm_call", timestamp=at + 3, duration_ms=10),
    ]
    runs = [
        AgentTrace(start_time=at, steps=beside),
        AgentTrace(start_time=at),
        AgentTrace(start_time=at, steps=beside, end_time=at + 60),
        AgentTrace(start_time=at, steps=beside, end_time=at + 1),
        AgentTrace(start_time=at, end_time=at + 2.5),
        AgentTrace(start_time=0.0, end_time=at),
        *airline_traces[:80],
    ]
    script = f"""{_READ}
    import {{ outlineOf }} from "SRC/reader/outline.ts";
    const told = ({{ clockLength, totals }}) => [clockLength, totals.duration_ms];
    console.log(JSON.stringify(given.map((trace) => told(outlineOf(trace, 0, trace.parents)))));
    """
    found = run_script(script, [{**run.to_dict(), "parents": parents(run)} for run in runs])
    summaries = [encode(run).summary(datetime.now(UTC)) for run in runs]
    assert found == [
        [pytest.approx(one.wall_ms or 0, abs=0.01), pytest.approx(one.total_ms)]
        for one in summaries
    ]


def sizes() -> list[float]:
    """Milliseconds and tokens of all sizes, and those beside which a figure changes."""
    chance = random.Random(11)
    edges = [99.95, 100.5, 999.5, 58_580, 58_125, 59_994.9, 59_995, 3_599_500, 172_800_000]
    edges += [
        9_999,
        9_999.5,
        12_250,
        12_350,
        99_950,
        999_500,
        12_250_000,
        9_995_000,
        1e12,
        1e15,
        1e22,
        1e300,
    ]
    return [0.0, *edges] + [10 ** chance.uniform(-2, 15) for _ in range(10_000)]


def test_page_and_command_write_the_same_durations_and_counts(run_script):
    script = f"""{_READ}
    import {{ duration, short }} from "SRC/format.ts";
    console.log(JSON.stringify(given.map((one) => [duration(one), short(one)])));
    """
    found = run_script(script, sizes())
    assert found == [[figures.duration(one), figures.count(one)] for one in sizes()]
