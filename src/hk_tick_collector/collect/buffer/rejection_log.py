"""Log lines about rejected ticks: the first hundred of a cause in full, then one line a minute with their count.

Enters: rejected ticks, as counts by symbol. Leaves: how many of them may be logged in full, and lines `ticks_rejected`.
One cause can reject thousands of ticks a second. Each object here is for one thread.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.model import PUSH_BACKFILL, Tick, push_type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hk_tick_collector.model import Rejected, TickRow

_WHOLE: Final = 100
_EVERY_S: Final = 60.0
_SYMBOLS: Final = 10_000  # symbols counted separately; OpenD may send any number of invalid symbols
_OTHERS: Final = "others"
_KNOWN_MOST: Final = 20_000
_CONTENT: Final = Tick._fields.index("push_type")  # how many columns at the start of a row describe the trade


class Rejections:
    """Decides which rejected ticks are logged in full, and counts the others. `now_s` is a monotonic clock (s)."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._whole: Counter[str] = Counter()  # cause → how many ticks were logged in full
        self._counted: dict[str, Counter[str]] = {}  # cause → symbol → ticks since its last line
        self._next_s: dict[str, float] = {}  # when the next line of a cause is due

    def whole(self, cause: str, ticks: int) -> int:
        """How many of `ticks` ticks the caller must log in full. The caller must pass the others to `count`."""
        allowed = min(ticks, _WHOLE - self._whole[cause])
        self._whole[cause] += allowed
        return allowed

    def count(self, cause: str, symbols: Iterable[str]) -> None:
        """Counts ticks that are not logged in full, given the symbol of each."""
        self.add(cause, Counter(symbols))

    def add(self, cause: str, ticks: Mapping[str, int]) -> None:
        """Like `count`, given the number of ticks of each symbol. Symbols above a limit are counted together."""
        counts = self._counted.setdefault(cause, Counter())
        for symbol, number in ticks.items():
            counts[symbol if symbol in counts or len(counts) < _SYMBOLS else _OTHERS] += number
        self.log_due()

    def log_due(self) -> None:
        """Logs the counts that are due."""
        if not self._counted:
            return
        now_s = self._now_s()
        for cause in [cause for cause in self._counted if now_s >= self._next_s.get(cause, now_s)]:
            counts = self._counted.pop(cause)
            if not counts:
                continue
            self._next_s[cause] = now_s + _EVERY_S
            [(worst, ticks)] = counts.most_common(1)
            log.warning(
                "ticks_rejected",
                cause=cause,
                ticks=counts.total(),
                symbols=len(counts),
                most=f"{worst}:{ticks}",
            )


class Refused:
    """Remembers the rejected ticks. A backfill may return the same ticks again; they are not logged again."""

    def __init__(self) -> None:
        self._known: dict[int, None] = {}  # hashes of the latest rejected ticks

    def rows(self, rows: Iterable[TickRow]) -> list[TickRow]:
        """The rows that were not rejected before."""
        return [
            row for row in rows if self._is_news(hash(row[:_CONTENT]), backfilled=push_type_of(row) == PUSH_BACKFILL)
        ]

    def ticks(self, ticks: Iterable[Rejected], *, backfilled: bool) -> list[Rejected]:
        """The ticks that were not rejected before. `backfilled` says that a backfill brought them."""
        return [
            tick
            for tick in ticks
            if self._is_news(hash((tick.symbol, tick.seq, tick.cause, tick.seq or tick.detail)), backfilled=backfilled)
        ]

    def _is_news(self, content: int, *, backfilled: bool) -> bool:
        """Whether a tick is new. A pushed tick always is."""
        is_news = not backfilled or content not in self._known
        self._known[content] = None
        if len(self._known) > _KNOWN_MOST:
            del self._known[next(iter(self._known))]
        return is_news


class Tally:
    """Counts ticks by symbol since the start."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, symbols: Iterable[str]) -> None:
        """Counts one tick for each symbol."""
        counts = Counter(symbols)
        if len(self._counts) >= _SYMBOLS:
            counts = Counter({symbol: ticks for symbol, ticks in counts.items() if symbol in self._counts})
        self._counts.update(counts)

    @property
    def symbols(self) -> int:
        """The number of symbols."""
        return len(self._counts)

    def most(self) -> tuple[str, int]:
        """The symbol with the most ticks, and their number; ("", 0) before the first tick."""
        return max(self._counts.items(), key=lambda item: item[1], default=("", 0))
