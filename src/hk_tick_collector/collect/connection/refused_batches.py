"""Which symbols of refused batches to ask for together next. Pure.

Enters: batches that OpenD refused, not saying for which of their symbols. Leaves: groups to ask for, each the one that
is expected to subscribe the most symbols with one request, by the share of refused symbols seen so far. This is group
testing: a group is large while few symbols are refused, and single symbols are asked for where half of them are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# What is assumed before anything is known: about one symbol in thirty is refused.
_PRIOR_REFUSED: Final = 0.5
_PRIOR_ALL: Final = 15.0
_NAMED_TIMES: Final = 3  # simulated with 1 to 50 refused of 100: 2 to 5 differ little
_ROUNDS: Final = 30  # of the estimate, which converges
_MOST: Final = 100  # symbols in one request


@dataclass(slots=True)
class Sieve:
    """Symbols of refused batches that are not settled yet."""

    _open: list[str] = field(default_factory=list)  # nothing is known of these
    _groups: list[list[str]] = field(default_factory=list)  # of each of these at least one symbol is refused
    _asked: list[str] | None = None  # what the group that was taken last leaves behind, when it held a refused symbol

    def __bool__(self) -> bool:
        return bool(self._open or self._groups or self._asked)

    def add(self, symbols: list[str], *, holds_refused: bool) -> None:
        """`symbols` are to be asked for; at least one is refused where `holds_refused`."""
        if symbols and holds_refused:
            self._groups.append(symbols)
        else:
            self._open += symbols

    def take(self, refused: int, settled: int, *, is_named: bool = False) -> list[str]:
        """The next group; `refused` of `settled` symbols were refused. `accepted` or `failed` is to be called then.

        `is_named` when a refusal names a symbol: a group that is refused is then not for nothing, and may be larger.
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
        """The group was accepted. Returns the symbol that is thereby known to be refused, if there is one."""
        rest, self._asked = self._asked or [], None
        if len(rest) == 1:
            return rest[0]
        self.add(rest, holds_refused=True)
        return None

    def failed(self) -> None:
        """The group was refused, or not answered: nothing is known of what it left behind."""
        self._open += self._asked or []
        self._asked = None

    def rest(self) -> list[str]:
        """Everything that is not settled."""
        return [*(symbol for group in self._groups for symbol in group), *self._open, *(self._asked or ())]

    def _share(self, refused: int, settled: int) -> float:
        """The share of refused symbols, of all those that were asked for (expectation maximisation)."""
        share, total = 0.05, settled + sum(map(len, self._groups))
        for _ in range(_ROUNDS):
            hidden = sum(len(group) * share / (1 - (1 - share) ** len(group)) for group in self._groups)
            share = (refused + hidden + _PRIOR_REFUSED) / (total + _PRIOR_REFUSED + _PRIOR_ALL)
        return min(share, 0.95)


def _best(count: int, share: float, *, holds_refused: bool) -> tuple[float, int]:
    """How many symbols one request subscribes, as expected, and of how many it must be; out of `count`."""
    clean = 1 - share
    all_clean = clean**count if holds_refused else 0.0
    return max(
        (size * (clean**size - all_clean) / (1 - all_clean), size)
        for size in range(1, max(2, count if holds_refused else count + 1))
    )
