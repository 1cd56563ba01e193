"""An archive in S3: with a server on loopback, and with one that gives wrong answers, which are noticed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.s3_server import KEYS, HostileS3

from hk_tick_collector.archive.addresses import place_at
from hk_tick_collector.archive.places import Stored
from hk_tick_collector.archive.s3 import PART_BYTES, S3Place
from hk_tick_collector.errors import ArchiveError, OtherContentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.s3_server import S3Server, _Handler

    from hk_tick_collector.archive.places import Place

NAME = "ticks/date=2026-11-20/ticks-0123456789abcdef.parquet"
SECRET = KEYS["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(autouse=True)
def _no_foreign_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def place(s3_server: S3Server, request: pytest.FixtureRequest) -> Place:
    return place_at(f"s3://{s3_server.bucket}/the 檔案 archive/{request.node.name}", s3_server.variables)


@pytest.fixture
def hostile() -> Iterator[HostileS3]:
    with closing(HostileS3()) as server:
        yield server


def at(hostile: HostileS3, timeout_s: float = 60) -> S3Place:
    return S3Place("s3://bucket/archive", hostile.variables, timeout_s=timeout_s)


def put(place: Place, content: bytes, name: str = NAME) -> bool:
    with place.hold() as workspace:
        source = workspace / "unfinished"
        source.write_bytes(content)
        return place.put_new(name, source)


def test_stored_content_can_be_read(place: Place) -> None:
    """The content can be read whole or in part, listed and measured, and a second time changes nothing."""
    assert place.list() == []
    assert put(place, b"0123456789")
    assert not put(place, b"0123456789")
    assert place.list() == place.list("ticks/date=2026") == [NAME]
    assert place.list("ticks/date=2025") == []
    assert place.exists(NAME)
    assert place.read(NAME) == b"0123456789"
    assert place.stored(NAME) == Stored(10, hashlib.sha256(b"0123456789").hexdigest())
    with place.open(NAME) as file:
        assert (file.seek(-3, 2), file.read(2), file.seek(1), file.read(1), file.tell()) == (7, b"78", 1, b"1", 2)


def test_nothing_is_overwritten(place: Place) -> None:
    """Other content under the same name is refused, and what was there stays."""
    put(place, b"first")
    with pytest.raises(OtherContentError, match="already has other content"):
        put(place, b"other")
    assert place.read(NAME) == b"first"


def test_a_large_file_goes_in_parts(place: Place) -> None:
    """It is read back like a small one, never overwritten, and its upload leaves nothing behind."""
    content = os.urandom(64) * (PART_BYTES // 64) + b"end"
    assert put(place, content)
    assert not put(place, content)
    assert place.stored(NAME) == Stored(len(content), hashlib.sha256(content).hexdigest())
    with pytest.raises(OtherContentError):
        put(place, content + b"!")
    assert place.stored(NAME) == Stored(len(content), hashlib.sha256(content).hexdigest())
    assert place.list() == [NAME]


def test_racing_writers_lose_nothing(place: Place) -> None:
    """Of several that store different content under one name at once, one succeeds and the others get an error."""
    results: list[bytes | ArchiveError] = []

    def try_it(content: bytes, source: Path) -> None:
        source.write_bytes(content)
        try:
            place.put_new(NAME, source)
            results.append(content)
        except ArchiveError as error:
            results.append(error)

    with place.hold() as workspace:
        threads = [threading.Thread(target=try_it, args=(b"%d" % n, workspace / str(n))) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (won,) = [each for each in results if isinstance(each, bytes)]
    assert place.read(NAME) == won
    assert {type(each) for each in results if not isinstance(each, bytes)} == {OtherContentError}


def test_replaced_content_gets_another_name(place: Place) -> None:
    """A move is complete, can be repeated, and overwrites nothing."""
    put(place, b"old")
    place.move(NAME, f"_superseded/{NAME}")
    assert place.list() == [f"_superseded/{NAME}"]
    put(place, b"old")
    place.move(NAME, f"_superseded/{NAME}")  # as after a crash between copy and removal
    put(place, b"new")
    with pytest.raises(OtherContentError):
        place.move(NAME, f"_superseded/{NAME}")
    assert (place.read(NAME), place.read(f"_superseded/{NAME}")) == (b"new", b"old")


def test_one_run_at_a_time(place: Place) -> None:
    """A second run on this host is refused at once."""
    with place.hold(), pytest.raises(ArchiveError, match="another run is writing"), place.hold():
        pass


@pytest.mark.parametrize("url", ["s3://", "s3://Bad_Bucket", "s3://ok-bucket/../up", "s3:/x", "gs://bucket/x"])
def test_a_bad_address_is_a_usage_error(url: str) -> None:
    """It says how an address is written."""
    if url == "s3:/x":
        assert place_at(url)  # a relative path
        return
    with pytest.raises(UsageError, match=r"bucket|not supported"):
        place_at(url)


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    """It is not created, and the line says what it is."""
    place = place_at("s3://no-such-bucket", s3_server.variables)
    for action in (lambda: put(place, b"x"), place.list, lambda: place.read(NAME)):
        with pytest.raises(ArchiveError) as told:
            action()
        if action is place.list:
            assert "NoSuchBucket" in str(told.value)
            assert "create the bucket" in told.value.hint


def test_a_refusal_is_one_line_without_the_key(hostile: HostileS3) -> None:
    """The server's own words and what to check; no secret in it."""
    hostile.trick = lambda request: request.refuse(403, "AccessDenied", "Access Denied")
    with pytest.raises(ArchiveError) as told:
        put(at(hostile), b"x")
    line = told.value.one_line()
    assert "403 Forbidden" in line or "AccessDenied" in line
    assert "AWS_ACCESS_KEY_ID" in line
    assert SECRET not in line + repr(told.value)


def test_a_refused_connection_is_named() -> None:
    """A connection that is refused is named with its cause."""
    place = S3Place("s3://bucket", {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    with pytest.raises(ArchiveError, match="Connection refused"):
        place.list()


def test_a_server_that_hangs_is_not_waited_for(hostile: HostileS3) -> None:
    """The wait has a limit, and the line says so."""
    hostile.trick = lambda _: hostile.released.wait()
    began_s = time.monotonic()
    with pytest.raises(ArchiveError, match="no answer in time"):
        put(at(hostile, timeout_s=0.3), b"x")
    assert time.monotonic() - began_s < 60  # of 0.3 s: only a hang takes so long


def test_an_upload_that_is_cut_leaves_nothing(hostile: HostileS3) -> None:
    """The run fails with the cause; the next one stores the file."""

    def cut(request: _Handler) -> bool:
        if request.command != "PUT":
            return False
        request.rfile.read(1000)
        return request.drop()

    hostile.trick = cut
    with pytest.raises(ArchiveError, match="cannot write s3://bucket/archive/ticks"):
        put(at(hostile), b"x" * 1_000_000)
    assert hostile.objects == {}
    hostile.trick = lambda _: False
    assert put(at(hostile), b"x" * 1_000_000)


def test_a_large_upload_that_is_cut_between_its_parts_leaves_nothing(hostile: HostileS3) -> None:
    """The name stays free, and the line says what was cut."""

    def cut(request: _Handler) -> bool:
        if request.command == "POST" and request.path.endswith("?uploads"):
            request.body()
            xml = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            request.answer(200, xml.encode())
            return True
        return request.command == "PUT" and "partNumber=2" in request.path and request.drop()

    hostile.trick = cut
    with pytest.raises(ArchiveError, match="cannot write s3://bucket/archive/ticks"):
        put(at(hostile, timeout_s=2), b"x" * (PART_BYTES + 1))
    assert "bucket/archive/" + NAME not in hostile.objects
    assert not at(hostile).exists(NAME)


def test_an_upload_whose_answer_is_lost_is_found_by_the_next_run(hostile: HostileS3) -> None:
    """The object is there although the upload failed: the next run recognises its content."""

    def lose(request: _Handler) -> bool:
        if request.command != "PUT":
            return False
        hostile.objects[request.name] = request.body()
        return request.drop()

    hostile.trick = lose
    with pytest.raises(ArchiveError):
        put(at(hostile), b"content")
    hostile.trick = lambda _: False
    assert not put(at(hostile), b"content")


def test_a_false_confirmation_is_an_error(hostile: HostileS3) -> None:
    """A confirmed upload that is not there is an error."""

    def forget(request: _Handler) -> bool:
        if request.command == "PUT":
            request.body()
            request.answer(200, ETag='"x"')
        return request.command == "PUT"

    hostile.trick = forget
    with pytest.raises(ArchiveError, match="does not exist, although the server confirmed"):
        put(at(hostile), b"content")


@pytest.mark.parametrize("keep", [lambda data: data[:-1], lambda data: b"?" + data[1:], lambda data: data * 2])
def test_wrong_content_in_the_store_is_noticed_and_removed(hostile: HostileS3, keep: type) -> None:
    """It is noticed, and the wrong object is removed, so that it cannot be taken for the day."""

    def falsify(request: _Handler) -> bool:
        if request.command == "PUT":
            request.keep(keep(request.body()))
        return request.command == "PUT"

    hostile.trick = falsify
    with pytest.raises(ArchiveError, match="has other content than was sent, although the server confirmed"):
        put(at(hostile), b"content")
    assert hostile.objects == {}


def test_an_answer_that_is_too_short_is_refused(hostile: HostileS3) -> None:
    """A read that is too short is never taken for the whole."""
    put(at(hostile), b"content")

    def shorten(request: _Handler) -> bool:
        if request.command == "GET":
            about = {"Content_Range": "bytes 0-2/7", "ETag": '"x"', "Last_Modified": "Fri, 20 Nov 2026 00:00:00 GMT"}
            request.answer(206, b"con", **about)
        return request.command == "GET"

    hostile.trick = shorten
    with pytest.raises(ArchiveError):
        at(hostile).read(NAME)
