"""Row 1: SIGKILL at a random moment, then restart. What was committed stays; the rest is backfilled."""

from __future__ import annotations

import random
import subprocess
import time
from typing import TYPE_CHECKING, Final

import pytest

from hk_tick_collector import market

from .killer import Killer
from .trial import wait_until

if TYPE_CHECKING:
    from .conftest import Begin

KILLS: Final = 50
DAY_ROLL_KILLS: Final = 10
DAY_ROLL_SEEDS: Final = (2,)
ENDS: Final = (
    ("20201117", "20201118", "collector"),
    ("20301119", "20301120", "collector"),
    ("20201117", "20201118", "OpenD"),
)


@pytest.mark.parametrize("seed", [1])
def test_kills_at_random_moments_lose_no_tick(begin: Begin, seed: int) -> None:
    """Row 1: 50 random SIGKILLs after a commit, some in a snapshot, most near a checkpoint: all acked ticks are stored,
    and after the back-fill nothing of the day is missing.
    """
    print(f"seed {seed}")
    trial = begin(
        "--wait", "--within-window", symbols="40", rate=150
    )  # on a loaded machine OpenD's window must outlive some kills
    killer = Killer(trial, random.Random(seed), SQLITE_WAL_AUTOCHECKPOINT="50")
    started_s = time.monotonic()
    for _ in range(KILLS):
        killer.cycle()
    print(f"{KILLS} kills in {time.monotonic() - started_s:.1f} s, {killer.acked_count} ticks acked before one")
    trial.run()
    verdict = trial.finish(killer.acked())
    assert killer.acked_count > 0
    assert verdict.days[0].stored >= killer.acked_count
    assert killer.snapshots > 0
    for snapshot in trial.directory.glob("snapshot-*.db"):
        ask = ["sqlite3", str(snapshot), "PRAGMA integrity_check"]
        assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip() == "ok"


@pytest.mark.early
@pytest.mark.parametrize("seed", DAY_ROLL_SEEDS)
def test_kills_while_days_begin_and_end_lose_no_tick(begin: Begin, seed: int) -> None:
    """Row 1: SIGKILL while one day follows the other in seconds: opened, rolled, sealed; each tick in its own file."""
    trial = begin(
        "--wait", "--within-window", "--day", "20261117", "--at", "09:30", "--speed", "10000", symbols="10", rate=300
    )
    killer = Killer(trial, random.Random(seed))
    for _ in range(DAY_ROLL_KILLS):
        killer.cycle()
    trial.run()
    trial.finish(killer.acked())


@pytest.mark.early
@pytest.mark.parametrize("end", ENDS)
def test_a_day_whose_close_was_not_observed_is_completed(begin: Begin, end: tuple[str, str, str]) -> None:
    """Rows 1 and 9: before the close the collector is killed, or OpenD ends; it starts again in the next day's trading.
    The rest of the old day is backfilled, or recorded as missing, whether this host's clock is behind OpenD's or ahead
    of it.
    """
    day, following, gone = end
    trial = begin("--wait", "--day", day, "--at", "15:00", "--speed", "5000", symbols="5", rate=1000)
    collector = trial.run()
    trial.wait_stored(20)
    trial.market.tell("window 50")
    if gone == "collector":
        trial.collector.kill()
        opening_ms = market.day_start_ms(market.parse_day(following))
        wait_until(lambda: trial.market.newest_ms() > opening_ms, "a new day")
        made = trial.market.made()
        wait_until(lambda: trial.market.made() > made + 1500, "more of it than the window holds")
        trial.run()
    else:
        trial.market.tell("away for 14s")
        collector.wait_for("subscribed", count=2)
    trial.wait_more(20)
    trial.finish(complete=False, cap_s=60)


def test_a_day_is_not_over_because_this_hosts_clock_is_ahead(begin: Begin) -> None:
    """Rows 1 and 18: this host's date is later than OpenD's. The collector is killed during OpenD's day before OpenD
    answered, and started again when the ticks have left its window: gaps have exact sizes, and there is no doubt.
    """
    trial = begin("--wait", "--day", "20200102", "--at", "10:00", symbols="4", rate=200)
    trial.run()
    trial.wait_stored(200)
    trial.market.tell("window 30")
    trial.market.tell("no-reply GetTicker 1000")
    for _ in range(2):
        trial.collector.kill()
        trial.run()
        trial.wait_more(200)
    trial.market.tell("end all")
    trial.market.tell("window 30")
    trial.collector.kill()
    trial.run()
    verdict = trial.finish(complete=False, cap_s=60)
    assert sum(day.gaps_unknown for day in verdict.days) == 0
