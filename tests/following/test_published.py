"""Following a real nats-server: the union of its sources, each tick once, whatever happens to the server."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.jetstream.scripted_server import greeting, scripted
from tests.nats_keys import Key
from tests.nats_servers import NatsServers

import hk_tick_collector
from hk_tick_collector import market
from hk_tick_collector.clock import now_ms
from hk_tick_collector.errors import StreamAwayError, StreamError, UsageError
from hk_tick_collector.following import feed
from hk_tick_collector.following import published as published_module
from hk_tick_collector.following.bound import Bound
from hk_tick_collector.following.feed import Feed
from hk_tick_collector.following.local_days import StreamWarning
from hk_tick_collector.following.position import Position
from hk_tick_collector.jetstream import engine, reading
from hk_tick_collector.jetstream.connect import Servers, connect
from hk_tick_collector.jetstream.engine import ask, store
from hk_tick_collector.jetstream.message import encode
from hk_tick_collector.jetstream.streams import ensure_stream
from hk_tick_collector.jetstream.subjects import STREAM, message_id, ticks_subject

from .conftest import demand_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hk_tick_collector.following import Stream
    from hk_tick_collector.following.batch import Batch
    from hk_tick_collector.model import TickRow

CAP_S = 120.0
DAY = market.day_number(now_ms())


@pytest.fixture(autouse=True)
def _today(one_day: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day in which each test begins: this module may have been imported before midnight."""
    monkeypatch.setitem(globals(), "DAY", market.day_number(now_ms()))


def row(counter: int, symbol: str = "HK.00700") -> TickRow:
    """The tick of this counter: one a second from midnight on."""
    second = market.day_start_ms(DAY) // 1000 + counter
    at_ms = second * 1000
    seq = second << 32 | counter
    return (symbol, seq, at_ms, 388.2, 100, 38_820.0, "BUY", "AUTO_MATCH", "realtime", at_ms + 3, None, None)


class Published:
    """A server, and what sources put into its stream."""

    def __init__(self, servers: NatsServers) -> None:
        self.servers = servers
        self._number = 0

    def send(self, *parts: Sequence[int], source: str = "a", day: int = 0) -> None:
        """Each part is a message: the ticks of HK.00700 with these counters."""
        self.send_rows(*([row(counter) for counter in part] for part in parts), source=source, day=day)

    def send_rows(self, *parts: Sequence[TickRow], source: str = "a", day: int = 0, inside: str = "") -> None:
        """The same with rows. `inside`: the source that the message names."""
        name = market.day_name(day or DAY)

        async def put() -> None:
            connection = await connect(Servers(self.servers.urls, "test"))
            await ensure_stream(connection)
            for rows in parts:
                self._number += 1
                data = encode(inside or source, name, rows)
                await store(connection, ticks_subject(name, source), data, message_id(source, name, "g", self._number))
            await connection.close()

        asyncio.run(put())

    def delete_stream(self) -> None:
        """As an operator, or an engine that lost everything."""

        async def delete() -> None:
            connection = await connect(Servers(self.servers.urls, "test"))
            await ask(connection, f"STREAM.DELETE.{STREAM}")
            await connection.close()

        asyncio.run(delete())


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    """One real server with `sync_interval: always`."""
    with NatsServers(tmp_path / "nats") as servers:
        yield Published(servers)


def read_until(stream: Stream, ticks: int) -> list[Batch]:
    """Batches until there are this many ticks; fails if they do not come."""
    found: list[Batch] = []
    limit = threading.Timer(CAP_S, stream.close)
    limit.start()
    try:
        while sum(map(len, found)) < ticks:
            found.append(next(stream))
    finally:
        limit.cancel()
    return found


def counters(batches: list[Batch]) -> list[int]:
    return [tick.seq & 0xFFFFFFFF for batch in batches for tick in batch.rows]


@pytest.mark.usefixtures("one_day")
def test_two_sources_are_one_stream(published: Published) -> None:
    """What one source lacks comes from the other, once; what is missing in both is told as a gap, and as closed."""
    published.send([1, 2, 3], [6, 7, 10], source="a")
    with hk_tick_collector.stream(published.servers.url, start="day") as stream:
        read = read_until(stream, 6)
        assert [(gap.missing, gap.status) for batch in read for gap in batch.gaps] == [(2, "open"), (2, "open")]
        published.send([2, 3, 4, 5, 6, 7, 8], source="b")
        late = read_until(stream, 3)
        assert (counters(late), {batch.late for batch in late}) == ([4, 5, 8], {True})
        assert [gap.missing for batch in late for gap in batch.gaps if gap.status == "open"] == [1]
        saved = str(stream.position)
    published.send([9, 11], source="b")
    with hk_tick_collector.stream(published.servers.url, start=saved) as stream:
        rest = read_until(stream, 2)
        assert sorted(counters(rest)) == [9, 11]
        assert [gap.status for batch in rest for gap in batch.gaps] == ["healed"]
    demand_in_order([*read, *late, *rest])


@pytest.mark.usefixtures("one_day")
def test_from_now_on_over_a_kill_of_the_server(published: Published) -> None:
    """`new` has nothing of before; the server is killed and comes back: the stream goes on, each tick once."""
    published.send([1, 2, 3])
    with hk_tick_collector.stream(published.servers.url, "HK.00700") as stream:
        before = str(stream.position)
        published.send([4])
        read = read_until(stream, 1)
        published.servers.kill(0)
        published.servers.start(0)
        published.send([5, 6])
        read += read_until(stream, 2)
    assert counters(read) == [4, 5, 6]
    with hk_tick_collector.stream(published.servers.url, start=before) as stream:
        assert counters(read_until(stream, 3)) == [4, 5, 6]


@pytest.mark.usefixtures("one_day")
def test_an_engine_that_lost_its_data_is_noticed(published: Published) -> None:
    """The disk is rolled back and other messages take the same places: what publishers send again comes, once."""
    published.send([1, 2])
    saved = published.servers.save_stores()
    published.send([3], [4], [5])
    with hk_tick_collector.stream(published.servers.url, start="day") as stream:
        read = read_until(stream, 5)
        published.servers.kill(0)
        published.servers.roll_back(saved)
        published.servers.start(0)
        published.send([4, 5, 6], [1, 2, 3])
        read += read_until(stream, 1)
    assert counters(read) == [1, 2, 3, 4, 5, 6]


@pytest.mark.usefixtures("one_day")
def test_a_symbol_without_a_counter_is_known_tick_by_tick(published: Published) -> None:
    """Sequences that are no seconds and counters: each once, also those between others, and no gap is told."""
    rows = [(name, seq, *row(1)[2:]) for name, seq in (("HK.00005", 7), ("HK.00005", 8), ("HK.00005", 900 << 32 | 9))]
    published.send_rows(rows[:1], rows[2:], rows)
    published.send_rows([("HK.00005", 5 << 32 | 9, *row(1)[2:])])
    with hk_tick_collector.stream(published.servers.url, start="day") as stream:
        read = read_until(stream, 4)
    assert sorted(tick.seq for batch in read for tick in batch.rows) == [7, 8, 5 << 32 | 9, 900 << 32 | 9]
    assert [gap for batch in read for gap in batch.gaps] == []


@pytest.mark.usefixtures("one_day")
def test_a_message_that_is_not_what_it_says_is_left_out(published: Published) -> None:
    """A publisher on the subject of another: a warning that names the message, and the stream goes on."""
    published.send_rows([row(1)], source="a", inside="b")
    published.send([2])
    with (
        pytest.warns(StreamWarning, match="left out"),
        hk_tick_collector.stream(published.servers.url, start="day") as stream,
    ):
        assert counters(read_until(stream, 1)) == [2]


def test_a_finished_day_of_the_stream_ends(published: Published, cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`day` of the past: its ticks from the bound on, and the end; in Python and with `tail --url`."""
    monkeypatch.setattr(published_module, "_QUIET_S", 0.5)
    past = DAY - 2
    start_s = market.day_start_ms(past) // 1000
    rows = [
        (each[0], (start_s + n) << 32 | n, (start_s + n) * 1000, *each[3:]) for n in range(1, 9) for each in [row(n)]
    ]
    published.send_rows(rows, day=past)
    published.send([1])
    at = market.hkt((start_s + 5) * 1000)
    found = list(hk_tick_collector.stream(published.servers.url, day=market.day_date(past), start=at))
    assert counters(found) == [5, 6, 7, 8]
    done = cli("tail", "--url", published.servers.url, "--day", market.day_name(past), "--format", "jsonl")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 8, "")


@pytest.mark.usefixtures("one_day")
def test_new_ticks_have_no_gap_of_before_and_later_days_have(published: Published) -> None:
    """From now on, resumed at its position too: what came before is not missing; of the next day everything counts."""
    published.send([1, 2])
    with hk_tick_collector.stream(published.servers.url) as stream:
        before = stream.position
        published.send([5])
        read = read_until(stream, 1)
        published.send_rows(of_day(DAY + 1, [3]), day=DAY + 1)
        read += read_until(stream, 1)
    assert [(gap.missing, gap.from_seq) for batch in read for gap in batch.gaps] == [(2, None)]
    with hk_tick_collector.stream(published.servers.url, start=str(before)) as stream:
        again = read_until(stream, 2)
    assert counters(again) == [5, 3]
    assert [(gap.missing, gap.from_seq) for batch in again for gap in batch.gaps] == [(2, None)]


@pytest.mark.usefixtures("one_day")
def test_a_resumed_symbol_without_a_counter_has_no_gaps(published: Published) -> None:
    """A position has sequences that are no counters: no gap between them is told as closed."""
    published.send_rows([("HK.00700", seq, *row(1)[2:]) for seq in (10, 20, 30)])
    with hk_tick_collector.stream(published.servers.url, start="day") as stream:
        read_until(stream, 3)
        position = str(stream.position)
    published.send_rows([("HK.00700", seq, *row(1)[2:]) for seq in (25, 40)])
    with hk_tick_collector.stream(published.servers.url, start=position) as stream:
        read = read_until(stream, 2)
    assert sorted(counters(read)) == [25, 40]
    assert [gap for batch in read for gap in batch.gaps] == []


def of_day(number: int, counters: Sequence[int]) -> list[TickRow]:
    """The ticks of these counters, on another day."""
    before_s = (DAY - number) * 86_400
    return [(each[0], each[1] - (before_s << 32), each[2] - before_s * 1000, *each[3:]) for each in map(row, counters)]


def test_a_server_that_hangs_ends_no_day(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP in the middle of a finished day: that the server says nothing is not that there is nothing more.

    Longer than a day that has ended stays quiet, and until the connection is given up; both soon, while it hangs.
    """
    monkeypatch.setattr(published_module, "_AWAY_S", 0.0)
    monkeypatch.setattr(published_module, "_QUIET_S", 0.5)
    monkeypatch.setattr(feed, "_WAITING", 1)
    monkeypatch.setattr(feed, "_AT_ONCE", 2)
    past = DAY - 3
    published.send_rows(*([each] for each in of_day(past, range(1, 401))), day=past)
    with hk_tick_collector.stream(published.servers.url, day=market.day_date(past)) as stream:
        read = read_until(stream, 6)
        published.servers.pause(0)
        with monkeypatch.context() as hanging, warnings.catch_warnings(record=True) as told:
            hanging.setattr(reading, "_SILENT_S", 0.5)
            hanging.setattr(engine, "ANSWER_S", 0.5)
            warnings.simplefilter("always")
            while not told:
                read += next_within(stream, 0.5)
        published.servers.resume(0)
        read += read_until(stream, 400 - sum(map(len, read)))
    assert "goes on when it is back" in str(told[0].message)
    assert counters(read) == list(range(1, 401))


def next_within(stream: Stream, seconds: float) -> list[Batch]:
    """The next batch, if there is one within this time; the stream is not over."""

    async def ask() -> list[Batch]:
        try:
            return [await asyncio.wait_for(anext(stream), seconds)]
        except TimeoutError:
            return []

    return asyncio.run(ask())


def taken(feed: Feed, is_enough: Callable[[], bool]) -> list[int]:
    """The sequences of the messages that come until something is so."""
    found: list[int] = []
    end_s = time.monotonic() + CAP_S
    while not is_enough():
        found += [message.seq for message in feed.take()]
        assert time.monotonic() < end_s
        time.sleep(0.01)
    return found + [message.seq for message in feed.take()]


def test_a_credentials_file_that_is_renewed_ends_no_stream(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not there for a moment, in which the connection is lost: that is not a server that refuses us."""
    monkeypatch.setattr(feed, "_AWAY_S", (0.05, 0.1))
    creds = tmp_path / "reader.creds"
    creds.write_text(Key("U").seed, "utf-8")
    creds.chmod(0o600)
    published.send([1], [2])
    reading = Feed(Servers(published.servers.urls, "test", creds), DAY, None, only_new=False)
    with closing(reading):
        reading.start(CAP_S)
        creds.rename(tmp_path / "aside")
        published.servers.kill(0)
        published.servers.start(0)
        read = taken(reading, lambda: "cannot read STREAM_CREDS=" in reading.away)
        (tmp_path / "aside").rename(creds)
        published.send([3])
        end_s = time.monotonic() + CAP_S
        while len(read) < 3 and time.monotonic() < end_s:  # it may be quiet for a moment before the third is there
            read += taken(reading, lambda: reading.quiet_s > 0)
    assert read == [1, 2, 3]


def test_without_a_usable_credentials_file_no_stream_begins(published: Published, tmp_path: Path) -> None:
    """At once: nobody waits for a server."""
    with (
        closing(Feed(Servers(published.servers.urls, "test", tmp_path / "none"), DAY, None, only_new=False)) as reading,
        pytest.raises(StreamError, match="cannot read STREAM_CREDS="),
    ):
        reading.start(CAP_S)


def test_an_answer_without_a_state_is_no_answer() -> None:
    """A server that answers nonsense is told in one line, and is asked again."""
    said = b'{"config":{"subjects":["hk.>"],"storage":"file","retention":"limits","discard":"old"},"state":null}'

    async def run() -> None:
        async with scripted(greeting(), lambda _: said) as url:
            reading = Feed(Servers((url,), "test"), DAY, None, only_new=False)
            with pytest.raises(StreamAwayError, match="cannot be read"):
                await asyncio.to_thread(reading.start, 1.0)

    asyncio.run(run())


def test_a_server_that_refuses_us_later_is_an_error(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back with credentials that we do not have, while the loop is busy: what was read, then the error."""
    monkeypatch.setattr(feed, "_WAITING", 2)
    monkeypatch.setattr(feed, "_AT_ONCE", 1)
    published.send([1], [2], [3])
    with hk_tick_collector.stream(published.servers.url, start="day") as stream:
        read_until(stream, 1)
        thread = next(each for each in threading.enumerate() if each.name == "tick-feed")
        published.servers.kill(0)
        published.servers.more = 'authorization { user: "a", password: "b" }'
        published.servers.start(0)
        thread.join(CAP_S)
        with pytest.raises(StreamError, match="refuses us"):
            list(stream)


def test_no_server_and_wrong_addresses_are_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers: an error after some seconds that says so. A wrong address: at the call."""
    monkeypatch.setattr(published_module, "_BEGIN_S", 1.0)
    with (
        closing(hk_tick_collector.stream("nats://127.0.0.1:1")) as stream,
        pytest.raises(StreamAwayError, match="no NATS server at"),
    ):
        next(stream)
    for url, says in (
        ("nats://a:0", "port 0"),
        ("nats://u:p@a", "belongs into STREAM_CREDS"),
        ("nats://a,tls://b", "mixes"),
    ):
        with pytest.raises(UsageError, match=says) as raised:
            hk_tick_collector.stream(url)
        assert "u:p" not in str(raised.value)
    with pytest.raises(UsageError, match="archive is given together with servers"):
        hk_tick_collector.stream("nats://a", archive=tmp_path)


def test_a_position_fits_the_local_files_too(published: Published, tmp_path: Path, make_day: Any) -> None:
    """Begun from a server and resumed from the day file of a collector, and back: without a seam."""
    published.send([1, 2, 3])
    day = make_day(market.day_name(DAY))
    day.add([row(n) for n in range(1, 6)])
    with hk_tick_collector.stream(published.servers.url, start="day") as stream:
        read_until(stream, 3)
        position = stream.position
    assert isinstance(position, Position)
    with hk_tick_collector.stream(tmp_path, start=position) as stream:
        assert counters(read_until(stream, 2)) == [4, 5]
        position = stream.position
    published.send([3, 4, 5, 6])
    with hk_tick_collector.stream(published.servers.url, start=str(position)) as stream:
        assert counters(read_until(stream, 1)) == [6]


@pytest.mark.usefixtures("one_day")
def test_a_stream_made_anew_behind_a_connection_that_stays(published: Published) -> None:
    """The stream is deleted and made again while we are connected, and filled beyond our place: nothing is missed."""
    published.send([1], [2], [3])
    with hk_tick_collector.stream(published.servers.url, start="day") as stream:
        read = read_until(stream, 3)
        published.delete_stream()
        published.send([4], [5], [1, 2, 3], [6], [7])
        read += read_until(stream, 4)
    assert sorted(counters(read)) == [1, 2, 3, 4, 5, 6, 7]


def send_days(published: Published, *days: int, counters: Sequence[int]) -> None:
    """A message with these counters of each of the days, in this order."""
    for number in days:
        published.send_rows(of_day(number, counters), day=number)


def read_days(batches: list[Batch]) -> dict[int, list[int]]:
    """The counters that came of each day."""
    found: dict[int, list[int]] = {}
    for batch in batches:
        found.setdefault(market.parse_day(str(batch.day)), []).extend(counters([batch]))
    return found


@pytest.mark.usefixtures("one_day")
@pytest.mark.parametrize("before", [5, 400])
def test_a_first_day_without_messages_begins_with_the_next_one_that_has_some(published: Published, before: int) -> None:
    """It has expired, or it was a holiday: what the servers hold of later days is delivered, also from a position."""
    send_days(published, DAY - 1, DAY, counters=[1, 2])
    position = str(Position((), Bound(DAY - before), {}))
    for start in (market.day_name(DAY - before), position):
        with hk_tick_collector.stream(published.servers.url, start=start) as stream:
            assert read_days(read_until(stream, 4)) == {DAY - 1: [1, 2], DAY: [1, 2]}


@pytest.mark.usefixtures("one_day")
@pytest.mark.parametrize("count", [5, 12])
def test_days_that_were_published_the_newest_first_are_whole(
    published: Published, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A publisher with a backlog sends some of each day, the newest day first: nothing of any day is left out."""
    monkeypatch.setattr(feed, "_AT_ONCE", 1)
    days = [DAY - each for each in range(count)]
    send_days(published, *days, counters=[1, 2])
    send_days(published, *days, counters=[3, 4])
    with hk_tick_collector.stream(published.servers.url, start=market.day_name(days[-1])) as stream:
        read = read_until(stream, 4 * count)
    assert read_days(read) == {each: [1, 2, 3, 4] for each in days}
    demand_in_order(read)


@pytest.mark.usefixtures("one_day")
def test_a_position_has_the_last_eight_days(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier days are over once nothing of them comes: what is sent again of them is not delivered again."""
    monkeypatch.setattr(feed, "_AT_ONCE", 1)
    days = [DAY - each for each in reversed(range(10))]
    send_days(published, *days, counters=[1, 2])
    with hk_tick_collector.stream(published.servers.url, start=market.day_name(days[0])) as stream:
        read_until(stream, 20)
        assert sorted(stream.position.days) == days
        position = str(stream.position)
    send_days(published, DAY - 8, DAY + 1, *days, counters=[1, 2, 3])
    with hk_tick_collector.stream(published.servers.url, start=position) as stream:
        read = read_until(stream, 12)
        assert (stream.position.bound.day, sorted(stream.position.days)) == (DAY - 8, [*days[1:], DAY + 1])
    assert read_days(read) == {DAY + 1: [1, 2, 3]} | {each: [3] for each in days[1:]}
    monkeypatch.setattr(published_module, "_UNFINISHED_S", 0.0)
    with hk_tick_collector.stream(published.servers.url, start=market.day_name(days[0])) as stream:
        read_until(stream, 30)
        assert sorted(stream.position.days) == [*days[3:], DAY + 1]


@pytest.mark.usefixtures("one_day")
def test_a_stream_reads_no_more_of_the_servers_than_it_needs(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins with the first message of its days, at the end if there is none; with many days at the start."""
    send_days(published, DAY - 4, DAY + 2, DAY - 1, DAY - 2, DAY, counters=[1])

    def read(first_day: int, last_day: int | None = None) -> list[int]:
        with closing(
            Feed(Servers(published.servers.urls, "t"), first_day, None, only_new=False, last_day=last_day)
        ) as it:
            it.start(CAP_S)
            return taken(it, lambda: it.quiet_s > 0)

    assert read(DAY - 3) == read(DAY - 1) == [3, 4, 5]
    assert read(DAY - 4) == [1, 2, 3, 4, 5]
    assert read(DAY) == [5]
    assert read(DAY + 1) == read(DAY - 3, DAY - 3) == []
    assert read(DAY - 2, DAY - 2) == [4, 5]
    monkeypatch.setattr(feed, "_DAYS_ASKED", 1)
    assert read(DAY - 1) == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("one_day")
def test_days_that_have_not_begun_do_not_push_out_today(published: Published) -> None:
    """Ticks with wrong dates are left out, with one warning. Those of tomorrow are not: clocks differ."""
    send_days(published, DAY, counters=[1])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with hk_tick_collector.stream(published.servers.url, start="day") as stream:
            read = read_until(stream, 1)
            send_days(published, *(DAY + 30 * each for each in range(1, 10)), DAY + 2, DAY + 1, counters=[1])
            send_days(published, DAY, counters=[2])
            read += read_until(stream, 2)
            position = stream.position
    assert read_days(read) == {DAY: [1, 2], DAY + 1: [1]}
    assert (position.bound.day, sorted(position.days)) == (DAY, [DAY, DAY + 1])
    (warning,) = [str(each.message) for each in told if each.category is StreamWarning]
    assert (
        f"messages of a of days that have not begun are left out, first those of {market.day_name(DAY + 30)};"
        in warning
    )
