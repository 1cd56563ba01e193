"""Whom to ask OpenD for next, so that holes close before they can close no more. Pure: the caretaker does the asking.

GetTicker gives the latest 1,000 ticks of a symbol, nothing older. So a hole heals as long as its ticks are among those,
and the symbol whose oldest missing tick leaves that window first is asked first. Beside holes there are symbols that
nobody has heard of since a connection began or an outage of OpenD's own ended: they are looked at once, because a jump
shows only when a next tick comes. Of one symbol only one request is under way at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .holes import Holes
    from .track import Hole

WINDOW_ROWS: Final = 1000
_LOOK_ROWS: Final = 10  # enough to see whether a quiet symbol has gone on without us
_SPARE_ROWS: Final = 20  # ticks that may arrive between the question and the answer
_LOOKS: Final = 3  # failures before a symbol is no longer looked at for its own sake
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_RATE_EVERY_S: Final = 10.0


class Ask(NamedTuple):
    """A request for the latest `rows` ticks of a symbol."""

    symbol: str
    rows: int


@dataclass(slots=True)
class _Patient:
    """What is known of a symbol's healing."""

    asked: bool = False
    not_before_s: float = 0.0
    failures: int = 0  # requests without an answer, one after the other
    whole: bool = False  # the last request for holes did not reach back far enough


class Healer:
    """Plans requests. Times are monotonic seconds."""

    def __init__(self, holes: Holes) -> None:
        self._holes = holes
        self._patients: dict[str, _Patient] = {}
        self._to_look_at: dict[str, int] = {}  # symbol → rows, in order of asking
        self._rates: dict[str, float] = {}  # ticks/s
        self._rate_base: dict[str, int] = {}
        self._rate_at_s = 0.0

    def look_at(self, symbols: Iterable[str]) -> None:
        """Asks for each of these once: what OpenD's newest tick is tells whether one was missed."""
        for symbol in symbols:
            self._to_look_at[symbol] = self._look_rows(symbol)
            patient = self._patient(symbol)
            patient.not_before_s, patient.failures = 0.0, 0
            self._holes.hope(symbol, WINDOW_ROWS)

    def look_now(self, symbol: str) -> Ask:
        """A request to look at one symbol out of turn. Not while another one is under way: see `is_asked`."""
        self._patient(symbol).asked = True
        return Ask(symbol, self._look_rows(symbol))

    def is_asked(self, symbol: str) -> bool:
        """Whether a request for a symbol is under way."""
        return self._patient(symbol).asked

    def reset(self) -> None:
        """A connection ended: what was asked of it will not be answered."""
        self._patients.clear()
        self._to_look_at.clear()

    @property
    def looking(self) -> bool:
        """Whether symbols still wait to be looked at."""
        return bool(self._to_look_at)

    def due(self, now_s: float, most: int) -> list[Ask]:
        """The next requests, at most `most`, the most urgent first."""
        if most <= 0:
            return []
        asks = [ask for _, ask in sorted(self._urgent(now_s))[:most]]
        for ask in asks:
            self._patient(ask.symbol).asked = True
            self._to_look_at.pop(ask.symbol, None)
        for symbol in list(self._to_look_at):
            if len(asks) >= most:
                break
            patient = self._patient(symbol)
            if not patient.asked and now_s >= patient.not_before_s:
                patient.asked = True
                asks.append(Ask(symbol, self._to_look_at.pop(symbol)))
        return asks

    def answered(self, ask: Ask, lowest_seq: int | None, received: int, now_s: float) -> list[Hole]:
        """The reply to a request was seen by Holes; returns the holes that can heal no more.

        `lowest_seq` is the lowest sequence of the `received` ticks, None without any.
        """
        patient = self._patient(ask.symbol)
        complete = received < ask.rows
        exhausted = complete or ask.rows >= WINDOW_ROWS
        lost = self._holes.answered(ask.symbol, lowest_seq, exhausted=exhausted, complete=complete)
        patient.asked, patient.failures = False, 0
        asked_for_holes = ask.rows > _LOOK_ROWS
        patient.whole = asked_for_holes and not exhausted and self._holes.missing(ask.symbol) > 0
        patient.not_before_s = now_s + _delay_s(self._holes.tries(ask.symbol))
        return lost

    def failed(self, ask: Ask, now_s: float) -> None:
        """A request brought no answer: again, later and later."""
        patient = self._patient(ask.symbol)
        patient.asked = False
        patient.failures += 1
        patient.not_before_s = now_s + _delay_s(patient.failures)
        if patient.failures < _LOOKS:
            self._to_look_at.setdefault(ask.symbol, ask.rows)

    def refused(self, ask: Ask) -> list[Hole]:
        """OpenD does not answer for this symbol, because it is not subscribed: returns the holes that it leaves."""
        self._patient(ask.symbol).asked = False
        return self._holes.give_up(ask.symbol)

    def measure(self, now_s: float) -> None:
        """Takes the rate of every symbol; call it about once a second."""
        passed_s = now_s - self._rate_at_s
        if passed_s < _RATE_EVERY_S:
            return
        for track in self._holes.tracks():
            base = self._rate_base.get(track.symbol)
            if base is not None and track.next >= base > 0 and self._rate_at_s:
                rate = (track.next - base) / passed_s
                self._rates[track.symbol] = max(rate, self._rates.get(track.symbol, 0.0) * 0.9)
            self._rate_base[track.symbol] = track.next
        self._rate_at_s = now_s

    def busiest(self) -> tuple[str, float] | None:
        """The symbol with the most ticks a second, and how many; None before a rate is known."""
        return max(self._rates.items(), key=lambda item: item[1], default=None)

    def _urgent(self, now_s: float) -> Iterable[tuple[tuple[float, float], Ask]]:
        """Symbols with holes that may heal, with the seconds until their oldest missing tick is out of reach."""
        first: dict[str, tuple[int, int]] = {}
        for track, hole in self._holes.open_holes():
            if hole.final or track.symbol in first:
                continue
            if hole.first or not self._holes.deaf:
                first[track.symbol] = (hole.first, track.next)  # a doubt begins at 0: the whole window is asked for
        for symbol, (oldest, upcoming) in first.items():
            patient = self._patient(symbol)
            if patient.asked or now_s < patient.not_before_s:
                continue
            rate = self._rates.get(symbol, 0.0)
            slack = max(0, oldest - (upcoming - WINDOW_ROWS))
            rows = WINDOW_ROWS
            if oldest and not patient.whole:
                rows = min(rows, upcoming - oldest + _SPARE_ROWS + int(rate * 2))
            yield (slack / (rate + 0.001), -rate), Ask(symbol, rows)

    def _look_rows(self, symbol: str) -> int:
        track = self._holes.track(symbol)
        return _LOOK_ROWS if track and track.patterned else WINDOW_ROWS

    def _patient(self, symbol: str) -> _Patient:
        patient = self._patients.get(symbol)
        if patient is None:
            patient = self._patients[symbol] = _Patient()
        return patient


def _delay_s(times: int) -> float:
    """How long to wait after something went wrong so often in a row."""
    return _RETRY_S[min(times, len(_RETRY_S)) - 1] if times else 0.0
