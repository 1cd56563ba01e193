"""Row 5 inside the spool's own files: the disk fails with EIO there, while the day file cannot be written at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from tests.e2e.conftest import Start
from tests.preloaded.library import Library

from hk_tick_collector.ops.live.status import STATUS_NAME, LiveStatus, read_status

from .trial import CAP_S, Market, Trial, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.nursery import Nursery

BURST: Final = 20_000  # ten times what memory holds, less than what waits in it for the spool
ROW_BYTES: Final = 50  # of a spooled row, at least


class BadSpool(Library):
    """A faulty disk under the spool of a process started with `environ`; `bad_spool.c`, compiled."""

    def fail(self, call: str) -> None:
        """Every call with that name fails from now on; with an empty name no call does."""
        self.tell(call)


@pytest.fixture
def bad_spool(workdir: Path, build_library: Callable[[str], Path]) -> BadSpool:
    """A disk whose faults can be switched on."""
    return BadSpool(build_library("bad_spool"), workdir / "bad_spool")


class Spooling(Trial):
    """A trial whose collector is a program of its own, with memory for few rows."""

    def __init__(self, nursery: Nursery, directory: Path, start: Start, environ: dict[str, str]) -> None:
        super().__init__(nursery, directory, Market(nursery, directory, "--wait", symbols="20", rate=200))
        settings = {"FUTU_SYMBOLS": f"@{self.market.symbols_path}", "MAX_QUEUE_ROWS": "2000", **environ}
        settings["SQLITE_BUSY_TIMEOUT_MS"] = "50"
        self.program = start.run(self.market.port, settings, data_root=self.data_root)

    def status(self) -> LiveStatus | None:
        """The document of `status --json`."""
        return read_status(self.data_root / STATUS_NAME)

    def spool_bytes(self) -> int:
        """The size of the spool, also in files."""
        try:
            return sum(path.stat().st_size for path in self.data_root.glob(".spool/*/*.spool"))
        except FileNotFoundError:  # it is just being removed
            return 0

    def end(self, cap_s: float = CAP_S) -> dict[str, str]:
        """The market pauses; every tick is stored or known to be missing; SIGTERM leaves nothing, and adds up."""
        self.market.tell("pause")
        made = self.market.made()
        wait_until(lambda: self.stored.accounted() >= made, self.tail, cap_s)
        assert self.program.stop() == 0
        last = self.program.shutdown()
        parts = ("stored", "duplicate", "rejected", "dropped", "left_rows")
        assert int(last["received"]) == sum(int(last[part]) for part in parts), last
        assert last["left_rows"] == "0"
        return last

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.program.output.splitlines()[-60:])


@pytest.fixture
def spooling(nursery: Nursery, workdir: Path, bad_spool: BadSpool) -> Iterator[Spooling]:
    """A collector that has stored its first ticks."""
    start = Start(workdir, nursery)
    trial = Spooling(nursery, workdir, start, bad_spool.environ)
    trial.program.wait_stored(200)
    yield trial
    start.end()
    trial.market.close()


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_spool_that_cannot_be_written_is_named_and_tried_again(
    spooling: Spooling, bad_spool: BadSpool, call: str
) -> None:
    """Row 5: the day file is locked and the spool's disk fails: that is reported; rows wait in memory, and are spooled
    into another file when the disk works again. Every tick is stored, none dropped.
    """
    with spooling.locked():
        bad_spool.fail(call)
        spooling.market.tell(f"burst {BURST}")
        assert spooling.program.wait_for("spool_failed", cause="io_error").level == "ERROR"
        wait_until(lambda: spooling.live().waiting >= BURST, spooling.tail)
        wait_until(lambda: spooling.spool_bytes() == 0, spooling.tail)  # each attempt makes a file, and removes it
        bad_spool.fail("")
        wait_until(lambda: spooling.spool_bytes() > BURST * ROW_BYTES / 2, spooling.tail)
    spooling.program.wait_for("spool_drained")
    assert spooling.end()["dropped"] == "0"
    assert spooling.verdict().days[0].missing == 0


def test_a_spool_that_cannot_be_read_loses_no_more_than_is_reported(spooling: Spooling, bad_spool: BadSpool) -> None:
    """Row 5: reads of the spool fail permanently: that is reported; each of its ticks counts as dropped and is
    backfilled or in an open gap, and the ledger balances, without a restart.
    """
    with spooling.locked():
        spooling.market.tell(f"burst {BURST}")
        wait_until(lambda: spooling.spool_bytes() > BURST * ROW_BYTES / 2, spooling.tail)
        bad_spool.fail("pread")
    assert spooling.program.wait_for("spool_damaged").level == "ERROR"
    bad_spool.fail("")
    spooling.program.wait_for("ticks_dropped", cause="spool_damaged")
    spooling.program.wait_for("spool_drained")
    spooling.program.wait_for("day_recounted")
    last = spooling.end()
    told = [int(event.fields["rows"]) for event in spooling.program.events("ticks_dropped")]
    assert int(last["dropped"]) == sum(told) > 0
    assert spooling.verdict().days[0].missing > 0


def test_a_spool_that_cannot_be_read_for_a_moment_loses_no_tick(spooling: Spooling, bad_spool: BadSpool) -> None:
    """Row 5: reads of the spool fail and then work again: its rows wait on disk meanwhile, and every one is stored."""
    with spooling.locked():
        spooling.market.tell(f"burst {BURST}")
        wait_until(lambda: spooling.spool_bytes() > BURST * ROW_BYTES / 2, spooling.tail)
        bad_spool.fail("pread")
    assert spooling.program.wait_for("persist_failed", cause="io_error").level == "ERROR"
    bad_spool.fail("")
    spooling.program.wait_for("writer_recovered", cause="io_error")
    spooling.program.wait_for("spool_drained")
    assert spooling.end()["dropped"] == "0"
    assert "spool_damaged" not in spooling.program.output
    assert spooling.verdict().days[0].missing == 0
