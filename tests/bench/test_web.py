"""What the topic `web` of `make bench` measures with: a browser, viewers, and the latency of each period."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest
from bench.latency import Marks
from bench.stream import Part
from bench.trial import BrokenRunError, Seen
from bench.web import VIEWS, browser, judged, looking, open_view, serve
from tests.bigday import make_big_day

if TYPE_CHECKING:
    from pathlib import Path

DAY: Final = "20261120"
ROWS: Final = 50_000
SYMBOL: Final = "HK.00001"


def test_a_browser_and_viewers_of_a_real_page_give_figures(tmp_path: Path) -> None:
    """Each view becomes complete and has a first paint and a size; viewers cost CPU time; a view that fails is told."""
    data = tmp_path / "data"
    data.mkdir()
    make_big_day(data / f"{DAY}.db", ROWS)
    with serve(tmp_path, {"DATA_ROOT": str(data)}) as (page, port):
        with browser() as chromium:
            for view in VIEWS:
                opened = open_view(chromium, f"http://127.0.0.1:{port}{view.path}", view)
                assert opened.paint_s > 0
                assert opened.complete_s > 0
                assert 10 < opened.page_kb < 300, view
            with pytest.raises(BrokenRunError, match="404"):
                open_view(chromium, f"http://127.0.0.1:{port}/nothing", VIEWS[0]._replace(complete="body"))
        paths = [view.stream.format(symbol=SYMBOL) for view in VIEWS]
        with looking(tmp_path, page.pid, port, 5.0, paths) as result:  # on a full machine one second may have no frame
            assert judged(result, 1.0) > 0
            with pytest.raises(BrokenRunError, match="frames in 1000 s"):
                judged(result, 1000.0)


def test_each_period_has_the_ages_of_its_own_ticks() -> None:
    """A tick's age is counted to the first look that saw it committed; a later look does not change it."""
    now_ms = time.time_ns() // 1_000_000
    marks = Marks()
    marks.note(Seen(stored=2, waiting=1))
    marks.note(Seen(stored=2, waiting=0))
    marks.note(Seen(stored=3, waiting=0))
    parts = [Part([], [()] * 2), Part([], [()])]  # type: ignore[list-item]
    first, second = marks.segments([now_ms - 100, now_ms - 50, now_ms - 10], parts)
    assert len(first) == 2
    assert first[0] + 50 == first[1] >= 100
    assert second[0] >= 10
