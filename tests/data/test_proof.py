"""Days that the verb `archive` wrote: read as before, certified, and refused once a byte is not what was signed."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import hk_tick_collector
from hk_tick_collector import market
from hk_tick_collector.errors import NoDayError, StoreError
from hk_tick_collector.store.dayfile import StoreOptions, seal

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Days

Cli = Callable[..., subprocess.CompletedProcess[str]]
NAMES = ("20261118", "20261119")


@pytest.fixture
def archived(days: Days, cli: Cli, workdir: Path) -> Days:
    """Two sealed days, one of them with a gap, archived and signed; their day files are moved away."""
    for name in NAMES:
        days.collect(name).close()
    days.gap(NAMES[1], "HK.00700", 7)
    for name in NAMES:
        start_ms = market.day_start_ms(market.parse_day(name))
        assert seal(days.path(name), start_ms + market.DAY_MS, StoreOptions())
    (workdir / ".env").write_text(f"DATA_ROOT={days.data_root}\nARCHIVE_DIR={days.archive}\n")
    for done in (cli("certificate", "--new-key"), cli("archive")):
        assert done.returncode == 0, done.stderr
    return days


def test_the_archive_gives_what_the_day_files_gave(archived: Days, workdir: Path) -> None:
    """Ticks, gaps and symbols, by the settings in force, before and after the day files are gone."""

    def answers() -> list[Any]:
        store = hk_tick_collector.open()
        with pytest.warns(UserWarning, match="1 open gap in the range, 7 ticks"):
            ticks = store.ticks()
        return [store.days(), store.symbols(), ticks.arrow(), store.gaps().arrow()]

    by_files = hk_tick_collector.open(archived.data_root).ticks(gaps="ignore").arrow()
    before = answers()
    for name in NAMES:
        archived.path(name).unlink()
    after = answers()
    assert before == after
    assert after[2].equals(by_files)
    assert "2 of them archived" in repr(hk_tick_collector.open().ticks(gaps="ignore"))


def test_a_certificate_is_an_object(archived: Days) -> None:
    """Its figures are those of the day."""
    store = hk_tick_collector.open(archive=archived.archive)
    certificate = store.certificate("2026-11-19")
    assert (certificate.day, certificate.rows) == ("20261119", 180)
    assert certificate.figures["gaps_open"] == "1"
    with pytest.raises(NoDayError, match="no certificate of 20261117"):
        store.certificate("20261117")


def test_what_is_not_as_signed_is_refused(archived: Days) -> None:
    """With verify=True, before a row is given; the other day is read; without it a readable file is read."""
    ticks = next((archived.archive / "ticks" / "date=2026-11-18").glob("*.parquet"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hk_tick_collector.open(archive=archived.archive, verify=True).ticks(day=NAMES[0]).arrow().num_rows == 180
    ticks.chmod(0o640)
    with ticks.open("r+b") as file:
        file.seek(-20, 2)
        byte = file.read(1)
        file.seek(-20, 2)
        file.write(bytes([byte[0] ^ 1]))
    store = hk_tick_collector.open(archive=archived.archive, verify=True)
    with pytest.raises(StoreError, match=r"20261118 in .* is not what was signed") as told:
        store.ticks(day=NAMES[0]).arrow()
    assert told.value.hint == "hk-tick-collector certificate --check --day 20261118"
    assert store.ticks(day=NAMES[1], gaps="ignore").arrow().num_rows == 180


def test_a_pipe_in_place_of_a_file_of_the_archive(archived: Days) -> None:
    """It is refused at once, and so is a file in place of a directory."""
    store = hk_tick_collector.open(archive=archived.archive)
    (ticks,) = archived.archive.glob("ticks/date=2026-11-18/*.parquet")
    ticks.unlink()
    os.mkfifo(ticks)
    with pytest.raises(StoreError, match="not a regular file"):
        store.ticks(day=NAMES[0], gaps="ignore").arrow()
    certificate = archived.archive / "certificates/2026-11-18.txt"
    certificate.unlink()
    os.mkfifo(certificate)
    with pytest.raises(StoreError, match="not a regular file"):
        store.days()
    certificate.unlink()
    (archived.archive / "ticks/date=2026-11-17").write_text("")
    with pytest.raises(StoreError, match=r"cannot list .*date=2026-11-17"):
        store.days()


@pytest.mark.parametrize("what", ["gaps", "instruments", "symbols", "ticks", "certificate"])
def test_every_method_checks_a_day_before_its_first_use(archived: Days, what: str) -> None:
    """A gap was taken out of the book: with verify, no answer comes from it, and no warning either."""
    book = archived.archive / "books/2026-11-19.db"
    with closing(apsw.Connection(str(book))) as db:
        db.execute("DELETE FROM gaps")
    archived.path(NAMES[1]).unlink()
    store = hk_tick_collector.open(archive=archived.archive, verify=True)
    ask: dict[str, Callable[[], object]] = {
        "gaps": lambda: store.gaps(day=NAMES[1]).arrow(),
        "instruments": lambda: store.instruments(day=NAMES[1]).arrow(),
        "symbols": lambda: store.symbols(day=NAMES[1]),
        "ticks": lambda: store.ticks(day=NAMES[1], gaps="raise"),
        "certificate": lambda: store.certificate(NAMES[1]),
    }
    with pytest.raises(StoreError, match="is not what was signed"):
        ask[what]()
