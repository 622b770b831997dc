"""Take the pictures of the page: real runs, a real server, a real browser.

pip install -e ".[server]" playwright && python docs/make_screenshots.py

Needs Chromium (Debian's package `chromium`). Writes docs/images/page-*.png; the same runs at the
same times give the same pictures.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.data.airline import airline_runs  # noqa: E402

IMAGES = ROOT / "docs" / "images"
FIRST_SAVED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

WIDE = (1200, 720)
PHONE = (390, 720)


class Picture(NamedTuple):
    """What is to be seen: after these keys, once this stands there."""

    name: str
    address: str
    ready: str
    size: tuple[int, int] = WIDE
    scheme: Literal["light", "dark"] = "light"
    keys: str = ""


CHOSEN = ".row.chosen"
FIELD = ".panel .field"
PICTURES = [
    Picture("list", "#/", CHOSEN, keys="jjjj"),
    Picture("filter", "#/runs?q=tool:book_reservation error:yes", CHOSEN, keys="j"),
    Picture("run", "#/run/airline-03-0?tab=conversation", ".turn.tool"),
    Picture("timeline", "#/run/airline-03-0?tab=timeline&step=5", FIELD),
    Picture("compare", "#/compare/airline-03-0/airline-03-1", ".panel ins"),
    Picture("groups", "#/groups?by=task_id", ".group-table tbody tr"),
    Picture("stats", "#/stats?by=tool", ".stats tbody tr"),
    Picture("dark", "#/run/airline-46-3?tab=timeline&step=13", FIELD, scheme="dark"),
    Picture("phone", "#/", ".runs .vrow .row", PHONE),
    Picture("phone-run", "#/run/airline-03-0?step=5", FIELD, PHONE),
]

SERVE = """
import sys
from selectools_observe import server
server.run(sys.argv[1], port=int(sys.argv[2]))
"""

# The wide default of many servers is nobody's desktop: without it the next best is taken.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <alias binding="strong"><family>sans-serif</family>
    <prefer>
      <family>Inter</family><family>Noto Sans</family><family>Liberation Sans</family>
    </prefer>
  </alias>
  <selectfont><rejectfont>
    <pattern><patelt name="family"><string>DejaVu Sans</string></patelt></pattern>
    <pattern><patelt name="family"><string>DejaVu Serif</string></patelt></pattern>
  </rejectfont></selectfont>
</fontconfig>
"""


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "traces.jsonl"
        write_store(store)
        fonts = Path(folder) / "fonts.conf"
        fonts.write_text(FONTS, "utf-8")
        os.environ["FONTCONFIG_FILE"] = str(fonts)
        with serving(store) as url, sync_playwright() as driver:
            binary = shutil.which("chromium") or shutil.which("chromium-browser")
            browser = driver.chromium.launch(
                executable_path=binary, args=["--no-sandbox", "--disable-gpu"]
            )
            for picture in PICTURES:
                take(browser, url, picture)
            browser.close()


def write_store(path: Path) -> None:
    """The 200 airline runs (or as many generated ones), saved over three days."""
    saved = FIRST_SAVED
    with path.open("w", encoding="utf-8") as lines:
        for number, trace in enumerate(airline_runs()):
            # More by day than by night.
            hour = saved.hour
            saved += timedelta(
                minutes=4 + (number * 7) % 23 + (90 if hour >= 20 or hour < 6 else 0)
            )
            line = {
                "run_id": trace["run_id"],
                "steps": trace["step_count"],
                "total_ms": trace["total_duration_ms"],
                "created_at": saved.isoformat(),
                "metadata": trace["metadata"],
                "trace": trace,
            }
            lines.write(json.dumps(line) + "\n")


@contextmanager
def serving(store: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(store), str(port)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                try:
                    connection.request("GET", "/health")
                    break
                except OSError:
                    time.sleep(0.1)
                finally:
                    connection.close()
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()


def take(browser: Browser, url: str, picture: Picture) -> None:
    width, height = picture.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2,
        color_scheme=picture.scheme,
        timezone_id="UTC",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(url + picture.address)
    if picture.keys:
        page.locator(".runs .vrow .row:not(.blank)").first.wait_for()
    for key in picture.keys:
        page.keyboard.press(key)
    page.locator(picture.ready).first.wait_for()
    page.wait_for_timeout(1_500)  # what comes later: bars over time, the names in the menus
    page.screenshot(path=IMAGES / f"page-{picture.name}.png")
    context.close()
    print(f"docs/images/page-{picture.name}.png")


if __name__ == "__main__":
    main()
