"""Log lines about gaps once their rows are committed, and the gap figures of the live state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from hk_tick_collector import log
from hk_tick_collector.gaps.symbol_day import CAUSE_SEQUENCE, CONTRADICTED, SEQ_MAX
from hk_tick_collector.model import GAP_OPEN, LATELY_MS, WINDOW_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hk_tick_collector.collect.writing.current_writer import CurrentWriter
    from hk_tick_collector.gaps.backfill_plan import BackfillPlan
    from hk_tick_collector.gaps.tracker import GapTracker
    from hk_tick_collector.model import Gap

_ONE_BY_ONE: Final = 5  # most lines about single gaps; a reconnect may open a gap for each of 2,000 symbols
_NAMED: Final = 20  # most symbols in one line


class Summary(TypedDict):
    """The fields of the live state that this module provides."""

    gaps_healing: int
    ticks_healing: int
    gaps_lost_lately: int
    ticks_lost_lately: int
    ticks_lost: int
    unknown_gaps_lost_lately: int
    unknown_gaps_lost: int
    lost_found_ms: int | None
    lost_from_ms: int | None
    lost_to_ms: int | None
    busiest_symbol: str
    outage_budget_s: float | None


class GapLog:
    """Reads the tracker, the backfill plan and the writer. Call `log_due` about once a second."""

    def __init__(
        self, tracker: GapTracker, plan: BackfillPlan, current_writer: CurrentWriter, now_ms: Callable[[], int]
    ) -> None:
        self._tracker = tracker
        self._plan = plan
        self._current_writer = current_writer
        self._now_ms = now_ms

    def log_due(self) -> None:
        """Logs the gaps that opened or closed since the last call: one line each, or one line for all if many."""
        events = self._current_writer.writer.pop_gap_events()
        self._log_rules()
        for name, gaps in (
            ("gap_opened", [gap for gap in events if gap.status == GAP_OPEN]),
            ("gap_closed", [gap for gap in events if gap.status != GAP_OPEN]),
        ):
            if len(gaps) <= _ONE_BY_ONE:
                for gap in gaps:
                    _log_one(name, gap)
            else:
                _log_sum(name, gaps)

    def _log_rules(self) -> None:
        """Logs the tracker's findings about the sequences of symbols, one line for each kind."""
        found: dict[str, list[tuple[str, int]]] = {}
        while self._tracker.known.events:
            symbol, what, seq = self._tracker.known.events.popleft()
            found.setdefault(what, []).append((symbol, seq))
        for what, events in found.items():
            symbols = list(dict.fromkeys(symbol for symbol, _ in events))
            shown = ",".join(symbols[:_NAMED]) + (f",… ({len(symbols)} in all)" if len(symbols) > _NAMED else "")
            facts = {"symbols": shown, "count": len(events), "seq": events[0][1]}
            if what == CONTRADICTED:
                log.info("gap_contradicted", **facts)
            elif what == CAUSE_SEQUENCE:
                log.warning("sequence_restarted", **facts)
            else:
                log.warning("sequence_rule_broken", why=what, **facts)

    def summary(self) -> Summary:
        """How many gaps may still be filled, what was lost in the last 15 minutes, and the outage budget."""
        fillable = [open_gap.missing or 0 for _, open_gap in self._tracker.known.open_gaps() if not open_gap.final]
        lost = self._tracker.known.losses.since(self._now_ms() - LATELY_MS)
        symbol, rate = self._plan.busiest() or ("", 0.0)
        budget_s = round(WINDOW_ROWS / rate, 1) if rate else None
        return Summary(
            gaps_healing=len(fillable),
            ticks_healing=sum(fillable),
            gaps_lost_lately=lost.gaps,
            ticks_lost_lately=lost.ticks,
            ticks_lost=self._tracker.known.losses.ticks,
            unknown_gaps_lost_lately=lost.unknown,
            unknown_gaps_lost=self._tracker.known.losses.unknown,
            lost_found_ms=lost.found_ms or None,
            lost_from_ms=lost.from_ts_ms or None,
            lost_to_ms=lost.to_ts_ms or None,
            busiest_symbol=symbol,
            outage_budget_s=budget_s,
        )


def _log_one(name: str, gap: Gap) -> None:
    say = log.warning if gap.status == GAP_OPEN else log.info
    missing = "unknown" if gap.missing is None else gap.missing
    to_seq = "unknown" if gap.to_seq == SEQ_MAX else gap.to_seq
    say(name, symbol=gap.symbol, from_seq=gap.from_seq, to_seq=to_seq, missing=missing, cause=gap.cause)


def _log_sum(name: str, gaps: list[Gap]) -> None:
    symbols, causes = len({gap.symbol for gap in gaps}), ",".join(sorted({gap.cause for gap in gaps}))
    if gaps[0].status != GAP_OPEN:
        log.info(name, gaps=len(gaps), symbols=symbols, causes=causes)
        return
    worst = max(gaps, key=lambda gap: gap.missing or 0)
    missing = sum(gap.missing or 0 for gap in gaps)
    worst_name = f"{worst.symbol}:{worst.missing or 'unknown'}"
    of_unknown_size = sum(gap.missing is None for gap in gaps)
    more = {"unknown": of_unknown_size} if of_unknown_size else {}
    log.warning(name, gaps=len(gaps), symbols=symbols, missing=missing, **more, causes=causes, worst=worst_name)
