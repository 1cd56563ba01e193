"""The commands of docs/operations.md that return to the predecessor, run word for word in the test's directories."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.predecessor_files import as_predecessors, begin_file, insert, write_file

from hk_tick_collector import market
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from hk_tick_collector.model import TickRow

ROOT: Final = Path(__file__).parent.parent.parent
FIRST: Final = "cd /data/sqlite/HK\nmkdir -p ours\n"
DAYS: Final = ("20261117", "20261118", "20261119", "20261120")
ACCOUNT: Final = 65534


def tick(day: str, n: int) -> TickRow:
    """The n-th tick of a day."""
    ts_ms = market.day_start_ms(market.parse_day(day)) + 34_200_000 + n * 1000
    seq = (ts_ms // 1000) << 32 | n
    return ("HK.00700", seq, ts_ms, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", ts_ms, ts_ms, " ")


def commands(page: str, top: Path) -> str:
    """The block of the page, with this test's directories and without systemd."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    block = FIRST + text.partition(FIRST)[2].partition("```")[0]
    for name in ("/data/sqlite/HK", "/opt/futu_tick_downloader", "/etc/systemd/system"):
        block = block.replace(name, f"{top}{name}")
    return f'systemctl() {{ echo "systemctl $*"; }}\n{block}'


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("page", ["operations.md", "operations.en.md"])
def test_the_predecessor_can_write_again(tmp_path: Path, page: str) -> None:
    """A day not imported, one imported, today's (renamed with its WAL), one only of ours; settings, unit, owner."""
    data, home, units = (
        tmp_path / name for name in ("data/sqlite/HK", "opt/futu_tick_downloader", "etc/systemd/system")
    )
    for directory in (data, home, units):
        directory.mkdir(parents=True)
    untouched, imported, ours_alone, today = DAYS
    write_file(data / f"{untouched}.db", [as_predecessors(tick(untouched, 1), untouched)])
    write_file(data / f"{imported}.db.predecessor-20261120T020304Z", [as_predecessors(tick(imported, 1), imported)])
    waiting = data / f"{today}.db.predecessor-20261120T020304Z.not-imported"
    killed = begin_file(waiting)
    insert(killed, [as_predecessors(tick(today, 1), today)])
    for day in (imported, ours_alone, today):
        file = DayFile(data / f"{day}.db", day, "run", 1, "test", StoreOptions())
        file.write(Batch(rows=[tick(day, 2)]), 1)
        file.close()
    (home / ".env").write_text("OURS=1\n")
    (home / ".env.predecessor").write_text("THEIRS=1\n")
    (home / ".venv.before-install").mkdir()
    (home / "scripts.before-install").mkdir()
    (units / "hk-tick-collector.home-before-install").write_text(f"{ACCOUNT}:{ACCOUNT} 775\n")
    (units / "hk-tick-collector.service.before-install").write_text("theirs\n")
    (units / "hk-tick-collector.service.d.before-install").mkdir()
    done = subprocess.run(["bash", "-ec", commands(page, tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "systemctl daemon-reload\nsystemctl enable --now hk-tick-collector\n"
    killed.close()
    for day in (untouched, imported, today):
        with closing(sqlite3.connect(data / f"{day}.db")) as db:
            insert(db, [as_predecessors(tick(day, 3), day)])
            assert db.execute("SELECT count(*) FROM ticks").fetchone() == (2,)
    assert sorted(path.name for path in data.glob("*.db*")) == [f"{day}.db" for day in (untouched, imported, today)]
    assert sorted(path.name for path in (data / "ours").glob("*.db")) == [
        f"{day}.db" for day in (imported, ours_alone, today)
    ]
    assert {path.stat().st_uid for path in (data, *data.rglob("*"), home, home / ".env")} == {ACCOUNT}
    assert (home.stat().st_mode & 0o777, (home / ".env").read_text()) == (0o775, "THEIRS=1\n")
    assert sorted(path.name for path in home.iterdir()) == [".env", ".env.predecessor", ".venv", "scripts"]
    assert (units / "hk-tick-collector.service").read_text() == "theirs\n"
    assert (units / "hk-tick-collector.service.d").is_dir()
