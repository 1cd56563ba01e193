"""The page of `--html`: loads nothing and runs nothing whatever the files say, is small, shows what was found."""

from __future__ import annotations

import re
import shutil
import time
import tracemalloc
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

import pytest
from tests.quality.days import DAY, Collected, archive

from hk_tick_collector import market
from hk_tick_collector.quality.facts import DayFacts, read_day
from hk_tick_collector.quality.overall import ALL, FEW, Overall
from hk_tick_collector.quality.page import page
from hk_tick_collector.quality.places import DayLocation, archived, list_places
from hk_tick_collector.quality.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LATER_MS: Final = 4_000_000_000_000
HOSTILE: Final = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>&\u202e</svg></style>\x1b[2J\n{x} ]]> -->"""
TAGS: Final = frozenset(
    re.findall(
        r"\S+",
        "html head meta title style body main header section footer h1 h2 p div span b i ul li br code table thead"
        " tbody tr th td figure figcaption dl dt dd svg g rect path line text",
    )
)
ATTRIBUTES: Final = frozenset(
    re.findall(
        r"\S+",
        "lang charset http-equiv content name class scope colspan viewbox width height role aria-label x y x1 x2 y1 y2"
        " rx d",
    )
)


class Parsed(HTMLParser):
    """What a browser would see: tags, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def read(places: Sequence[DayLocation], *, detail: bool = False) -> Overall:
    """The facts and verdicts of days."""
    found = Overall(ALL if detail else FEW)
    for place in places:
        *_, facts = read_day(place, LATER_MS, spans=detail, scans=detail)
        assert isinstance(facts, DayFacts)
        found.add(facts, judge(facts, 2.0))
    return found


def page_of(root: Path, lang: str = "en", day: str = "") -> str:
    """The page of all days, with one in detail, the last one unless told otherwise."""
    places = list_places(root, None)
    chosen = [place for place in places if not day or place.day == day][-1:]
    return page(read(places), Overall(), read(chosen, detail=True).days[0], LATER_MS, lang)


@pytest.mark.parametrize("lang", ["en", "zh-Hant"])
def test_it_runs_and_loads_nothing(tmp_path: Path, lang: str) -> None:
    """A hostile symbol, cause, reason, explanation and path stay text; no element or attribute but ours is there."""
    root = tmp_path / "<b onclick=x>'\"&"
    root.mkdir()
    day = Collected(root / f"{DAY}.db")
    ts_ms = day.at(10)
    day.add([(HOSTILE, 5, ts_ms, 1.0, 1, 1.0, HOSTILE, HOSTILE, "realtime", ts_ms, None, HOSTILE)])
    day.expect(HOSTILE, 9)
    day.gap(HOSTILE, 4, cause=HOSTILE)
    day.connection(10, 11, reason=HOSTILE, connected=False)
    day.totals(HOSTILE, missing_shares=5)
    (root / "20261119.db").write_bytes(b"not a database" * 999)
    for name in ("20261119", DAY):
        text = page_of(root, lang, name)
        seen = Parsed(text)
        assert seen.open == []
        assert set(seen.tags) <= TAGS
        assert {name for name, _ in seen.attributes} <= ATTRIBUTES
        assert "<b onclick=x>'\"&" in seen.text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
        assert "url(" not in text
        assert "http" not in text.replace("http-equiv", "")
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
        assert ("content", policy) in seen.attributes
    assert "<script>alert(1)</script>" in seen.text  # as text


def test_it_shows_what_was_found(tmp_path: Path) -> None:
    """Verdict, findings, each figure, the outage and the gaps with their times, the worst symbols."""
    day = Collected(tmp_path / f"{DAY}.db", connected=False)
    day.connection(8, 10)
    day.connection(10, 10.5, reason="kicked_out", connected=False)
    day.connection(10.5, None)
    day.run(8, 16.15)
    day.ticks("HK.00700", 1000, skip=50, hour=11.5)
    day.gap("HK.00700", 50)
    day.totals("gap", missing_shares=5000)
    seen = Parsed(page_of(tmp_path))
    assert f"{DAY} CRITICAL gaps_known" in seen.text
    assert "50 ticks are missing, most of them of HK.00700 (50)" in seen.text
    assert "30 min 0 s" in seen.text
    assert "10:00:00–10:30:00 30 min 0 s: kicked_out" in seen.text  # the tooltip of the outage
    assert "10:00:00–10:01:00 1 gaps, 50 missing, open" in seen.text
    assert "95.23 %, 50 missing" in seen.text
    assert seen.tags.count("svg") == 5  # a month, the timeline, ticks, delay, symbols


def test_the_calendar_has_every_month(tmp_path: Path) -> None:
    """From the first day to the last one; a weekday without a file is a frame."""
    for name in ("20260227", "20260302", DAY):
        day = Collected(tmp_path / f"{name}.db")
        if name != "20260302":
            day.ticks("HK.00700", 100, hour=16)
    text = page_of(tmp_path)
    months = re.findall(r"<figcaption>(\d{4}-\d\d)</figcaption>", text)
    assert months == [f"2026-{month:02}" for month in range(2, 12)]
    assert "<title>20260302 CRITICAL not_provable</title>" in text
    weekdays = sum(market.is_weekday(n) for n in range(market.parse_day("20260227"), market.parse_day(DAY) + 1))
    assert text.count('class="none"') == weekdays - 3


def test_a_bad_day_stays_small(tmp_path: Path) -> None:
    """50,000 gaps of thousands of symbols: the page is below 200 KB and says how many more there are."""
    day = Collected(tmp_path / f"{DAY}.db")
    day.ticks("HK.00700", 100, hour=16)
    start_ms = day.at(9.5)
    with day.db:
        day.db.execute(
            """WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 50000)
            INSERT INTO gaps (symbol, from_seq, to_seq, from_ts_ms, to_ts_ms, missing, cause, status, opened_ms)
            SELECT printf('HK.%05d', x % 3000), x, x, ?1 + x * 400, ?1 + x * 400 + 900, 1 + x % 7,
                   printf('cause_%d', x % 40), iif(x & 1, 'open', 'healed'), ?1 FROM n""",
            (start_ms,),
        )
        day.db.execute(
            """WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2500)
            INSERT INTO symbols (symbol, rows, first_ts_ms, last_ts_ms, max_seq, volume, turnover, expected, rule)
            SELECT printf('HK.%05d', x), 10, ?1, ?1, 1, 1, 1, 20 + x, 'counter' FROM n WHERE x <> 700""",
            (start_ms,),
        )
    text = page_of(tmp_path)
    assert len(text.encode()) < 200_000
    assert "2,469 more symbols are incomplete" in Parsed(text).text


def test_a_year_of_days(tmp_path: Path) -> None:
    """Of 250 books: memory and time grow with the days and not faster; the page with one day in detail is < 300 KB."""
    day = Collected(tmp_path / f"{DAY}.db")
    for number in range(20):
        day.ticks(f"HK.{number:05}", 5, hour=16, skip=number % 4)
    day.totals("gap", missing_shares=5)
    day.gap("HK.00001", 1)
    day.close()
    number = market.parse_day(DAY)
    names = [market.day_name(each) for each in range(number - 400, number) if market.is_weekday(each)][-249:]
    book = archive(day.path, tmp_path / "archive").path
    for name in names:
        shutil.copy(book, archived(tmp_path / "archive", name).path)
    places = list_places(tmp_path / "none", tmp_path / "archive")
    read(places[:1])  # what is imported and cached once
    seconds, peaks = [], []
    for count in (25, 250):
        begun_s = time.process_time()
        found = read(places[-count:])
        seconds.append(time.process_time() - begun_s)
        assert len(found.days) == count
    for count in (5, 25):
        tracemalloc.start()
        read(places[-count:])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 20 < 20_000  # bytes a day
    assert seconds[1] < 10 * 4 * seconds[0]
    assert len(page(found, Overall(), read(places[-1:], detail=True).days[0], LATER_MS, "zh-Hant").encode()) < 300_000
