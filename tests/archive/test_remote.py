"""Days of an archive in an object store are read in place, as those of a directory, against a real S3 server."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from tests.archive.conftest import open_ms
from tests.archive.test_day import DAY, archived, changed
from tests.s3_server import KEYS, HostileS3

import hk_tick_collector
from hk_tick_collector import market
from hk_tick_collector.archive.addresses import place_at
from hk_tick_collector.archive.remote import Remote, RemoteFile
from hk_tick_collector.archive.s3 import S3Place
from hk_tick_collector.cli._patience import in_child
from hk_tick_collector.data.days import find
from hk_tick_collector.data.ranges import DayRange
from hk_tick_collector.data.store import Store
from hk_tick_collector.errors import ArchiveError, NoDayError, StoreError
from hk_tick_collector.frames.parquet_file import read_ticks
from hk_tick_collector.model import Gap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.archive.conftest import MakeDay
    from tests.s3_server import S3Server

    from hk_tick_collector.archive.places import Directory
    from hk_tick_collector.archive.sshsig import SigningKey

DAYS = ("20261119", DAY, "20261123")
OPEN_MS = open_ms(DAY)
GAP = Gap("HK.00700", 1 << 62, 2**63 - 1, OPEN_MS, OPEN_MS + 60_000, 7, "disconnected", "open", OPEN_MS, None, 1)
PARQUET = "ticks/date=2026-11-20/ticks-0123456789abcdef.parquet"


@pytest.fixture(autouse=True)
def _only_these_keys(monkeypatch: pytest.MonkeyPatch, s3_server: S3Server) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def address(s3_server: S3Server, request: pytest.FixtureRequest) -> str:
    """An empty archive with a blank and Chinese in its name."""
    return f"s3://{s3_server.bucket}/the 檔案 archive/{request.node.name}"


@pytest.fixture
def both(
    make_day: MakeDay, place: Directory, key: SigningKey, address: str, s3_server: S3Server
) -> tuple[Store, Store]:
    """The same three days in a directory and in a bucket; one has an open gap."""
    store: Any = place_at(address, s3_server.variables)
    for day in DAYS:
        source = make_day(day, gaps=[GAP] if day == DAY else ())
        archived(place, key, source)
        archived(store, key, source)
        source.unlink()
    return hk_tick_collector.open(archive=place.root), hk_tick_collector.open(archive=address)


@pytest.mark.filterwarnings("ignore:1 open gap")
def test_it_gives_the_same_as_a_directory(both: tuple[Store, Store]) -> None:
    """Days, symbols, ticks, bars, gaps, instruments and certificates, of all days and of chosen ones."""
    local, remote = both
    assert remote.days() == local.days() == [date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 23)]
    assert remote.symbols() == local.symbols()
    for ask in ("ticks", "bars", "gaps", "instruments"):
        assert getattr(remote, ask)().arrow().equals(getattr(local, ask)().arrow()), ask
    chosen: dict[str, Any] = {
        "since": "20261120",
        "from_time": "09:31",
        "to_time": "09:32",
        "columns": ["seq", "price"],
    }
    assert remote.ticks("HK.00700", gaps="ignore", **chosen).arrow().num_rows > 10
    assert remote.ticks("HK.00700", **chosen).arrow().equals(local.ticks("HK.00700", **chosen).arrow())
    assert "3 of them archived" in repr(remote.ticks())
    with pytest.warns(UserWarning, match="1 open gap in the range, 7 ticks are known to be missing"):
        remote.ticks(day=DAY)
    assert str(remote.archive) in repr(remote)
    with pytest.raises(NoDayError, match="days there: 20261119 to 20261123"):
        remote.ticks(day="20261118")


def test_a_checked_archive_is_the_same(both: tuple[Store, Store], key: SigningKey) -> None:
    """With `verify` the signature and all files of a day are checked before its first use."""
    local, remote = both
    address = str(remote.archive)
    checked = hk_tick_collector.open(archive=address, verify=True)
    assert checked.certificate(DAY).text == local.certificate(DAY).text
    assert checked.ticks(gaps="ignore").arrow().num_rows == local.ticks(gaps="ignore").arrow().num_rows


def test_another_content_is_named(both: tuple[Store, Store], s3_server: S3Server) -> None:
    """A book or a Parquet file that is not what was archived: one line with its address."""
    _, remote = both
    source = find(None, remote.archive, DayRange(None, None))[1]
    for file in (source.book, source.path):
        assert isinstance(file, RemoteFile)
        name = f"{str(remote.archive).removeprefix(f's3://{s3_server.bucket}/')}/{file.name}"
        content = bytearray(s3_server.client.get_object(Bucket=s3_server.bucket, Key=name)["Body"].read())
        content[len(content) // 2] ^= 1
        s3_server.client.put_object(Bucket=s3_server.bucket, Key=name, Body=bytes(content))
    fresh = hk_tick_collector.open(archive=str(remote.archive))
    with pytest.raises(ArchiveError, match=r"books/2026-11-20.db is not what its certificate lists: its SHA-256 is "):
        fresh.gaps(day=DAY).arrow()
    with pytest.raises(StoreError, match=r"cannot read s3://ticks-archive/.*\.parquet \(") as raised:
        fresh.ticks(day=DAY, gaps="ignore").arrow()
    assert "\n" not in raised.value.one_line()
    checked = hk_tick_collector.open(archive=str(remote.archive), verify=True)
    with pytest.raises(StoreError, match=f"{DAY} in s3://.* is not what was signed: "):
        checked.ticks(day=DAY, gaps="ignore").arrow()
    assert checked.ticks(day="20261119").arrow().num_rows == 400


def test_a_replaced_day_is_read_anew(
    both: tuple[Store, Store], make_day: MakeDay, key: SigningKey, s3_server: S3Server
) -> None:
    """The certificate is read again once it is another one, and with it the other Parquet file and book."""
    _, remote = both
    before = remote.ticks(day=DAY, gaps="ignore").arrow()
    again = make_day(DAY)
    changed(again)
    store: Any = place_at(str(remote.archive), s3_server.variables)
    archived(store, key, again, replace=True)
    after = remote.ticks(day=DAY, gaps="raise").arrow()
    assert after.num_rows == before.num_rows
    assert not after.equals(before)


def test_a_day_file_is_nearer(both: tuple[Store, Store], make_day: MakeDay, data_root: Path) -> None:
    """A day that is in both places is read from its day file, and the store is not asked if all days are here."""
    _, remote = both
    make_day(DAY, rows=5)
    store = Store(data_root, remote.archive)
    assert [source.is_archived for source in find(store.data_root, store.archive, DayRange(None, None))] == [
        True,
        False,
        True,
    ]
    assert store.ticks(day=DAY).arrow().num_rows == 10
    nowhere = Remote("s3://bucket/x", {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    assert Store(data_root, nowhere).ticks(day=DAY).arrow().num_rows == 10
    with pytest.raises(ArchiveError, match="cannot list s3://bucket/x"):
        Store(data_root, nowhere).ticks(day="20261119")


def test_a_day_without_its_certificate(both: tuple[Store, Store], s3_server: S3Server) -> None:
    """The only Parquet file there is; of two files nobody knows which one is the day."""
    _, remote = both
    prefix = str(remote.archive).removeprefix(f"s3://{s3_server.bucket}/")
    s3_server.client.delete_object(Bucket=s3_server.bucket, Key=f"{prefix}/certificates/2026-11-20.txt")
    assert remote.ticks(day=DAY, gaps="ignore").arrow().num_rows == 400
    s3_server.client.put_object(Bucket=s3_server.bucket, Key=f"{prefix}/{PARQUET}", Body=b"another")
    with pytest.raises(StoreError, match="has 2 files and no certificate says which is the day"):
        remote.ticks(day=DAY)


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileS3]:
    """A server that misbehaves; the keys are for it."""
    with closing(HostileS3()) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield server


def test_only_what_is_needed_is_read(hostile: HostileS3, place: Directory, make_day: MakeDay, key: SigningKey) -> None:
    """One symbol and two columns of a day: the footer and the columns of the row groups that may have them."""
    archived(place, key, make_day(DAY, rows=20_000))
    (path,) = place.root.glob("ticks/*/*.parquet")
    many = place.root.parent / "many groups.parquet"
    pq.write_table(pq.read_table(path, partitioning=None), many, row_group_size=2_000)
    content = many.read_bytes()
    hostile.objects["archive/many"] = content
    asked: list[int] = []

    def count(request: Any) -> bool:
        if wanted := request.headers.get("Range"):
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            asked.append(last - first + 1)
        return False

    hostile.trick = count
    file = RemoteFile(Remote("s3://bucket/archive", hostile.variables), "many")
    for symbols, columns, share in (((), (), 1.3), (("HK.00700",), (), 0.8), (("HK.00700",), ("symbol", "ts"), 0.5)):
        asked.clear()
        with file.open() as source:
            rows = sum(
                batch.num_rows for batch in read_ticks(source, symbols=symbols, columns=columns, remote=str(file))
            )
        assert rows == (20_000 if symbols else 40_000)
        assert sum(asked) < share * len(content), (symbols, columns)
        assert len(asked) < 30
    asked.clear()
    with file.open() as source:
        assert next(read_ticks(source, remote=str(file))).num_rows == 2_000
    assert sum(asked) < 0.8 * len(content)  # the rest is requested when it is needed, so memory holds a part of a day


def test_a_refusal_is_one_line_without_the_key(hostile: HostileS3, s3_server: S3Server) -> None:
    """A missing bucket, a wrong key, an answer that is cut, a file that is gone: the cause and what to do."""
    missing = Store(None, Remote("s3://no-such-bucket/x", s3_server.variables))
    with pytest.raises(ArchiveError, match=r"cannot list s3://no-such-bucket/x.*NoSuchBucket") as raised:
        missing.days()
    assert raised.value.hint == "create the bucket, or correct its name; it is never created here"
    remote = hk_tick_collector.open(archive="s3://bucket/archive")
    hostile.trick = lambda request: request.refuse(403, "InvalidAccessKeyId", "not in our records")
    lines = []
    with pytest.raises(ArchiveError, match="InvalidAccessKeyId") as raised:
        remote.ticks()
    lines.append(raised.value.one_line())
    hostile.objects["archive/day"] = bytes(100_000)
    file = RemoteFile(Remote("s3://bucket/archive", hostile.variables), "day")
    hostile.trick = lambda _: False
    with file.open() as source:
        hostile.trick = cut
        with pytest.raises(ArchiveError, match="cannot read s3://bucket/archive/day") as raised:
            list(read_ticks(source, remote=str(file)))
        lines.append(raised.value.one_line())
        hostile.trick = lambda _: False
        hostile.objects.clear()
        with pytest.raises(ArchiveError, match="was removed while it was read") as raised:
            list(read_ticks(source, remote=str(file)))
    lines.append(raised.value.one_line())
    with pytest.raises(ArchiveError, match="there is no s3://bucket/archive/day"):
        file.open()
    assert not any(KEYS["AWS_SECRET_ACCESS_KEY"] in line or "\n" in line for line in lines)


def test_a_server_that_hangs_is_not_waited_for(hostile: HostileS3) -> None:
    """Neither while days are listed nor in the middle of a Parquet file."""
    remote = Remote("s3://bucket/archive", hostile.variables, timeout_s=0.5)
    hostile.objects["archive/day"] = bytes(100_000)
    file = RemoteFile(remote, "day").open()
    hostile.trick = lambda _: hostile.released.wait()
    with pytest.raises(ArchiveError, match="cannot list s3://bucket/archive/ticks: no answer in time"):
        Store(None, remote).days()
    with pytest.raises(ArchiveError, match="cannot read s3://bucket/archive/day: no answer in time"):
        list(read_ticks(file, remote="day"))


def cut(request: Any) -> bool:
    """Says more bytes than it sends, and ends."""
    request.send_response(206)
    request.send_header("Content-Length", "65536")
    request.send_header("Content-Range", "bytes 34464-99999/100000")
    request.end_headers()
    request.wfile.write(bytes(10))
    return bool(request.drop())


def test_it_can_be_sent_to_another_process_and_shows_no_key(s3_server: S3Server) -> None:
    """The value has the keys, for the other process; what is printed has not. Its directory goes with it."""
    remote = Remote(f"s3://{s3_server.bucket}/x/", s3_server.variables)
    sent = pickle.loads(pickle.dumps(remote))
    assert sent.names("ticks/") == {}
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in f"{remote!r} {sent!r} {remote} {Store(None, remote)!r}"
    assert str(sent) == f"s3://{s3_server.bucket}/x"


def test_a_forked_child_says_that_it_cannot_read(s3_server: S3Server, tmp_path: Path) -> None:
    """The library hangs in it for ever. A process that has not used an object store may have such children."""
    remote = Remote(f"s3://{s3_server.bucket}/x", s3_server.variables)
    assert remote.names("ticks/") == {}
    with pytest.raises(ArchiveError, match="cannot be read in a process that was forked"):
        in_child(lambda: remote.names("ticks/"), tmp_path, network=True)


def test_two_threads_may_read_one_book_for_the_first_time(
    both: tuple[Store, Store], address: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have downloaded it before either has written it; each gets it whole."""
    name, read = f"books/{market.day_date(market.parse_day(DAY)).isoformat()}.db", S3Place.read
    whole = Remote(address, s3_server.variables).place.read(name)
    digest, together = hashlib.sha256(whole).hexdigest(), threading.Barrier(2, timeout=60)

    def read_together(place: S3Place, name: str) -> bytes:
        content = read(place, name)
        together.wait()
        return content

    monkeypatch.setattr(S3Place, "read", read_together)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            archive = Remote(address, s3_server.variables)
            archive.make_directory()
            books = list(pool.map(lambda _, archive=archive: archive.local_book(name, digest).read_bytes(), range(2)))
            assert books == [whole, whole]
            archive.close()


def test_books_on_this_host_go_with_the_store(both: tuple[Store, Store], tmp_path: Path) -> None:
    """Each is downloaded once, into a directory that is removed with the store."""
    _, remote = both
    (source,) = find(None, remote.archive, DayRange(*[market.parse_day(DAY)] * 2))
    assert isinstance(source.book, RemoteFile)
    path = source.book.local()
    shutil.copy(path, tmp_path)
    stamp = path.stat().st_ino
    assert source.book.local().stat().st_ino == stamp
    archive = source.book.archive
    archive.close()
    assert not path.exists()
    assert source.book.local().exists()
