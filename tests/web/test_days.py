"""The Days view's reader: each day has the verdict of `quality`, read once as long as its file does not change."""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeVar

import apsw
import pytest
from tests.bigday import make_big_day
from tests.quality.days import DAY, Collected, archive
from tests.web.inline import Inline

from hk_tick_collector import market
from hk_tick_collector.archive.chain import read_chain
from hk_tick_collector.archive.day import Run, archive_day
from hk_tick_collector.archive.places import Directory
from hk_tick_collector.archive.signers import place_helpers
from hk_tick_collector.archive.sshsig import SigningKey, make_key
from hk_tick_collector.errors import ArchiveError, DiskHangsError, NoDayError, StoreError
from hk_tick_collector.quality.facts import DayFacts, read_day
from hk_tick_collector.quality.places import list_places
from hk_tick_collector.quality.verdict import judge
from hk_tick_collector.store.dayfile import StoreOptions, seal
from hk_tick_collector.web import days as days_module
from hk_tick_collector.web import days_watch
from hk_tick_collector.web.days_watch import DaysWatch
from hk_tick_collector.web.symbol import newest_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hk_tick_collector.quality.facts import Progress
    from hk_tick_collector.quality.places import DayLocation

_T = TypeVar("_T")

DRIFT_WARN_S: Final = 3.0
NEXT_DAY_MS: Final = market.day_start_ms(market.parse_day(DAY)) + 30 * 3_600_000


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def time_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many days one look reads must not depend on the load of the machine; one test sets a limit of its own."""
    monkeypatch.setattr(days_watch, "_BUDGET_S", 300.0)


class Unreadable(Inline):
    """Lists the days; their files are on a disk that may be away."""

    is_away = False

    async def read(self, work: Callable[[], _T], path: Path) -> _T:
        if self.is_away and path.suffix == ".db":
            raise DiskHangsError(f"the disk of {path.parent} does not answer")
        return await super().read(work, path)


def watch_of(root: Path, archive_root: Path | None, clock: Clock) -> DaysWatch:
    return DaysWatch(root, archive_root, DRIFT_WARN_S, Inline(), clock=clock)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The days that were read, one after the other."""
    found: list[str] = []

    def counted(place: DayLocation, now_ms: int, *, spans: bool) -> Iterator[Progress | DayFacts]:
        found.append(place.day)
        return read_day(place, now_ms, spans=spans)

    monkeypatch.setattr(days_module, "read_day", counted)
    return found


def leave_day(root: Path, name: str = DAY, *, missing: int = 0) -> Path:
    """A day that is over, with ticks to the close, and compared with OpenD's totals."""
    path = root / f"{name}.db"
    with closing(Collected(path)) as day:
        day.ticks("HK.00700", 1000, skip=missing)
        day.ticks("HK.00005", 50, hour=16.13)
        if missing:
            day.gap("HK.00700", missing)
        day.totals("match")
        if missing:
            day.db.execute("UPDATE reconciliation SET explained = 'gap' WHERE symbol = 'HK.00700'")
        day.close()
        day.db = apsw.Connection(":memory:")  # the block closes it
    return path


def test_each_day_has_the_verdict_of_quality(tmp_path: Path, clock: Clock) -> None:
    """Severity, standing, figures and reason of each row are those that `quality` gives."""
    leave_day(tmp_path, "20261118")
    leave_day(tmp_path, "20261119", missing=400)
    leave_day(tmp_path, DAY, missing=3)
    (tmp_path / "20261117.db").write_text("not a day file")
    found = asyncio.run(watch_of(tmp_path, None, clock).survey(NEXT_DAY_MS))
    assert (found.left, found.trouble) == (0, "")
    for row, place in zip(found.days, list_places(tmp_path, None), strict=True):
        *_, facts = read_day(place, NEXT_DAY_MS)
        assert isinstance(facts, DayFacts)
        judged = judge(facts, DRIFT_WARN_S)
        assert (row.day, row.severity, row.standing) == (place.day, judged.severity.name, judged.standing)
        assert row.why == (judged.findings[0].words if judged.findings else None)
        assert (row.rows, row.problem) == (facts.rows, facts.problem)
    assert [row.severity for row in found.days] == ["CRITICAL", "OK", "CRITICAL", "WARNING"]
    assert [row.missing for row in found.days] == [0, 0, 400, 3]


def test_a_day_is_read_once(tmp_path: Path, clock: Clock, reads: list[str]) -> None:
    """A finished day is read again only if its file changes; the version tells viewers that something did."""
    for name in ("20261118", "20261119"):
        path = leave_day(tmp_path, name)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    days = watch_of(tmp_path, None, clock)
    version = asyncio.run(days.survey(NEXT_DAY_MS)).version
    for _ in range(5):
        clock.now_s += 30
        assert asyncio.run(days.survey(NEXT_DAY_MS)).version == version
    assert sorted(reads) == ["20261118", "20261119"]
    (tmp_path / "20261119.db").unlink()
    leave_day(tmp_path, "20261119", missing=400)
    clock.now_s += 30
    found = asyncio.run(days.survey(NEXT_DAY_MS))
    assert found.version != version
    assert found.days[-1].severity == "CRITICAL"
    assert reads.count("20261118") == 1


def test_the_day_that_is_collected_is_read_again_after_seconds(tmp_path: Path, clock: Clock) -> None:
    """Rows of a day that grows follow within seconds; several looks within them cost one reading."""
    with closing(Collected(tmp_path / f"{DAY}.db")) as day:
        day.ticks("HK.00700", 10)
        days = watch_of(tmp_path, None, clock)
        assert [row.rows for row in asyncio.run(days.survey(day.at(10))).days] == [10]
        day.ticks("HK.00005", 10)
        assert [row.rows for row in asyncio.run(days.survey(day.at(10))).days] == [10]
        clock.now_s += 6
        (row,) = asyncio.run(days.survey(day.at(10))).days
        assert (row.rows, row.is_over) == (20, False)
        clock.now_s += 6
        assert asyncio.run(days.survey(day.at(20))).days[0].is_over, (
            "the close changes the verdict, also without a tick"
        )


def test_many_days_come_in_parts(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first look at years of days answers after its time, says how many are left, and has the newest first."""
    names = [f"202611{number:02}" for number in range(1, 21)]
    for name in names:
        (tmp_path / f"{name}.db").write_text("no day file: quick to read")
    days = watch_of(tmp_path, None, clock)
    monkeypatch.setattr(days_watch, "_BUDGET_S", 0.0)
    first = asyncio.run(days.survey(NEXT_DAY_MS))
    assert ([row.day for row in first.days], first.left) == ([DAY], 19)
    for _ in range(19):
        last = asyncio.run(days.survey(NEXT_DAY_MS))
    assert ([row.day for row in last.days], last.left) == (names, 0)


def test_memory_has_a_limit(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more days than the calendar shows, the newest are read, and the number of the others is told."""
    monkeypatch.setattr(days_watch, "MOST_DAYS", 3)
    for number in range(1, 8):
        (tmp_path / f"2026110{number}.db").write_text("no day file")
    days = watch_of(tmp_path, None, clock)
    found = asyncio.run(days.survey(NEXT_DAY_MS))
    assert ([row.day for row in found.days], found.older) == (["20261105", "20261106", "20261107"], 4)
    (tmp_path / "20261108.db").write_text("no day file")
    clock.now_s += 30
    asyncio.run(days.survey(NEXT_DAY_MS))
    assert sorted(days._rows) == ["20261106", "20261107", "20261108"]  # noqa: SLF001 - what it keeps


def test_days_that_cannot_be_read_are_an_error_each_time(tmp_path: Path, clock: Clock) -> None:
    """The listing alone is no survey: nobody is told that there are no days, or that old rows are those of now."""
    leave_day(tmp_path, "20261119")
    reads = Unreadable()
    days = DaysWatch(tmp_path, None, DRIFT_WARN_S, reads, clock=clock)

    def look() -> list[str]:
        return [row.day for row in asyncio.run(days.survey(NEXT_DAY_MS)).days]

    def fail() -> None:
        for _ in range(3):
            with pytest.raises(DiskHangsError, match="does not answer"):
                look()
            clock.now_s += 3

    reads.is_away = True
    fail()
    reads.is_away = False
    assert look() == ["20261119"]
    leave_day(tmp_path, DAY)
    clock.now_s += 30
    reads.is_away = True
    fail()
    reads.is_away = False
    assert look() == ["20261119", DAY]


def test_who_looks_at_one_day_does_not_delay_the_calendar(tmp_path: Path, clock: Clock) -> None:
    """The directories are listed for the page of a day; the calendar reads what is new in that listing."""
    leave_day(tmp_path, "20261119")
    days = watch_of(tmp_path, None, clock)

    async def look() -> list[str]:
        await days.place("20261119")
        return [row.day for row in (await days.survey(NEXT_DAY_MS)).days]

    assert asyncio.run(look()) == ["20261119"]
    leave_day(tmp_path, DAY)
    clock.now_s += 30
    assert asyncio.run(look()) == ["20261119", DAY]


def test_a_missing_archive_is_told_and_days_are_shown(tmp_path: Path, clock: Clock) -> None:
    """An archive that is not mounted costs its own days alone."""
    leave_day(tmp_path)
    found = asyncio.run(watch_of(tmp_path, tmp_path / "unmounted", clock).survey(NEXT_DAY_MS))
    assert [row.day for row in found.days] == [DAY]
    assert "unmounted" in found.trouble
    elsewhere = DaysWatch(tmp_path, None, DRIFT_WARN_S, Inline(), "s3://bucket is no directory of this host")
    assert "s3://bucket" in asyncio.run(elsewhere.survey(NEXT_DAY_MS)).trouble


def test_archived_days_are_shown(tmp_path: Path, clock: Clock) -> None:
    """A day of which only the archive has a copy stands in the calendar, and can be looked at."""
    path = leave_day(tmp_path, missing=3)
    archive(path, tmp_path / "archive")
    path.unlink()
    days = watch_of(tmp_path, tmp_path / "archive", clock)
    (row,) = asyncio.run(days.survey(NEXT_DAY_MS)).days
    assert (row.is_archived, row.rows, row.missing, row.is_certified) == (True, 1050, 3, False)
    detail = asyncio.run(days.detail(DAY, NEXT_DAY_MS))
    assert detail.signed is None
    assert [span.missing for span in detail.day.facts.spans] == [3]


@pytest.fixture
def signed_day(tmp_path: Path) -> Path:
    """An archive with one day, signed."""
    path, root = tmp_path / f"{DAY}.db", tmp_path / "archive"
    make_big_day(path, 1800)
    assert seal(path, NEXT_DAY_MS, StoreOptions())
    root.mkdir()
    make_key(tmp_path / "key", tmp_path)
    key, place = SigningKey(tmp_path / "key", "host-1"), Directory(root)
    with place.hold() as workspace:
        place_helpers(place, workspace, key.public)
        run = Run(place, workspace, key, "host-1", lambda *_: None, lambda: NEXT_DAY_MS)
        archive_day(run, read_chain(place), path)
    return root


def test_the_certificate_of_a_day(tmp_path: Path, clock: Clock, signed_day: Path) -> None:
    """The page says who signed a day, has the text and the signature to download, and names what was changed."""
    days = watch_of(tmp_path, signed_day, clock)
    assert [row.is_certified for row in asyncio.run(days.survey(NEXT_DAY_MS)).days] == [True]
    signed = asyncio.run(days.detail(DAY, NEXT_DAY_MS)).signed
    assert signed is not None
    assert (signed.signer, signed.trouble) == ("host-1", "")
    assert signed.certificate is not None
    assert asyncio.run(days.certificate(DAY)) == signed.certificate.text
    assert asyncio.run(days.certificate(DAY, signature=True)).startswith(b"-----BEGIN SSH SIGNATURE-----")
    name = signed_day / "certificates" / "2026-11-20.txt"
    name.write_bytes(name.read_bytes().replace(b"# rows: 1800", b"# rows: 1801"))
    clock.now_s += 30
    changed = asyncio.run(days.detail(DAY, NEXT_DAY_MS)).signed
    assert changed is not None
    assert changed.signer == ""
    assert "was changed" in changed.trouble
    with pytest.raises(ArchiveError, match="there is no"):
        asyncio.run(days.certificate("20261119"))


def test_a_day_in_detail(tmp_path: Path, clock: Clock, reads: list[str]) -> None:
    """The detail has gaps over time, outages, worst symbols and totals, and is read once."""
    path = leave_day(tmp_path, missing=400)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    days = watch_of(tmp_path, None, clock)
    facts = asyncio.run(days.detail(DAY, NEXT_DAY_MS)).day.facts
    assert [span.missing for span in facts.spans] == [400]
    assert [(each.symbol, each.missing) for each in facts.incomplete] == [("HK.00700", 400)]
    assert facts.totals is not None
    assert facts.away is not None
    clock.now_s += 30
    asyncio.run(days.detail(DAY, NEXT_DAY_MS))
    assert reads == [DAY]


def test_a_day_that_is_not_there(tmp_path: Path, clock: Clock) -> None:
    """The error names the days that there are; without any day it says so."""
    days = watch_of(tmp_path, None, clock)
    with pytest.raises(NoDayError, match="no day has been collected"):
        newest_place(tmp_path)
    leave_day(tmp_path)
    clock.now_s += 30
    with pytest.raises(NoDayError) as error:
        asyncio.run(days.detail("20250101", NEXT_DAY_MS))
    assert DAY in error.value.hint
    assert newest_place(tmp_path).day == DAY


def test_a_data_root_that_cannot_be_listed(tmp_path: Path, clock: Clock) -> None:
    """A directory without the right to list it is an error with a remedy, not an empty calendar."""
    path = tmp_path / "file"
    path.write_text("no directory")
    with pytest.raises(StoreError):
        asyncio.run(watch_of(path, None, clock).survey(NEXT_DAY_MS))
