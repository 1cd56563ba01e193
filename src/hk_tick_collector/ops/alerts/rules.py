"""Present findings + open alerts + time → messages to send: opened, worse, more, still open, resolved. Pure.

The spec of a finding says whether it is alerted, and when it is critical. An alert opens when the finding has been seen
for some seconds and closes when it has been gone for a minute, so a finding that comes and goes sends two messages, not
hundreds. A finding that returns soon after it was resolved is sent at once. After that it must be gone for ten minutes
before it is resolved again. So the last message always describes the present state.

While a finding is muted nothing is sent about it, neither its beginning nor its end, and nothing is forgotten: when the
mute ends, what is still open is sent as open, and what ended meanwhile is sent as resolved.

Durations are measured with a clock that never goes back (`now_ms`); the times in messages are those of the event, by
the wall clock. Both are UTC epoch ms. The text around a finding's own text is in `message`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hk_tick_collector.ops.findings.backlog import PERSISTENT_STALL
from hk_tick_collector.ops.findings.finding import Finding, Severity
from hk_tick_collector.ops.findings.market_data import LAG
from hk_tick_collector.ops.findings.market_silence import may_trade
from hk_tick_collector.ops.findings.registry import REGISTRY
from hk_tick_collector.ops.findings.spec import IF_CRITICAL, NotAlerted, Rule
from hk_tick_collector.ops.findings.words import Words

from .day_figures import DayFigures
from .message import ENGLISH, Happened, Kind, Message, body_of, resolved_of, title_of
from .mutes import Mute, is_muted, mutes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hk_tick_collector.ops.live.status import LiveStatus

AWAY_MS: Final = 60_000  # a finding that was gone for so long is over
_STEP_MS: Final = 5_000  # the most that one call adds to the time for which a finding was seen
_COOLDOWN_MS: Final = 600_000  # a finding that returns within this time must then be gone for as long
_AGAIN_MS: Final = 1_800_000  # the time between two messages about a finding that comes and goes
_GROWN_MS: Final = 60_000  # a growing loss is sent again after this time, then after twice as long, up to the cooldown
_REMIND_MS: Final = {Severity.WARNING: 6 * 3_600_000, Severity.CRITICAL: 1_800_000}  # reminder while it stays open
_STALLS_WITHIN_MS: Final = 1_800_000  # stalls within this time count as one problem, also across a restart
_GROWING_MS: Final = 30_000  # a lag grows if it is larger than it was this long ago
_STALLS: Final = Words(
    "{text} ({stalls} within half an hour, restarts included)", "{text}（半小時內停滯 {stalls}，包括重啟前後）"
)
_CATCHING_UP: Final = Words("{text}, and catching up", "{text}，正在追上")
_NO_TICK_YET: Final = Words("no tick since the market began to trade: {text}", "開市以來沒有 tick：{text}")
_LATEST_MS: Final = 253_402_300_800_000  # the year 10,000, which no text can show
_START_MS: Final = 10_000  # a finding of the first 10 s of a run, like `no connection yet`, is not an event
_BUDGET_MOST_S: Final = 300.0  # this long without ticks from OpenD is critical, however quiet the symbols are


def rule_of(finding: Finding) -> Rule | None:
    """The rule of a finding, from its spec; None if only `status` shows it.

    A critical finding is sent in any case, even if its spec says that it is not alerted, or if it has no spec.
    """
    spec = REGISTRY.spec(finding.code)
    rule = IF_CRITICAL if spec is None or isinstance(spec.alert, NotAlerted) else spec.alert
    return None if rule.only_critical and finding.severity is not Severity.CRITICAL else rule


def _is_seen_by_ticks(code: str) -> bool:
    """Whether a finding can be judged only after the first tick of a run."""
    spec = REGISTRY.spec(code)
    return spec is not None and isinstance(spec.alert, Rule) and spec.alert.by_ticks


@dataclass(frozen=True, slots=True)
class Open:
    """A finding that was seen: since when, for how long, and what was sent about it."""

    since_ms: int  # when it began, by the wall clock
    until_ms: int  # when it was last seen, by the wall clock
    last_ms: int  # the same by the clock that never goes back, as in all fields below
    held_ms: int = 0  # for how long it was seen
    critical_ms: int | None = None  # since when `status` calls it critical
    told: int = 0  # the severity that was sent, 0 if nothing was
    told_ms: int = 0
    closed: bool = False  # kept only for the cooldown
    back: int = 0  # how often it returned after it was resolved
    again: int = 0  # how often it was gone for a minute and returned since the last message
    size: int = 0  # the amount lost, as last sent
    grown: int = 0  # how often a larger amount was sent


@dataclass(slots=True)
class Memory:
    """What is kept across a restart: open alerts, the latest stalls, the day of the last digest, the time of the last
    heartbeat message, the figures of today, the mutes in force.
    """

    open: dict[str, Open]
    stalls_ms: list[int]
    digest_day: str = ""
    heartbeat_ms: int = 0
    today: DayFigures = field(default_factory=DayFigures)
    mutes: list[Mute] = field(default_factory=list)

    def to_json(self) -> str:
        """As it is saved in the file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Memory:
        """The reverse; ValueError for an invalid document."""
        try:
            raw: dict[str, Any] = json.loads(text)
            found = {str(code): Open(**fields) for code, fields in raw["open"].items()}
            numbers = [value for item in found.values() for value in asdict(item).values() if value is not None]
            moments, heartbeat_ms = [int(moment) for moment in raw["stalls_ms"]], int(raw.get("heartbeat_ms", 0))
            numbers += [*moments, heartbeat_ms]
            if not all(isinstance(value, int) and abs(value) < _LATEST_MS for value in numbers):
                raise ValueError("a field is not a number, or too large")
            today = DayFigures.from_fields(raw.get("today", {}))  # a file of an earlier version has none
            mutes = mutes_of(raw.get("mutes", []))
            return cls(found, moments, str(raw["digest_day"]), heartbeat_ms, today, mutes)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not the saved state of alerts: {error!r}") from None


class Alerts:
    """Call `update` about once a second with the findings of `check`; the caller saves `memory`."""

    def __init__(self, instance: str, memory: Memory | None = None, lang: str = ENGLISH) -> None:
        self.memory = memory or Memory({}, [])
        self._instance = instance
        self._lang = lang
        self._stalls = 0  # of this run, as far as they were seen
        self._newest: list[tuple[int, int]] = []  # time and newest tick of the last half minute

    def update(
        self, status: LiveStatus, findings: Iterable[Finding], now_ms: int, mutes: Sequence[Mute] = ()
    ) -> list[Message]:
        """The messages due now; usually none. `mutes` are those in force."""
        self._note(status, now_ms)
        told = []
        judged = [self._judged(finding, status) for finding in findings]
        seen = {
            finding.code: finding for finding in reversed(judged) if finding
        }  # the first one is the worst and is used
        for finding in seen.values():
            rule = rule_of(finding)
            if rule:
                self._see(finding, now_ms, status)
            if rule and not is_muted(mutes, finding.code):
                told += self._messages_of(finding, rule, now_ms, status.written_ms)
        for code, item in list(self.memory.open.items()):
            if _is_seen_by_ticks(code) and not status.last_tick_ms and may_trade(status, status.written_ms):
                # It is unknown whether the finding is over, so its alert neither opens nor closes.
                self.memory.open[code] = replace(item, last_ms=now_ms)
            elif code not in seen and not (item.told and not item.closed and is_muted(mutes, code)):
                told += self._miss(code, item, now_ms)
        return told

    def message(self, kind: Kind, code: str, body: str) -> Message:
        """A message in the name of this collector."""
        return Message(kind, code, title_of(self._instance, kind, code, self._lang), body)

    def _note(self, status: LiveStatus, now_ms: int) -> None:
        memory = self.memory
        if not self._newest:  # the first call after a restart: an open finding has one minute to appear again
            for code, item in memory.open.items():
                memory.open[code] = _recalled(item, now_ms, status.written_ms)
            memory.stalls_ms = [moment for moment in memory.stalls_ms if moment <= now_ms]
        memory.stalls_ms += [now_ms] * max(0, status.stalls - self._stalls)
        self._stalls = status.stalls
        memory.stalls_ms = [moment for moment in memory.stalls_ms if now_ms - moment < _STALLS_WITHIN_MS][-10:]
        self._newest = [item for item in self._newest if now_ms - item[0] <= _GROWING_MS]
        self._newest.append((now_ms, status.newest_ts_ms or 0))

    def _judged(self, finding: Finding, status: LiveStatus) -> Finding | None:
        """The finding with the severity that section 6 of the runbook gives it; None if it is over."""
        if finding.code == PERSISTENT_STALL.code:
            count = len(self.memory.stalls_ms)
            if not count:
                return None  # no recent stall: the waiting rows are normal
            severity = Severity.CRITICAL if count >= 2 else Severity.WARNING
            stalls = Words("1 stall" if count == 1 else f"{count} stalls", f"{count} 次")
            words = _STALLS.filled(text=finding.words, stalls=stalls)
            return replace(finding, severity=severity).saying(words)
        rule = rule_of(finding)
        if rule and rule.after_budget and not _budget_used_up(finding, status):
            return replace(finding, severity=Severity.WARNING)
        if finding.code == LAG.code:
            if not self._lag_grows():
                return replace(finding, severity=Severity.WARNING).saying(_CATCHING_UP.filled(text=finding.words))
            if status.trading_since_ms and (status.newest_ts_ms or 0) < status.trading_since_ms:
                return finding.saying(_NO_TICK_YET.filled(text=finding.words))
        return finding

    def _lag_grows(self) -> bool:
        """Whether the time of the newest tick advanced by less than the clock did."""
        (then_ms, was_ms), (now_ms, is_ms) = self._newest[0], self._newest[-1]
        return is_ms - was_ms < max(now_ms - then_ms, 1)

    def _see(self, finding: Finding, now_ms: int, status: LiveStatus) -> None:
        wall_ms = status.written_ms
        since_ms = wall_ms if finding.since_ms is None else finding.since_ms
        item = self.memory.open.get(finding.code) or Open(since_ms, wall_ms, now_ms)
        if not item.told and not item.closed and finding.since_ms is not None and since_ms > item.until_ms:
            at_start = item.until_ms <= status.started_ms + _START_MS
            # A new event with the same code. It keeps the time for which the earlier event was seen, except if that one
            # was seen only at the start of the run.
            item = Open(since_ms, wall_ms, now_ms) if at_start else replace(item, since_ms=since_ms)
        if item.closed:
            item = Open(since_ms, wall_ms, now_ms, back=item.back + 1, told_ms=item.told_ms)
        elif now_ms - item.last_ms >= AWAY_MS:
            item = replace(item, again=item.again + 1)
        critical_ms = None
        if finding.severity is Severity.CRITICAL:
            critical_ms = now_ms if item.critical_ms is None else item.critical_ms
        self.memory.open[finding.code] = replace(
            item,
            until_ms=wall_ms,
            last_ms=now_ms,
            held_ms=item.held_ms + min(max(0, now_ms - item.last_ms), _STEP_MS),
            critical_ms=critical_ms,
            size=min(item.size, finding.size or 0),
        )

    def _messages_of(self, finding: Finding, rule: Rule, now_ms: int, wall_ms: int) -> list[Message]:
        item = self.memory.open[finding.code]
        if item.held_ms < rule.hold_s * 1000:
            return []
        level, size = Severity.WARNING, finding.size or 0
        if rule.critical_s is not None and item.critical_ms is not None:
            level = Severity.CRITICAL if now_ms - item.critical_ms >= rule.critical_s * 1000 else level
        passed_ms = now_ms - item.told_ms
        wait_ms = _AGAIN_MS if item.again else _REMIND_MS[Severity(max(item.told, 1))]
        more = size > item.size and passed_ms >= min(_GROWN_MS << item.grown, _COOLDOWN_MS)
        if level <= item.told and passed_ms < wait_ms and not more:
            return []
        happened = Happened.OPENED
        if item.told:
            happened = Happened.WORSE if level > item.told else Happened.MORE if more else Happened.STILL
        elif item.back:
            happened = Happened.BACK
        level = max(level, Severity(item.told))
        grown = item.grown + (happened is Happened.MORE)
        self.memory.open[finding.code] = replace(item, told=int(level), told_ms=now_ms, again=0, size=size, grown=grown)
        kind = Kind.CRITICAL if level is Severity.CRITICAL else Kind.WARNING
        body = body_of(finding, happened, item.since_ms, wall_ms, item.again, self._lang)
        return [self.message(kind, finding.code, body)]

    def _miss(self, code: str, item: Open, now_ms: int) -> list[Message]:
        """Handles a finding that is not present now.

        It is resolved after AWAY_MS, or after _COOLDOWN_MS if it returned before. It is removed if nothing
        was sent about it, or when the cooldown after its end is over.
        """
        open_now, away_ms = self.memory.open, now_ms - item.last_ms
        if item.closed:
            if away_ms >= _COOLDOWN_MS:
                del open_now[code]
            return []
        if away_ms < (_COOLDOWN_MS if item.told and (item.back or item.again) else AWAY_MS):
            return []
        if not item.told:
            del open_now[code]
            return []
        open_now[code] = replace(item, closed=True)
        return [self.message(Kind.RESOLVED, code, resolved_of(item.since_ms, item.until_ms, item.again, self._lang))]


def _recalled(item: Open, now_ms: int, wall_ms: int) -> Open:
    """A finding as an earlier run saved it. Its sizes are counted from 0 again.

    A time in the future, of a clock that was ahead then, would withhold reminders until that time.
    """
    return replace(
        item,
        since_ms=min(item.since_ms, wall_ms),
        until_ms=min(item.until_ms, wall_ms),
        last_ms=now_ms,
        critical_ms=None if item.critical_ms is None else min(item.critical_ms, now_ms),
        told_ms=min(item.told_ms, now_ms),
        size=0,
    )


def _budget_used_up(finding: Finding, status: LiveStatus) -> bool:
    """Whether OpenD has sent no ticks during trading for so long that ticks are lost."""
    if not may_trade(status, status.written_ms) or status.ticks_expected_since_ms is None:
        return False
    since_ms = max(finding.since_ms or 0, status.last_tick_ms or 0, status.ticks_expected_since_ms)
    budget_s = _BUDGET_MOST_S if status.outage_budget_s is None else min(status.outage_budget_s, _BUDGET_MOST_S)
    return status.written_ms - since_ms > budget_s * 1000
