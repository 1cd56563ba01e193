"""Chooses which symbols of refused batches to request together next. Pure functions and values.

OpenD refuses a whole batch without saying which symbol is the reason. Enters: refused batches. Leaves: groups of
symbols for the next request. Each group is the one that is expected to subscribe the most symbols with one request,
computed from the share of refused symbols so far. This method is called group testing: groups are large while few
symbols are refused, and have one symbol when half of them are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# The initial assumption: about one symbol in thirty is refused.
_PRIOR_REFUSED: Final = 0.5
_PRIOR_ALL: Final = 15.0
_NAMED_TIMES: Final = 3  # from a simulation with 1 to 50 refused of 100 symbols; 2 to 5 give nearly the same
_ROUNDS: Final = 30  # iterations of the estimate
_MOST: Final = 100  # most symbols in one request


@dataclass(slots=True)
class Sieve:
    """Symbols of refused batches whose result is not known yet."""

    _open: list[str] = field(default_factory=list)  # nothing is known about these
    _groups: list[list[str]] = field(default_factory=list)  # each has at least one refused symbol
    _asked: list[str] | None = None  # if the last request was a part of such a group: the other symbols of the group

    def __bool__(self) -> bool:
        return bool(self._open or self._groups or self._asked)

    def add(self, symbols: list[str], *, holds_refused: bool) -> None:
        """Adds symbols to request. `holds_refused` says that at least one of them is refused."""
        if symbols and holds_refused:
            self._groups.append(symbols)
        else:
            self._open += symbols

    def take(self, refused: int, settled: int, *, is_named: bool = False) -> list[str]:
        """The next group. So far `refused` of `settled` symbols were refused. Call `accepted` or `failed` afterwards.

        `is_named` says that OpenD's refusals name a symbol. Then a refused request is still useful, and groups are
        larger.
        """
        share = self._share(refused, settled)
        options = [(*_best(len(group), share, holds_refused=True), n) for n, group in enumerate(self._groups)]
        if self._open:
            share_open = share / _NAMED_TIMES if is_named else share
            options.append((*_best(min(_MOST, len(self._open)), share_open, holds_refused=False), -1))
        _, size, n = max(options)
        if n < 0:
            group, self._open = self._open[:size], self._open[size:]
            return group
        whole = self._groups.pop(n)
        self._asked = whole[size:]
        return whole[:size]

    def accepted(self) -> str | None:
        """The group was accepted. If this shows which single symbol is refused, returns that symbol."""
        rest, self._asked = self._asked or [], None
        if len(rest) == 1:
            return rest[0]
        self.add(rest, holds_refused=True)
        return None

    def failed(self) -> None:
        """The group was refused or not answered: this shows nothing about the other symbols of its larger group."""
        self._open += self._asked or []
        self._asked = None

    def rest(self) -> list[str]:
        """All symbols without a result."""
        return [*(symbol for group in self._groups for symbol in group), *self._open, *(self._asked or ())]

    def _share(self, refused: int, settled: int) -> float:
        """The estimated share of refused symbols among all requested ones (expectation maximisation)."""
        share, total = 0.05, settled + sum(map(len, self._groups))
        for _ in range(_ROUNDS):
            hidden = sum(len(group) * share / (1 - (1 - share) ** len(group)) for group in self._groups)
            share = (refused + hidden + _PRIOR_REFUSED) / (total + _PRIOR_REFUSED + _PRIOR_ALL)
        return min(share, 0.95)


def _best(count: int, share: float, *, holds_refused: bool) -> tuple[float, int]:
    """The best size for a request out of `count` symbols, as (expected number of subscribed symbols, size)."""
    clean = 1 - share
    all_clean = clean**count if holds_refused else 0.0
    return max(
        (size * (clean**size - all_clean) / (1 - all_clean), size)
        for size in range(1, max(2, count if holds_refused else count + 1))
    )
