"""The view *Days* in a real browser: a calendar by verdict, a day's page, its certificate and its downloads."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from typing import TYPE_CHECKING, Final

import apsw
from playwright.sync_api import expect
from tests.quality.days import Collected
from tests.web.test_symbol_view import serious

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

    from .conftest import Web

FINE: Final = "20261119"
WRONG: Final = "20261120"


def leave_day(path: Path, *, missing: int = 0) -> None:
    """A day that is over, with an outage of six minutes; with `missing` ticks of HK.00700 missing."""
    with closing(Collected(path, connected=False)) as day:
        day.connection(8, 10)
        day.connection(10, 10.1, connected=False, reason="<i>timeout")
        day.connection(10.1, None)
        day.run(8.0, 16.15)
        day.ticks("HK.00700", 900, skip=missing)
        day.ticks("HK.00005", 60, hour=16.13)
        if missing:
            day.gap("HK.00700", missing)
        day.totals("match")
        if missing:
            day.db.execute("UPDATE reconciliation SET explained = 'gap' WHERE symbol = 'HK.00700'")
        day.close()
        day.db = apsw.Connection(":memory:")  # the block closes it


def test_from_the_calendar_to_the_cause(serve: Callable[..., Web], tab: Callable[..., Page]) -> None:
    """A day that needs a look is found by its mark and word in the calendar; its page has outage, gap and symbol.

    A new day appears by itself. The keyboard alone is enough to get there.
    """
    web = serve()
    web.live()
    leave_day(web.data_root / f"{FINE}.db")
    page = tab(f"{web.url}/days")
    expect(page.locator("a.day")).to_have_count(1)
    leave_day(web.data_root / f"{WRONG}.db", missing=300)
    cell = page.locator(f"a.day[href='/days/{WRONG}']")
    expect(cell).to_have_accessible_name(f"{WRONG} CRITICAL, ticks are missing; which and how many is known")
    expect(cell.locator(".mark")).to_have_text("×")
    expect(page.locator("table.look")).to_contain_text("300 ticks are missing")
    cell.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".part-day-head")).to_contain_text("CRITICAL")
    expect(page.locator(".part-day-worst")).to_contain_text("HK.00700")
    expect(page.locator(".part-day-picture svg rect.away title")).to_contain_text("<i>timeout")
    page.get_by_text("The same as a table").press("Enter")
    expect(page.locator(".part-day-rows")).to_contain_text("<i>timeout")
    expect(page.locator(".part-day-certificate")).to_contain_text("None")
    expect(page.locator("a[download]").first).to_have_attribute("href", f"/days/{WRONG}/quality.html")
    page.locator(".part-day-worst a").click()
    expect(page.locator(".part-figures h2")).to_contain_text("HK.00700")
    expect(page.locator(".part-figures")).to_contain_text("2026-11-20, over")
    with page.expect_download() as taken:
        page.get_by_role("link", name="minutes as CSV").click()
    assert taken.value.suggested_filename == f"minutes-HK.00700-{WRONG}.csv"


def test_a_day_that_is_not_there_shows_nothing_but_that(serve: Callable[..., Web], tab: Callable[..., Page]) -> None:
    """No empty figures, no commands for a day without data; once the day is there the page shows it by itself."""
    web = serve()
    web.live()
    leave_day(web.data_root / f"{FINE}.db")
    page = tab(f"{web.url}/days/{WRONG}")
    expect(page.locator(".part-notice")).to_contain_text(f"There is no day {WRONG}")
    expect(page.locator(".part-notice")).not_to_contain_text("from before")
    expect(page.locator("#export-title")).to_be_hidden()
    expect(page.locator("#timeline-title")).to_be_hidden()
    leave_day(web.data_root / f"{WRONG}.db", missing=300)
    expect(page.locator("#export-title")).to_be_visible()
    expect(page.locator("#timeline-title")).to_be_visible()
    expect(page.locator(".part-notice")).to_be_empty()


def test_languages_and_sizes(serve: Callable[..., Web], tab: Callable[..., Page]) -> None:
    """Both pages on a phone and a desk: nothing is wider than the screen, and no serious finding of axe."""
    web = serve()
    web.live()
    leave_day(web.data_root / f"{WRONG}.db", missing=300)
    for path, lang, width, theme in (
        ("/days", "zh-Hant", 360, "dark"),
        (f"/days/{WRONG}", "zh-Hant", 360, "light"),
        (f"/days/{WRONG}", "en", 1440, "dark"),
    ):
        page = tab(f"{web.url}{path}?lang={lang}&theme={theme}", width=width)
        expect(page.locator("main")).to_contain_text("300")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious(page) == []


def test_what_can_be_downloaded(serve: Callable[..., Web]) -> None:
    """The figures of a day as the document of `quality --json`; what is not there is named in one line."""
    web = serve()
    leave_day(web.data_root / f"{WRONG}.db", missing=300)
    answer = web.get(f"/days/{WRONG}/quality.json")
    assert (answer.code, json.loads(answer.text)["verdict"]) == (200, "CRITICAL")
    assert "attachment" in answer.headers["content-disposition"]
    for lang, title in (("en", "Data quality"), ("zh-Hant", "資料品質")):
        answer = web.get(f"/days/{WRONG}/quality.html?lang={lang}")
        assert answer.headers["content-disposition"] == f'attachment; filename="quality-{WRONG}.html"'
        assert answer.text.startswith("<!doctype html>")
        assert title in answer.text
        assert "&lt;i&gt;timeout" in answer.text
        assert "<i>timeout" not in answer.text
    answer = web.get(f"/symbol/minutes.csv?symbol=5&day={WRONG}")
    assert answer.headers["content-disposition"] == f'attachment; filename="minutes-HK.00005-{WRONG}.csv"'
    head, *rows = csv.reader(answer.text.splitlines())
    assert " ".join(head) == "date symbol time open high low close volume buy_volume sell_volume trades"
    assert {tuple(row[:2]) for row in rows} == {("2026-11-20", "HK.00005")}
    assert sum(int(row[-1]) for row in rows) == 60
    assert web.get("/symbol/minutes.csv?symbol=<x>").code == 400
    assert web.get("/symbol/minutes.csv?symbol=5&day=20250101").code == 404
    missing = web.get(f"/days/{WRONG}/certificate.txt")
    assert missing.code == 404
    assert missing.text.count("\n") == 1
    assert web.get("/days/20250101/quality.json").code == 404
