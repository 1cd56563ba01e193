"""The view *Now* in a real browser: what an operator sees, in both languages, at a desk and on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from .conftest import Web


def test_a_change_of_the_live_state_is_seen_within_two_seconds(
    serve: Callable[..., Web], tab: Callable[..., Page]
) -> None:
    """The verdict, and the figures beside it, without a reload."""
    web = serve()
    web.live()
    page = tab(web.url)
    expect(page.locator(".verdict")).to_contain_text("Collecting, nothing to do")
    web.live(connected=False, link_reason="Connection refused")
    expect(page.locator(".verdict")).to_contain_text("no connection to OpenD")


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_wider_than_the_screen(serve: Callable[..., Web], tab: Callable[..., Page], width: int) -> None:
    """No view scrolls sideways, whatever the width."""
    web = serve()
    web.live(connected=False, link_reason="x" * 300)
    page = tab(web.url, width=width)
    expect(page.locator(".verdict")).to_contain_text("no connection to OpenD")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
