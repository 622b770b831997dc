"""What the page writes of numbers and of texts: the same as the command, and nothing hidden."""

from __future__ import annotations

import random

import pytest

from selectools_observe.cli import formatting

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
    assert found == [formatting.dollars(amount) for amount in amounts()]


def test_no_mark_that_turns_text_around_gets_through(run_script):
    marks = ["\u202e", "\u2066", "\u200b", "\u200e", "\ufeff"]
    texts = [f"bad {mark}fdp.exe and {mark}xyz" for mark in marks] + ["a\u200db", "\u200cx"]
    script = f"""{_READ}
    import {{ seen, visible }} from "SRC/parts/highlight.tsx";
    const text = (part) => Array.isArray(part) ? part.map(text).join("")
      : typeof part === "object" ? text(part.props.children) : part;
    console.log(JSON.stringify(given.map((one) => [seen(one), text(visible(one))])));
    """
    for shown, drawn in run_script(script, texts):
        assert shown == drawn
        assert not any(mark in shown for mark in [*marks, "\u200d", "\u200c"])
        assert shown.count("<U+") >= 1


@pytest.mark.parametrize(
    "text",
    ["می\u200cخواهم", "क्\u200dष", "👩\u200d👩\u200d👧", "❤\ufe0f\u200d🔥", "plain"],  # noqa: RUF001
)
def test_joiners_stay_where_a_script_or_an_emoji_needs_them(run_script, text):
    script = f"""{_READ}
    import {{ seen }} from "SRC/parts/highlight.tsx";
    console.log(JSON.stringify(seen(given)));
    """
    assert run_script(script, text) == text


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
