"""One trial: a simulated OpenD, a collector on a disk that can fail, faults for both, and the common verdict.

The processes are real, and so is what is done to them. What holds after every fault (faults.md) is in `finish`.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import apsw
from tests.descriptors import count_kept, resident_kib
from tests.e2e.conftest import PROGRAM, Collector, OpenD, pause_s

from hk_tick_collector.errors import CollectorError
from hk_tick_collector.model import GAP_OPEN
from hk_tick_collector.ops.findings.health import Finding, Limits, check
from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, read_status
from hk_tick_collector.simulator.control import tell
from hk_tick_collector.simulator.truth.truth import read_outliers, read_rejects, read_truth
from hk_tick_collector.simulator.truth.truth_arrays import Truth
from hk_tick_collector.simulator.truth.verdict import StoredDay, Verdict, judge
from hk_tick_collector.store.query import DayReader, list_days, path_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.faults.faulty_disk import Fault
    from tests.log_lines import Event
    from tests.nursery import Disk, Nursery

CAP_S: Final = 300.0  # no test asserts a time without need; this one only ends a test that would wait for ever
UNKNOWN_REST_MS: Final = 8_000  # nothing is stored for so long: what a gap of unknown size misses is gone
LIMITS: Final = Limits(drift_warn_s=2.0, lag_critical_s=300.0, disk_min_free_mb=0, queue_warn_rows=50_000)
_LINE_BYTES: Final = 1024  # more than two lines of a truth file
QUICK: Final = {"RECONNECT_MIN_DELAY": "0.02", "RECONNECT_MAX_DELAY": "0.2"}


def wait_until(condition: Callable[[], object], what: Callable[[], str] | str, cap_s: float = CAP_S) -> float:
    """Returns the duration when `condition()` is true; fails with `what` if that takes longer than the cap."""
    started_s = time.monotonic()
    while not condition():
        if time.monotonic() - started_s > cap_s:
            raise AssertionError(f"not within {cap_s:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(pause_s(time.monotonic() - started_s))
    return time.monotonic() - started_s


class FaultyCollector(Collector):
    """`run` in a process of its own, whose faults come and go while it collects, where its `disk` has any."""

    def __init__(
        self,
        nursery: Nursery,
        log_path: Path,
        environ: Mapping[str, str],
        data_root: Path,
        *,
        disk: Disk,
        powerless: bool = False,
    ) -> None:
        self._log_path = log_path
        self.data_root = data_root
        their_in, self._requests = os.pipe()
        self._answers, their_out = os.pipe()
        log_file = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        theirs = (their_in, their_out, log_file)
        forked = nursery.fork(["run"], log_path.parent, theirs, environ, disk=disk, powerless=powerless)
        for file in theirs:
            os.close(file)
        self._process = cast("subprocess.Popen[bytes]", forked)  # as much of one as Process uses
        self.pid = forked.pid

    def wait_for_long(self, name: str, count: int, cap_s: float) -> Event:
        """The `count`th line of an event, which may take longer than the cap of `wait_for`."""
        told = f" {name} "
        wait_until(lambda: self.output.count(told) >= count, lambda: f"{name} × {count} in\n{self.output}", cap_s)
        return self.events(name)[count - 1]

    def inject(self, fault: Fault) -> int:
        """Injects a fault into its disk; returns its number."""
        return int(self._ask("inject", {each.name: getattr(fault, each.name) for each in fields(fault) if each.init}))

    def hits(self, number: int) -> int:
        """The number of operations that a fault has hit."""
        return int(self._ask("hits", number))

    def lift(self, number: int | None = None) -> None:
        """Ends one fault, or all."""
        self._ask("lift", number)

    def cut_power(self, after: int, of: str, into: Path, seed: int) -> None:
        """The power of its forgetful disk goes after so many more changes of files whose names end with `of`.

        `into` is the directory that may be found then, as `seed` decides.
        """
        self._ask("cut", {"after": after, "of": of, "into": str(into), "seed": seed})

    def close(self) -> None:
        """Ends it, if it has not ended, and closes the pipes."""
        if self._requests >= 0:
            self.kill()
            os.close(self._requests)
            os.close(self._answers)
            self._requests = -1

    def resources(self) -> tuple[int, int]:
        """Descriptors that it keeps, and resident memory in KiB."""
        return count_kept(self.pid), resident_kib(self.pid)

    def _ask(self, request: str, value: Any) -> Any:
        os.write(self._requests, json.dumps({request: value}).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = os.read(self._answers, 4096)
            if not part:
                raise ConnectionError("the collector has ended")
            answer += part
        return json.loads(answer)


class ForkedOpenD(OpenD):
    """`simulate` in a process of its own."""

    def __init__(self, nursery: Nursery, log_path: Path, verb: list[str]) -> None:
        self._log_path = log_path
        log_path.touch()
        with Path(os.devnull).open() as nothing, log_path.open("ab") as log:
            forked = nursery.fork(verb, log_path.parent, (nothing.fileno(), log.fileno(), log.fileno()), {})
        self._process = cast("subprocess.Popen[bytes]", forked)
        self.pid = forked.pid


class Market:
    """A simulated OpenD with a truth file and a control socket, that can be killed and come back as the same one.

    A trial that may miss nothing gives it `--within-window`: on a loaded machine a collector may start so slowly that
    the busiest symbol makes more than 1,000 ticks meanwhile.
    """

    def __init__(
        self,
        nursery: Nursery,
        directory: Path,
        *args: str,
        symbols: str = "20",
        rate: float = 1000.0,
        environ: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self._nursery = nursery
        self._environ = environ
        self.truth_path = directory / "truth"
        self.control_path = directory / "control"
        self.symbols_path = directory / "symbols"
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]
        self._options = ["--port", str(self.port), "--control", str(self.control_path)]
        self._options += ["--symbols", symbols, "--rate", str(rate), *args]
        self._starts = 0
        self._begin("--truth", str(self.truth_path), "--write-symbols", str(self.symbols_path))

    @property
    def symbols(self) -> list[str]:
        """The symbols that it trades."""
        return self.symbols_path.read_text().split()

    def tell(self, step: str) -> dict[str, str]:
        """Has it perform a step of a scenario now; `stats` answers its figures."""
        return tell(self.control_path, step, CAP_S)

    def try_step(self, step: str) -> str:
        """The same; returns why it was impossible at this moment, empty when it was not."""
        try:
            self.tell(step)
        except (CollectorError, OSError) as error:
            return str(error) or type(error).__name__
        return ""

    def made(self) -> int:
        """The number of ticks made that can be stored."""
        return count_lines(self.truth_path)

    def newest_ms(self) -> int:
        """The time of the last tick that it has made; 0 before the first."""
        with self.truth_path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LINE_BYTES))
            lines = file.read().decode("ascii").split("\n")[1:-1]  # neither cut off in front nor still being written
        return int(lines[-1].split("\t")[2]) if lines else 0

    def kill(self) -> None:
        """SIGKILL: connections end, the port is closed."""
        self.process.kill()

    def resume(self) -> None:
        """The same exchange again, on its port, with other connection ids, as OpenD has been restarted."""
        self._begin("--resume", str(self.truth_path))

    def close(self) -> None:
        """Leaves no process behind."""
        self.process.kill()

    def _begin(self, *options: str) -> None:
        self._starts += 1
        log_path = self.directory / f"simulate-{self._starts}.log"
        verb = ["simulate", *self._options, *options]
        if self._environ is None:
            self.process: OpenD = ForkedOpenD(self._nursery, log_path, verb)
        else:  # what is preloaded, for example, needs a program of its own
            self.process = OpenD(log_path, [*PROGRAM, *verb], self._environ)
        self.process.truth_path = self.truth_path
        try:
            assert self.process.port == self.port
        except BaseException:
            self.process.kill()
            raise


def count_lines(path: Path) -> int:
    """The number of complete lines in a file."""
    with path.open("rb") as file:
        return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))


class Stored:
    """The day files of one DATA_ROOT, read from outside as anybody may."""

    def __init__(self, data_root: Path) -> None:
        self._root = data_root

    def accounted(self) -> int:
        """Ticks that are stored, and ticks that are known to be missing."""
        rows, missing, _ = self.account()
        return rows + missing

    def account(self) -> tuple[int, int, bool]:
        """Ticks stored, ticks known to be missing, and whether every open gap knows how many it misses."""
        rows = missing = 0
        is_known = True
        for reader in self._readers():
            totals = reader.totals()
            rows, missing = rows + totals.rows, missing + totals.missing
            if totals.gaps_open:
                is_known &= all(gap.missing is not None for gap in reader.gaps() if gap.status == GAP_OPEN)
        return rows, missing, is_known

    def rows(self) -> int:
        """Ticks that are stored."""
        return sum(reader.totals().rows for reader in self._readers())

    def gaps_open(self) -> int:
        """Gaps that are open."""
        return sum(reader.totals().gaps_open for reader in self._readers())

    def gaps(self, *causes: str) -> list[tuple[str, int | None, str]]:
        """Symbol, ticks missing and cause of each open gap, of these causes or of all."""
        return [
            (gap.symbol, gap.missing, gap.cause)
            for reader in self._readers()
            for gap in reader.gaps()
            if gap.status == GAP_OPEN and (not causes or gap.cause in causes)
        ]

    def ledger(self) -> dict[str, int]:
        """The sums of the ledger, over runs and days."""
        names = ("received", "stored", "duplicate", "rejected", "dropped", "waiting")
        runs = [run for reader in self._readers() for run in reader.ledger()]
        return {name: sum(getattr(run, name) for run in runs) for name in names}

    def new_keys(self, known: dict[str, list[int]]) -> int:
        """Adds to `known` what each symbol has beyond its last known sequence: committed, for anybody reads it."""
        count = 0
        for reader in self._readers():
            for symbol in reader.symbols():
                seqs = known.setdefault(symbol.symbol, [])
                if not seqs or symbol.max_seq > seqs[-1]:
                    fresh = list(reader.seqs(symbol.symbol, seqs[-1] + 1 if seqs else 0))
                    seqs += fresh
                    count += len(fresh)
        return count

    def days(self, stack: ExitStack, only: frozenset[str] | None = None) -> Iterator[StoredDay]:
        """The input of the checker for each file."""
        for day in list_days(self._root):
            if only is None or day in only:
                reader = stack.enter_context(DayReader(path_of(self._root, day)))
                stack.enter_context(reader.snapshot())
                yield StoredDay(
                    name=reader.meta().get("trading_day", day),
                    ticks=reader.ticks_by_key(),
                    gaps=reader.gaps(),
                    runs=reader.ledger(),
                    counts=reader.symbols(),
                    integrity=reader.integrity(),
                )

    def _readers(self) -> Iterator[DayReader]:
        for day in list_days(self._root):
            with DayReader(path_of(self._root, day)) as reader, reader.snapshot():
                yield reader


class Trial:
    """A market, one collector after the other on one DATA_ROOT, and what is to be said in the end."""

    def __init__(self, nursery: Nursery, directory: Path, market: Market, name: str = "HK") -> None:
        self.market = market
        self.directory = directory
        self.data_root = directory / name
        self.data_root.mkdir(exist_ok=True)
        self.stored = Stored(self.data_root)
        self.collectors: list[FaultyCollector] = []
        self.powerless = False  # whether those that are started from now on have none of root's capabilities
        self.runtime: Path | None = None  # systemd's directory for the live state; without one DATA_ROOT has it
        self.nursery = nursery
        self._name = name

    @property
    def collector(self) -> FaultyCollector:
        """The one that runs, or ran last."""
        return self.collectors[-1]

    def run(self, **settings: str) -> FaultyCollector:
        """Starts a collector with these settings."""
        return self._next(settings, "plain")

    def run_on_faulty_disk(self, **settings: str) -> FaultyCollector:
        """The same on a disk into which faults can be injected."""
        return self._next(settings, "faulty")

    def run_on_forgetful_disk(self, **settings: str) -> FaultyCollector:
        """The same on a disk whose power can be cut."""
        return self._next(settings, "forgetful")

    def another(self) -> FaultyCollector:
        """Starts one on the same DATA_ROOT while another runs; the caller closes it."""
        return self._start(len(self.collectors) + 1000, {}, "plain")

    def close(self) -> None:
        """Leaves no process behind."""
        for collector in self.collectors[-1:]:
            collector.close()

    def status(self) -> LiveStatus | None:
        """The live state of the running collector; None before the first."""
        status = read_status((self.runtime or self.data_root) / STATUS_NAME)
        return status if status and status.pid == self.collector.pid else None

    def breaks(self) -> int:
        """How often an established connection has ended, from the live state."""
        status = self.status()
        return status.link_breaks_lately if status else 0

    def live(self, **wanted: object) -> LiveStatus:
        """The live state, when it exists and has this."""
        found: list[LiveStatus] = []

        def there() -> bool:
            status = self.status()
            if status is None or any(getattr(status, name) != value for name, value in wanted.items()):
                return False
            found.append(status)
            return True

        wait_until(there, lambda: f"{wanted} in {self.status()}\n{self.tail()}")
        return found[-1]

    def findings(self) -> dict[str, Finding]:
        """The findings of `status` at this moment, by code."""
        status = self.status()
        return {finding.code: finding for finding in check(status, now_ms(), LIMITS)} if status else {}

    def wait_finding(self, code: str, words: str = "") -> Finding:
        """A finding of `status`, as soon as it appears with these words."""
        found: dict[str, Finding] = {}

        def there() -> bool:
            found.update(self.findings())
            return code in found and words in found[code].text

        wait_until(there, lambda: f"finding {code} {words}; there was {found}\n{self.tail()}")
        return found[code]

    def wait_stored(self, rows: int) -> float:
        """Returns when this many ticks are stored, with the seconds that took."""
        return wait_until(lambda: self.stored.rows() >= rows, lambda: f"{rows} ticks stored\n{self.tail()}")

    def wait_more(self, rows: int) -> float:
        """Returns when this many more ticks are stored, with the seconds that took."""
        return self.wait_stored(self.stored.rows() + rows)

    def settle(self, *, excused: int = 0, cap_s: float = CAP_S) -> float:
        """The market pauses; returns once every tick that was made is stored or known to be missing for good.

        `excused` of them nobody can know of. A gap of unknown size may hold any number: beside one, nothing may have
        been stored for a while. Returns after the cap in any case: the verdict has the better words.
        """
        self.market.tell("pause")
        made = self.market.made() - excused
        started_s = time.monotonic()
        then, since_ms = None, 0
        while time.monotonic() - started_s < cap_s:
            rows, missing, is_known = account = self._account()
            if account != then:
                then, since_ms = account, now_ms()
            is_whole = rows + missing >= made
            if (is_whole or not is_known) and self._is_quiet(since_ms + (0 if is_whole else UNKNOWN_REST_MS)):
                break
            time.sleep(0.05)
        return time.monotonic() - started_s

    def pause(self) -> int:
        """The market pauses; returns how many ticks it made, once the collector has received them all.

        What is still on its way when the collector stops would be lost where OpenD's window is short.
        """
        self.market.tell("pause")
        made = self.market.made()
        wait_until(lambda: self.live().received >= made, lambda: f"{made} ticks received\n{self.tail()}")
        return made

    def stop(self) -> dict[str, str]:
        """SIGTERM; exit 0, and the fields of `shutdown`, whose account is even."""
        code = self.collector.stop()
        assert code == 0, self.tail()
        return self.ended()

    def ended(self) -> dict[str, str]:
        """The fields of the last line of a collector that has ended."""
        last = self.collector.shutdown()
        parts = ("stored", "duplicate", "rejected", "dropped", "left_rows")
        assert int(last["received"]) == sum(int(last[part]) for part in parts), last
        assert int(last["left_rows"]) == int(last["spooled_rows"]) + int(last["lost_rows"]), last
        return last

    def judge(
        self,
        acked: Iterable[tuple[str, int]] = (),
        only: frozenset[str] | None = None,
        rejected: Iterable[tuple[str, int]] = (),
    ) -> Verdict:
        """The common verdict on all day files, or on those of some days.

        `rejected` are keys that the collector has named as rejected, beside those that nobody can store.
        """
        path = self.market.truth_path
        truth = Truth(read_truth(path), [*read_rejects(path), *rejected], only, read_outliers(path))
        with ExitStack() as stack:
            return judge(truth, self.stored.days(stack, only), acked)

    def verdict(
        self, acked: Iterable[tuple[str, int]] = (), only: frozenset[str] | None = None, *, ok: bool = True
    ) -> Verdict:
        """The same, printed; it must be `ok` unless the test says otherwise."""
        verdict = self.judge(acked, only)
        print(verdict.line())
        assert verdict.ok or not ok, f"{verdict.line()}\n{self.tail()}"
        return verdict

    def finish(
        self, acked: Iterable[tuple[str, int]] = (), *, complete: bool = True, excused: int = 0, cap_s: float = CAP_S
    ) -> Verdict:
        """Settles, stops, judges; with `complete` nothing at all may be missing."""
        self.settle(excused=excused, cap_s=cap_s)
        last = self.stop()
        assert last["left_rows"] == "0", last
        for collector in self.collectors:
            assert "Traceback" not in collector.output, collector.output
        verdict = self.verdict(acked)
        if complete:
            assert sum(day.missing - day.rejected for day in verdict.days) == 0, f"{verdict.line()}\n{self.tail()}"
            assert self.stored.gaps_open() == 0
        return verdict

    def tail(self) -> str:
        """The end of the log, for the words of a failure."""
        return "\n".join(self.collector.output.splitlines()[-60:])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program holds the write lock of every day file."""
        held = [apsw.Connection(str(path_of(self.data_root, day))) for day in list_days(self.data_root)]
        try:
            for db in held:
                db.set_busy_timeout(10_000)
                db.execute("BEGIN IMMEDIATE")
            yield
        finally:
            for db in held:
                db.close(True)

    def _next(self, settings: Mapping[str, str], disk: Disk) -> FaultyCollector:
        if self.collectors:
            self.collector.close()
        self.collectors.append(self._start(len(self.collectors) + 1, settings, disk))
        return self.collector

    def _start(self, number: int, settings: Mapping[str, str], disk: Disk) -> FaultyCollector:
        environ = {
            "FUTU_PORT": str(self.market.port),
            "FUTU_SYMBOLS": f"@{self.market.symbols_path}",
            "DATA_ROOT": str(self.data_root),
            "SPOOL_DIR": str(self.data_root / ".spool"),
            "HEALTH_INTERVAL_SEC": "1",
            "METRICS_ADDR": "",
            **({"RUNTIME_DIRECTORY": str(self.runtime)} if self.runtime else {}),
            **QUICK,
            **settings,
        }
        log_path = self.directory / f"{self._name}-{number}.log"
        return FaultyCollector(self.nursery, log_path, environ, self.data_root, disk=disk, powerless=self.powerless)

    def _account(self) -> tuple[int, int, bool]:
        """Ticks stored, ticks known to be missing, and whether every open gap knows how many it misses."""
        try:
            return self.stored.account()
        except CollectorError:
            return 0, 0, True  # locked, or just being made

    def _is_quiet(self, since_ms: int) -> bool:
        """Whether a live state written after that moment says that nothing is in progress."""
        status = self.status()
        if status is None or status.written_ms <= since_ms:
            return False
        spool = self.data_root / ".spool"
        spooled = spool.is_dir() and any(path.is_dir() for path in spool.iterdir())  # of an earlier run, which waits
        return status.connected and not (status.waiting or status.gaps_healing or spooled)


def now_ms() -> int:
    """The wall clock, UTC epoch ms."""
    return time.time_ns() // 1_000_000
