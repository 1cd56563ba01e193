"""The figures below the one line of `status`: name and text, from the live state and the day's own account. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hk_tick_collector import market
from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.findings.market_silence import silence
from hk_tick_collector.ops.findings.recent import times, unplanned_restarts

if TYPE_CHECKING:
    from hk_tick_collector.ops.live.status import LiveStatus


def figure_lines(
    live: LiveStatus | None, day: dict[str, Any] | None, exposure: dict[str, Any] | None, now_ms: int, as_of_ms: int
) -> list[tuple[str, str]]:
    """Each figure under its name, in the order of the data's way.

    `as_of_ms` is the moment of the live state where the service does not report any more, else it is `now_ms`.
    """
    lines: list[tuple[str, str]] = []
    if live:
        if as_of_ms != now_ms:
            end = "when the collector ended" if live.state == "stopped" else "the last report"
            lines.append(("as of", f"{market.hkt(as_of_ms):%Y-%m-%d %H:%M:%S} HKT, {end}: nothing below is live"))
        lines += _live_lines(live, as_of_ms, is_live=as_of_ms == now_ms)
    if exposure:
        again = f"{exposure['rows']:,} rows, {exposure['seconds']:.1f} s: backfilled if the process died now"
        cut = f"a power cut costs {exposure['power_cut']} ({exposure['synchronous']})"
        lines.append(("exposed", f"{again}; {cut}"))
    if day:
        lines += _day_lines(day, live if as_of_ms == now_ms else None)
    if live and live.disk_free_mb is not None:
        lines.append(("disk", f"{live.disk_free_mb:,} MB free"))
    return lines


def _day_lines(day: dict[str, Any], live: LiveStatus | None) -> list[tuple[str, str]]:
    complete = day["completeness"]
    share = "no tick yet" if day["rows"] == 0 else "unknown: no sequence tells how many ticks there are"
    if complete["percent"] is not None:
        share = f"{complete['percent']:.5f} %, {complete['counted']:,} of {complete['expected']:,} ticks"
        share += f" of {complete['symbols']:,} symbols"
        if complete["without_pattern"]:
            share += f"; of {complete['without_pattern']:,} it is unknown"
        if complete["without_rule"]:
            named = ", ".join(complete["without_rule"])
            share += f", their sequence does not tell what is missing: {named}"
    gaps = f"{day['gaps_open']:,} open, {day['missing']:,} ticks missing"
    if live and day["gaps_open"]:
        healing = min(live.gaps_healing, day["gaps_open"])
        others = "wait for the import" if day["importing"] else "lost"
        gaps += f"; {healing:,} being filled, {day['gaps_open'] - healing:,} {others}"
    size = f"{day['bytes'] / 2**20:,.1f} MB" + (f" and WAL {live.wal_bytes / 2**20:,.1f} MB" if live else "")
    worst = [f"{each['symbol']} -{each['missing']:,}" for each in day["worst"]]
    return [
        ("complete", share),
        *([("worst", ", ".join(worst))] if worst else []),
        ("gaps", gaps),
        ("totals", _totals_line(day["reconciliation"])),
        ("day file", f"{day['path']}, {day['rows']:,} rows, {size}"),
    ]


def _totals_line(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not yet compared with OpenD's own: at lunch and after the close"
    words = ", ".join(f"{count:,} {word}" for word, count in found["explained"].items())
    line = f"{found['matching']:,} of {found['symbols']:,} symbols agree with OpenD's own at {found['session']}"
    line += f" ({market.hkt(found['at_ms']):%H:%M} HKT): {words}"
    if found["worst"]:
        line += f"; worst {found['worst']['symbol']} by {found['worst']['shares']:,} shares"
    return line


def _link_line(live: LiveStatus, now_ms: int) -> str:
    """For how long the connection has been up or away, and when and why one broke."""
    since_min = (now_ms - (live.link_since_ms or live.started_ms)) // 60_000
    line = f"{'up for' if live.connected else 'away for'} {since_min // 60} h {since_min % 60} min"
    if live.link_breaks_lately:
        line += f", broke {times(live.link_breaks_lately)} in the last 15 minutes"
    if live.link_break_ms is not None:
        line += f"; last broken {market.hkt(live.link_break_ms):%Y-%m-%d %H:%M:%S} HKT: {live.link_break_reason}"
    return line


def _live_lines(live: LiveStatus, now_ms: int, *, is_live: bool) -> list[tuple[str, str]]:
    behind_s, quiet = health.lag_s(live, now_ms), silence(live, now_ms)
    link = (
        f"{live.address}, {live.program or 'state not known'}"
        if live.connected
        else f"{live.address}, away: {live.link_reason}"
    )
    if live.connected and live.trouble:
        link = f"{live.address}, {', '.join(_trouble(live))}: no ticks"
    if live.connected and live.drift_s is not None:
        link += f", our clock {live.drift_s:+.1f} s"
    lag = "no tick yet"
    if behind_s is not None and live.newest_ts_ms is not None:
        lag = f"newest tick {market.hkt(live.newest_ts_ms):%Y-%m-%d %H:%M:%S} HKT"
        lag = f"{behind_s:.1f} s, {lag}" if is_live else lag
    quota = "" if live.quota_used is None else f", quota {live.quota_used} used, {live.quota_remaining} left"
    commit = "" if live.commit_ms_p99 is None else f", commit p50 {live.commit_ms_p50} ms, p99 {live.commit_ms_p99} ms"
    budget = "not known yet"
    if live.outage_budget_s is not None:
        budget = f"{live.outage_budget_s:,.0f} s: after that {live.busiest_symbol} loses ticks for good"
    account = f"{live.received:,} received = {live.stored:,} stored + {live.duplicate:,} duplicate"
    account += f" + {live.rejected:,} rejected + {live.dropped:,} dropped + {live.waiting:,} waiting"
    state = live.market_state + (", trading" if live.trading else "") + ("" if is_live else " then")
    return [
        ("service", _service_line(live, now_ms, is_live=is_live)),
        ("OpenD", link),
        ("connection", _link_line(live, now_ms)),
        ("market", state + (f": {quiet}" if quiet else "")),
        ("symbols", f"{live.subscribed} of {live.symbols} subscribed{quota}"),
        ("lag", lag),
        *([("rows/min", f"{live.persisted_rows_per_min:,}")] if is_live else []),
        ("queue", f"{live.waiting:,} of {live.max_queue_rows:,} rows{commit}"),
        *([("held", _held_line(live))] if live.held_rows else []),
        ("ledger", account),
        ("outage budget", budget),
    ]


def _trouble(live: LiveStatus) -> list[str]:
    """What OpenD told of itself, since when."""
    found = []
    for kind in live.trouble:
        since_ms = live.trouble_since_ms.get(kind)
        since = "" if since_ms is None else f" since {market.hkt(since_ms):%H:%M:%S} HKT"
        found.append(kind.replace("_", " ") + since)
    return found


def _service_line(live: LiveStatus, now_ms: int, *, is_live: bool) -> str:
    """Which process it is and for how long it runs; how often it ended by itself."""
    up_min, ran = (now_ms - live.started_ms) // 60_000, "up" if is_live else "ran"
    line = f"{live.state}, pid {live.pid}, version {live.version}, {ran} {up_min // 60} h {up_min % 60} min"
    restarts = unplanned_restarts(live, now_ms)
    return f"{line}; ended by itself {times(len(restarts))} in the last hour" if restarts else line


def _held_line(live: LiveStatus) -> str:
    """Which days' rows wait for their files."""
    days = (f"{rows:,} rows of {day}, {live.held_causes.get(day, '')}" for day, rows in sorted(live.held_rows.items()))
    return f"{'; '.join(days)}: in spools of their own until the file can be written"
