"""An exported file shows where words were said, as the service's search does."""

from __future__ import annotations

import msgspec
import pytest
from conversations import conversations, run_of

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.model.text_query import hits_in, parse_text
from selectools_observe.server.static_export import standalone_html

HITS = """
import { readFileSync } from "node:fs";
import { hitsIn } from "SRC/reader/snippets.ts";
const given = JSON.parse(readFileSync(0, "utf-8"));
console.log(JSON.stringify(given.map(([trace, words]) => hitsIn(trace, words, 5))));
"""
QUERIES = [
    "insurance", '"travel insurance"', "refund cancel", "flight*", "get_user_details",
    "NOBODY-said", "Straße", "strasse", "naïve", "東京", '"東京 都"', "résumé", "deep", "12",
    "family", "tail",
]  # fmt: skip


def runs() -> list[AgentTrace]:
    said = [
        "Die Straße ist lang. STRASSE!", "a naïve re\u0301sume\u0301 was sent", "私は東京都に住む",
        "👨‍👩‍👧 family 👨‍👩‍👧 " * 9 + "tail",
        "word " * 400 + "needle deep in the text " + "word " * 400,
        "tabs\tand\nlines before deep water",
    ]  # fmt: skip
    odd = AgentTrace(run_id="odd", name="A deep run", metadata={"city": "東京", "n": 12})
    for text in said:
        odd.add(TraceStep("llm_call", input=[{"role": "user", "content": text}], output=text * 2))
    odd.add(TraceStep("tool_execution", tool_name="deep", tool_args={"n": 12, "q": ["deep"]}))
    return [odd, *(run_of(talk) for talk in conversations()[:4])]


@pytest.mark.slow
def test_they_are_those_of_the_search(run_script):
    asked = [(run, words) for run in runs() for words in QUERIES]
    found = run_script(HITS, [[run.to_dict(), words] for run, words in asked])
    for (run, words), hits in zip(asked, found, strict=True):
        wanted = msgspec.to_builtins(hits_in(parse_text(words), run, 5))
        shown = [{**one, "marks": [tuple(mark) for mark in one["marks"]]} for one in hits]
        told = [{**one, "marks": [tuple(mark) for mark in one["marks"]]} for one in wanted]
        assert shown == told, (run.run_id, words)


@pytest.mark.browser
def test_the_list_of_a_file_shows_them(open_page, tmp_path):
    path = tmp_path / "runs.html"
    path.write_text(standalone_html(runs()), encoding="utf-8")
    page = open_page(path.as_uri())
    page.locator("#search").fill("needle")
    page.get_by_role("status").filter(has_text="1 run").first.wait_for()
    row = page.locator("#run-0")
    row.locator("mark").first.wait_for()
    assert row.locator("mark").first.inner_text() == "needle"
    assert "step 5 output" in row.inner_text()
