"""Rows 24 to 27 and 31: hostile sequences, hostile answers of GetTicker, and faults of every other kind at random.

    .venv/bin/python tests/reliability/chaos.py --seeds 100 --seconds 30        (make soak ARGS="--hostile --seeds 100")

Each seed is one simulated OpenD, whose symbols have different models of the sequence, and one collector. There are
faults for this many seconds; then none for a while; then the verdict: every tick of the truth is stored, in an open
gap, or was rejected with a log line; nothing else is stored; the size of each gap is exact; and all ticks of OpenD's
window at the end are stored. One line a seed. A seed that fails keeps its directory, and can be run again alone.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.log_lines import events_in
from tests.nursery import Nursery
from tests.reliability.conftest import beginning

from hk_tick_collector.model import CAUSE_REJECTED, GAP_OPEN
from hk_tick_collector.simulator.exchange.listing import default_symbols
from hk_tick_collector.simulator.exchange.sequences import COUNTER, MODELS
from hk_tick_collector.simulator.truth.truth import read_truth
from hk_tick_collector.simulator.truth.verdict import covers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.reliability.conftest import Begin
    from tests.reliability.trial import Trial

    from hk_tick_collector.model import Gap
    from hk_tick_collector.simulator.truth.verdict import Verdict

SYMBOLS: Final = 40  # by Zipf's law: the busiest has about a quarter of all ticks, the last one or two a second
RATES: Final = (200.0, 300.0, 450.0)
WINDOWS: Final = (1000, 1000, 400, 150)  # how many ticks of a symbol OpenD keeps
CALM_S: Final = 18.0
SETTLE_S: Final = 180.0  # at most, while the market pauses: what the window holds then cannot go
FALSE_GAPS_S: Final = 90.0  # at most, until false gaps are closed: on a loaded machine that takes longer
SIDE_BY_SIDE: Final = 3
SIDE_QUESTIONS: Final = ("GetSubInfo", "GetGlobalState", "RequestTradeDate", "GetSecuritySnapshot", "GetBasicQot")
RESTARTABLE: Final = frozenset({COUNTER, "steps", "jumps", "restarts", "shared"})
_EXAMPLES: Final = 3


@dataclass(frozen=True, slots=True)
class Chaos:
    """The faults: for this many seconds, then calm for this many; `model` for all symbols, or mixed models."""

    seconds: float = 30.0
    calm_s: float = CALM_S
    model: str = ""
    hostile: bool = True  # answers, side questions, outliers and restarts of counters too
    without: tuple[str, ...] = ()  # steps whose text begins so are left out


@dataclass(slots=True)
class Outcome:
    """The result of one seed."""

    seed: int
    ticks: int = 0
    missing: int = 0
    in_gaps: int = 0
    rejected: int = 0
    gaps_open: int = 0
    gaps_unknown: int = 0
    vague: int = 0  # stored ticks inside open gaps of unknown size: what such gaps claim beyond what is missing
    faults: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """All of it, the verdict last."""
        words = f"FAILED {'; '.join(self.failures)}" if self.failures else "ok"
        return (
            f"seed={self.seed} ticks={self.ticks} missing={self.missing} in_gaps={self.in_gaps}"
            f" rejected={self.rejected} gaps_open={self.gaps_open} gaps_unknown={self.gaps_unknown}"
            f" vague={self.vague}"
            f" faults={self.faults} seconds={self.seconds:.0f} {words}"
        )


def run_seed(begin: Begin, seed: int, chaos: Chaos) -> Outcome:
    """One seed from its start to its verdict. Everything comes from the seed but the moments of the scheduler."""
    one = _Seed(begin, seed, chaos)
    try:
        one.run()
    except Exception as error:  # noqa: BLE001 - the boundary of a seed: it fails, the others go on
        one.outcome.failures.append(f"{type(error).__name__}: {str(error)[:2000]}")
    finally:
        one.close()
    return one.outcome


class _Seed:
    """One simulated OpenD, one collector, and what is done to them."""

    def __init__(self, begin: Begin, seed: int, chaos: Chaos) -> None:
        self.outcome = Outcome(seed)
        self._chaos = chaos
        self._rng = rng = random.Random(seed)
        self._symbols = default_symbols(SYMBOLS)
        hostile = [model for model in MODELS if model != COUNTER]
        self._models = {
            symbol: chaos.model or (COUNTER if rng.random() < 0.3 else rng.choice(hostile)) for symbol in self._symbols
        }
        self._window = rng.choice(WINDOWS)
        sequence = ",".join(f"{symbol}={model}" for symbol, model in self._models.items())
        arguments = ("--sequence", sequence, "--seed", str(seed), "--wait")
        self._trial: Trial = begin(*arguments, symbols=",".join(self._symbols), rate=rng.choice(RATES))
        self._log = (self._trial.directory / "faults.log").open("w", buffering=1)
        self._started_s = time.monotonic()

    def run(self) -> None:
        trial, outcome = self._trial, self.outcome
        for symbol, model in self._models.items():
            self._log.write(f"{symbol} {model}\n")
        self._step(f"window {self._window}", fault=False)
        trial.run()
        trial.wait_stored(1)
        self._started_s = time.monotonic()
        kinds = self._kinds()
        while time.monotonic() < self._started_s + self._chaos.seconds:
            self._rng.choices([act for act, _ in kinds], [weight for _, weight in kinds])[0]()
            self._wait(self._rng.uniform(0.2, 2.0))
        self._calm()
        outcome.seconds = time.monotonic() - self._started_s
        self._judge()

    def close(self) -> None:
        """Ends the record of faults; the owner of the trial ends its processes."""
        self._log.close()

    # --- what goes wrong ---

    def _kinds(self) -> list[tuple[Callable[[], None], int]]:
        kinds: list[tuple[Callable[[], None], int]] = [
            (self._cut, 3),
            (self._away, 2),
            (self._kill_opend, 2),
            (self._stop_pushes, 3),
            (self._ticks, 3),
            (self._restart_collector, 3),
        ]
        if self._chaos.hostile:
            kinds += [
                (self._hostile_answer, 8),
                (self._side_question, 3),
                (self._outlier, 4),
                (self._restart_counters, 2),
            ]
        return kinds

    def _cut(self) -> None:
        self._step(self._rng.choice(("cut", "cut-mid-frame", "cut-mid-burst", "cut-during-backfill")))

    def _away(self) -> None:
        self._step(f"away for {self._ms(1000, 8000)}")

    def _kill_opend(self) -> None:
        self._say("OpenD is killed and started again")
        self.outcome.faults += 1
        self._trial.market.kill()
        time.sleep(self._rng.uniform(0.2, 2.0))
        self._trial.market.resume()
        self._step(f"window {self._window}", fault=False)

    def _stop_pushes(self) -> None:
        if self._rng.random() < 0.2:
            self._step(f"lose-subscriptions {self._some()}")
        elif self._rng.random() < 0.3 and self._chaos.hostile:
            self._step(f"stop-pushes {self._some()}")  # until it is subscribed again, or the calm
        else:
            self._step(f"stop-pushes {self._some()} for {self._ms(2000, 8000)}")

    def _ticks(self) -> None:
        steps = [f"duplicate {self._rng.randint(1, 60)}", f"out-of-order {self._rng.randint(5, 300)}", "burst 1500"]
        if self._chaos.hostile:
            steps.append("bad-ticks nan,negative,bad-time,zero-volume,infinite,odd-time,unknown-type")
        self._step(self._rng.choice(steps))

    def _restart_collector(self) -> None:
        self.outcome.faults += 1
        if self._rng.random() < 0.5:
            self._say("SIGTERM and a new start")
            last = self._trial.stop()
            if last["lost_rows"] != "0":
                self.outcome.failures.append(f"lost at a stop: {last}")
        else:
            self._say("SIGKILL and a new start")
            self._trial.collector.kill()
        time.sleep(self._rng.uniform(0.0, 1.5))
        self._trial.run()

    def _hostile_answer(self) -> None:
        whom = "all" if self._rng.random() < 0.4 else self._some()
        step = self._rng.choice(
            (
                f"ticker-partial {whom} {self._rng.choice((1, 3, 20, 100))}",
                f"ticker-sample {whom}",
                f"ticker-without-latest {whom} {self._rng.choice(('500ms', '2s', '5s'))}",
                f"ticker-unordered {whom}",
                f"ticker-doubled {whom}",
                f"ticker-empty {whom}",
                f"ticker-other-symbol {whom}",
                f"ticker-refused {whom}",
                f"ticker-never {whom}",
                f"ticker-late {whom} {self._rng.choice(('1s', '3s', '8s'))}",
            )
        )
        self._step(f"{step} for {self._ms(2000, 10_000)}")
        self._step(self._rng.choice(("cut", "cut", "away for 1s", f"stop-pushes {self._some()} for 2s")))

    def _side_question(self) -> None:
        message = self._rng.choice(SIDE_QUESTIONS)
        fault = self._rng.choice((f"fail-reply {message}", f"no-reply {message}", f"slow-reply {message} 14s"))
        self._step(f"{fault} for {self._ms(4000, 10_000)}")

    def _outlier(self) -> None:
        symbol = self._rng.choice(self._symbols)
        if self._rng.random() < 0.6:
            self._step(f"late-report {symbol} {self._rng.choice((5, 30, 300))}s")
        else:
            self._step(f"wrong-date {symbol} {self._rng.choice(('-1', '+1', '-3', '+400'))}")

    def _restart_counters(self) -> None:
        able = [symbol for symbol, model in self._models.items() if model in RESTARTABLE]
        if able:
            self._step(f"restart-sequence {self._rng.choice(able[:8])}")

    # --- the end ---

    def _calm(self) -> None:
        """Answers are correct, pushes come, OpenD runs: everything that is still available must be stored."""
        self._say("calm")
        self._step("end all", fault=False)
        self._step(f"window {self._window}", fault=False)
        self._wait(self._chaos.calm_s)
        self._step("pause", fault=False)
        until_s = time.monotonic() + SETTLE_S
        while time.monotonic() < until_s and not (self._is_quiet() and not self._not_stored()):
            self._wait(0.5)
        until_s += FALSE_GAPS_S
        while time.monotonic() < until_s and self._has_false_gaps():
            self._wait(0.5)

    def _is_quiet(self) -> bool:
        status = self._trial.status()
        return status is not None and status.connected and not (status.waiting or status.gaps_healing)

    def _not_stored(self) -> dict[str, list[int]]:
        """By symbol: the sequences in OpenD's window that are in no day file."""
        made: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for tick in read_truth(self._trial.market.truth_path):
            made[tick.symbol].append((tick.seq, tick.ts_ms))
        stored = self._stored_keys()
        rejected = set(self._rejected())
        missing: dict[str, list[int]] = {}
        for symbol, ticks in made.items():
            lost = [seq for seq, ts_ms in ticks[-self._window :] if (symbol, seq, ts_ms) not in stored]
            if lost := [seq for seq in lost if (symbol, seq) not in rejected]:
                missing[symbol] = lost
        return missing

    def _has_false_gaps(self) -> bool:
        """Whether a gap says that ticks are missing where none is. Two answers, ten seconds apart, contradict it."""
        stored, made = self._stored_keys(), list(read_truth(self._trial.market.truth_path))
        missing = [tick for tick in made if (tick.symbol, tick.seq, tick.ts_ms) not in stored]
        with ExitStack() as stack:
            sized = [
                gap
                for day in self._trial.stored.days(stack)
                for gap in day.gaps
                if gap.status == GAP_OPEN and gap.missing is not None and gap.cause != CAUSE_REJECTED
            ]
        return any(
            not any(tick.symbol == gap.symbol and covers(gap, tick.seq, tick.ts_ms) for tick in missing)
            for gap in sized
        )

    def _stored_keys(self) -> set[tuple[str, int, int]]:
        with ExitStack() as stack:
            days = self._trial.stored.days(stack)
            return {(tick.symbol, tick.seq, tick.ts_ms) for day in days for tick in day.ticks}

    def _vague(self) -> int:
        """The number of stored ticks in open gaps of unknown size; many would mean that such gaps hide errors."""
        count = 0
        with ExitStack() as stack:
            for day in self._trial.stored.days(stack):
                unknown: defaultdict[str, list[Gap]] = defaultdict(list)
                for gap in day.gaps:
                    if gap.status == GAP_OPEN and gap.missing is None:
                        unknown[gap.symbol].append(gap)
                for tick in day.ticks if unknown else ():
                    count += any(covers(gap, tick.seq, tick.ts_ms) for gap in unknown.get(tick.symbol, ()))
        return count

    def _rejected(self) -> list[tuple[str, int]]:
        """The ticks that the collectors logged as rejected: ticks of days that are over."""
        return [
            (event.fields["symbol"], int(event.fields["seq"]))
            for collector in self._trial.collectors
            for event in events_in(collector.output, "tick_rejected")
            if {"symbol", "seq"} <= event.fields.keys()
        ]

    def _judge(self) -> None:
        trial, outcome = self._trial, self.outcome
        if lost := self._not_stored():
            words = [f"{symbol} {len(seqs)} from {seqs[0]} [{self._models[symbol]}]" for symbol, seqs in lost.items()]
            number = sum(len(seqs) for seqs in lost.values())
            outcome.failures.append(f"window_not_stored={number} ({' | '.join(words[:_EXAMPLES])})")
        last = trial.stop()
        if last["left_rows"] != "0":
            outcome.failures.append(f"left at the end: {last}")
        verdict = trial.judge(rejected=self._rejected())
        outcome.ticks = trial.market.made()
        for day in verdict.days:
            outcome.missing += day.missing
            outcome.in_gaps += day.in_gaps
            outcome.rejected += day.rejected
            outcome.gaps_open += day.gaps_open
            outcome.gaps_unknown += day.gaps_unknown
        outcome.vague = self._vague()
        outcome.failures += self._reasons(verdict)
        if any("Traceback" in collector.output for collector in trial.collectors):
            outcome.failures.append("a traceback in a log")

    def _reasons(self, verdict: Verdict) -> list[str]:
        """Each finding with its first examples, and the models of their symbols."""
        reasons = []
        for reason, found in verdict.findings.items():
            examples = []
            for example in found.examples[:_EXAMPLES]:
                models = {model for symbol, model in self._models.items() if symbol in example}
                examples.append(f"{example} [{','.join(sorted(models))}]")
            reasons.append(f"{reason}={found.count} ({' | '.join(examples)})")
        return reasons

    # --- small things ---

    def _some(self) -> str:
        """A few symbols, the busy ones more often."""
        number = self._rng.choice((1, 2, 5))
        return ",".join(self._rng.sample(self._symbols[: self._rng.choice((5, SYMBOLS))], number))

    def _ms(self, least: int, most: int) -> str:
        return f"{self._rng.randint(least, most)}ms"

    def _step(self, step: str, *, fault: bool = True) -> None:
        if fault and step.startswith(self._chaos.without):
            return
        refused = self._trial.market.try_step(step)
        self.outcome.faults += fault and not refused
        self._say(f"{step}{f' (impossible now: {refused})' if refused else ''}")

    def _say(self, words: str) -> None:
        self._log.write(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self._started_s:6.1f} s  {words}\n")

    def _wait(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            assert self._trial.collector.alive, f"the collector has ended:\n{self._trial.tail()}"
            time.sleep(min(0.1, until_s - now_s))


def _again(options: argparse.Namespace, seed: int) -> str:
    """The command that runs one seed again."""
    words = ["--hostile", f"--seed {seed}", f"--seconds {options.seconds:g}", f"--calm {options.calm:g}"]
    words += [f"--{name} {value}" for name in ("sequence", "without") if (value := getattr(options, name))]
    return " ".join([*words, *(["--honest"] if options.honest else [])])


def main(arguments: list[str] | None = None) -> int:
    """Runs seeds side by side and prints a line of each."""
    parser = argparse.ArgumentParser(prog="chaos", description="Hostile sequences and answers, and the verdict.")
    parser.add_argument("--hostile", action="store_true", help="accepted for `make soak`, which tells this so")
    parser.add_argument("--seeds", type=int, default=100, help="how many, from 1 on")
    parser.add_argument("--seed", type=int, help="this one alone; its directory stays")
    parser.add_argument("--first", type=int, default=1, help="the first of the seeds")
    parser.add_argument("--seconds", type=float, default=30.0, help="of faults in each")
    parser.add_argument("--calm", type=float, default=CALM_S, help="seconds of calm at the end of each")
    parser.add_argument("--jobs", type=int, default=SIDE_BY_SIDE, help="seeds at a time")
    parser.add_argument("--sequence", default="", choices=["", *MODELS], help="this model for every symbol")
    parser.add_argument("--honest", action="store_true", help="no hostile answers, side questions, outliers, restarts")
    parser.add_argument("--without", default="", help="leave out steps that begin so: ticker-sample,wrong-date")
    parser.add_argument("--keep", type=Path, help="where the directories of failed seeds are; a new one when not told")
    options = parser.parse_args(arguments)
    without = tuple(filter(None, options.without.split(",")))
    chaos = Chaos(options.seconds, options.calm, options.sequence, not options.honest, without)
    root = options.keep.absolute() if options.keep else Path(tempfile.mkdtemp(prefix="chaos-"))
    root.mkdir(parents=True, exist_ok=True)
    seeds = [options.seed] if options.seed else list(range(options.first, options.first + options.seeds))
    nursery = Nursery()
    started_s = time.monotonic()

    def one(seed: int) -> Outcome:
        directory = root / f"seed-{seed}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        with beginning(nursery, directory) as begin:
            outcome = run_seed(begin, seed, chaos)
        if outcome.failures or options.seed:
            (directory / "outcome").write_text(outcome.line() + "\n")
        else:
            shutil.rmtree(directory)
        print(outcome.line(), flush=True)
        return outcome

    try:
        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = list(pool.map(one, seeds))
    finally:
        nursery.close()
    failed = [outcome.seed for outcome in outcomes if outcome.failures]
    print(
        f"chaos: seeds={len(outcomes)} failed={len(failed)} ticks={sum(each.ticks for each in outcomes)}"
        f" missing={sum(each.missing for each in outcomes)} in_gaps={sum(each.in_gaps for each in outcomes)}"
        f" rejected={sum(each.rejected for each in outcomes)} faults={sum(each.faults for each in outcomes)}"
        f" seconds={time.monotonic() - started_s:.0f}"
    )
    if failed:
        again = f'again: make soak ARGS="{_again(options, failed[0])}"'
        print(f"chaos verdict: FAILED seeds {failed}, see {root} ({again})")
        return 1
    if not options.keep and not options.seed:
        root.rmdir()
    print("chaos verdict: ok, nothing unaccounted for")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
