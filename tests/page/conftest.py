"""A real Chromium in front of a real server: what the tests of the page share."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pageserver import Served, serving_or_skip

from selectools_observe import AgentTrace, SQLiteTraceStore

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "selectools_observe" / "server" / "page"
AIRLINE = ROOT / "tests" / "data" / "airline" / "airline.jsonl.gz"
CHROMIUM = (
    os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

# Before anything of the page runs: what it must not do is written down.
WATCH = """
window.canary = [];
window.alarms = [];
window.longest = 0;
addEventListener("securitypolicyviolation", (event) =>
  alarms.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
addEventListener("error", (event) => alarms.push(`error ${event.message}`));
addEventListener("unhandledrejection", (event) => alarms.push(`rejection ${event.reason}`));
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) longest = Math.max(longest, entry.duration);
}).observe({ type: "longtask", buffered: true });
"""


# How a run was read last: most tests are about its steps over time.
REMEMBER = """
try { localStorage.setItem("selectools-observe-tab", '"%s"'); } catch {}
"""


@pytest.fixture(scope="module")
def browser():
    """One Chromium for a module; no longer, because its loop must not meet that of async tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium here (Debian's package chromium)")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """Opens an address in a window of its own; at the end nothing may have gone wrong in any."""
    contexts, alarms = [], []

    def opened(url: str, *, size=(1280, 800), scheme="light", tab="timeline", **options):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options
        )
        contexts.append(context)
        context.set_default_timeout(10_000)
        context.add_init_script(WATCH)
        context.add_init_script(REMEMBER % tab)
        page = context.new_page()
        page.on(
            "dialog", lambda dialog: (alarms.append(f"dialog {dialog.message}"), dialog.dismiss())
        )
        page.on("popup", lambda popup: alarms.append(f"popup {popup.url}"))
        page.on("pageerror", lambda error: alarms.append(f"error {error}"))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        for page in context.pages:
            alarms += page.evaluate("[...(window.alarms ?? []), ...(window.canary ?? [])]")
        context.close()
    assert alarms == []


@pytest.fixture(scope="session")
def airline_traces() -> list[AgentTrace]:
    """The 200 real runs."""
    with gzip.open(AIRLINE, "rt", encoding="utf-8") as lines:
        return [AgentTrace.from_dict(json.loads(line)["trace"]) for line in lines]


@pytest.fixture(scope="module")
def airline_url(airline_traces, tmp_path_factory) -> Iterator[str]:
    """The service on the 200 real runs."""
    path = tmp_path_factory.mktemp("airline") / "traces.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for number, trace in enumerate(airline_traces):
            lines.write(json.dumps(_saved(trace, number)) + "\n")
    with serving_or_skip(path) as served:
        yield served.url


def _saved(trace: AgentTrace, number: int) -> dict[str, object]:
    """A run as a line of a JSONL store, one saved every half hour until now."""
    saved = datetime.now(UTC) - timedelta(minutes=30 * (200 - number))
    return {
        "run_id": trace.run_id,
        "steps": len(trace.steps),
        "total_ms": trace.total_duration_ms,
        "created_at": saved.isoformat(),
        "metadata": trace.metadata,
        "trace": trace.to_dict(),
    }


@pytest.fixture
def serve(tmp_path) -> Iterator[Callable]:
    """Serves the runs it is given."""
    opened = []

    def start(traces: list[AgentTrace]) -> Served:
        path = tmp_path / "traces.db"
        with SQLiteTraceStore(path) as store:
            store.save_many(traces)
        manager = serving_or_skip(path)
        opened.append(manager)
        served = manager.__enter__()
        served.path = path
        return served

    yield start
    for manager in opened:
        manager.__exit__(None, None, None)


@pytest.fixture(scope="module")
def run_script(tmp_path_factory):
    """Runs TypeScript that imports the page's modules, and returns the JSON that it prints."""
    esbuild = PAGE / "node_modules" / ".bin" / "esbuild"
    if shutil.which("node") is None or not esbuild.exists():
        pytest.skip("the page's tools are not installed (npm ci in selectools_observe/server/page)")

    def run(script: str, given: object) -> object:
        source = tmp_path_factory.mktemp("script") / "script.ts"
        source.write_text(script.replace("SRC", str(PAGE / "src")))
        bundle = subprocess.run(
            [esbuild, source, "--bundle", "--format=esm", "--jsx=automatic",
             "--jsx-import-source=preact", "--platform=node"],
            check=True, capture_output=True, cwd=PAGE,
            env={"NODE_PATH": str(PAGE / "node_modules")},
        ).stdout  # fmt: skip
        module = source.with_suffix(".mjs")
        module.write_bytes(bundle)
        done = subprocess.run(
            ["node", module], input=json.dumps(given).encode(), capture_output=True, check=True
        )
        return json.loads(done.stdout)

    return run
