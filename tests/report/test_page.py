# SPDX-License-Identifier: GPL-2.0-or-later
"""The report page, as text here and in a real browser: it draws, it fetches nothing, names stay names."""

import html
import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pageout.report.charts import Drawn
from pageout.report.page import _packed, esc, report_page
from pageout.report.plot import plot_bytes
from tests.report.documents import document, histograms, series

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OWN = r"^https?://[^/]*\b(?:google|googleapis|gvt1|gstatic)\.com/"
HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "&amp;'\"\u202eevil\x1b[2J"
)
MARKS = {"min": 100, "low": 125, "high": 150}


def drawn(design: str = "linux-2.6.34", length: int = 50, **changed: Any) -> Drawn:
    names = ("shrink_page_list", "vfs_write")
    stack = [{"depth": 700 - 300 * n, "size": 300 + 100 * n, "location": name} for n, name in enumerate(names)]
    return Drawn(document(design, **changed) | {"deepest_stack": stack}, series(length), histograms(), MARKS)


def page(*runs: Drawn, **what: str) -> str:
    stacks = {str(run.document["design"]): 8192 for run in runs}
    return report_page(runs, {"workload": "storm: 2 tasks", **what}, ["One sentence with 5 < 6."], stacks).decode()


@cache
def hostile_page() -> str:
    bad = drawn(HOSTILE, alloc_stall_s=1.0)
    bad.document.update(workload=HOSTILE, machine=HOSTILE, jobs=[{"name": HOSTILE, "write_mb_s": 1.0}])
    bad.document["deepest_stack"][0]["location"] = HOSTILE
    odd = bad._replace(histograms={HOSTILE: histograms()["sda"]})
    return page(drawn(), odd, machine=HOSTILE)


def test_the_page_says_what_was_run_and_answers_first() -> None:
    text = page(drawn(), drawn("flushers-only", alloc_stall_s=1.0, seek_count=9), settings="vm.dirty_bytes = 64M")
    marks = ("<h1>flushers-only stalls least", "One sentence with 5 &lt; 6.", "vm.dirty_bytes")
    order = [text.index(mark) for mark in marks]
    assert order == sorted(order)
    heads = {name: esc(name).replace("_", "_<wbr>") in text for name in ("alloc_stall_s", "seek_count", "oom_kills")}
    assert heads == {"alloc_stall_s": True, "seek_count": True, "oom_kills": False}  # the same in both: left out


def test_names_are_escaped_and_the_script_is_the_only_one_the_policy_allows() -> None:
    text = hostile_page()
    body, _, script = text.partition('<script type="application/json"')
    assert "<img" not in body
    assert "<script" not in body
    assert "\u202e" not in text
    assert "\x1b" not in text
    data = script.partition(">")[2].partition("</script>")[0]
    assert "<" not in data
    assert json.loads(data)["charts"]
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1])  # type: ignore[index]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src 'sha256-" in policy
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy


def test_data_goes_in_as_columns() -> None:
    rows = [{"t": 1, "v": 2}, {"t": 3, "v": 4}]
    assert _packed({"data": {"values": rows}}) == {"data": {"columns": {"t": [1, 3], "v": [2, 4]}}}
    assert _packed({"values": [{"a": 1}, {"b": 2}]}) == {"values": [{"a": 1}, {"b": 2}]}


def test_a_run_without_samples_still_makes_a_page() -> None:
    assert "ended before its first sample" in page(drawn(length=0))


@pytest.mark.parametrize("designs", [2, 24])
def test_a_minute_of_storm_stays_under_five_megabytes(designs: int) -> None:
    runs = [drawn(f"design-{number}", length=8192, alloc_stall_s=number) for number in range(designs)]
    assert len(page(*runs)) < 5_000_000


# In a browser


class Seen:
    """What headless Chromium made of a page: the document after its scripts ran, its network, its console."""

    def __init__(self, browser: str, folder: Path, text: str) -> None:
        file = folder / "page.html"
        file.write_text(text)
        log = folder / "net.json"
        words = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder}/profile", "--disable-background-networking", "--disable-component-update",
            "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}",
            "--enable-logging=stderr", "--v=0", "--window-size=1200,3000", "--virtual-time-budget=60000",
            "--dump-dom", file.as_uri(),
        ]  # fmt: skip
        env = os.environ | {"HOME": str(folder)}
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=env)
        self.dom = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)  # what is seen, not the libraries
        self.console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        self.net = log.read_text() if log.exists() else ""
        self.drawn = int(found[1]) if (found := re.search(r'data-drawn="(\d+)"', self.dom)) else 0

    def fetched(self) -> set[str]:
        """Addresses that anything was asked of, the page itself and what the browser wants for itself left out."""
        found = re.findall(r'"(?:url|initiator)":\s*"((?:https?|wss?|ftp|file)://[^"]*)"', self.net)
        return {url for url in found if not url.endswith("/page.html") and not re.search(OWN, url)}


@pytest.fixture(scope="module")
def browser() -> str:
    found = os.environ.get("PAGEOUT_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed, PAGEOUT_BROWSER is not set")
    return found


PAGES = {
    "one run": lambda: page(drawn()),
    "three designs": lambda: page(drawn(), drawn("b", alloc_stall_s=1.0), drawn("c", seek_count=9)),
    "hostile names": hostile_page,
    "a plot": lambda: plot_bytes([drawn(), drawn("b", alloc_stall_s=1.0)], ".html").decode(),
}
DRAWN = {"one run": 8, "three designs": 25, "hostile names": 17, "a plot": 1}


@pytest.fixture(scope="module", params=PAGES)
def seen(request: pytest.FixtureRequest, browser: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Seen]:
    return request.param, Seen(browser, tmp_path_factory.mktemp("browser"), PAGES[request.param]())


def test_every_chart_is_drawn_with_marks(seen: tuple[str, Seen]) -> None:
    name, found = seen
    places = found.dom.count('data-chart="')
    assert found.drawn == places == DRAWN[name]
    assert found.dom.count("<svg") == places
    assert "could not be drawn" not in found.dom
    assert len(re.findall(r'class="mark-(?:line|area|rect|rule|symbol)', found.dom)) >= places
    assert len(re.findall(r"<path [^>]*d=\"M", found.dom)) > 5 * places


def test_nothing_is_fetched_and_the_console_is_empty(seen: tuple[str, Seen]) -> None:
    _, found = seen
    assert "page.html" in found.net  # the log did record
    assert found.fetched() == set()
    assert found.console == []


def test_a_fetch_and_a_console_message_would_have_been_seen(browser: str, tmp_path: Path) -> None:
    text = '<!DOCTYPE html><img src="http://elsewhere.invalid/x.png"><script>console.error("heard")</script>'
    found = Seen(browser, tmp_path, text)
    assert found.fetched() == {"http://elsewhere.invalid/x.png"}
    assert any("heard" in line for line in found.console)


def test_hostile_names_stay_text(seen: tuple[str, Seen]) -> None:
    name, found = seen
    assert "<title>taken" not in found.dom
    if name == "hostile names":
        assert "<img" not in found.dom
        assert "\\u202eevil\\x1b[2J" in html.unescape(found.dom)
