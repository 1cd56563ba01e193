"""Scenarios: a short text that says what goes wrong, and when. A pure parser, and the times of its steps.

    # a bad morning                           one step a line; # begins a comment, empty lines are allowed
    at 5s cut
    at 10s away for 3s                        `for`: the step ends by itself
    at 12s mute                               without `for`, it lasts until it is ended
    at 16s end mute
    every 30s duplicate 50                    at 30 s, 60 s, …
    at 1m every 10s until 3m stop-pushes HK.00700,HK.00005
    every 2s random seed 7 from cut | away for 2s | mute for 1s

Times count from the first tick, in seconds of real time: `5s`, `500ms`, `2m`, `1h`. `random` performs one of its steps
each time, at an interval between half and one and a half times that of `every`; the same seed gives the same choice. A
line:

    [at TIME] [every TIME [until TIME]]  STEP
    [at TIME] every TIME [until TIME] random seed NUMBER from STEP | STEP …

STEPS lists every step with its arguments. A step marked `lasts` may have `for TIME` and can be ended with `end NAME`
(`end all` ends everything); if it is performed again while it lasts, it restarts with its new arguments. The control
socket takes the same steps, without a time.
"""

from __future__ import annotations

import difflib
import heapq
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from hk_tick_collector import market
from hk_tick_collector.errors import UsageError
from hk_tick_collector.opend import messages
from hk_tick_collector.simulator.encoding.notices import NOTICES, PROGRAMS, RIGHTS
from hk_tick_collector.simulator.encoding.odd_ticks import ODD_KINDS
from hk_tick_collector.simulator.exchange.listing import parse_symbols
from hk_tick_collector.simulator.gateway.conditions import EVERY_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Argument: TypeAlias = int | float | str | tuple[str, ...]

MESSAGES: Final = {
    "InitConnect": messages.INIT_CONNECT,
    "GetGlobalState": messages.GET_GLOBAL_STATE,
    "KeepAlive": messages.KEEP_ALIVE,
    "Sub": messages.SUB,
    "GetSubInfo": messages.GET_SUB_INFO,
    "GetBasicQot": messages.GET_BASIC_QOT,
    "GetTicker": messages.GET_TICKER,
    "GetStaticInfo": messages.GET_STATIC_INFO,
    "GetSecuritySnapshot": messages.GET_SECURITY_SNAPSHOT,
    "RequestTradeDate": messages.REQUEST_TRADE_DATE,
    "any": EVERY_MESSAGE,
}
MARKET_STATES: Final = {market.state_name(number): number for number in (0, 1, 2, 3, 4, 5, 6, 19)}
ALL: Final = "all"
_MAX_COUNT: Final = 10_000_000
_MAX_BYTES: Final = 10_000_000
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TIME: Final = re.compile(r"([+-]?)(\d+(?:\.\d+)?)(ms|s|m|h)", re.ASCII)


class _WrongError(Exception):
    """What is wrong with a line, before the file's name is known."""


class Step(NamedTuple):
    """One step: its name, the values of its arguments, and how long it lasts if that is given."""

    name: str
    arguments: tuple[Argument, ...] = ()
    for_s: float | None = None
    text: str = ""  # as it was written


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a scenario: its steps (if several, one of them at random), and when, in seconds."""

    steps: tuple[Step, ...]
    at_s: float
    every_s: float | None = None
    until_s: float = float("inf")
    seed: int | None = None


class Moment(NamedTuple):
    """A step with its time, in seconds from the first tick."""

    at_s: float
    step: Step


def _time(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None or match[1]:
        raise _WrongError(f"{text!r} is not a time, write it like 5s, 500ms or 2m")
    return float(match[2]) * _UNITS[match[3]]


def _shift(text: str) -> float:
    match = _TIME.fullmatch(text)
    if match is None or not match[1]:
        raise _WrongError(f"{text!r} is not a shift of a clock, write it like +3600s or -1h")
    return float(match[1] + match[2]) * _UNITS[match[3]]


def _number(text: str, most: int = _MAX_COUNT) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= most:
        raise _WrongError(f"{text!r} is not a number from 1 to {most}")
    return int(text)


def _days(text: str) -> int:
    if not re.fullmatch(r"[+-]?[1-9]\d{0,3}", text, re.ASCII):
        raise _WrongError(f"{text!r} is not a number of days, write it like -1 or +30")
    return int(text)


def _bytes(text: str) -> int:
    return _number(text, _MAX_BYTES)


def _symbols(text: str) -> tuple[str, ...]:
    try:
        return tuple(parse_symbols(text.split(",")))
    except UsageError as error:
        raise _WrongError(error.one_line()) from None


def _symbols_or_all(text: str) -> tuple[str, ...]:
    return () if text == ALL else _symbols(text)


def _one_of(words: Sequence[str], what: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise _WrongError(f"{text!r} is not a {what}, allowed are {', '.join(words)}")
        return text

    return read


def _kinds(text: str) -> tuple[str, ...]:
    read = _one_of(tuple(ODD_KINDS), "kind of odd tick")
    return tuple(read(word) for word in text.split(","))


_message = _one_of(tuple(MESSAGES), "message")


_Arguments: TypeAlias = "tuple[str, tuple[Callable[[str], Argument], ...], int]"


class Form(NamedTuple):
    """How a step is written: its arguments as words and as parsers; the last `optional` of them may be left out."""

    says: str
    words: str = ""
    reads: tuple[Callable[[str], Argument], ...] = ()
    optional: int = 0
    lasts: bool = False


def _of_tickers(word: str = "", read: Callable[[str], Argument] | None = None) -> _Arguments:
    """Words, parsers and number of optional arguments of a step about GetTicker: symbols, value, number of answers."""
    words = " ".join(filter(None, ("SYMBOLS|all", word, "[NUMBER]")))
    return words, (_symbols_or_all, *((read,) if read else ()), _number), 1


STEPS: Final[dict[str, Form]] = {
    # connections
    "cut": Form("every connection ends at once"),
    "cut-mid-frame": Form("every connection ends in the middle of the next frame that it sends"),
    "cut-mid-burst": Form("every connection ends between two frames of the next burst"),
    "cut-during-backfill": Form("the next answer to GetTicker is cut off, and its connection ends"),
    "away": Form("OpenD does not run: connections are refused; the market goes on", lasts=True),
    "mute": Form("OpenD reads requests and answers none; the connections stay open", lasts=True),
    "half-open": Form("the present connections neither read nor send anything, not even their end"),
    "trickle": Form("this many bytes a second leave each connection", "BYTES", (_bytes,), lasts=True),
    # subscriptions
    "stop-pushes": Form("subscriptions are lost without a notice", "SYMBOLS|all", (_symbols_or_all,), lasts=True),
    "lose-subscriptions": Form("the same, and GetSubInfo shows it", "SYMBOLS|all", (_symbols_or_all,)),
    "suspend": Form("symbols that OpenD reports as suspended", "SYMBOLS", (_symbols,), lasts=True),
    "refuse": Form("symbols that OpenD reports as unknown", "SYMBOLS", (_symbols,), lasts=True),
    "quota": Form("the account's quota of subscriptions", "NUMBER", (_number,), lasts=True),
    "no-first-push": Form("a subscription sends no cached tick", lasts=True),
    "window": Form("GetTicker returns only this many ticks", "ROWS", (_number,), lasts=True),
    # invalid bytes
    "garbage": Form("random bytes", "BYTES", (_bytes,)),
    "bad-magic": Form("a frame that does not begin with FT"),
    "bad-sha1": Form("a frame whose body does not match its SHA-1"),
    "huge-length": Form("a header that announces 4 GB"),
    "json-body": Form("a frame marked as JSON"),
    "truncated-protobuf": Form("a complete frame whose body is too short"),
    "unknown-ids": Form("unknown frames: a message, a reply without a request, a notice"),
    # requests
    "no-reply": Form(
        "the next requests of this kind get no answer", "MESSAGE [NUMBER]", (_message, _number), 1, lasts=True
    ),
    "slow-reply": Form("they are answered later", "MESSAGE TIME [NUMBER]", (_message, _time, _number), 1, lasts=True),
    "fail-reply": Form("they are refused", "MESSAGE [NUMBER]", (_message, _number), 1, lasts=True),
    # answers to GetTicker; ticks missing from them are in the truth file
    "ticker-partial": Form("only the newest ROWS", *_of_tickers("ROWS", _number), lasts=True),
    "ticker-sample": Form("about half of the ticks, at random", *_of_tickers(), lasts=True),
    "ticker-without-latest": Form("without the ticks of the last TIME", *_of_tickers("TIME", _time), lasts=True),
    "ticker-unordered": Form("in random order", *_of_tickers(), lasts=True),
    "ticker-doubled": Form("each tick twice", *_of_tickers(), lasts=True),
    "ticker-empty": Form("no ticks", *_of_tickers(), lasts=True),
    "ticker-other-symbol": Form("another symbol's ticks, under its name", *_of_tickers(), lasts=True),
    "ticker-refused": Form("the request is refused", *_of_tickers(), lasts=True),
    "ticker-never": Form("no answer", *_of_tickers(), lasts=True),
    "ticker-late": Form("a late answer", *_of_tickers("TIME", _time), lasts=True),
    # OpenD's notices about itself
    "notify": Form("a notice and nothing else", "KIND", (_one_of(tuple(NOTICES), "notice"),)),
    "kicked-out": Form("another login took the quotes: no pushes, no answers about quotes", lasts=True),
    "quote-link-lost": Form(
        "OpenD lost its own servers; a notice when it is back, and a refill of 50 ticks", lasts=True
    ),
    "quote-right": Form("the account's right to Hong Kong quotes", "RIGHT", (_one_of(RIGHTS, "right"),), lasts=True),
    "program": Form("OpenD waits for its operator", "STATE", (_one_of(PROGRAMS, "program state"),), lasts=True),
    "not-logged-in": Form("not logged in to the quote servers, without a notice", lasts=True),
    "clock": Form("OpenD's time is wrong", "SHIFT", (_shift,), lasts=True),
    "market-state": Form(
        "the market's state differs from the timetable; it trades only in a trading state",
        "STATE",
        (_one_of(tuple(MARKET_STATES), "market state"),),
        lasts=True,
    ),
    # ticks
    "pause": Form("the exchange makes no ticks", lasts=True),
    "burst": Form("this many ticks at once", "NUMBER", (_number,)),
    "duplicate": Form("the latest ticks of each symbol are pushed again", "NUMBER", (_number,)),
    "out-of-order": Form("this many ticks at once, the last one first", "NUMBER", (_number,)),
    "late": Form("ticks of the previous day", "NUMBER", (_number,)),
    "late-report": Form(
        "a trade of each symbol, whose time is TIME before the second in its sequence",
        "SYMBOLS|all TIME",
        (_symbols_or_all, _time),
    ),
    "wrong-date": Form(
        "a trade of each symbol, dated DAYS off, with its sequence in order",
        "SYMBOLS|all DAYS",
        (_symbols_or_all, _days),
    ),
    "restart-sequence": Form(
        "counters of these symbols restart at 1 with the next second", "SYMBOLS|all", (_symbols_or_all,)
    ),
    "bad-ticks": Form(f"one tick of each kind: {', '.join(ODD_KINDS)}", "KIND,KIND…", (_kinds,)),
    "end": Form("ends a step that lasts", "NAME|all", ()),  # its argument is checked against this table
}


def parse_step(text: str) -> Step:
    """A step without a time, as the control socket takes it; UsageError if it is invalid."""
    try:
        return _step(text.split())
    except _WrongError as wrong:
        raise UsageError(str(wrong)) from None


def parse_scenario(text: str, name: str) -> list[Line]:
    """The lines of a scenario; UsageError with `name:number` of the first bad line."""
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            lines.append(_line(words))
        except _WrongError as wrong:
            raise UsageError(f"{name}:{number}: {wrong}") from None
    return lines


def moments(lines: Sequence[Line]) -> Iterator[Moment]:
    """The steps with their times, in order; endless if a line repeats for ever. The same lines give the same times."""
    heap: list[tuple[float, int, Step]] = []
    sources = [_moments_of(line) for line in lines]
    for place, source in enumerate(sources):
        _push_next(heap, place, source)
    while heap:
        at_s, place, step = heapq.heappop(heap)
        yield Moment(at_s, step)
        _push_next(heap, place, sources[place])


def _push_next(heap: list[tuple[float, int, Step]], place: int, source: Iterator[Moment]) -> None:
    for at_s, step in source:
        heapq.heappush(heap, (at_s, place, step))
        return


def _moments_of(line: Line) -> Iterator[Moment]:
    rng = random.Random(line.seed)
    at_s = line.at_s
    while at_s <= line.until_s:
        yield Moment(at_s, line.steps[0] if line.seed is None else rng.choice(line.steps))
        if line.every_s is None:
            return
        at_s += line.every_s if line.seed is None else line.every_s * rng.uniform(0.5, 1.5)


def _line(words: list[str]) -> Line:
    at_s = _prefix(words, "at")
    every_s = _prefix(words, "every")
    until_s = None if every_s is None else _prefix(words, "until")
    if every_s is None and at_s is None:
        raise _WrongError("a line begins with at TIME or every TIME")
    if every_s is not None and every_s <= 0:
        raise _WrongError("every needs a time above 0")
    begin_s = at_s if at_s is not None else every_s or 0.0
    end_s = float("inf") if until_s is None else until_s
    if words[:1] != ["random"]:
        return Line((_step(words),), begin_s, every_s, end_s)
    if every_s is None or words[1:2] != ["seed"] or words[3:4] != ["from"]:
        raise _WrongError("write every TIME random seed NUMBER from STEP | STEP")
    seed = _number(words[2])
    steps = [_step(part.split()) for part in " ".join(words[4:]).split("|")]
    return Line(tuple(steps), begin_s, every_s, end_s, seed)


def _prefix(words: list[str], name: str) -> float | None:
    """Removes `name TIME` from the front, if it is there."""
    if words[:1] != [name]:
        return None
    if len(words) < 2:
        raise _WrongError(f"{name} needs a time")
    value = _time(words[1])
    del words[:2]
    return value


def _step(words: list[str]) -> Step:
    if not words:
        raise _WrongError("a step is missing")
    name, *rest = words
    form = STEPS.get(name)
    if form is None:
        near = difflib.get_close_matches(name, STEPS, n=1)
        raise _WrongError(
            f"there is no step {name!r}, {f'did you mean {near[0]}?' if near else f'allowed are {_names()}'}"
        )
    if name == "end":
        return _end(rest)
    for_s = None
    if len(rest) >= 2 and rest[-2] == "for":
        if not form.lasts:
            raise _WrongError(f"{name} happens at once and cannot last")
        for_s = _time(rest[-1])
        rest = rest[:-2]
    if not len(form.reads) - form.optional <= len(rest) <= len(form.reads):
        raise _WrongError(f"write {name} {form.words}".rstrip() + (" [for TIME]" if form.lasts else ""))
    arguments = tuple(read(word) for read, word in zip(form.reads, rest, strict=False))
    return Step(name, arguments, for_s, " ".join(words))


def _end(rest: list[str]) -> Step:
    lasting = [name for name, form in STEPS.items() if form.lasts]
    if len(rest) != 1 or rest[0] not in (ALL, *lasting):
        raise _WrongError(f"write end NAME, with one of {', '.join((ALL, *lasting))}")
    return Step("end", (rest[0],), None, f"end {rest[0]}")


def _names() -> str:
    return ", ".join(STEPS)
