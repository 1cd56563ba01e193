"""Row 23: a whole simulated trading day at speed, with faults of the table at random, and at the end one verdict.

    .venv/bin/python tests/reliability/soak.py --minutes 10 [--seed N]

One market, seven collectors. One of them runs during all faults of OpenD and of its own disk; its memory and
descriptors are measured. Three are killed at random moments, about once a second, and start again each time; sometimes
their day file is damaged in between: ticks that were acknowledged only there are counted, and are no failure. Three
more have the faults of rows 6 and 7 at full length (see `lengths`), from five minutes on; a reader is held for 95 % of
the soak, so that `--minutes 70` holds it for more than an hour.

With `--big-day` page and `top` are tried over a live day of 12 million ticks, see `big_day`.

With `--hostile` it is another soak, see `chaos`: hostile models of the sequence, hostile answers of GetTicker.

The seed decides everything except the exact times, which depend on the scheduler. Prints each fault, a line of figures
every ten seconds, and the verdict. Exit code 0 if it is OK.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.descriptors import count_beside_data, resident_kib
from tests.faults.faulty_disk import Fault
from tests.nursery import Nursery
from tests.reliability.damage import Vandal
from tests.reliability.killer import Killer
from tests.reliability.lengths import CUT_SETTINGS, foreign_lock, lasting_reader, slow_syncs
from tests.reliability.trial import Market, Trial

from hk_tick_collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DAY: Final = "20261118"
OPENS_AT: Final = "09:29"
DAY_S: Final = 6.75 * 3600  # to the end of the closing auction
SYMBOLS: Final = 60
RATE: Final = 1200.0
REPORT_S: Final = 10.0
KILLERS: Final = 3
COMMIT_S: Final = 10.0  # so long a loaded machine may need from the start to the first commit
KILL_ANYWAY_S: Final = 1.5  # while nobody trades there is no commit to wait for
FULL_FROM_S: Final = 300.0  # only a long soak has time for the full lengths, and to notice a half-open connection
OVERTIME_SHARE: Final = 0.2  # of the soak, to hear the close: an OpenD that is killed goes on where it ended
READER_SHARE: Final = 0.95  # of the soak; the market still trades then, so that the WAL is begun anew
RESUME_EVERY_S: Final = 45.0  # OpenD is killed: reading its truth again takes a while
CALM_S: Final = 3.0
MEMORY_GROWTH_KIB: Final = 64 * 1024
DESCRIPTOR_GROWTH: Final = 3

LINK_STEPS: Final = (
    "cut",
    "cut-mid-frame",
    "cut-mid-burst",
    "cut-during-backfill",
    "away for 1s",
    "away for 2500ms",
    "mute for 2s",
    "trickle 4000 for 2s",
)
OPEND_STEPS: Final = (
    "garbage 400",
    "bad-magic",
    "bad-sha1",
    "huge-length",
    "json-body",
    "truncated-protobuf",
    "unknown-ids",
    "no-reply GetTicker 2",
    "fail-reply GetTicker 5",
    "fail-reply Sub 1",
    "slow-reply any 300ms 20",
    "kicked-out for 2s",
    "quote-link-lost for 2s",
    "quote-right none for 1500ms",
    "program needs_sms_code for 2s",
    "not-logged-in for 2s",
    "lose-subscriptions HK.00700",
    "stop-pushes HK.00005,HK.00700 for 2s",
    "no-first-push for 3s",
    "clock +3600s for 3s",
    "market-state rest for 2s",
)
TICK_STEPS: Final = (
    "burst 2000",
    "duplicate 50",
    "out-of-order 300",
    "bad-ticks nan,infinite,bad-time,negative,zero-volume,odd-time,unknown-type",
)
DISK_FAULTS: Final[dict[str, tuple[Fault, float]]] = {  # and for how long
    "no space": (Fault(operations=("write", "truncate"), error="ENOSPC"), 2.0),
    "read-only": (Fault(operations=("open", "write"), files=("db",), error="EROFS"), 1.5),
    "a write fails": (Fault(error="EIO", times=2), 0.5),
    "a sync fails": (Fault(operations=("sync",), error="EIO", times=2), 0.5),
    "one in twenty fails": (Fault(operations=("write", "sync", "truncate", "read"), error="EIO", chance=0.05), 2.0),
    "slow syncs": (Fault(operations=("sync",), delay_s=0.7), 3.0),
    "blocked": (Fault(operations=("write", "sync"), delay_s=math.inf), 2.5),
}
SETTINGS: Final = {
    "SQLITE_WAL_AUTOCHECKPOINT": "200",
    "SQLITE_BUSY_TIMEOUT_MS": "100",
    "HEALTH_INTERVAL_SEC": "10",
}
SMALL_MEMORY: Final = {"MAX_QUEUE_ROWS": "2500"}  # so that the steady one's spool is used too


@dataclass(slots=True)
class Figures:
    """The figures of a soak."""

    seed: int
    seconds: float = 0.0
    closed: bool = False  # the day came to its end
    ticks: int = 0
    kills: int = 0
    disconnects: int = 0
    opend_kills: int = 0
    stops: int = 0
    faults: int = 0
    lost: int = 0  # neither stored nor known to be missing
    gone: int = 0  # known to be missing, over all collectors
    acked: int = 0  # committed before a kill, and looked for afterwards
    damages: int = 0  # of day files, by hand
    set_aside: int = 0  # files that are kept for it
    damaged_acked: int = 0  # acked in a file that was damaged afterwards
    damaged_lost: int = 0  # of those: in no file now, and inside a recorded gap
    memory_kib: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """All of it, for the record."""
        memory, descriptors = self.memory_kib or [0], self.descriptors or [0]
        return (
            f"soak: seed={self.seed} seconds={self.seconds:.0f} closed={self.closed} ticks={self.ticks}"
            f" kills={self.kills} opend_kills={self.opend_kills} stops={self.stops} disconnects={self.disconnects}"
            f" faults={self.faults}"
            f" acked={self.acked} lost={self.lost} open_in_gaps={self.gone} damages={self.damages}"
            f" set_aside={self.set_aside} damaged_acked={self.damaged_acked} damaged_lost={self.damaged_lost}"
            f" memory_mib_start={memory[0] / 1024:.0f} memory_mib_end={memory[-1] / 1024:.0f}"
            f" memory_mib_max={max(memory) / 1024:.0f} descriptors_start={descriptors[0]}"
            f" descriptors_end={descriptors[-1]} descriptors_max={max(descriptors)}"
        )


class Soak:
    """One soak in a directory, for this many seconds."""

    def __init__(self, directory: Path, nursery: Nursery, seconds: float, seed: int) -> None:
        self.figures = Figures(seed)
        self._seconds = seconds
        self._rng = random.Random(seed)
        speed = max(1.0, DAY_S / seconds)
        clock = ("--day", DAY, "--at", OPENS_AT, "--speed", f"{speed:.3f}", "--seed", str(seed))
        self._market = Market(nursery, directory, *clock, "--wait", symbols=str(SYMBOLS), rate=RATE)
        self._steady = Trial(nursery, directory, self._market, "steady")
        self._killed = [Trial(nursery, directory, self._market, f"killed-{number}") for number in range(KILLERS)]
        self._vandals = [
            Vandal(trial, DAY, random.Random(seed + 100 + number), self._say)
            for number, trial in enumerate(self._killed, 1)
        ]
        self._killers = [
            Killer(trial, random.Random(seed + number), vandal, **SETTINGS)
            for number, (trial, vandal) in enumerate(zip(self._killed, self._vandals, strict=True), 1)
        ]
        self._full = seconds >= FULL_FROM_S
        self._slow = Trial(nursery, directory, self._market, "slow-syncs")
        self._locked = Trial(nursery, directory, self._market, "locked")
        self._read = Trial(nursery, directory, self._market, "read")
        self._beside = (self._slow, self._locked, self._read)
        self._started_s = time.monotonic()
        self._done = threading.Event()
        self._say_at_s = 0.0
        self._told: list[str] = []  # of the rows that were led at full length

    def run(self) -> Figures:
        """Faults, then calm, then the verdict."""
        self._steady.run_on_faulty_disk(**SETTINGS, **SMALL_MEMORY)
        settings = {} if self._full else CUT_SETTINGS
        self._slow.run_on_faulty_disk(**settings)
        self._locked.run(**settings)
        self._read.run(**settings)
        for trial in (self._steady, *self._beside):
            trial.wait_stored(1000)
        self._started_s = time.monotonic()
        self._measure()
        threads = [threading.Thread(target=self._kill, args=(killer,), name="kills") for killer in self._killers]
        until_s = self._started_s + self._seconds * READER_SHARE
        threads += [
            threading.Thread(target=self._lead, args=each, name=each[0])
            for each in (
                ("row 6", partial(slow_syncs, self._slow, full=self._full)),
                ("row 7", partial(foreign_lock, self._locked, full=self._full)),
                ("row 7", partial(lasting_reader, self._read, full=self._full, until_s=until_s)),
            )
        ]
        for thread in threads:
            thread.start()
        try:
            self._injure()
        finally:
            self._done.set()
            for thread in threads:
                thread.join()
        self._conclude()
        return self.figures

    def close(self) -> None:
        """Leaves no process behind."""
        for trial in (self._steady, *self._killed, *self._beside):
            trial.close()
        self._market.close()

    # --- what goes wrong ---

    def _injure(self) -> None:
        deadline_s, resume_s = self._started_s + self._seconds, self._started_s + RESUME_EVERY_S / 2
        kinds: tuple[tuple[Callable[[], None], int], ...] = (
            (self._link_fault, 3),
            (self._opend_fault, 4),
            (self._tick_fault, 2),
            (self._disk_fault, 4),
            (self._lock, 1),
        )
        planned = [(0.3, self._stop)] + ([(0.6, self._half_open)] if self._seconds >= FULL_FROM_S else [])
        last_s = deadline_s + OVERTIME_SHARE * self._seconds
        while (now_s := time.monotonic()) < deadline_s or (now_s < last_s and not self._day_is_over()):
            if planned and time.monotonic() >= self._started_s + planned[0][0] * self._seconds:
                planned.pop(0)[1]()
            if time.monotonic() >= resume_s and self._trades():
                resume_s = time.monotonic() + RESUME_EVERY_S
                self._kill_opend()
            act = self._rng.choices([act for act, _ in kinds], [weight for _, weight in kinds])[0]
            act()
            self._wait(self._rng.uniform(0.1, 1.2))

    def _trades(self) -> bool:
        """Whether the exchange makes ticks; one that is resumed at lunch would start that again."""
        status = self._steady.status()
        return status is not None and status.trading

    def _day_is_over(self) -> bool:
        status = self._steady.status()
        self.figures.closed = self.figures.closed or (status is not None and status.market_state == "closed")
        return self.figures.closed

    def _step(self, step: str) -> None:
        refused = self._market.try_step(step)
        if refused:
            self._say(f"impossible now: {step} ({refused})")
            return
        self._note(step)
        if " for " in step:
            amount = step.rsplit(" ", 1)[1]
            self._wait(float(amount[:-2]) / 1000 if amount.endswith("ms") else float(amount[:-1]))

    def _link_fault(self) -> None:
        self._step(self._rng.choice(LINK_STEPS))

    def _half_open(self) -> None:
        self._step("half-open")

    def _opend_fault(self) -> None:
        self._step(self._rng.choice(OPEND_STEPS))

    def _tick_fault(self) -> None:
        self._step(self._rng.choice(TICK_STEPS))

    def _disk_fault(self) -> None:
        name = self._rng.choice(tuple(DISK_FAULTS))
        fault, lasts_s = DISK_FAULTS[name]
        self._note(f"disk: {name} for {lasts_s} s")
        self._steady.collector.inject(fault)
        self._wait(lasts_s)
        self._steady.collector.lift()

    def _lock(self) -> None:
        self._note("disk: another program's lock for 1.5 s")
        with self._steady.locked():
            self._wait(1.5)

    def _stop(self) -> None:
        """SIGTERM in the middle of it all; memory is that of the life that begins then, and lasts to the end."""
        self._note("SIGTERM and a new start")
        self.figures.stops += 1
        self._count_disconnects()
        last = self._steady.stop()
        if last["lost_rows"] != "0":
            self.figures.failures.append(f"lost at a stop: {last}")
        self._steady.run_on_faulty_disk(**SETTINGS, **SMALL_MEMORY)
        self.figures.memory_kib.clear()
        self.figures.descriptors.clear()
        self._steady.live(connected=True)
        self._measure()

    def _kill_opend(self) -> None:
        self._note("OpenD is killed and comes back")
        self.figures.opend_kills += 1
        self._market.kill()
        self._wait(0.5)
        self._market.resume()

    def _kill(self, killer: Killer) -> None:
        while not self._done.is_set():
            try:
                killer.cycle(COMMIT_S if self._trades() else KILL_ANYWAY_S, patient=False)
            except Exception as error:  # noqa: BLE001 - a thread's boundary: the soak fails with it
                if not self._done.is_set():
                    self.figures.failures.append(f"a killed collector: {error!r}")
                return

    def _lead(self, row: str, length: Callable[[], str]) -> None:
        try:
            words = length()
        except Exception as error:  # noqa: BLE001 - a thread's boundary: the soak fails with it
            words = f"FAILED: {error}"
            self.figures.failures.append(f"{row}: {error}")
        self._say(f"{row}: {words}")
        self._told.append(f"{row}: {words.splitlines()[0]}")

    # --- what is told ---

    def _wait(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._expect_alive()
            if time.monotonic() >= self._say_at_s:
                self._say_at_s = time.monotonic() + REPORT_S
                self._measure()
                self._say(self._progress())
            time.sleep(min(0.05, max(0.0, until_s - time.monotonic())))

    def _expect_alive(self) -> None:
        if not self._steady.collector.alive:
            raise AssertionError(f"the steady collector has ended:\n{self._steady.tail()}")

    def _measure(self) -> None:
        self._expect_alive()
        pid = self._steady.collector.pid
        self.figures.descriptors.append(count_beside_data(pid))
        self.figures.memory_kib.append(resident_kib(pid))

    def _progress(self) -> str:
        figures, status = self.figures, self._steady.status()
        known = (
            f"stored={status.stored} waiting={status.waiting} gaps_open={status.gaps_open}" if status else "starting"
        )
        return (
            f"made={self._market.made()} kills={self._kills()} faults={figures.faults} {known}"
            f" memory_mib={figures.memory_kib[-1] / 1024:.0f} descriptors={figures.descriptors[-1]}"
        )

    def _kills(self) -> int:
        return sum(killer.kills for killer in self._killers)

    def _note(self, fault: str) -> None:
        self.figures.faults += 1
        self._say(fault)

    def _say(self, words: str) -> None:
        print(f"{time.monotonic() - self._started_s:7.1f} s  {words}", flush=True)

    def _count_disconnects(self) -> None:
        self.figures.disconnects += len(self._steady.collector.events("futu_disconnected"))

    # --- the end ---

    def _conclude(self) -> None:
        figures = self.figures
        self._say("calm: no more faults, gaps are backfilled")
        self._steady.collector.lift()
        self._market.tell("end all")
        for trial in self._killed:
            trial.run(**SETTINGS)
        time.sleep(CALM_S)  # half-open connections apart, everybody is back by then
        for trial in (self._steady, *self._killed, *self._beside):
            trial.settle(cap_s=120)
        self._measure()
        figures.seconds = time.monotonic() - self._started_s
        figures.ticks, figures.kills = self._market.made(), self._kills()
        figures.acked = sum(killer.acked_count for killer in self._killers)
        self._count_disconnects()
        for trial, killer in zip(self._killed, self._killers, strict=True):
            self._judge(trial, killer.acked())
        for trial in (self._steady, *self._beside):
            self._judge(trial, ())
        for vandal in self._vandals:
            self._judge_damage(vandal)
        self._judge_growth()
        print("\n".join(self._told))

    def _judge(self, trial: Trial, acked: Iterable[tuple[str, int]]) -> None:
        figures, name = self.figures, trial.data_root.name
        print(f"{name}: ", end="")
        try:
            last = trial.stop()
        except AssertionError as error:
            last = {}
            figures.failures.append(f"{name}: {error or 'no even account at its end, or a traceback in its log'}")
        verdict = trial.verdict(acked, ok=False)
        figures.gone += sum(day.in_gaps for day in verdict.days)
        if not verdict.ok:
            figures.failures.append(f"{name}: {verdict.line()}")
            reasons = ("missing_outside_gaps", "acked_lost")
            figures.lost += sum(verdict.findings[reason].count for reason in reasons if reason in verdict.findings)
        if last and last["left_rows"] != "0":
            figures.failures.append(f"{name}: left at the end: {last}")
        if any("Traceback" in collector.output for collector in trial.collectors):
            figures.failures.append(f"{name}: a traceback in a log")

    def _judge_damage(self, vandal: Vandal) -> None:
        figures = self.figures
        kept, gone = vandal.kept()
        figures.damages += vandal.count
        figures.faults += vandal.count
        figures.set_aside += kept
        figures.damaged_acked += vandal.acked_count
        figures.damaged_lost += vandal.lost()
        if gone:
            figures.failures.append(f"set aside, and there no longer: {gone}")

    def _judge_growth(self) -> None:
        figures = self.figures
        early = max(figures.memory_kib[: max(2, len(figures.memory_kib) // 4)])
        if figures.memory_kib[-1] > early + MEMORY_GROWTH_KIB:
            figures.failures.append(f"memory grew from {early} to {figures.memory_kib[-1]} KiB")
        if figures.descriptors[-1] > figures.descriptors[0] + DESCRIPTOR_GROWTH:
            figures.failures.append(f"descriptors grew: {figures.descriptors}")


def main(arguments: list[str] | None = None) -> int:
    """Runs a soak and prints what it came to; with `--hostile`, `--cluster` or `--big-day` another one."""
    if "--hostile" in (sys.argv[1:] if arguments is None else arguments):
        from tests.reliability import chaos

        return chaos.main(arguments)
    if "--cluster" in (sys.argv[1:] if arguments is None else arguments):
        from tests.cluster import soak as cluster

        return cluster.main(
            [each for each in (sys.argv[1:] if arguments is None else arguments) if each != "--cluster"]
        )
    if "--big-day" in (sys.argv[1:] if arguments is None else arguments):
        from tests.reliability import big_day

        return big_day.main()
    parser = argparse.ArgumentParser(description="A day of faults, and the verdict.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--keep", type=Path, help="leave everything in this directory")
    parser.add_argument("--cluster", action="store_true", help="instead: several hosts; --cluster --help")
    parser.add_argument(
        "--hostile", action="store_true", help="instead: hostile sequences and answers, many seeds; --hostile --help"
    )
    parser.add_argument("--big-day", action="store_true", help="instead: page and `top` over 12 million live ticks")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        if options.keep:
            directory = options.keep.absolute()
            directory.mkdir(parents=True)
        else:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        (directory / ".env").touch()
        figures = soak(directory, options.minutes * 60, options.seed)
    return 1 if figures.failures else 0


def soak(directory: Path, seconds: float, seed: int) -> Figures:
    """One soak; prints its seed first and its figures last."""
    print(f"soak: seed={seed}, {seconds:.0f} s in {directory}", flush=True)
    nursery = Nursery()
    try:
        one = Soak(directory, nursery, seconds, seed)
        try:
            figures = one.run()
        finally:
            one.close()
    finally:
        nursery.close()
    print(figures.line())
    for failure in figures.failures:
        print(f"FAILED: {failure}")
    words = "FAILED" if figures.failures else "ok: nothing lost, memory and descriptors flat"
    print(f'soak verdict: {words} (again: make soak ARGS="--minutes {seconds / 60:g} --seed {seed}")')
    return figures


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except CollectorError as error:
        raise SystemExit(error.one_line()) from None
