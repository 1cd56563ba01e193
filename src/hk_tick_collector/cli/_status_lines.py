"""The figures below the first line of `status`: name and text, from live state and day file counters. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector import market
from hk_tick_collector.ops.alerts.message import clock_of
from hk_tick_collector.ops.alerts.mutes import EVERYTHING
from hk_tick_collector.ops.findings import health
from hk_tick_collector.ops.findings.market_silence import NO_BUDGET, silence, state_words
from hk_tick_collector.ops.findings.opend_states import meaning_of
from hk_tick_collector.ops.findings.service import unplanned_restarts
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, same, times

if TYPE_CHECKING:
    from typing import TypeAlias

    from hk_tick_collector.ops.live.status import LiveStatus

    Figure: TypeAlias = tuple[Words, Words]  # name and text

# Names of figures: the first column.
_AS_OF: Final = Words("as of", "截至")
_SERVICE: Final = Words("service", "服務")
_OPEND: Final = same("OpenD")
_CONNECTION: Final = Words("connection", "連線")
_MARKET: Final = Words("market", "市場")
_SYMBOLS: Final = Words("symbols", "股票")
_LAG: Final = Words("lag", "延遲")
_ROWS: Final = Words("rows/min", "每分鐘筆數")
_QUEUE: Final = Words("queue", "佇列")
_HELD: Final = Words("held", "暫存")
_LEDGER: Final = Words("ledger", "帳目")
_BUDGET: Final = Words("outage budget", "可中斷時間")
_EXPOSED: Final = Words("exposed", "未提交")
_COMPLETE: Final = Words("complete", "完整度")
_WORST: Final = Words("worst", "欠最多")
_GAPS: Final = Words("gaps", "缺口")
_TOTALS: Final = Words("totals", "核對")
_MUTED: Final = Words("muted", "已靜音")
_DAY_FILE: Final = Words("day file", "日檔")
_DISK: Final = Words("disk", "磁碟")


def figure_lines(
    live: LiveStatus | None,
    day: dict[str, Any] | None,
    exposure: dict[str, Any] | None,
    now_ms: int,
    as_of_ms: int,
    lang: str,
) -> list[tuple[str, str]]:
    """All figures with their names, in the order in which data flows, in the operator's language.

    `as_of_ms` is the time of the last live state if the service no longer reports, otherwise it equals `now_ms`.
    """
    figures: list[Figure] = []
    if live:
        if as_of_ms != now_ms:
            figures.append((_AS_OF, _as_of(live, as_of_ms)))
        figures += _live_figures(live, as_of_ms, is_live=as_of_ms == now_ms)
    if exposure:
        figures.append((_EXPOSED, _exposed(exposure)))
    if day:
        figures += _day_figures(day, live if as_of_ms == now_ms else None)
    if live and live.disk_free_mb is not None:
        figures.append((_DISK, Words("{free_mb:,} MB free", "剩餘 {free_mb:,} MB").filled(free_mb=live.disk_free_mb)))
    return [(name.of(lang), text.of(lang)) for name, text in figures]


def _plus(*parts: Words) -> Words:
    return Words("".join(part.en for part in parts), "".join(part.zh for part in parts))


def _as_of(live: LiveStatus, as_of_ms: int) -> Words:
    end = Words("the last report", "最後一次回報")
    if live.state == "stopped":
        end = Words("when the collector ended", "收集器終止時")
    text = Words("{moment}, {end}: nothing below is live", "{moment}，{end}：以下都不是即時數字")
    return text.filled(moment=market.moment_text(as_of_ms), end=end)


def _exposed(exposure: dict[str, Any]) -> Words:
    text = Words(
        "{rows:,} rows, {seconds:.1f} s: to backfill if the process dies now; a power cut loses {cost} ({synchronous})",
        "{rows:,} 筆，{seconds:.1f} 秒：程序此刻終止則須補取；斷電{cost}（{synchronous}）",
    )
    cost = Words("nothing that is committed", "不影響已提交的資料")
    if exposure["wal_mb"] is not None:
        cost = Words(
            "commits since the last checkpoint, at most the {wal_mb:.1f} MB of the WAL (one every {pages:,} pages)",
            "會損失上次 checkpoint 以來的提交，最多為 WAL 的 {wal_mb:.1f} MB（每 {pages:,} 頁一次）",
        ).filled(wal_mb=exposure["wal_mb"], pages=exposure["pages"])
    facts = {"rows": exposure["rows"], "seconds": exposure["seconds"], "synchronous": exposure["synchronous"]}
    return text.filled(cost=cost, **facts)


def _day_figures(day: dict[str, Any], live: LiveStatus | None) -> list[Figure]:
    gaps = Words("{gaps_open:,} open, {missing:,} ticks missing", "{gaps_open:,} 個未補，欠 {missing:,} 筆 tick")
    gaps = gaps.filled(gaps_open=day["gaps_open"], missing=day["missing"])
    if live and day["gaps_open"]:
        healing = min(live.gaps_healing, day["gaps_open"])
        more = Words("; {healing:,} being filled, {others:,} ", "；{healing:,} 個補取中，{others:,} 個")
        wait = Words("wait for the import", "等候匯入") if day["importing"] else Words("lost", "已遺失")
        gaps = _plus(gaps, more.filled(healing=healing, others=day["gaps_open"] - healing), wait)
    file = Words("{path}, {rows:,} rows, {size_mb:,.1f} MB", "{path}，{rows:,} 筆，{size_mb:,.1f} MB")
    file = file.filled(path=day["path"], rows=day["rows"], size_mb=day["bytes"] / 2**20)
    if live:
        wal = Words(" and WAL {wal_mb:,.1f} MB", " 及 WAL {wal_mb:,.1f} MB").filled(wal_mb=live.wal_bytes / 2**20)
        file = _plus(file, wal)
    worst = same(", ".join(f"{each['symbol']} -{each['missing']:,}" for each in day["worst"]))
    return [
        (_COMPLETE, _share(day)),
        *([(_WORST, worst)] if worst else []),
        (_GAPS, gaps),
        (_TOTALS, _totals(day["reconciliation"])),
        (_DAY_FILE, file),
    ]


def _share(day: dict[str, Any]) -> Words:
    complete = day["completeness"]
    if complete["percent"] is None:
        if day["rows"] == 0:
            return Words("no tick yet", "仍沒有 tick")
        return Words(
            "unknown: the sequence does not show how many ticks there are", "不明：由序號不能得知應有多少 tick"
        )
    share = Words(
        "{percent:.5f} %, {counted:,} of {expected:,} ticks of {symbols:,} symbols",
        "{percent:.5f} %，{symbols:,} 隻股票 {expected:,} 筆中的 {counted:,} 筆",
    ).filled(**{name: complete[name] for name in ("percent", "counted", "expected", "symbols")})
    if complete["without_pattern"]:
        unknown = Words("; unknown for {count:,} symbols", "；另 {count:,} 隻不明").filled(
            count=complete["without_pattern"]
        )
        share = _plus(share, unknown)
    if complete["without_rule"]:
        named = ", ".join(complete["without_rule"])
        untold = Words(
            ", without these, whose sequence follows no rule: {named}", "，不計以下序號不能顯示缺漏的股票：{named}"
        )
        share = _plus(share, untold.filled(named=named))
    return share


def _totals(found: dict[str, Any] | None) -> Words:
    if found is None:
        return Words(
            "not compared yet with OpenD's totals: this is done at lunch and after the close",
            "仍未與 OpenD 的總數核對：午休及收市後進行",
        )
    text = Words(
        "{matching:,} of {symbols:,} symbols agree with OpenD's totals at {session} ({time} HKT): {words}",
        "{session}核對（{time} HKT）：{symbols:,} 隻股票中 {matching:,} 隻與 OpenD 的總數相符：{words}",
    ).filled(
        matching=found["matching"],
        symbols=found["symbols"],
        session=Words(found["session"], _SESSIONS.get(found["session"], found["session"])),
        time=f"{market.hkt(found['at_ms']):%H:%M}",
        words=", ".join(f"{count:,} {word}" for word, count in found["explained"].items()),
    )
    worst = found["worst"]
    if worst:
        most = Words("; largest difference {symbol}, {shares:,} shares", "；相差最大為 {symbol}，{shares:,} 股")
        text = _plus(text, most.filled(symbol=worst["symbol"], shares=worst["shares"]))
    return text


_SESSIONS: Final = {"lunch": "午休", "close": "收市"}


def _link(live: LiveStatus, now_ms: int) -> Words:
    """How long the connection has been up or down, and when and why the last one broke."""
    since_min = (now_ms - (live.link_since_ms or live.started_ms)) // 60_000
    text = Words("up for {hours} h {minutes} min", "已連線 {hours} 小時 {minutes} 分鐘")
    if not live.connected:
        text = Words("down for {hours} h {minutes} min", "已中斷 {hours} 小時 {minutes} 分鐘")
    text = text.filled(hours=since_min // 60, minutes=since_min % 60)
    if live.link_breaks_lately:
        broke = Words(", broke {times} in the last 15 minutes", "，最近 15 分鐘內中斷 {times}")
        text = _plus(text, broke.filled(times=times(live.link_breaks_lately)))
    if live.link_break_ms is not None:
        last = Words("; last broken {moment} HKT: {reason}", "；最近一次中斷 {moment} HKT：{reason}")
        moment = f"{market.hkt(live.link_break_ms):%Y-%m-%d %H:%M:%S}"
        text = _plus(text, last.filled(moment=moment, reason=live.link_break_reason))
    return text


def _opend(live: LiveStatus) -> Words:
    """OpenD's address and state, and the difference between its clock and ours."""
    if not live.connected:
        text = Words("{address}, no connection: {reason}", "{address}，已中斷：{reason}")
        return text.filled(address=live.address, reason=live.link_reason)
    if live.trouble:
        told = _trouble(live)
        text = Words(f"{live.address}, {told.en}: no ticks", f"{live.address}，{told.zh}：沒有 tick")
    else:
        state = same(live.program) if live.program else Words("state not known", "狀態不明")
        text = Words(f"{live.address}, {state.en}", f"{live.address}，{state.zh}")
    if live.drift_s is not None:
        clock = Words(", our clock {drift_s:+.1f} s", "，本機時鐘 {drift_s:+.1f} 秒").filled(drift_s=live.drift_s)
        text = _plus(text, clock)
    return text


def _lag(live: LiveStatus, now_ms: int, *, is_live: bool) -> Words:
    behind_s = health.lag_s(live, now_ms)
    if behind_s is None or live.newest_ts_ms is None:
        return Words("no tick yet", "仍沒有 tick")
    newest = Words("newest tick {moment} HKT", "最新 tick {moment} HKT")
    newest = newest.filled(moment=f"{market.hkt(live.newest_ts_ms):%Y-%m-%d %H:%M:%S}")
    behind = Words("{behind_s:.1f} s, ", "{behind_s:.1f} 秒，").filled(behind_s=behind_s)
    return _plus(behind, newest) if is_live else newest


def _symbols(live: LiveStatus) -> Words:
    text = Words("{subscribed} of {symbols} subscribed", "已訂閱 {symbols} 隻中的 {subscribed} 隻")
    text = text.filled(subscribed=live.subscribed, symbols=live.symbols)
    if live.quota_used is None:
        return text
    quota = Words(", quota {used} used, {left} left", "，額度已用 {used}，剩餘 {left}")
    return _plus(text, quota.filled(used=live.quota_used, left=live.quota_remaining))


def _queue(live: LiveStatus) -> Words:
    text = Words("{rows:,} of {most:,} rows", "{rows:,} 筆，上限 {most:,} 筆")
    text = text.filled(rows=live.waiting, most=live.max_queue_rows)
    if live.commit_ms_p99 is None:
        return text
    commit = Words(", commit p50 {p50} ms, p99 {p99} ms", "，提交 p50 {p50} ms，p99 {p99} ms")
    return _plus(text, commit.filled(p50=live.commit_ms_p50, p99=live.commit_ms_p99))


def _market(live: LiveStatus, now_ms: int, *, is_live: bool) -> Words:
    quiet = silence(live, now_ms)
    state = state_words(live.market_state)
    if live.trading:
        state = _plus(state, Words(", trading", "，交易中"))
    if not is_live:
        state = _plus(state, Words(" then", "（當時）"))
    return _plus(state, Words(f": {quiet.en}", f"：{quiet.zh}") if quiet else NO_WORDS)


def _live_figures(live: LiveStatus, now_ms: int, *, is_live: bool) -> list[Figure]:
    budget = NO_BUDGET
    if live.outage_budget_s is not None:
        budget = Words(
            "{budget_s:,.0f} s: after that {symbol} loses ticks for good",
            "{budget_s:,.0f} 秒：OpenD 中斷超過此時間，{symbol} 的 tick 便會遺失",
        ).filled(budget_s=live.outage_budget_s, symbol=live.busiest_symbol)
    ledger = Words(
        "{received:,} received = {stored:,} stored + {duplicate:,} duplicate + {rejected:,} rejected"
        " + {dropped:,} dropped + {waiting:,} waiting",
        "收到 {received:,} = 已儲存 {stored:,} + 重複 {duplicate:,} + 拒收 {rejected:,}"
        " + 丟棄 {dropped:,} + 等候 {waiting:,}",
    ).filled(
        received=live.received,
        stored=live.stored,
        duplicate=live.duplicate,
        rejected=live.rejected,
        dropped=live.dropped,
        waiting=live.waiting,
    )
    return [
        (_SERVICE, _service(live, now_ms, is_live=is_live)),
        (_OPEND, _opend(live)),
        (_CONNECTION, _link(live, now_ms)),
        (_MARKET, _market(live, now_ms, is_live=is_live)),
        (_SYMBOLS, _symbols(live)),
        (_LAG, _lag(live, now_ms, is_live=is_live)),
        *([(_ROWS, same(f"{live.persisted_rows_per_min:,}"))] if is_live else []),
        (_QUEUE, _queue(live)),
        *([(_HELD, _held(live))] if live.held_rows else []),
        (_LEDGER, ledger),
        (_BUDGET, budget),
        *([(_MUTED, muted)] if (muted := _muted(live, now_ms)) else []),
    ]


def _muted(live: LiveStatus, now_ms: int) -> Words:
    """About which findings no alerts are sent, and until when; empty if there are none."""
    in_force = {code: until_ms for code, until_ms in sorted(live.alerts_muted.items()) if until_ms > now_ms}
    if not in_force:
        return NO_WORDS
    each = [
        Words("{code} until {until}", "{code} 至 {until}").filled(
            code=_ALL_FINDINGS if code == EVERYTHING else code, until=clock_of(until_ms, now_ms)
        )
        for code, until_ms in in_force.items()
    ]
    text = Words("{which}: no alerts are sent about it", "{which}：不發告警")
    return text.filled(which=Words(", ".join(one.en for one in each), "、".join(one.zh for one in each)))


_ALL_FINDINGS: Final = Words("all findings", "所有問題")


def _trouble(live: LiveStatus) -> Words:
    """What OpenD reported about itself, and since when."""
    found = []
    for kind in live.trouble:
        since_ms = live.trouble_since_ms.get(kind)
        moment = "" if since_ms is None else market.clock_text(since_ms)
        since = Words(f" since {moment}", f"（由 {moment} 起）") if moment else NO_WORDS
        found.append(_plus(Words(kind.replace("_", " "), meaning_of(kind).zh), since))
    return Words(", ".join(each.en for each in found), "、".join(each.zh for each in found))


def _service(live: LiveStatus, now_ms: int, *, is_live: bool) -> Words:
    """The process and its age, and how often it ended by itself."""
    up_min = (now_ms - live.started_ms) // 60_000
    ran = Words("up", "已運行") if is_live else Words("ran", "曾運行")
    text = Words(
        "{state}, pid {pid}, version {version}, {ran} {hours} h {minutes} min",
        "{state}，pid {pid}，版本 {version}，{ran} {hours} 小時 {minutes} 分鐘",
    ).filled(
        state=Words(live.state, _STATES.get(live.state, live.state)),
        pid=live.pid,
        version=live.version,
        ran=ran,
        hours=up_min // 60,
        minutes=up_min % 60,
    )
    restarts = unplanned_restarts(live, now_ms)
    if not restarts:
        return text
    ended = Words("; ended by itself {times} in the last hour", "；最近一小時內自行終止 {times}")
    return _plus(text, ended.filled(times=times(len(restarts))))


_STATES: Final = {"starting": "啟動中", "running": "運行中", "stopping": "停止中", "stopped": "已停止"}


def _held(live: LiveStatus) -> Words:
    """The days whose rows wait because their file cannot be written."""
    each = Words("{rows:,} rows of {day}, {cause}", "{day} 的 {rows:,} 筆，{cause}")
    days = [
        each.filled(rows=rows, day=day, cause=live.held_causes.get(day, ""))
        for day, rows in sorted(live.held_rows.items())
    ]
    text = Words("; ".join(day.en for day in days), "；".join(day.zh for day in days))
    return _plus(
        text, Words(": in spools of their own until the file can be written", "：存於專用的 spool，待檔案可寫入")
    )
