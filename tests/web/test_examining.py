"""When the page asks what `status` finds: the real feed, and real children that look."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, cast

from tests.web.sites import nothing_found, site_of

from hk_tick_collector import log
from hk_tick_collector.cli._patience import in_child
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.web import now
from hk_tick_collector.web.feed import Feed
from hk_tick_collector.web.pages import Pages
from hk_tick_collector.web.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from hk_tick_collector.web.site import Examination


def _examined(counted: Path) -> Examination:
    with counted.open("a") as file:
        file.write("x")
    return nothing_found()


def _times(counted: Path) -> int:
    return counted.stat().st_size if counted.exists() else 0


def _busy() -> Examination:
    raise CollectorError("all 4 processes that read were busy for 60 s", hint="sudo dmesg | tail")


async def _until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0.02)


def test_who_begins_to_look_does_not_see_what_was_found_while_nobody_looked(tmp_path: Path) -> None:
    """While nobody looks an examination may be a minute old; then a new one is made at once, and only then."""
    counted, reading = tmp_path / "counted", Reading(in_child)

    async def look() -> None:
        feed = Feed(site_of(tmp_path, reading, partial(_examined, counted)), lambda *_: {}, lambda: False)
        await feed.begin()
        running = asyncio.create_task(feed.run())
        await _until(lambda: feed.moment is not None and feed.moment.examined is not None)
        feed.look(time.monotonic() - 60)
        await asyncio.sleep(0)
        assert _times(counted) == 1
        feed.look(time.monotonic() + 60)
        await _until(lambda: _times(counted) == 2)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    try:
        asyncio.run(asyncio.wait_for(look(), 40))
    finally:
        reading.close()


def test_an_examination_that_fails_says_why(tmp_path: Path) -> None:
    """In place of what `status` prints, with the command to type; it is not called "not read yet"."""
    reading, render = Reading(in_child), now.renderer(Pages("test", "en"))

    async def look() -> str:
        feed = Feed(site_of(tmp_path, reading, _busy), render, lambda: False)
        await feed.begin()
        running = asyncio.create_task(feed.run())
        await _until(lambda: feed.moment is not None and feed.moment.unexamined != "")
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert feed.moment is not None
        return render("en", feed.moment)["details"]

    try:
        assert "cannot be read: all 4 processes that read were busy for 60 s: sudo dmesg | tail" in asyncio.run(look())
    finally:
        reading.close()


class _Failing:
    """An examination that finds something, and then has a bug."""

    def __init__(self) -> None:
        self.count = 0

    async def call(self, _work: object) -> Examination:
        self.count += 1
        if self.count > 1:
            raise RuntimeError("a bug")
        return nothing_found()

    async def read(self, _work: object, _path: Path) -> None:
        raise CollectorError("nothing to read")


def test_what_was_found_before_a_bug_is_not_shown_as_of_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Findings of an hour ago would be shown until the page starts again. The log has one traceback, not one a try."""
    failing, render = _Failing(), now.renderer(Pages("test", "en"))
    log.configure("ERROR")

    async def look() -> str:
        feed = Feed(site_of(tmp_path, cast("Reading", failing)), render, lambda: False)
        await feed.begin()
        running = asyncio.create_task(feed.run())
        await _until(lambda: feed.moment is not None and feed.moment.examined is not None)
        for count in (2, 3):
            feed.look(time.monotonic() + 60)
            await _until(lambda count=count: failing.count == count)  # type: ignore[misc]
        await _until(lambda: feed.moment is not None and feed.moment.unexamined != "")
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert feed.moment is not None
        assert feed.moment.examined is None
        return render("en", feed.moment)["details"]

    assert "cannot be read: a bug in this program: sudo journalctl" in asyncio.run(asyncio.wait_for(look(), 60))
    assert capsys.readouterr().err.count("web_examination_failed") == 1
