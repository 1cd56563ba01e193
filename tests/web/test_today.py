"""The findings of today, as far as the page has seen them."""

from __future__ import annotations

from hk_tick_collector import market
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.web.today import Today

NOON_MS = market.day_start_ms(market.parse_day("20261120")) + 12 * 3_600_000


def finding(code: str, severity: Severity = Severity.WARNING, text: str = "text") -> Finding:
    return Finding(code, severity, text, "")


def test_a_finding_is_one_episode_from_its_first_second_to_its_last() -> None:
    """With its newest text and its worst severity."""
    today = Today()
    today.add(NOON_MS, [finding("lag", text="5 s")])
    today.add(NOON_MS + 1000, [finding("lag", Severity.CRITICAL, "6 s")])
    today.add(NOON_MS + 2000, [finding("lag", text="7 s")])
    (episode,) = today.episodes
    assert (episode.finding.text, episode.worst, episode.to_ms) == ("7 s", Severity.CRITICAL, None)
    today.add(NOON_MS + 3000, [])
    today.add(NOON_MS + 4000, [finding("lag")])
    assert [(each.from_ms, each.to_ms) for each in today.episodes] == [
        (NOON_MS + 4000, None),
        (NOON_MS, NOON_MS + 3000),
    ]


def test_a_new_day_keeps_what_still_lasts() -> None:
    """Midnight in Hong Kong."""
    today = Today()
    today.add(NOON_MS, [finding("lag"), finding("disk_low")])
    today.add(NOON_MS + 1000, [finding("disk_low")])
    today.add(NOON_MS + 86_400_000, [finding("disk_low")])
    assert [each.finding.code for each in today.episodes] == ["disk_low"]


def test_a_finding_that_comes_and_goes_all_day_does_not_fill_memory() -> None:
    """The oldest are left out, and counted."""
    today = Today()
    for number in range(500):
        today.add(NOON_MS + number * 1000, [finding("lag")] if number % 2 else [])
    assert (len(today.episodes), today.dropped) == (200, 50)
