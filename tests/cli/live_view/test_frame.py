"""A frame of any size: each line fits, no number is cut, and the finding with its command has room first."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.cli.live_view.scenes import (
    DAY,
    LANGUAGES,
    NOW_MS,
    day,
    figures,
    sample,
    scene,
    squeezed,
    symbol,
    texts,
    tick,
)
from tests.live_state import live_state

from hk_tick_collector.cli.live_view.cells import width_of
from hk_tick_collector.cli.live_view.choice import ORDERS, Page
from hk_tick_collector.cli.live_view.frame import Scene, frame, whole_frame
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.ops.findings.spec import FindingSpec
    from hk_tick_collector.ops.findings.words import Words

WIDTHS = range(40, 251)
HEIGHTS = range(10, 61)


@pytest.mark.parametrize("page", list(Page))
@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_line_fits_and_no_number_is_cut(lang: str, page: Page) -> None:
    """Widths from 40 to 250, heights from 10 to 60: each word with a digit is one that a huge terminal shows."""
    shown = scene(lang)
    shown.choice.page, shown.choice.symbol = page, "HK.00007"
    if page is Page.SYMBOL:
        shown.sample = replace(sample(), ticks=[tick(n, symbol="HK.00007") for n in range(90)], ticks_of="HK.00007")
    known = figures(texts(frame(shown, 2_000, 400)))
    for order in ORDERS:
        shown.choice.order = order
        for width in WIDTHS[list(ORDERS).index(order) % 2 :: 2]:
            height = HEIGHTS[7 * width % len(HEIGHTS)]
            lines = frame(shown, width, height)
            assert len(lines) == height
            assert max(map(width_of, lines)) <= width, (width, height)
            assert figures(texts(lines)) - known == set(), (width, height)


def saying(spec: FindingSpec) -> Iterator[tuple[Words, str]]:
    """The text and command of a finding and of its variants, as templates."""
    yield spec.text, spec.remedy.command
    for variant in spec.variants.values():
        yield variant.text, variant.remedy.command


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_finding_and_its_command_are_whole_on_the_smallest_terminal(lang: str) -> None:
    """40×10, for each finding that there is: severity, since when, its first words, and its whole command."""
    for spec in REGISTRY:
        for text, command in saying(spec):
            finding = Finding(spec.code, Severity.CRITICAL, text.en, command, zh=text.zh)
            shown = texts(frame(scene(lang, findings=[finding, *sample().findings]), 40, 10))
            assert re.match(r"CRITICAL( seen since |，)11:30:00", shown[1])
            said = squeezed(shown[1:-1])
            assert squeezed([finding.words.of(lang)[:20]]) in said, shown
            assert squeezed([command]).replace("'", "") in said.replace("'", ""), shown


def test_a_text_too_long_for_the_screen_gives_way_to_its_command() -> None:
    """The text ends with `…`, not within a number; the command is whole."""
    finding = Finding("x", Severity.CRITICAL, "ticks 1,234,567 of HK.00700 " * 40, "sudo systemctl restart futu-opend")
    shown = texts(frame(scene(findings=[finding]), 40, 10))
    assert shown[-2] == "-> sudo systemctl restart futu-opend"
    assert shown[-3].endswith("…")
    assert not re.search(r"\d…", shown[-3])


def test_at_80_by_24_everything_of_a_quiet_service_is_there() -> None:
    """The groups of figures, the table with its header, the keys: nothing is left out but rows of the table."""
    shown = texts(frame(scene(findings=[]), 80, 24))
    assert shown[1] == "OK: collecting, nothing to do"
    for name in ("now", "OpenD", "of the day", "of the run", "day file"):
        assert sum(line.startswith(name) for line in shown) == 1, name
    assert next(line for line in shown if line.startswith("of the day")).split()[3] == DAY
    assert "since 11-20 08:45:23" in next(line for line in shown if line.startswith("of the run"))
    assert any(re.match(r"symbol +price +ticks/s +day ticks +missing +last tick +last 18 s", line) for line in shown)
    assert shown[-1].startswith("q quit  ? help  s sort: ticks/s")


def test_the_outage_budget_runs_down_while_opend_is_away() -> None:
    """What is left of it, then that it is used up."""
    for away_s, said in ((5, "outage budget 15 s left"), (50, "outage budget used up: ticks are being lost")):
        live = replace(
            sample().live,
            connected=False,
            link_since_ms=NOW_MS - away_s * 1000,
            outage_budget_s=20.0,  # type: ignore[type-var]
        )
        shown = " ".join(texts(frame(scene(live=live), 100, 30)))
        assert said in shown
        assert f"away {away_s} s, since" in shown


@pytest.mark.parametrize("page", list(Page))
def test_a_screen_lower_than_ten_lines_is_filled_from_the_top(page: Page) -> None:
    """One line is the title; nothing fails."""
    shown = scene()
    shown.choice.page = page
    for height in range(1, 10):
        lines = frame(shown, 40, height)
        assert len(lines) == height
        assert max(map(width_of, lines)) <= 40


def test_old_figures_are_marked() -> None:
    """A service that no longer reports: the figures say of when they are, the title how old the report is."""
    live = replace(sample().live, written_ms=NOW_MS - 60_000)  # type: ignore[type-var]
    shown = texts(frame(scene(live=live, as_of_ms=NOW_MS - 60_000), 100, 30))
    assert "last report 60 s ago" in shown[0]
    assert any("as of 11:29:00 HKT: not live" in line for line in shown)


def test_before_the_first_sample_it_says_what_it_waits_for() -> None:
    """At once, and since when if nothing comes."""
    shown = Scene("hk-tick-collector top", "en")
    assert texts(frame(shown, 60, 10))[1] == "reading the live state of the service"
    shown.waits_s = 12.0
    assert texts(frame(shown, 60, 10))[1] == "no answer for 12 s while reading"


def test_a_finding_says_since_when() -> None:
    """When it began if that is known, else since when the view shows it: another sample does not change that."""
    shown = scene()
    shown.take(replace(sample(), now_ms=NOW_MS + 9_000))
    said = " ".join(" ".join(texts(whole_frame(shown, 100, 5))).split())
    assert "CRITICAL since 11:29:51: 98,765 gaps" in said
    assert "WARNING seen since 11:30:00: lag of 98.7 s" in said


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_finding_is_shown_if_the_screen_has_room(lang: str) -> None:
    """With few symbols no line is empty while a finding is only counted; with many, the table keeps its lines."""
    findings = [*sample().findings, Finding("disk", Severity.WARNING, "full", "df -h")]
    for symbols, commands, count in (
        ([], 3, None),
        (sample().symbols, 1, {"en": "(and 2 more)", "zh-Hant": "（另有 2 項）"}),
    ):
        lines = texts(frame(scene(lang, symbols=symbols, ticks=[], findings=findings), 80, 24))
        assert sum(each.startswith("-> ") for each in lines) == commands
        if count:
            assert squeezed([count[lang]]) in squeezed(lines)
        else:
            assert "more)" not in " ".join(lines)
        assert lines[-1].startswith("q ")


def test_a_command_is_shown_once() -> None:
    """Two findings of one foreign file have one command; run twice it would move away the new file."""
    findings = [
        Finding("day_held", Severity.CRITICAL, "held", "mv x y"),
        Finding("day", Severity.UNKNOWN, "foreign", "mv x y"),
    ]
    shown = scene("en", symbols=[], ticks=[], findings=findings)
    for lines in (texts(frame(shown, 80, 24)), texts(whole_frame(shown, 80, 5))):
        assert "-> mv x y" in lines
        assert " ".join(lines).count("mv x y") == 1
        assert "foreign" in " ".join(lines)


@pytest.mark.parametrize("state", ["auction", "waiting_open", "morning", "rest", "afternoon", "closed"])
def test_the_market_state_is_in_the_operators_language(state: str) -> None:
    """In English it is OpenD's state, as in the log; in Chinese no English word stands for it."""
    live = live_state(market_state=state)
    assert f"market {state}" in " ".join(texts(frame(scene("en", live=live), 200, 40)))
    assert state not in " ".join(texts(frame(scene("zh-Hant", live=live), 200, 40)))


def test_without_a_height_every_finding_and_a_number_of_symbols_is_there() -> None:
    """For a pipe: no line is wider than asked, and the last ticks follow the table."""
    lines = whole_frame(scene(), 80, 20)
    assert max(map(width_of, lines)) <= 80
    shown = texts(lines)
    assert sum(bool(re.match(r"HK\.\d{5} ", line)) for line in shown) == 20
    assert sum(" HK." in line for line in shown if re.match(r"\d\d:\d\d:\d\d\.\d{3} ", line)) == 8


def test_a_name_of_any_length_leaves_the_numbers_whole() -> None:
    """A symbol that no exchange has is cut; the figures beside it are not."""
    hostile = symbol(1, symbol="訂" * 300 + "\33[2J\n")
    for width in (40, 60, 100):
        lines = frame(scene(symbols=[hostile], findings=[], day=day()), width, 40)
        assert max(map(width_of, lines)) <= width
        said = "\n".join(texts(lines))
        assert f"{hostile.rows:,}" in said
        assert "\33" not in said
