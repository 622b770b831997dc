"""Runs that try to be more than text, and runs that are larger than a page."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from runs import ATTACKS, MEGABYTES, hostile_runs, huge_run, long_run, until

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep

# So many elements at the most, however much there is to show.
MOST_ELEMENTS = 3_000


def elements(page) -> int:
    return page.evaluate("document.querySelectorAll('*').length")


def test_hostile_runs_stay_text(open_page, serve):
    served = serve(hostile_runs())
    page = open_page(served.url)
    page.get_by_role("status").filter(has_text=f"{len(ATTACKS)} runs").wait_for()
    for number in range(len(ATTACKS)):
        page.keyboard.press("g")
        for _ in range(number):
            page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.locator(".fall .vrow .row").first.wait_for()
        for step in range(1, 5):
            page.keyboard.press("j")
            page.get_by_role("region", name=f"Step {step}").locator(".fields").wait_for()
        page.mouse.move(600, 400)
        page.keyboard.press("r")
        page.get_by_role("region", name="The run as JSON").locator("pre").wait_for()
        page.goto(served.url)
        page.get_by_role("status").filter(has_text=f"{len(ATTACKS)} runs").wait_for()
    assert page.locator("script, iframe, img, object, embed").count() == 1  # the page's own
    assert page.evaluate("({}).polluted") is None
    page.keyboard.press("3")
    page.locator(".stats tbody tr").first.wait_for()
    hrefs = page.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert all(href.startswith("#/") for href in hrefs)
    # That nothing ran, and no rule of the Content-Security-Policy was broken, is looked at last.


def judge(path):
    """Give the hostile runs sessions, messages and annotations as hostile as they are."""
    with SQLiteTraceStore(path) as store:
        for trace, attack in zip(hostile_runs(), ATTACKS, strict=True):
            text = readable(attack)
            trace.session_id = trace.user_id = trace.agent = trace.name = text
            trace.tags = [text]
            trace.steps[0].input = [{"role": "user", "content": attack}]
            said = f"**{attack}**\n\n```html\n{attack}\n```\n![{attack}]({attack})"
            trace.steps[0].output = [{"role": "assistant", "content": said}]
            store.save(trace)
            name = text.replace("\0", "")
            store.annotate(trace.run_id, name, label=name, score=0.5, note=text, author=name)


def readable(attack: str) -> str:
    return attack if "\ud800" not in attack else "surrogate"


def nothing_was_made_of(page):
    assert page.locator("script, iframe, object, embed").count() == 1  # the page's own
    links = page.locator("a").evaluate_all(
        "all => all.map(one => [one.getAttribute('href'), one.getAttribute('rel') || ''])"
    )
    outward = [(href, rel) for href, rel in links if not href.startswith("#/")]
    # An address that was said may be followed, by a click, without telling from where.
    assert all(href.startswith("https://") and "noreferrer" in rel for href, rel in outward)


@pytest.mark.parametrize("by", ["session", "user", "agent", "tag", "name", "model", "tool"])
def test_hostile_groups_and_statistics_stay_text(open_page, serve, by):
    served = serve(hostile_runs())
    judge(served.path)
    page = open_page(served.url)
    if by not in {"model", "tool"}:
        page.goto(f"{served.url}#/groups?by={by}")
        page.locator(".group-table tbody tr").first.wait_for()
        nothing_was_made_of(page)
    page.goto(f"{served.url}#/stats?by={by}")
    page.locator(".stats tbody tr").first.wait_for()
    nothing_was_made_of(page)


def test_hostile_sessions_and_annotations_stay_text(open_page, serve):
    served = serve(hostile_runs())
    judge(served.path)
    page = open_page(served.url)
    for attack in ATTACKS:
        if "\ud800" in attack:
            continue
        page.goto(f"{served.url}#/run/{quote(attack, safe='')}?tab=conversation")
        page.get_by_role("list", name="Annotations").wait_for()
        page.get_by_role("feed", name="Conversation").locator("article").first.wait_for()
        nothing_was_made_of(page)
        page.goto(f"{served.url}#/thread/{quote(attack, safe='')}?by=session")
        page.get_by_role("region", name="Conversation").locator("article").first.wait_for()
        nothing_was_made_of(page)


def test_hostile_runs_compared(open_page, serve):
    served = serve(hostile_runs())
    one, other = (quote(attack, safe="") for attack in ATTACKS[:2])
    page = open_page(f"{served.url}#/compare/{one}/{other}")
    page.get_by_role("heading", name="Compare").wait_for()
    page.get_by_role("region", name="Diff").or_(
        page.get_by_role("region", name="Removed")
    ).wait_for()


def test_what_cannot_be_seen_is_named(open_page, serve):
    bidi = next(number for number, attack in enumerate(ATTACKS) if "\u202e" in attack)
    ansi = next(number for number, attack in enumerate(ATTACKS) if "\x1b" in attack)
    served = serve(hostile_runs())
    page = open_page(served.url)
    page.get_by_role("status").filter(has_text=f"{len(ATTACKS)} runs").wait_for()
    text = page.locator(".runs .scroll").inner_text()
    assert "user<U+202E>txt.exe" in text
    assert "␛[31mred" in text
    assert bidi != ansi
    assert not set(text) & set("\u202e\u2066\u200b\ufeff\x1b\x07")


# Bidirectional marks and tags, as they are written to hide words.
HIDDEN = "bad \u202efdp.exe \u2066x\u200b \U000e0068\U000e0069 \u3164end"
UNREADABLE = r"""() => {
  const NAMES = ["title", "aria-label", "alt"];
  const found = [document.title];
  const walk = document.createTreeWalker(document, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (node.nodeType === 3) found.push(node.data);
    else for (const name of NAMES) found.push(node.getAttribute(name) ?? "");
  }
  return found.filter((text) => /[\p{Default_Ignorable_Code_Point}\u202a-\u202e]/u.test(text));
}"""


@pytest.mark.parametrize(
    ("address", "ready"),
    [
        ("#/runs?cols=input,output,session,user,tags,meta:key", ".runs .vrow .row"),
        ("#/groups?by=session", ".group-table tbody tr"),
        ("#/stats?by=user", ".stats tbody tr"),
        ("#/stats?by=tool", ".stats tbody tr"),
        (f"#/thread/{quote(HIDDEN, safe='')}?by=session", ".thread article"),
        ("#/run/hidden?tab=conversation", ".turns article"),
        ("#/run/hidden?tab=timeline&step=2", ".panel .fields"),
        ("#/compare/hidden/other", ".row.first"),
    ],
)
def test_nothing_hidden_stands_anywhere(open_page, serve, address, ready):
    """Neither in a text nor in a tooltip, a label, a menu or the window's title."""
    runs = [
        AgentTrace(
            run_id=name, start_time=1.0, name=HIDDEN, session_id=HIDDEN, user_id=HIDDEN,
            agent=HIDDEN, tags=[HIDDEN], metadata={HIDDEN: HIDDEN, "key": HIDDEN},
            steps=[
                TraceStep("llm_call", timestamp=1.0, model=HIDDEN, input=HIDDEN,
                          output=f"{HIDDEN} {name}"),
                TraceStep("tool_execution", timestamp=2.0, tool_name=HIDDEN,
                          tool_args={HIDDEN: HIDDEN}, tool_result=HIDDEN, error=HIDDEN),
            ],
        )
        for name in ("hidden", "other")
    ]  # fmt: skip
    served = serve(runs)
    with SQLiteTraceStore(served.path) as store:
        store.annotate("hidden", HIDDEN, label=HIDDEN, note=HIDDEN, author=HIDDEN)
    page = open_page(f"{served.url}{address}")
    page.locator(ready).first.wait_for()
    page.wait_for_timeout(700)  # menus and annotations come later
    assert page.evaluate(UNREADABLE) == []


@pytest.mark.parametrize("chosen", [1, 15_000, 30_000])
def test_a_run_of_30000_steps(open_page, serve, chosen):
    served = serve([long_run()])
    page = open_page(f"{served.url}#/run/long?step={chosen}")
    page.locator(f"#step-{chosen - 1}.chosen").wait_for()
    page.get_by_role("region", name=f"Step {chosen:,}").or_(
        page.get_by_role("region", name=f"Step {chosen}")
    ).locator(".fields").wait_for()
    assert elements(page) < MOST_ELEMENTS
    page.keyboard.press("g")
    page.locator("#step-0.chosen").wait_for()
    page.keyboard.press("G")
    page.locator("#step-29999.chosen").wait_for()
    page.locator("#find").fill("tool_3")
    page.get_by_role("status").filter(has_text="of 30,000 steps").wait_for()
    assert elements(page) < MOST_ELEMENTS


def test_results_of_12_megabytes(open_page, serve):
    served = serve([huge_run()])
    page = open_page(f"{served.url}#/run/huge?step=1")
    panel = page.get_by_role("region", name="Step 1")
    panel.get_by_text(f"{MEGABYTES * 1.048576:.1f}M chars").first.wait_for()
    assert len(panel.locator("pre").inner_text()) < 10_000
    panel.get_by_role("button", name="Show more").click()
    panel.get_by_text("22,000 of").wait_for()
    panel.get_by_role("button", name="Show all").click()
    until(page, "document.querySelectorAll('.panel .piece').length > 40")
    panel.get_by_role("button", name="Stop").click()
    shown = page.locator(".panel .piece").count()
    page.keyboard.press("Escape")
    page.goto(f"{served.url}#/run/huge?step=2")
    page.get_by_role("region", name="Step 2").get_by_text("M chars").first.wait_for()
    page.goto(f"{served.url}#/run/huge?step=3")
    page.get_by_role("region", name="Step 3").get_by_text("␛[31m␛[31m").wait_for()
    assert shown > 40
