"""A place keeps what it was given, whole, and never overwrites a name."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from hk_tick_collector.archive.addresses import place_at
from hk_tick_collector.archive.places import Directory, Stored
from hk_tick_collector.errors import ArchiveError, OtherContentError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.archive.places import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "the 檔案 archive"
    root.mkdir()
    return Directory(root)


def put(place: Place, name: str, content: bytes) -> bool:
    with place.hold() as workspace:
        source = workspace / "unfinished"
        source.write_bytes(content)
        return place.put_new(name, source)


def test_stored_content_can_be_read(place: Place) -> None:
    """The content can be read, listed and measured, and a second time changes nothing."""
    assert put(place, "books/2026-11-20.db", b"book")
    assert not put(place, "books/2026-11-20.db", b"book")
    assert place.list() == place.list("books/2026") == ["books/2026-11-20.db"]
    assert place.list("books/2025") == place.list("nothing/") == []
    assert place.read("books/2026-11-20.db") == b"book"
    assert place.stored("books/2026-11-20.db") == Stored(4, hashlib.sha256(b"book").hexdigest())
    with place.open("books/2026-11-20.db") as file:
        file.seek(2)
        assert file.read() == b"ok"
    assert place.exists("books/2026-11-20.db")
    assert not place.exists("books/2026-11-21.db")
    assert place.stored("books/2026-11-21.db") is None
    with pytest.raises(ArchiveError, match=r"there is no .*2026-11-21\.db"):
        place.read("books/2026-11-21.db")


def test_a_pipe_or_a_directory_under_a_name_is_refused(place: Place, tmp_path: Path) -> None:
    """At once: opening a pipe that nobody writes into waits for ever, and SIGTERM does not end that."""
    os.mkfifo(tmp_path / "the 檔案 archive" / "pipe")
    (tmp_path / "the 檔案 archive" / "directory").mkdir()
    for name in ("pipe", "directory"):
        for ask in (place.read, place.stored, place.open):
            with pytest.raises(ArchiveError, match=f"cannot read .*{name} .not a regular file"):
                ask(name)


def test_other_content_is_refused(place: Place) -> None:
    """A name keeps its first content."""
    put(place, "a/b", b"first")
    with pytest.raises(OtherContentError, match="already has other content"):
        put(place, "a/b", b"other")
    assert place.read("a/b") == b"first"


def test_moving_never_overwrites(place: Place) -> None:
    """What was replaced gets another name; a move that was cut off can be repeated."""
    put(place, "a", b"first")
    put(place, "b", b"second")
    with pytest.raises(OtherContentError):
        place.move("a", "b")
    place.move("a", "_superseded/x/a")
    put(place, "a", b"first")
    place.move("a", "_superseded/x/a")
    assert place.list() == ["_superseded/x/a", "b"]


def test_one_run_at_a_time(place: Place) -> None:
    """A second run is refused in one line, and what a killed run left is gone."""
    with place.hold() as workspace:
        (workspace / "left").write_bytes(b"partial")
        with pytest.raises(ArchiveError, match="another run is writing"), place.hold():
            pass
        assert place.list() == []
    with place.hold() as workspace:
        assert list(workspace.iterdir()) == []


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """The archive of a disk that is not mounted must not fill the disk below."""
    with pytest.raises(ArchiveError, match="there is no directory"), place_at(str(tmp_path / "none")).hold():
        pass
    with pytest.raises(ArchiveError, match="there is no directory"):
        place_at(str(tmp_path / "none")).list()
    with pytest.raises(ArchiveError, match="there is no directory"):
        place_at(str(tmp_path / "none")).exists("allowed_signers")


def test_an_unknown_kind_of_place() -> None:
    """A URL that is not supported is named."""
    with pytest.raises(UsageError, match="ftp://"):
        place_at("ftp://host/archive")
