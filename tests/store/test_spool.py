"""The spool: acknowledged rows are read back exactly and in order, whatever happens to process, disk or file."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.spool import Spool
from hk_tick_collector.store.spool_record import RECORD_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hk_tick_collector.model import TickRow

    MakeTick = Callable[..., TickRow]

NOBODY: Final = 65_534
INT64 = st.integers(-(2**63), 2**63 - 1)
ROWS = st.tuples(
    st.text(), INT64, INT64, st.floats(allow_nan=False), INT64, st.floats(allow_nan=False), st.text(), st.text(),
    st.text(), INT64, st.none() | st.integers(0, 2**63 - 1), st.none() | st.text(),
)  # fmt: skip


FIRST: Final[TickRow] = ("HK.00700", 2**62 + 1, 1, 388.2, 100, 38_820.0, "BUY", "BUY", "realtime", 2, 1, "P")
ROW_OF_FIRST: Final = (
    " 0000 0100000000000040 0100000000000000 3333333333437840 6400000000000000 0000000080f4e240"
    " 0100 0100 0200 0200000000000000"
    " 08000000 484b2e3030373030 03000000 425559 08000000 7265616c74696d65"  # HK.00700, BUY, realtime
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The path of a test's spool."""
    return tmp_path / ".spool"


@pytest.fixture
def rows(tick: MakeTick) -> Callable[..., list[TickRow]]:
    """Makes the rows of sequences `start` to `stop`."""
    return lambda start, stop: [tick(f"HK.{n % 900:05}", (1_800_000_000 << 32) + n) for n in range(start, stop)]


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 128 KiB."""
    root = tmp_path / "tmpfs"
    root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", root], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system of its own needs the right to mount: {mounted.stderr.strip()}")
    yield root
    subprocess.run(["umount", root], check=True)


def drain(spool: Spool) -> list[TickRow]:
    """Everything in it; each record is deleted after it was read."""
    drained: list[TickRow] = []
    while (record := spool.first()) is not None:
        drained += record
        spool.forget()
    return drained


def segments(place: Path) -> list[Path]:
    """The files of a spool, oldest first."""
    return sorted(place.glob("*.spool"))


def run_child(program: str, *args: object) -> str:
    """The output of a separate process that runs `program` with its imports."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD + program, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CHILD: Final = """
import errno, os, random, resource, sys, threading
from pathlib import Path
from hk_tick_collector.errors import StoreError
from hk_tick_collector.store.spool import Spool

def row(n):
    return ("HK.00700", n, n, 1.5, 100, 150.0, "BUY", "AUTO_MATCH", "realtime", n, n, "P")

def attempt(do):
    try:
        do()
    except OSError as error:
        return errno.errorcode[error.errno]
    except StoreError as error:
        return error.one_line()
    return "ok"
"""


# --- what goes in comes out ---


@settings(deadline=None, max_examples=60)
@given(given_rows=st.lists(ROWS, min_size=1, max_size=20))
def test_rows_come_back_exactly(given_rows: list[TickRow]) -> None:
    """Every value as it was: integers of 64 bits, every finite and infinite float, any text."""
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory, ".spool"))
        spool.append(given_rows)
        assert list(map(repr, drain(spool))) == list(map(repr, given_rows))  # repr tells -0.0 from 0.0


@settings(deadline=None, max_examples=60)
@given(data=st.data(), segment_bytes=st.sampled_from([1, 600, 100_000]))
def test_any_order_of_calls_acts_like_a_list(data: st.DataObject, segment_bytes: int) -> None:
    """Appends, reads, forgets and restarts in any order: what is not forgotten is there, in order, and is counted.

    A restart may bring back what was forgotten, never anything else, and only while its segment is not used up.
    """
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory, ".spool")
        spool = Spool(place, segment_bytes=segment_bytes)
        appended: list[TickRow] = []
        forgotten, returned = 0, 0
        steps = st.sampled_from(["append", "append", "first", "forget", "take", "take", "restart"])
        for step in data.draw(st.lists(steps, min_size=10, max_size=40)):
            if step == "append":
                count = data.draw(st.integers(0, 12))
                new = [("HK", len(appended) + n, 0, 1.0, 1, 1.0, "", "", "", 0, None, None) for n in range(count)]
                spool.append(new)
                appended += new
            elif step in ("first", "take"):
                record = spool.first()
                returned = len(record or [])
                assert (record is None) == (forgotten == len(appended))
                assert record is None or record == appended[forgotten : forgotten + returned]
            if step in ("forget", "take"):
                spool.forget()
                forgotten, returned = forgotten + returned, 0
            elif step == "restart":
                spool = Spool(place, segment_bytes=segment_bytes)
                again = spool.rows - (len(appended) - forgotten)
                assert 0 <= again <= (forgotten if segment_bytes > 1 else 0)
                forgotten, returned = forgotten - again, 0
            assert spool.rows == len(appended) - forgotten
            assert spool.pop_damage() == []
            assert place.exists() == bool(spool.rows)
        assert drain(spool) == appended[forgotten:]
        assert not place.exists()


@pytest.mark.parametrize("count", [1, RECORD_ROWS, RECORD_ROWS + 1, 100_000])
def test_an_append_of_any_size(place: Path, rows: Callable[..., list[TickRow]], count: int) -> None:
    """One row and 100,000 rows go in by one call; no record is larger than a day file takes well in one commit."""
    appended = rows(0, count)
    spool = Spool(place)
    spool.append(appended)
    assert spool.rows == count
    record = spool.first()
    assert record == appended[:RECORD_ROWS]
    assert drain(Spool(place)) == appended


def test_a_full_segment_is_followed_by_another(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """A new file begins when one has its size; each is deleted when it is used up, and the directory with the last."""
    spool = Spool(place, segment_bytes=2_000)
    for n in range(0, 100, 10):
        spool.append(rows(n, n + 10))
    sizes = [path.stat().st_size for path in segments(place)]
    assert len(sizes) > 2
    assert all(2_000 <= size < 4_000 for size in sizes[:-1])
    left = []
    drained: list[TickRow] = []
    while (record := spool.first()) is not None:
        drained += record
        spool.forget()
        left.append(len(segments(place)))
    assert drained == rows(0, 100)
    assert left[-1] == 0
    assert all(before - after in (0, 1) for before, after in pairwise(left))
    assert not place.exists()


def test_a_quiet_service_leaves_nothing_behind(place: Path) -> None:
    """Without rows there is no directory, not even while the service runs."""
    spool = Spool(place)
    spool.append([])
    assert spool.first() is None
    spool.forget()
    assert (spool.rows, segments(place)) == (0, [])
    assert not place.exists()


def test_first_repeats_until_it_is_forgotten(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """After a failed commit the same rows are returned again; deleting twice has no further effect."""
    spool = Spool(place)
    spool.append(rows(0, 3))
    spool.append(rows(3, 5))
    assert spool.first() == spool.first() == rows(0, 3)
    spool.forget()
    spool.forget()
    assert spool.first() == rows(3, 5)


@pytest.mark.parametrize("damaged", [False, True])
def test_first_gives_whole_records_up_to_a_bound(
    place: Path, rows: Callable[..., list[TickRow]], damaged: bool
) -> None:
    """As many records as fit, at least one; damage ends a read, is skipped by the next, and loses one record."""
    spool = Spool(place)
    ends = []
    for n in range(0, 50, 5):
        spool.append(rows(n, n + 5))
        ends.append(segments(place)[0].stat().st_size)
    if damaged:
        with segments(place)[0].open("r+b") as file:
            file.seek(ends[1] + 30)  # in the payload of the third
            file.write(b"\xff\xff")
    found = []
    while record := spool.first(17):
        assert spool.first(17) == record
        found.append([row[1] & 0xFF for row in record])
        spool.forget()
    bounds = [(0, 10), (15, 30), (30, 45), (45, 50)] if damaged else [(0, 15), (15, 30), (30, 45), (45, 50)]
    assert found == [list(range(*bound)) for bound in bounds]
    assert [damage.rows for damage in spool.pop_damage()] == ([5] if damaged else [])
    assert not place.exists()


def test_modes(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """The directory is 0750 and files are 0640, so that the group may read and others may not."""
    before = os.umask(0)
    try:
        Spool(place).append(rows(0, 1))
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in (place, *segments(place))] == ["0o750", "0o640"]


def test_the_format_of_version_1(place: Path) -> None:
    """Golden bytes: a spool is read after an update of the software, so a change here needs a new version number."""
    Spool(place).append([FIRST])
    golden = bytes.fromhex(
        "484b5453504f4f4c 01000000"  # HKTSPOOL, version 1
        " f5544bfa 7a000000 01000000 dd5b38c6 eb50c61e"  # 122 bytes, 1 row, two checksums
        + ROW_OF_FIRST
        + " 01000000 50"  # P
        + " 1a000000 006d6f72653a 30313030303030303030303030303030 30333030"  # \0more: and 1, text 3 in hexadecimal
    )
    assert segments(place)[0].read_bytes() == golden


def test_a_spool_of_the_version_with_ten_columns(place: Path) -> None:
    """After an upgrade its rows are replayed, with NULL for the columns which that version did not know."""
    place.mkdir()
    (place / "0000000001.spool").write_bytes(
        bytes.fromhex("484b5453504f4f4c 01000000 f5544bfa 57000000 01000000 c29bf0a6 573ebc0d" + ROW_OF_FIRST)
    )
    spool = Spool(place)
    assert drain(spool) == [(*FIRST[:10], None, None)]
    assert spool.pop_damage() == []


@settings(deadline=None, max_examples=60)
@given(given_rows=st.lists(ROWS, min_size=1, max_size=20))
def test_the_version_with_ten_columns_reads_ours(given_rows: list[TickRow]) -> None:
    """After a return to it, it replays the ten columns: this is how it decoded a payload."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory, ".spool")
        Spool(place).append(given_rows)
        data = segments(place)[0].read_bytes()
    row, at, texts = struct.Struct("<HqqdqdHHHq"), 32 + 56 * len(given_rows), []
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4 : at + 4 + length].decode())
        at += 4 + length
    assert (row.size, at) == (56, len(data))
    found = [
        (texts[a], *values, texts[b], texts[c], texts[d], recv)
        for a, *values, b, c, d, recv in row.iter_unpack(data[32 : 32 + 56 * len(given_rows)])
    ]
    assert list(map(repr, found)) == [repr(tuple(each[:10])) for each in given_rows]


def test_one_thread_appends_while_another_drains(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """With two threads at different speeds every row arrives once and in order, and none remains."""
    spool = Spool(place, segment_bytes=5_000)
    appended = rows(0, 3_000)

    def append() -> None:
        for start in range(0, len(appended), 20):
            spool.append(appended[start : start + 20])
            while start % 100 == 0 and spool.rows:
                time.sleep(0)  # until the other has caught up

    thread = threading.Thread(target=append)
    thread.start()
    drained: list[TickRow] = []
    while thread.is_alive() or spool.rows:
        drained += drain(spool)
    thread.join()
    assert drained == appended
    assert not place.exists()


# --- the process dies ---

APPEND_AND_DRAIN: Final = """
spool = Spool(Path(sys.argv[1]), segment_bytes=20_000)
chance = random.Random(int(sys.argv[2]))
drains = int(sys.argv[2]) % 2

def drain():
    while True:
        record = spool.first()
        if record:
            os.write(1, b"-%d\\n" % len(record))
            spool.forget()

if drains:
    threading.Thread(target=drain, daemon=True).start()
n = 0
while True:
    count = chance.choice([1, 10, 300, 9_000])
    spool.append([row(n + k) for k in range(count)])
    n += count
    os.write(1, b"+%d\\n" % count)
"""


@pytest.mark.parametrize("seed", range(10))
def test_killed_at_any_moment(place: Path, seed: int) -> None:
    """Fault row 1: what `append` acknowledged is there after SIGKILL, in order and without a gap.

    Every second process drains at the same time; of what it forgot anything may come back, but nothing else is missing.
    """
    chance = random.Random(seed)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD + APPEND_AND_DRAIN, str(place), str(seed)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(chance.randrange(1, 60))]
        threading.Event().wait(chance.random() * 0.02)  # the moment is the point, not a hope
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    acknowledged = sum(int(line) for line in lines if line.startswith(b"+"))
    forgotten = -sum(int(line) for line in lines if line.startswith(b"-"))
    spool = Spool(place)
    counted = spool.rows
    seqs = [row[1] for row in drain(spool)]
    assert len(seqs) == counted
    if seqs:
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
        assert seqs[0] <= forgotten
        assert seqs[-1] + 1 >= acknowledged
    else:
        assert forgotten >= acknowledged


def test_truncated_at_any_byte(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """The rest of an incomplete last record is cut off and reported; all before it is read, and appends continue."""
    spool = Spool(place)
    spool.append(rows(0, 2))
    whole = segments(place)[0].stat().st_size
    spool.append(rows(2, 3))
    content = segments(place)[0].read_bytes()
    for size in range(whole + 1, len(content)):
        for path in segments(place):
            path.unlink()
        path = place / "0000000001.spool"
        path.write_bytes(content[:size])
        spool = Spool(place)
        (damage,) = spool.pop_damage()
        assert (damage.path, damage.offset, damage.size_bytes) == (path, whole, size - whole)
        assert damage.rows == (1 if size >= whole + 20 else None)  # its head tells
        assert "incomplete" in damage.cause
        assert path.stat().st_size == whole
        spool.append(rows(5, 6))
        again = Spool(place)
        assert again.pop_damage() == []
        assert drain(again) == rows(0, 2) + rows(5, 6)
        place.mkdir()


def test_truncated_before_the_first_record(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """A segment without a complete first record is removed; reported if there was anything in it."""
    Spool(place).append(rows(0, 1))
    content = segments(place)[0].read_bytes()
    for size in range(len(content)):
        place.mkdir(exist_ok=True)
        (place / "0000000007.spool").write_bytes(content[:size])
        spool = Spool(place)
        if size in (0, 12):
            assert spool.pop_damage() == []
        else:
            assert sum(damage.size_bytes for damage in spool.pop_damage()) == size - (12 if size > 12 else 0)
        if size:
            assert not (place / "0000000007.spool").exists()
        for path in segments(place):
            path.unlink()


# --- the file is damaged ---


@pytest.mark.parametrize("when", ["before the start", "while running"])
def test_a_flipped_bit_costs_one_record(place: Path, rows: Callable[..., list[TickRow]], when: str) -> None:
    """A bit flipped anywhere in three records: the two others are read back, the damage is reported, nothing blocks.

    A file whose own head is damaged is left as it is.
    """
    spool = Spool(place)
    ends = [12]
    for n in range(3):
        spool.append(rows(n, n + 1))
        ends.append(segments(place)[0].stat().st_size)
    content = segments(place)[0].read_bytes()
    drain(spool)
    for position in range(len(content)):
        place.mkdir(exist_ok=True)
        path = place / "0000000001.spool"
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(content)
        spool = Spool(place)
        path.write_bytes(flipped)
        if when == "before the start":
            spool = Spool(place)
        elif position < 12:
            continue  # read once, at the start
        drained = drain(spool)
        (damage,) = spool.pop_damage()
        if position < 12:
            assert (drained, damage.size_bytes, path.read_bytes()) == ([], len(content), bytes(flipped))
            assert damage.cause.startswith("not changed: ")
            path.unlink()
            continue
        lost = next(n for n in range(3) if position < ends[n + 1])
        assert drained == [row for n in range(3) if n != lost for row in rows(n, n + 1)]
        assert (damage.offset, damage.size_bytes) == (ends[lost], ends[lost + 1] - ends[lost])
        assert damage.rows == (None if position < ends[lost] + 20 else 1)
        assert (spool.rows, segments(place)) == (0, [])
        assert not place.exists()


@settings(deadline=None, max_examples=60)
@given(garbage=st.binary(min_size=1, max_size=300))
def test_garbage_behind_the_last_record(garbage: bytes) -> None:
    """Bytes that no append wrote are cut off, whatever they are."""
    kept: list[TickRow] = [("HK.00700", n, 0, 1.0, 1, 1.0, "", "", "", 0, None, None) for n in range(3)]
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory, ".spool")
        Spool(place).append(kept)
        with segments(place)[0].open("ab") as file:
            file.write(garbage)
        spool = Spool(place)
        assert sum(damage.size_bytes for damage in spool.pop_damage()) == len(garbage)
        assert drain(spool) == kept


def test_foreign_files_stay(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """Another program's file, a later version's segment and a directory are not touched, written over or replayed."""
    place.mkdir()
    foreign = {
        "notes.txt": b"keep",
        "0000000002.spool": b"not ours at all",
        "0000000009.spool": b"HKTSPOOL\x02\0\0\0and what version 2 writes",
    }
    for name, content in foreign.items():
        (place / name).write_bytes(content)
    (place / "lost+found").mkdir()
    spool = Spool(place, segment_bytes=1)
    told = {damage.path.name: damage.cause for damage in spool.pop_damage()}
    assert told == {
        "notes.txt": "not changed: not a file of the spool",
        "0000000002.spool": "not changed: not a file of the spool",
        "0000000009.spool": "not changed: the spool's format 2, this version reads 1",
    }
    spool.append(rows(0, 1))
    assert (place / "0000000010.spool").exists()
    assert drain(spool) == rows(0, 1)
    assert {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()} == foreign


def test_a_segment_removed_while_running_loses_only_its_rows(place: Path, rows: Callable[..., list[TickRow]]) -> None:
    """A removed file loses its rows, with their number, and not those after it."""
    spool = Spool(place, segment_bytes=1)
    spool.append(rows(0, 4))
    spool.append(rows(4, 5))
    segments(place)[0].unlink()
    assert drain(spool) == rows(4, 5)
    assert [(damage.rows, damage.cause) for damage in spool.pop_damage()] == [(4, "the file does not exist")]


def test_a_spool_directory_that_is_removed_is_created_again(tmp_path: Path, rows: Callable[..., list[TickRow]]) -> None:
    """SPOOL_DIR goes while it is empty: it is made again, but never the place where it stood."""
    home = tmp_path / "HK"
    (home / ".spool").mkdir(parents=True)
    spool = Spool(home / ".spool" / "run")
    shutil.rmtree(home)
    with pytest.raises(FileNotFoundError):
        spool.append(rows(0, 5))
    home.mkdir()
    spool.append(rows(0, 5))
    assert spool.first() == rows(0, 5)


@pytest.mark.parametrize("when", ["before the start", "while running"])
@pytest.mark.parametrize("bad", [1, 2])
def test_a_bad_sector_loses_one_record(
    place: Path, rows: Callable[..., list[TickRow]], monkeypatch: pytest.MonkeyPatch, when: str, bad: int
) -> None:
    """Fault row 5: EIO loses the record that it hit; what may still be readable is not cut off, also at the end."""
    spool = Spool(place)
    for n in range(3):
        spool.append(rows(n, n + 1))
    size = segments(place)[0].stat().st_size
    record = (size - 12) // 3
    sector = range(12 + record * bad + 20, 12 + record * (bad + 1))
    pread = os.pread

    def bad_pread(fd: int, length: int, offset: int) -> bytes:
        if offset < sector.stop and offset + length > sector.start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", bad_pread)  # no disk of a test has a bad sector
    if when == "before the start":
        spool = Spool(place)
    assert segments(place)[0].stat().st_size == size
    assert drain(spool) == [row for n in range(3) if n != bad for row in rows(n, n + 1)]
    assert [(damage.rows, damage.cause) for damage in spool.pop_damage()] == [(1, "the disk cannot read it")]


def test_a_reader_that_tries_again_gets_rows_after_a_read_error(
    place: Path, rows: Callable[..., list[TickRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault row 5: for a reader that tries again EIO skips nothing; later the rows are there."""
    spool = Spool(place)
    spool.append(rows(0, 3))
    pread = os.pread

    def no_pread(fd: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", no_pread)  # no disk of a test fails
    for _ in range(2):
        with pytest.raises(OSError, match=r"\.spool"):
            spool.first(patient=True)
    monkeypatch.setattr(os, "pread", pread)
    assert spool.first(patient=True) == rows(0, 3)
    assert spool.pop_damage() == []


# --- the disk refuses ---


def test_no_space_left(tmpfs: Path, rows: Callable[..., list[TickRow]]) -> None:
    """Fault row 3: ENOSPC changes nothing, however often; with free space again appends succeed, and order is kept."""
    place = tmpfs / ".spool"
    spool = Spool(place, segment_bytes=30_000)
    appended = 0
    refused = None
    while refused is None:
        try:
            spool.append(rows(appended, appended + 100))
            appended += 100
        except OSError as error:
            refused = error.errno
    assert refused == errno.ENOSPC
    assert appended > 1_000
    files = [(path, path.stat().st_size) for path in segments(place)]
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            spool.append(rows(appended, appended + 1_000))
        assert (spool.rows, spool.pop_damage()) == (appended, [])
        assert [(path, path.stat().st_size) for path in segments(place)] == files
    drained: list[TickRow] = []
    while len(segments(place)) == len(files):  # the oldest segment goes
        drained += spool.first() or []
        spool.forget()
    spool.append(rows(appended, appended + 100))
    again = Spool(place)
    assert again.pop_damage() == []
    assert drained + drain(again) == rows(0, appended + 100)
    assert not place.exists()


def test_a_file_size_limit(place: Path) -> None:
    """EFBIG by the limit of the process: a write that breaks off in its middle leaves nothing of itself behind."""
    printed = run_child(
        """
spool = Spool(Path(sys.argv[1]))
spool.append([row(0)])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
print(attempt(lambda: spool.append([row(n) for n in range(1, 100)])), spool.rows)
print(attempt(lambda: spool.append([row(1)])), spool.rows)
print([path.stat().st_size for path in sorted(Path(sys.argv[1]).iterdir())], spool.pop_damage())
""",
        place,
    )
    assert printed.splitlines() == ["EFBIG 1", "ok 2", "[168, 168] []"]
    spool = Spool(place)
    assert [row[1] for row in drain(spool)] == [0, 1]
    assert spool.pop_damage() == []


def test_read_only_in_mid_run(tmpfs: Path, rows: Callable[..., list[TickRow]]) -> None:
    """Fault row 4: on a file system that became read-only rows are still read; a start there is refused by name."""
    place = tmpfs / ".spool"
    spool = Spool(place)
    spool.append(rows(0, 2))
    subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
    with pytest.raises(OSError, match="Read-only") as raised:
        spool.append(rows(2, 3))
    assert raised.value.errno == errno.EROFS
    assert spool.rows == 2
    with pytest.raises(StoreError, match=r"cannot use the spool .*read-only file system"):
        Spool(place)
    assert drain(spool) == rows(0, 2)  # and the file stays, to be replayed once more
    subprocess.run(["mount", "-o", "remount,rw", tmpfs], check=True)
    spool.append(rows(2, 3))
    assert drain(Spool(place)) == rows(0, 3)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_without_the_right(tmp_path: Path) -> None:
    """EACCES: a start is refused with a remedy, a running spool raises and continues when the permission is back."""
    printed = run_child(
        """
os.chdir(sys.argv[1])
os.chmod(".", 0o755)  # pytest's directories are closed to others
for name in ("open", "closed"):
    Path(name).mkdir()
    os.chmod(name, 0o755)
os.chown("open", 65534, 65534)
Path("open/theirs").mkdir(mode=0o700)
Path("open/0000000001.spool").write_bytes(b"HKTSPOOL")
os.chmod("open/0000000001.spool", 0o600)
os.setgid(65534), os.setuid(65534)
print(attempt(lambda: Spool(Path("closed/.spool"))))
print(attempt(lambda: Spool(Path("open/theirs"))))
print(attempt(lambda: Spool(Path("nowhere/.spool"))))
print([damage.cause for damage in Spool(Path("open")).pop_damage()])
spool = Spool(Path("open/.spool"), segment_bytes=1)
spool.append([row(0)])
os.chmod("open/.spool", 0o500)
print(attempt(lambda: spool.append([row(1)])), spool.rows)
os.chmod("open/.spool", 0o700)
print(attempt(lambda: spool.append([row(1)])), spool.rows)
""",
        tmp_path,
    )
    hint = ": it must be a directory in which the collector's account may write, or one that it may create"
    assert printed.splitlines() == [
        f"cannot use the spool closed/.spool: no right to write, or a read-only file system{hint}",
        f"cannot use the spool open/theirs: Permission denied{hint}",
        f"cannot use the spool nowhere/.spool: No such file or directory{hint}",
        "['not changed: Permission denied']",
        "EACCES 1",
        "ok 2",
    ]


def test_a_file_in_its_place(place: Path) -> None:
    """A path that is not a directory is refused at the start."""
    place.touch()
    with pytest.raises(StoreError, match="Not a directory") as raised:
        Spool(place)
    assert raised.value.hint


def test_everything_new_is_synced(
    place: Path, rows: Callable[..., list[TickRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new directory and a new file are synced with the directory that names them; afterwards the file alone is."""
    fsync = os.fsync
    synced: list[str] = []

    def noting_fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    spool = Spool(place)
    spool.append(rows(0, 1))
    assert synced == [place.parent.name, "0000000001.spool", place.name]
    spool.append(rows(1, 2))
    assert synced[3:] == ["0000000001.spool"]


@pytest.mark.parametrize("new", [True, False], ids=["new segment", "old segment"])
def test_a_failed_fsync(
    place: Path, rows: Callable[..., list[TickRow]], monkeypatch: pytest.MonkeyPatch, new: bool
) -> None:
    """Fault row 5: EIO from fsync acknowledges nothing, and that file is never synced again: the rows go to another."""
    spool = Spool(place)
    if not new:
        spool.append(rows(0, 2))
    fsync = os.fsync
    synced: list[str] = []

    def failing_fsync(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        if len(synced) == 1 + new:  # the directory of a new spool is synced first
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", failing_fsync)  # no disk of a test forgets its pages
    with pytest.raises(OSError, match="Input/output"):
        spool.append(rows(2, 4))
    assert spool.rows == (0 if new else 2)
    assert place.exists() == (not new)
    spool.append(rows(2, 4))
    failed = synced[0 + new]
    assert failed.endswith(".spool")
    assert synced.count(failed) == 1
    again = Spool(place)
    assert again.pop_damage() == []
    assert drain(again) == rows(2 if new else 0, 4)


def test_rows_that_no_day_file_could_hold(place: Path, tick: MakeTick) -> None:
    """An integer beyond 64 bits is refused before anything is written."""
    spool = Spool(place)
    with pytest.raises(struct.error):
        spool.append([tick("HK.00700", 2**63)])
    assert (spool.rows, place.exists()) == (0, False)
