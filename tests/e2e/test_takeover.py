"""Taking over from the predecessor during trading: it has today's file, and no tick of the day is lost."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
from tests.predecessor_files import as_predecessors, begin_file, insert, write_file

from hk_tick_collector import market

from .conftest import wait_until
from .test_collecting import made

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from hk_tick_collector.simulator.truth.truth import TruthTick

    from .conftest import OpenD, Start

    Cli = Callable[..., subprocess.CompletedProcess[str]]

RATE = ("--rate", "800", "--wait")


def of_predecessor(ticks: list[TruthTick]) -> list[dict[str, Any]]:
    """Ticks as the predecessor stored them."""
    return [as_predecessors((*tick, "realtime", tick.ts_ms + 20, None, None), day_of(tick)) for tick in ticks]


def day_of(tick: TruthTick) -> str:
    """The trading day of a tick."""
    return market.day_name(market.day_number(tick.ts_ms))


def verified(cli: Cli, opend: OpenD, root: Path) -> dict[str, Any]:
    """The result of `verify` for the truth and the day files."""
    done = cli("verify", "--truth", str(opend.truth_path), "--json", DATA_ROOT=str(root))
    document: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, document
    return document


def test_a_takeover_during_trading_loses_nothing(start: Start, workdir: Path, cli: Cli) -> None:
    """File renamed, new one created at once, imported, backfilled: every tick of the truth is stored or in a gap."""
    root = workdir / "HK"
    root.mkdir()
    opend = start.simulate(*RATE, "--total", "8000")
    with opend_client(start, opend, workdir):
        opend.wait_made(5000)
    theirs = opend.truth()[:5000]
    lost = [tick for tick in theirs if tick.symbol == "HK.00700"][100:150]  # beyond OpenD's window by now
    day = day_of(theirs[0])
    path = root / f"{day}.db"
    write_file(path, of_predecessor([tick for tick in theirs if tick not in lost]))
    collector = start.run(opend.port)
    set_aside = collector.wait_for("predecessor_set_aside", day=day)
    imported = collector.wait_for("predecessor_imported", day=day)
    assert set_aside.fields["kept_as"] == imported.fields["kept_as"] + ".not-imported"
    opend.wait_made(8000)
    # A host that was slow to start the collector may have lost more than OpenD keeps: that is a gap as well.
    wait_until(lambda: collector.stored() + missing(path) == 8000, lambda: collector.output)
    assert collector.stop() == 0
    verified(cli, opend, root)
    stored = set(made(collector.ticks()))
    assert set(theirs) - stored == set(lost)
    assert stored <= set(opend.truth())
    fields = collector.shutdown()
    parts = [int(fields[name]) for name in ("stored", "duplicate", "rejected", "dropped")]
    assert int(fields["received"]) == sum(parts)
    assert parts[2:] == [0, 0]
    with closing(apsw.Connection(str(path))) as db:
        assert db.execute("SELECT sum(expected) - sum(rows) FROM symbols").get == missing(path) >= len(lost)
    assert sorted(entry.name for entry in root.glob("*predecessor*")) == [
        f"{imported.fields['kept_as'].split('/')[-1]}"
    ]


def missing(path: Path) -> int:
    """The number of ticks missing in the open gaps of a day file."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.set_busy_timeout(1000)
        return int(db.execute("SELECT ifnull(sum(missing), 0) FROM gaps WHERE status = 'open'").get)


def opend_client(start: Start, opend: OpenD, workdir: Path) -> closing[Any]:
    """A client that starts a waiting market: it stands for the running predecessor."""
    other = workdir / "predecessor-data"
    other.mkdir()
    client = start.run(opend.port, data_root=other)
    return closing(_Killed(client))


class _Killed:
    def __init__(self, process: Any) -> None:
        self._process = process

    def close(self) -> None:
        self._process.kill()


def test_a_killed_takeover_is_completed_by_the_next_start(start: Start, workdir: Path, cli: Cli) -> None:
    """SIGKILL during the import: the next start completes it, and every tick is there once."""
    root = workdir / "HK"
    root.mkdir()
    opend = start.simulate(*RATE, "--total", "6000")
    with opend_client(start, opend, workdir):
        opend.wait_made(6000)
    theirs = opend.truth()
    write_file(root / f"{day_of(theirs[0])}.db", of_predecessor(theirs))
    killed = start.run(opend.port)
    killed.wait_for("predecessor_import")
    killed.wait_stored(2000)
    killed.kill()
    unfinished = list(root.glob("*.not-imported"))  # the import may have been faster than the kill
    collector = start.run(opend.port)
    if unfinished:
        collector.wait_for("predecessor_imported")
    collector.wait_stored(6000)
    assert collector.stop() == 0
    assert sorted(made(collector.ticks())) == sorted(theirs)
    verified(cli, opend, root)


def test_a_predecessor_that_still_runs_stops_nothing(start: Start, workdir: Path, cli: Cli) -> None:
    """Its file is renamed while open and collection continues; it is imported completely after its end."""
    root = workdir / "HK"
    root.mkdir()
    opend = start.simulate(*RATE, "--total", "4000")
    with opend_client(start, opend, workdir):
        opend.wait_made(4000)
    theirs = opend.truth()
    db = begin_file(root / f"{day_of(theirs[0])}.db")
    insert(db, of_predecessor(theirs[:2000]))
    collector = start.run(opend.port)
    collector.wait_for("predecessor_not_imported")
    words = f"was renamed and is not imported: it is open in pid {os.getpid()}"
    # The live state is written once a second.
    wait_until(lambda: words in cli("status", DATA_ROOT=str(root)).stdout, lambda: collector.output)
    insert(db, of_predecessor(theirs[2000:]))
    db.close()
    wait_until(lambda: collector.events("predecessor_imported"), lambda: collector.output)
    collector.wait_stored(4000)

    def findings() -> list[str]:
        document = json.loads(cli("status", "--json", DATA_ROOT=str(root)).stdout)
        return [finding["code"] for finding in document["findings"]]

    wait_until(lambda: "predecessor_file" not in findings(), lambda: str(findings()))
    assert "gaps_lost" not in findings()  # OpenD no longer had these ticks, and they are here all the same
    assert collector.stop() == 0
    assert sorted(made(collector.ticks())) == sorted(theirs)
