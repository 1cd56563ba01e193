"""What the user chose with keys: the page, the order of the symbols, a symbol. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from hk_tick_collector.ops.findings.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hk_tick_collector.store.query import SymbolCount

    from .history import History


class Page(Enum):
    """What is shown."""

    ALL = "all"
    SYMBOL = "symbol"
    FINDINGS = "findings"
    HELP = "help"


# The orders of the symbols, each with its name; the key `s` goes from one to the next.
ORDERS: Final = {
    "rate": Words("ticks/s", "每秒筆數"),
    "ticks": Words("day ticks", "當日筆數"),
    "turnover": Words("turnover", "成交額"),
    "missing": Words("missing", "欠缺"),
    "last": Words("last tick", "最新成交"),
    "symbol": Words("symbol", "股票"),
}
_NAMES: Final = tuple(ORDERS)
_QUIT: Final = "q"


@dataclass(slots=True)
class Choice:
    """The state that keys change."""

    page: Page = Page.ALL
    order: str = _NAMES[0]
    reversed: bool = False
    symbol: str = ""  # the chosen one, empty if none is
    search: str | None = None  # what was typed behind `/`; None while nothing is searched
    scrolled: int = 0  # lines of a page of text above the screen
    page_rows: int = 10  # of the last frame, as is the next
    shown: tuple[str, ...] = ()  # the symbols in its table

    def sorted(self, symbols: Iterable[SymbolCount], history: History) -> list[SymbolCount]:
        """The symbols in the chosen order: the largest figure first, names from A on, equals by name."""
        keys: dict[str, Callable[[SymbolCount], float]] = {
            "rate": lambda each: -(history.rate(each.symbol) or 0.0),
            "ticks": lambda each: -each.rows,
            "turnover": lambda each: -each.turnover,
            "missing": lambda each: -missing_of(each, none=-1),
            "last": lambda each: -each.last_ts_ms,
            "symbol": lambda _: 0.0,
        }
        key = keys[self.order]
        return sorted(symbols, key=lambda each: (key(each), each.symbol), reverse=self.reversed)

    def press(self, key: str, names: list[str]) -> bool:
        """Applies a key; `names` are the symbols in the order shown. False if the key ends the view."""
        if self.search is not None:
            self._search(key, names)
        elif key == _QUIT:
            return False
        elif key in ("?", "h"):
            self._go(Page.ALL if self.page is Page.HELP else Page.HELP)
        elif key == "f":
            self._go(Page.ALL if self.page is Page.FINDINGS else Page.FINDINGS)
        elif key in ("escape", "backspace", "left"):
            self._go(Page.ALL)
        elif self.page in (Page.FINDINGS, Page.HELP):
            self._scroll(key)
        elif key == "/":
            self.search = ""
        elif key in ("enter", "right"):
            self._look(names)
        elif key in ("s", "r"):
            self._sort(key)
        else:
            self._move(key, names)
        return True

    def _go(self, page: Page) -> None:
        self.page, self.scrolled = page, 0

    def _look(self, names: list[str]) -> None:
        """Shows the chosen symbol, or the first one; a second time goes back."""
        if self.page is Page.SYMBOL:
            self._go(Page.ALL)
        elif names:
            self.symbol = self.symbol or names[0]
            self._go(Page.SYMBOL)

    def _sort(self, key: str) -> None:
        if key == "r":
            self.reversed = not self.reversed
        else:
            self.order, self.reversed = _NAMES[(_NAMES.index(self.order) + 1) % len(_NAMES)], False

    def _move(self, key: str, names: list[str]) -> None:
        steps = {
            "up": -1, "k": -1, "down": 1, "j": 1, "pageup": -self.page_rows, "pagedown": self.page_rows,
            "home": -len(names), "end": len(names),
        }  # fmt: skip
        if key not in steps or not names:
            return
        if self.symbol in names:
            self.symbol = names[min(len(names) - 1, max(0, names.index(self.symbol) + steps[key]))]
        else:
            self.symbol = names[-1] if key == "end" else names[0]

    def _scroll(self, key: str) -> None:
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -self.page_rows, "pagedown": self.page_rows}
        self.scrolled = max(0, self.scrolled + steps.get(key, 0))

    def _search(self, key: str, names: list[str]) -> None:
        """Each character chooses the first symbol that contains what was typed so far."""
        typed = self.search or ""
        if key in ("enter", "escape"):
            self.search = None
            return
        if key == "backspace":
            typed = typed[:-1]
        elif len(key) == 1:
            typed += key.upper()
        self.search = typed
        self.symbol = next((name for name in names if typed and typed in name.upper()), self.symbol)


def missing_of(symbol: SymbolCount, *, none: int) -> int:
    """How many ticks of a symbol are missing by the feed's counter; `none` if the counter does not show it."""
    return none if symbol.expected is None else max(0, symbol.expected - symbol.rows)
