"""The view *Symbol* in a real browser: candles, ticks as they come, gaps where they are, and what it does not know."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import expect
from tests.quality.days import Collected
from tests.web.inline import Inline
from tests.web.sites import site_of

from hk_tick_collector.cli._patience import in_child
from hk_tick_collector.web.days_watch import DaysWatch
from hk_tick_collector.web.pages import Pages
from hk_tick_collector.web.reading import Reading
from hk_tick_collector.web.symbol_view import CHART_INTEGRITY, Asked, SymbolView, chart_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from hk_tick_collector.model import TickRow

    from .conftest import Web

TENCENT: Final = "HK.00700"
DAY: Final = "20261120"  # of the newest day file, so the page shows it, whatever the hour of the test is


@pytest.fixture
def web(serve: Callable[..., Web]) -> Web:
    found = serve()
    found.live()
    return found


@pytest.fixture
def day(web: Web) -> Iterator[Collected]:
    """The newest day file: an hour of HK.00700, with a gap and an outage."""
    with closing(Collected(web.data_root / f"{DAY}.db", connected=False)) as found:
        found.connection(8, 9.6)
        found.connection(9.6, 9.65, connected=False, reason="timeout")
        found.connection(9.65, None)
        found.run(8.0, 16.15)
        found.add(ticks(found, 1, 3600))
        found.expect(TENCENT, 3607)
        at_ms = found.at(10)
        found.db.execute(
            "INSERT INTO gaps (symbol, from_seq, to_seq, from_ts_ms, to_ts_ms, missing, cause, status, opened_ms)"
            " VALUES (?, 1, 2, ?, ?, 7, 'disconnected', 'open', ?)",
            (TENCENT, at_ms, at_ms + 120_000, at_ms),
        )
        found.db.execute(
            "INSERT INTO instruments VALUES (?, '<b>騰訊', 100, 'STOCK', 0, '2004-06-16', 380.0, 1)", (TENCENT,)
        )
        yield found


def ticks(day: Collected, first: int, count: int, symbol: str = TENCENT) -> list[TickRow]:
    """One tick a second from 09:30 on."""
    rows: list[TickRow] = []
    for number in range(first, first + count):
        ts_ms = day.at(9.5) + number * 1000
        price = 388 + number % 17 / 5
        side = ("BUY", "SELL", "NEUTRAL")[number % 3]
        seq = ts_ms // 1000 << 32 | number
        rows.append((symbol, seq, ts_ms, price, 100, price * 100, side, "AUTO_MATCH", "realtime", ts_ms, None, None))
    return rows


def serious(page: Page) -> list[tuple[str, str]]:
    """The serious findings of axe: which rule, and the first element."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]


def drawn(page: Page) -> dict[str, int]:
    """How many pixels of the chart have the colours of candles and of an open gap: it is a picture, so look at it."""
    found: dict[str, int] = page.evaluate(
        """() => {
            const counts = {up: 0, down: 0, gap: 0};
            for (const canvas of document.querySelectorAll("#chart canvas")) {
                const {width, height} = canvas;
                if (!width || !height) continue;
                const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
                for (let at = 0; at < data.length; at += 4) {
                    const [r, g, b, a] = data.slice(at, at + 4);
                    if (a > 200 && r < 60 && g > 100 && b < 120) counts.up++;
                    if (a > 200 && r > 150 && g < 70 && b < 70) counts.down++;
                    if (a > 60 && a < 130 && r > 150 && g < 80) counts.gap++;
                }
            }
            return counts;
        }"""
    )
    return found


def test_the_chart_library_is_the_one_that_was_examined() -> None:
    """The page names the hash of the library's file, so a browser runs the examined version or none."""
    path = chart_script()
    assert path is not None
    digest = base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
    assert f"sha384-{digest}" == CHART_INTEGRITY


def test_a_symbol_at_a_desk(day: Collected, web: Web, tab: Callable[..., Page]) -> None:
    """The view opens on the busiest symbol: figures, drawn candles, an open gap in its colour, ticks, causes of gaps.

    A committed tick comes by itself, once. Without a mouse: + zooms, Home shows the whole day again, End the newest
    hour; another symbol is chosen by its number.
    """
    day.add(ticks(day, 1, 30, "HK.00005"))
    page = tab(f"{web.url}/symbol")
    expect(page.locator(".part-figures h2")).to_contain_text(f"{TENCENT} <b>騰訊")
    expect(page.locator(".part-figures")).to_contain_text("3,600")
    expect(page.locator(".part-figures")).to_contain_text("7 of 3,607 ticks are missing")
    expect(page.locator("#ticks tr")).to_have_count(60)
    expect(page.locator("#ticks tr").first).to_contain_text("10:30:00.000")
    for cause in ("disconnected", "timeout"):
        expect(page.locator(".part-spans")).to_contain_text(cause)
    expect(page.locator("#at-cursor")).to_contain_text("10:30")
    expect(page.locator("#chart")).to_have_attribute("data-range", "09:30–10:30")
    page.wait_for_function(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
    )
    colours = drawn(page)
    assert min(colours.values()) > 20, colours

    day.add(ticks(day, 3601, 1))
    expect(page.locator("#ticks tr").first).to_contain_text("10:30:01.000")
    expect(page.locator(".part-figures")).to_contain_text("3,601")
    assert page.locator("#ticks td:first-child").all_inner_texts().count("10:30:01.000") == 1

    chart = page.locator("#chart")
    chart.focus()
    page.keyboard.press("+")
    expect(chart).not_to_have_attribute("data-range", "09:30–10:30")
    page.keyboard.press("Home")
    expect(chart).to_have_attribute("data-range", "09:30–10:30")
    page.get_by_text("The minutes as a table").click()
    expect(page.locator("#minutes tr")).to_have_count(61)

    page.locator("#symbol").focus()
    expect(page.locator("#symbols option")).to_have_count(2)
    page.locator("#symbol").fill("5")
    page.keyboard.press("Enter")
    expect(page.locator(".part-figures h2")).to_contain_text("HK.00005")


def test_languages_and_sizes(day: Collected, web: Web, tab: Callable[..., Page]) -> None:
    """Both languages on a phone and a desk: nothing is wider than the screen, and no serious finding of axe."""
    assert day
    for lang, width, theme in (("en", 360, "dark"), ("zh-Hant", 1440, "dark"), ("zh-Hant", 360, "light")):
        page = tab(f"{web.url}/symbol?symbol=700&lang={lang}&theme={theme}", width=width)
        expect(page.locator("#ticks tr")).to_have_count(60)
        expect(page.locator(".part-figures")).to_contain_text("完整度" if lang == "zh-Hant" else "Completeness")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious(page) == []


def test_what_is_not_known_is_said(web: Web, tab: Callable[..., Page]) -> None:
    """A wrong address, no day, a foreign file, no tick: the page names the cause, and goes on by itself.

    What was given in the address, and what a file says, is shown as text.
    """
    page = tab(f"{web.url}/symbol?symbol=<script>alert(1)</script>")
    expect(page.locator("main [role=alert]")).to_contain_text("'<script>alert(1)</script>' is not a valid symbol")
    page.goto(f"{web.url}/symbol?symbol=700")
    expect(page.locator(".part-notice")).to_contain_text("No day has been collected")
    path = web.data_root / f"{DAY}.db"
    path.write_text("<i>not a day file</i>")
    expect(page.locator(".part-notice")).to_contain_text("again since")
    expect(page.locator(".part-notice")).to_contain_text("not an SQLite")
    path.unlink()
    with closing(Collected(path)) as day:
        expect(page.locator(".part-notice")).to_contain_text("No tick of HK.00700 is stored")
        expect(page.locator("#chart")).to_be_hidden()  # an empty chart would look like one that is broken
        day.add(ticks(day, 1, 5))
        expect(page.locator("#ticks tr")).to_have_count(5)
        expect(page.locator("#chart")).to_be_visible()
        expect(page.locator(".part-notice")).to_be_empty()


def test_a_browser_never_uses_an_old_chart_library(web: Web) -> None:
    """A browser may keep the library for a year: its address changes with its hash."""
    (address,) = re.findall(r'src="(/static-packages/[^"]+)"', web.get("/symbol").text)
    assert address.endswith(CHART_INTEGRITY[7:23].replace("+", "%2B"))
    answer = web.get(address)
    assert (answer.code, "immutable" in answer.headers["cache-control"]) == (200, True)


def test_pages_are_small(web: Web) -> None:
    """A page with all that it loads, without the chart library, is far below 300 KB."""
    for path in ("/symbol?symbol=700", "/days", "/days/20261120"):
        page = web.get(path).text
        loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
        assert len(loaded) >= 3
        assert len(page) + sum(len(web.get(each).text) for each in loaded) < 100_000


def test_a_wrong_question(web: Web) -> None:
    """A stream for no valid symbol is refused, and a path in place of a day is no day."""
    assert web.get("/symbol/events?symbol=<x>").code == 400
    assert web.get("/symbol?day=..%2f..%2fetc").text.count("is not a date") == 1
    assert web.get("/days/..%2f..%2fetc").code == 404
    assert web.get("/days/20261399").code == 404


def test_frames_are_small(day: Collected, web: Web) -> None:
    """A second in which nothing changed costs a browser's connection less than 300 bytes."""
    assert day
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)
    connection.request("GET", "/symbol/events?symbol=700")
    answer = connection.getresponse()
    frames: list[bytes] = []
    while len(frames) < 5:
        line = answer.readline()
        if line.startswith(b"data:"):
            frames.append(line)
    connection.close()
    assert "Reading the day file" in json.loads(frames[0][5:])["parts"]["notice"]
    assert len(json.loads(frames[1][5:])["chart"]["candles"]) == 61
    assert all(len(frame) < 400 for frame in frames[3:]), [frame[:400] for frame in frames]


def test_each_of_many_days_is_shown(tmp_path: Path) -> None:
    """More days than are watched at once, asked for at the same moment without a symbol: each has its own answer."""
    days = [f"202611{number}" for number in range(16, 21)]
    for name in days:
        with closing(Collected(tmp_path / f"{name}.db")) as collected:
            collected.ticks(TENCENT, 5)
    reading = Reading(in_child)

    async def story() -> list[tuple[str, str]]:
        view = SymbolView(Pages("test", "en"), site_of(tmp_path, reading), DaysWatch(tmp_path, None, 3.0, Inline()))
        try:
            parts = await asyncio.gather(*(view.whole(Asked("", name, "", "")) for name in days))
        finally:
            view.close()
        return [(part.day, part.symbol) for part in parts]

    try:
        assert asyncio.run(story()) == [(name, TENCENT) for name in days]
    finally:
        reading.close()
