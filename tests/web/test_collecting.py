"""The whole chain: a simulated OpenD, the collector, the page, a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page
    from tests.nursery import Nursery

    from .conftest import Web


@pytest.fixture
def start(workdir: Path, nursery: Nursery) -> Iterator[Start]:
    """Starts the verbs as processes in the test's directory, with the DATA_ROOT that `serve` has."""
    processes = Start(workdir, nursery)
    yield processes
    processes.end()


@pytest.mark.usefixtures("one_day")
def test_the_page_follows_a_collector_from_its_first_tick_to_its_end(
    start: Start, serve: Callable[..., Web], tab: Callable[..., Page]
) -> None:
    """No collector, collecting, OpenD gone, stopped: each is on the page without a reload, in the words of `status`."""
    web = serve()
    page = tab(web.url)
    verdict = page.locator(".verdict")
    expect(verdict).to_contain_text("no collector is running")
    opend = start.simulate("--rate", "100")
    collector = start.run(opend.port)
    expect(verdict).to_contain_text("Collecting, nothing to do")
    expect(page.locator(".part-opend")).to_contain_text("3 of 3 subscribed")
    expect(page.locator(".part-busiest tbody tr").first).to_contain_text("HK.00700")
    expect(page.locator(".part-rate-value b")).to_have_text(re.compile(r"^[\d,.]*[1-9]"))
    collector.read_all_from(opend)
    expect(verdict).to_contain_text("no connection to OpenD")
    expect(page.locator(".part-opend")).to_contain_text("disconnected")
    assert collector.stop() == 0
    expect(verdict).to_contain_text("stopped")
    expect(verdict).to_contain_text("The service does not report. The figures are from its last report")
    expect(page.locator(".part-today tbody tr")).not_to_have_count(0)
