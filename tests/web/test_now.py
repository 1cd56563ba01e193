"""The view *Now* in a real browser: what an operator sees, in both languages, at a desk and on a phone."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Page

    from .conftest import Web

TOKEN: Final = "correct-horse-battery"
AWAY: Final = {"connected": False, "link_reason": "Connection refused", "link_hint": ""}
VERDICTS: Final = {"en": "no connection to OpenD", "zh-Hant": "與 OpenD 的連線已中斷"}
REMEDY: Final = "sudo systemctl status futu-opend --no-pager"
HTML_OF_OPEND: Final = "<img src=x onerror=alert(1)><script>alert(2)</script>"
SERIOUS: Final = ("serious", "critical")


@pytest.fixture(scope="module")
def web(
    tmp_path_factory: pytest.TempPathFactory, serve_in: Callable[..., AbstractContextManager[Web]]
) -> Iterator[Web]:
    """One page for all tests here; each leaves the live state that it needs."""
    with serve_in(tmp_path_factory.mktemp("now")) as web:
        yield web


def test_a_change_of_the_live_state_is_seen_within_two_seconds(web: Web, tab: Callable[..., Page]) -> None:
    """Without a reload: the page reads the state twice a second and sends once a second; here it is only seen to come.

    How long it takes is measured and printed, not judged: the machine may be busy with other tests.
    """
    web.live()
    page = tab(web.url)
    expect(page.locator(".verdict")).to_contain_text("Collecting, nothing to do")
    expect(page).to_have_title("Now · test")
    web.live(**AWAY)
    began_s = time.monotonic()
    expect(page.locator(".verdict")).to_contain_text(VERDICTS["en"])
    print(f"seen after {time.monotonic() - began_s:.2f} s")
    expect(page).to_have_title("CRITICAL · Now · test")
    expect(page.locator(".part-announce")).to_have_text("CRITICAL: no connection to OpenD")  # to a screen reader, once
    web.live()
    expect(page.locator(".verdict")).to_contain_text("Collecting, nothing to do")


@pytest.mark.parametrize("lang", ["en", "zh-Hant"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_fits_the_screen_and_everybody_can_read_it(
    web: Web, tab: Callable[..., Page], lang: str, width: int
) -> None:
    """Nothing is wider than the screen; axe has no serious finding, in light and in dark colours.

    axe: contrast, names of controls, headings, landmarks, tables, languages.
    """
    web.live(**{**AWAY, "link_reason": "x" * 300}, refused={"HK.00001": "no right"})
    page = tab(f"{web.url}/?lang={lang}", width=width)
    expect(page.locator(".verdict")).to_contain_text(VERDICTS[lang])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("summary").click()
    for theme in ("light", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        found: list[dict[str, Any]] = Axe().run(page).response["violations"]
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found if each["impact"] in SERIOUS
        ]
        assert serious == [], theme


# Its words stay for two seconds: on a loaded machine a look from outside may come too late.
_NOTE_COPY = """() => {
    window.said = [];
    const note = () => document.querySelectorAll("[data-copy]").forEach((each) => window.said.push(each.textContent));
    new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


def test_the_keyboard_alone_reaches_and_copies_the_remedy(web: Web, tab: Callable[..., Page]) -> None:
    """From the top of the page by Tab and Enter; the clipboard then has the command and nothing else."""
    web.live(**AWAY)
    page = tab(web.url, permissions=["clipboard-read", "clipboard-write"])
    button = page.locator(".verdict [data-copy]")
    expect(button).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    page.evaluate(_NOTE_COPY)
    page.keyboard.press("Enter")
    page.wait_for_function("window.said.includes('Copied')")
    assert page.evaluate("navigator.clipboard.readText()").startswith(REMEDY)
    expect(button).to_have_text("Copy")


def test_where_a_browser_refuses_the_clipboard_it_says_what_to_do(web: Web, tab: Callable[..., Page]) -> None:
    """A phone that opens the page by its address, over plain HTTP, has no clipboard of that kind."""
    web.live(**AWAY)
    page = tab(web.url)
    page.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false})")
    page.evaluate("document.execCommand = () => false")
    page.evaluate(_NOTE_COPY)
    page.locator(".verdict [data-copy]").click()
    page.wait_for_function("window.said.includes('Select it and press Ctrl+C')")


def test_a_connection_does_not_last_beyond_the_last_report(web: Web, tab: Callable[..., Page]) -> None:
    """Whether OpenD is still connected is not known then: the duration ends with the report, as in `top`."""
    now_ms = time.time_ns() // 10**6
    web.live(written_ms=now_ms - 600_000, link_since_ms=now_ms - 630_000)
    page = tab(web.url)
    expect(page.locator(".verdict")).to_contain_text("The figures are from its last report")
    expect(page.locator(".part-opend")).to_contain_text("connected for 0:30")


def test_text_that_somebody_selects_stays_until_they_are_done(web: Web, tab: Callable[..., Page]) -> None:
    """Each second brings new text for the verdict; a selection would be lost with it."""
    web.live(**AWAY)
    page = tab(web.url)
    expect(page.locator(".verdict")).to_contain_text(VERDICTS["en"])
    page.evaluate("document.getSelection().selectAllChildren(document.querySelector('.verdict strong'))")
    web.live(market_state="afternoon")
    expect(page.locator(".part-opend")).to_contain_text("afternoon session")
    expect(page.locator(".verdict")).to_contain_text(VERDICTS["en"])
    page.evaluate("document.getSelection().removeAllRanges()")
    expect(page.locator(".verdict")).to_contain_text("Collecting, nothing to do")


def test_words_of_opend_run_nothing(web: Web, tab: Callable[..., Page]) -> None:
    """They are shown as text, at first and when they are renewed; nothing is loaded and no script runs."""
    web.live()
    page = tab(web.url)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    web.live(**{**AWAY, "link_reason": HTML_OF_OPEND})
    expect(page.locator(".verdict")).to_contain_text(HTML_OF_OPEND)
    assert page.locator("img, script:not([src])").count() == 0


def test_a_server_that_hangs_or_a_phone_that_slept_is_told_and_recovers(web: Web, tab: Callable[..., Page]) -> None:
    """The page says of which second its figures are, in a colour and in words; then it goes on without a reload.

    A stopped process keeps its connections and says nothing, as a network that a phone has left.
    """
    web.live()
    page = tab(web.url)
    line = page.locator("#stream")
    expect(line).to_contain_text("live")
    os.kill(web.pid, signal.SIGSTOP)
    try:
        expect(line).to_contain_text("No data from the page's server for")
        expect(line).to_contain_text("All figures below are from")
    finally:
        os.kill(web.pid, signal.SIGCONT)
    expect(line).to_contain_text("live")
    expect(page.locator("body.lost")).to_have_count(0)


def test_a_hidden_page_lets_go_and_comes_back_at_once(web: Web, tab: Callable[..., Page]) -> None:
    """A phone in a pocket costs nothing; when it is looked at, the page is of this second."""
    web.live()
    page = tab(web.url, reduced_motion="reduce")
    page.clock.install()
    page.reload()
    expect(page.locator("#stream")).to_contain_text("live")
    hide = (
        "hidden => {Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange'))}"
    )
    page.evaluate(hide, True)
    page.clock.fast_forward(60_000)
    page.evaluate("performance.clearResourceTimings()")
    web.live(**AWAY)
    page.evaluate(hide, False)
    expect(page.locator(".verdict")).to_contain_text(VERDICTS["en"])


def test_the_clock_of_the_browser_does_not_matter(web: Web, tab: Callable[..., Page]) -> None:
    """An hour off: the page shows the host's time, and is not thought to be old."""
    web.live()
    page = tab(web.url)
    page.clock.set_fixed_time(time.time() - 3600)
    page.reload()
    expect(page.locator("#stream")).to_contain_text("live")
    shown = page.locator("#stream").inner_text().split()[-2]
    ours_s = (time.time() + 8 * 3600) % 86_400
    hours, minutes, seconds = map(int, shown.split(":"))
    assert abs(hours * 3600 + minutes * 60 + seconds - ours_s) % 86_400 < 300


def test_language_and_colours_are_kept_and_everything_is_small(web: Web, tab: Callable[..., Page]) -> None:
    """Chosen once by a link; the next page has them. All files of the page together are below 300 KB."""
    web.live()
    page = tab(web.url)
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(int(answer.headers.get("content-length", 0))))
    page.get_by_role("link", name="繁體中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hant-HK")
    page.get_by_role("link", name="顏色").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.goto(web.url)
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hant-HK")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert 5_000 < sum(sizes) < 300_000


def test_a_browser_logs_in_and_is_sent_back_when_the_token_changes(
    serve: Callable[..., Web], tab: Callable[..., Page]
) -> None:
    """A wrong token says so; the right one opens the page; the form works by keyboard."""
    locked = serve(f"WEB_TOKEN={TOKEN}\n")
    locked.live()
    page = tab(locked.url, allowed=("401",))
    expect(page).to_have_url(f"{locked.url}/login")
    field = page.get_by_role("textbox")
    expect(field).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("The token is wrong.")
    expect(field).to_be_focused()  # of the new page: its text is there a little earlier
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_contain_text("Collecting, nothing to do")
    expect(page.locator("#stream")).to_contain_text("live")
    page.context.clear_cookies()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page).to_have_url(f"{locked.url}/login")
