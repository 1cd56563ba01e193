"""The whole merge with a real nats-server: what arrives, and what the engine loses."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import pytest
from tests.log_lines import events_in
from tests.merging.engines import DAY_NAME, merging, play, publisher, stored, until
from tests.merging.feeds import DAY, ticks
from tests.merging.test_totals import total_of
from tests.nats_keys import Key
from tests.nats_servers import NatsServers

from hk_tick_collector import log, market
from hk_tick_collector.archive.facts import read_facts
from hk_tick_collector.archive.proof import COMPLETE
from hk_tick_collector.jetstream import engine
from hk_tick_collector.model import BY_GAP
from hk_tick_collector.store.merged_rows import MergedReader
from hk_tick_collector.store.query import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[NatsServers]:
    with NatsServers(tmp_path / "nats") as started:
        yield started


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "merged"
    made.mkdir()
    return made


def is_sealed(root: Path, day: str) -> bool:
    """Whether a merged day is there and sealed."""
    path = path_of(root, day)
    return path.exists() and not path.stat().st_mode & 0o200


def test_two_publishers_become_one_day(servers: NatsServers, root: Path) -> None:
    """Everything that either sent, each tick once, whatever was sent before the merge began."""

    async def run() -> None:
        a, b = await publisher(servers, "a"), await publisher(servers, "b")
        await a.send(ticks(range(1, 501)))
        async with merging(servers, root) as (_, status):
            await b.send(ticks(range(301, 801)))
            await a.send(ticks(range(601, 1001)))
            await until(lambda: (status.stored, status.duplicate, status.behind) == (1000, 400, 0))
            assert (status.received, status.conflicts) == (1400, 0)
            assert set(status.sources) == {"a", "b"}
            assert status.server == servers.url
        assert stored(root) == ticks(range(1, 1001))

    play(run)


def test_a_restart_goes_on_where_the_file_ends(servers: NatsServers, root: Path) -> None:
    """Nothing is read twice after a clean stop, and nothing is left out."""

    async def run() -> None:
        a = await publisher(servers, "a")
        await a.send(ticks(range(1, 101)))
        async with merging(servers, root) as (_, status):
            await until(lambda: status.stored == 100)
        await a.send(ticks(range(101, 201)))
        async with merging(servers, root) as (_, status):
            await until(lambda: status.stored == 100)
            assert status.received == 100
        assert stored(root) == ticks(range(1, 201))

    play(run)


def test_a_rolled_back_engine_is_noticed_and_read_again(servers: NatsServers, root: Path) -> None:
    """The disk of the engine loses acknowledged messages, and new ones take their sequences. Without the anchor the
    merge would wait behind the shorter stream for ever.
    """

    async def run() -> None:
        a = await publisher(servers, "a")
        await a.send(ticks(range(1, 101)))
        await asyncio.to_thread(servers.stop, 0)
        saved = servers.save_stores()
        await asyncio.to_thread(servers.start, 0)
        a = await publisher(servers, "a", "second")
        async with merging(servers, root) as (_, status):
            for start in range(101, 401, 50):
                await a.send(ticks(range(start, start + 50)))
            await until(lambda: status.stored == 400)
            servers.kill_all()
            servers.roll_back(saved)
            await asyncio.to_thread(servers.start, 0)
            again = await publisher(servers, "a", "later")
            await again.send(ticks(range(401, 451)))
            await until(lambda: status.stored == 450, "the merge waits behind the shorter stream")
            assert status.losses == 1
        assert stored(root) == ticks(range(1, 451))

    play(run)


def test_a_deleted_stream_is_noticed(servers: NatsServers, root: Path) -> None:
    """All stores of the engine are gone, and publishers make the stream anew."""

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 101)))
            await a.send(ticks(range(101, 151)))
            await until(lambda: status.stored == 150)
            servers.kill_all()
            servers.delete_store(0)
            await asyncio.to_thread(servers.start, 0)
            again = await publisher(servers, "a", "later")
            await again.send(ticks(range(151, 201)))
            await until(lambda: status.stored == 200)
            assert status.losses == 1
        assert stored(root) == ticks(range(1, 201))

    play(run)


def test_sums_that_differ_are_asked_for_again(servers: NatsServers, root: Path) -> None:
    """A message lost in mid-log shows in no position: the collector's sums show it, and it is asked for the symbol."""

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 101)))
            await a.send_sums([*ticks(range(1, 151)), *ticks(range(1, 3), "HK.00005")])
            await until(lambda: status.asked_again == 1)
            (request,) = await a.again()
            assert (request.source, request.day, request.symbols) == ("a", DAY_NAME, ("HK.00005", "HK.00700"))
            await a.send(ticks(range(1, 151)))
            await a.send(ticks(range(1, 3), "HK.00005"))
            await a.send_sums([*ticks(range(1, 151)), *ticks(range(1, 3), "HK.00005")])
            await until(lambda: status.stored == 152)
            assert status.sums_differ == {}

    play(run)


def test_equal_sums_ask_for_nothing(servers: NatsServers, root: Path) -> None:
    """The normal case at lunch and close, with two collectors."""

    async def run() -> None:
        a, b = await publisher(servers, "a"), await publisher(servers, "b")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 101)))
            await b.send(ticks(range(1, 81)))
            await a.send_sums(ticks(range(1, 101)))
            last = await b.send_sums(ticks(range(1, 81)))
            await until(lambda: status.position == last)
            await until(lambda: status.behind == 0)
            assert status.asked_again == 0

    play(run)


def test_messages_that_expired_are_asked_for(servers: NatsServers, root: Path) -> None:
    """The merge was away for longer than the stream keeps: it asks for what it did not read, and for days it missed."""

    async def run() -> None:
        a = await publisher(servers, "a")
        await a.send(ticks(range(1, 101)))
        async with merging(servers, root) as (_, status):
            await until(lambda: status.stored == 100)
        for start in range(101, 201, 10):
            await a.send(ticks(range(start, start + 10)))
        config = (await engine.info(a.connection))["config"]  # type: ignore[index]
        await engine.ask(a.connection, "STREAM.UPDATE.HK_TICKS", {**config, "max_msgs": 2})
        await engine.ask(a.connection, "STREAM.UPDATE.HK_TICKS", {**config, "max_msgs": -1})
        tuesday_ms = market.day_start_ms(DAY + 4) + 12 * 3_600_000
        async with merging(servers, root, lambda: tuesday_ms) as (_, status):
            await until(lambda: status.asked_again == 3)
            assert (status.expired, status.losses) == (1, 0)
        requests = await a.again()
        assert {(request.source, request.symbols) for request in requests} == {("a", ())}
        assert sorted(request.day for request in requests) == [DAY_NAME, "20261123", "20261124"]

    play(run)


def test_messages_that_are_wrong_are_refused_and_told(servers: NatsServers, root: Path) -> None:
    """Another collector's name, another day, cut bytes: nothing of them is stored, and what follows is."""

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 11)), source="b")
            await a.send(ticks(range(1, 11)), day="20261123")
            await engine.store(a.connection, f"hk.ticks.{DAY_NAME}.a", b"\xff\xff", "cut")
            await a.send(ticks(range(11, 21)))
            await until(lambda: status.stored == 10)
            assert (status.wrong_name, status.refused_messages) == (1, 2)
            assert "names the collector b" in status.wrong_name_last
        assert stored(root) == ticks(range(11, 21))

    play(run)


def test_a_day_is_sealed_when_its_collectors_have_sealed_theirs(servers: NatsServers, root: Path) -> None:
    """Not before: the other one may still send."""
    morning_ms = market.day_start_ms(DAY + 1) + 6 * 3_600_000

    async def run() -> None:
        a, b = await publisher(servers, "a"), await publisher(servers, "b")
        async with merging(servers, root, lambda: morning_ms) as (_, status):
            await a.send(ticks(range(1, 101)))
            await b.send(ticks(range(1, 101)))
            await a.send_sums(ticks(range(1, 101)), sealed=True)
            await until(lambda: status.not_sealed == {DAY_NAME: "waits for b"})
            await b.send_sums(ticks(range(1, 101)), sealed=True)
            await until(lambda: status.not_sealed == {})
            assert status.asked_again == 0
        with MergedReader(path_of(root, DAY_NAME)) as reader:
            assert reader.is_sealed()
            assert reader.integrity() == "ok"

    play(run)


def test_a_merged_day_is_proved_by_what_its_collectors_were_told(servers: NatsServers, root: Path) -> None:
    """Both lack ticks and the union has all: OpenD's totals come with the sums."""
    morning_ms = market.day_start_ms(DAY + 1) + 6 * 3_600_000
    whole = ticks(range(1, 101))

    async def run() -> None:
        a, b = await publisher(servers, "a"), await publisher(servers, "b")
        async with merging(servers, root, lambda: morning_ms) as (_, status):
            sent = ((a, whole[20:]), (b, whole[:60]))
            for each, rows in sent:  # the day is sealed when all collectors of which it has ticks have sealed theirs
                await each.send(rows)
            for each, rows in sent:
                await each.send_sums(rows, total_of(rows, BY_GAP, whole), sealed=True)
            await until(lambda: is_sealed(root, DAY_NAME))
            assert status.refused_messages == 0
        assert read_facts(path_of(root, DAY_NAME)).proof.standing == COMPLETE

    play(run)


def test_totals_of_another_day_are_refused(servers: NatsServers, root: Path) -> None:
    """With the message: no publisher of ours sends them."""

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            yesterday = total_of(ticks([1]))._replace(at_ms=market.day_start_ms(DAY) - 1)
            await a.send_sums(ticks([1]), yesterday)
            await until(lambda: status.refused_messages == 1)
            assert "totals of another day" in status.refused_message

    play(run)


def test_a_collector_that_was_cut_off_for_a_day_is_waited_for(servers: NatsServers, root: Path) -> None:
    """The other one has sealed the day, and lacks ticks that this one has. It is asked, and what it has is merged."""
    clock = [market.day_start_ms(DAY + 1) + 6 * 3_600_000]
    yesterday = market.day_name(DAY - 1)

    async def run() -> None:
        a, b = await publisher(servers, "a"), await publisher(servers, "b")
        async with merging(servers, root, lambda: clock[0]) as (_, status):
            for each in (a, b):
                await each.send(ticks(range(1, 11), day=DAY - 1), day=yesterday)
            for each in (a, b):
                await each.send_sums(ticks(range(1, 11), day=DAY - 1), day=yesterday, sealed=True)
            await until(lambda: is_sealed(root, yesterday))
            await a.send(ticks([*range(1, 41), *range(51, 101)]))
            await a.send_sums(ticks([*range(1, 41), *range(51, 101)]), sealed=True)
            await until(lambda: status.not_sealed == {DAY_NAME: "waits for b"}, "it was not waited for")
            clock[0] += 3_600_000
            await until(lambda: status.asked_again == 1)
            assert [(each.day, each.symbols) for each in await b.again()] == [(DAY_NAME, ())]
            await b.send(ticks(range(1, 101)))
            await b.send_sums(ticks(range(1, 101)), sealed=True)
            await until(lambda: status.not_sealed == {})
        with MergedReader(path_of(root, DAY_NAME)) as reader:
            assert reader.is_sealed()
            assert reader.gaps(only_open=True) == []

    play(run)


def test_a_collector_that_has_nothing_of_a_day_says_so(servers: NatsServers, root: Path) -> None:
    """Its host was off. Then the day is sealed at once."""
    morning_ms = market.day_start_ms(DAY + 1) + 6 * 3_600_000
    yesterday = market.day_name(DAY - 1)

    async def run() -> None:
        a, b = await publisher(servers, "a"), await publisher(servers, "b")
        async with merging(servers, root, lambda: morning_ms) as (_, status):
            await b.send(ticks(range(1, 11), day=DAY - 1), day=yesterday)
            await b.send_sums(ticks(range(1, 11), day=DAY - 1), day=yesterday, sealed=True)
            await until(lambda: is_sealed(root, yesterday))
            await a.send(ticks(range(1, 11)))
            await a.send_sums(ticks(range(1, 11)), sealed=True)
            await until(lambda: status.not_sealed == {DAY_NAME: "waits for b"})
            await b.send_sums([], sealed=True)
            await until(lambda: is_sealed(root, DAY_NAME))

    play(run)


def test_a_sealed_day_that_cannot_be_read_stops_nothing(servers: NatsServers, root: Path) -> None:
    """It does not say which collectors to expect on the days after it: these are merged, asked for and sealed."""
    morning_ms = market.day_start_ms(DAY + 1) + 7 * 3_600_000
    damaged = path_of(root, market.day_name(DAY - 2))
    damaged.write_bytes(b"nonsense" * 1000)
    damaged.chmod(0o440)

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root, lambda: morning_ms) as (_, status):
            await a.send(ticks(range(1, 11)))
            await until(lambda: status.asked_again == 1, "it waits for the damaged day")
            await a.send(ticks(range(11, 21)))
            await a.send_sums(ticks(range(1, 21)), sealed=True)
            await until(lambda: is_sealed(root, DAY_NAME))
            assert (status.not_sealed, status.trouble) == ({}, "")

    play(run)


def test_a_gap_that_nobody_can_fill_does_not_keep_a_day_from_being_sealed(servers: NatsServers, root: Path) -> None:
    """One collector has fewer ticks than the union, and the union has a gap: it is asked, and its answer is enough."""
    morning_ms = market.day_start_ms(DAY + 1) + 6 * 3_600_000
    all_of_b = ticks([*range(1, 41), *range(51, 101)])

    async def run() -> None:
        a, b = await publisher(servers, "a"), await publisher(servers, "b")
        async with merging(servers, root, lambda: morning_ms) as (_, status):
            await a.send(all_of_b[:60])
            await b.send(all_of_b)
            await b.send_sums(all_of_b, sealed=True)
            await a.send_sums(all_of_b[:60], sealed=True)
            await until(lambda: status.asked_again == 1)
            await a.send(all_of_b[:60])
            await a.send_sums(all_of_b[:60], sealed=True)
            await until(lambda: is_sealed(root, DAY_NAME), "the answer was not enough")
            assert status.sums_differ == {}
        with MergedReader(path_of(root, DAY_NAME)) as reader:
            assert reader.is_sealed()
            assert len(reader.gaps(only_open=True)) == 1

    play(run)


def test_collectors_that_do_not_say_that_they_sealed_are_asked(servers: NatsServers, root: Path) -> None:
    """The merge was away when they said it, and the stream has dropped the message: an hour later it asks."""
    later_ms = market.day_start_ms(DAY + 1) + 7 * 3_600_000

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root, lambda: later_ms) as (_, status):
            await a.send(ticks(range(1, 101)))
            await until(lambda: status.asked_again == 1)
            (request,) = await a.again()
            assert (request.source, request.day, request.symbols) == ("a", DAY_NAME, ())

    play(run)


def test_a_sealed_day_that_lacks_ticks_asks_for_nothing(servers: NatsServers, root: Path) -> None:
    """A collector says later that it has more: they cannot be added, and that is told."""
    morning_ms = market.day_start_ms(DAY + 1) + 6 * 3_600_000

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root, lambda: morning_ms) as (_, status):
            await a.send(ticks(range(1, 101)))
            await a.send_sums(ticks(range(1, 101)), sealed=True)
            await until(lambda: is_sealed(root, DAY_NAME))
            last = await a.send_sums(ticks(range(1, 151)), sealed=True)
            await until(lambda: status.position == last and bool(status.sums_differ))
            assert (status.sums_differ, status.asked_again) == ({f"{DAY_NAME} a": 1}, 0)

    play(run)


def names_set_aside(root: Path) -> list[str]:
    """The names of damaged files."""
    return [path.name for path in root.glob("*.damaged-*")]


def damage(path: Path) -> None:
    """Overwrites some pages of a file."""
    data = bytearray(path.read_bytes())
    data[8192:24_576] = b"\xa5" * 16_384
    path.write_bytes(data)


def test_a_damaged_file_is_set_aside_and_made_anew(servers: NatsServers, root: Path) -> None:
    """The stream still has what a damaged file had: the day is whole again, and the damaged file is kept."""

    async def run() -> None:
        a = await publisher(servers, "a")
        await a.send(ticks(range(1, 3001)[:1000]))
        await a.send(ticks(range(1001, 2001)))
        async with merging(servers, root) as (_, status):
            await until(lambda: status.stored == 2000)
        damage(path_of(root, DAY_NAME))
        await a.send(ticks(range(2001, 2011)))
        async with merging(servers, root) as (_, status):
            await until(lambda: status.stored == 2010)
            assert len(status.damaged_files) == 1
        assert stored(root) == ticks(range(1, 2011))
        assert len(names_set_aside(root)) == 1

    play(run)


def test_a_removed_day_is_read_again_although_a_later_one_is_further(servers: NatsServers, root: Path) -> None:
    """The stream is read from its start, and the collectors are asked: it may have dropped the begin of that day."""

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 101), day=DAY - 1), day=market.day_name(DAY - 1))
            await a.send(ticks(range(1, 101)))
            await until(lambda: status.stored == 200)
            remove(path_of(root, market.day_name(DAY - 1)))
            await a.send(ticks(range(101, 111), day=DAY - 1), day=market.day_name(DAY - 1))
            await until(lambda: len(stored(root, market.day_name(DAY - 1))) == 110, "it was not read again")
            await until(lambda: status.asked_again == 1)
            assert [each.day for each in await a.again()] == [market.day_name(DAY - 1)]

    play(run)


def test_a_day_that_is_removed_again_is_waited_for(servers: NatsServers, root: Path) -> None:
    """Each time all of the stream is read and every collector is asked: at once only the first time."""
    lines = io.StringIO()
    log.configure("INFO", lines)

    async def run() -> None:
        a = await publisher(servers, "a")
        await a.send(ticks([1]))
        async with merging(servers, root):
            for count in (1, 2):
                await until(lambda count=count: len(stored(root)) == count)  # type: ignore[misc]
                remove(path_of(root, DAY_NAME))
                await a.send(ticks([count + 1]))
            await until(lambda: len(stored(root)) == 3)

    play(run)
    log.configure("INFO")
    waits = [each.fields["wait_s"] for each in events_in(lines.getvalue(), "merge_starts_over")]
    assert waits == ["0", "1"]


def test_a_day_that_comes_late_is_not_sealed_while_it_comes(servers: NatsServers, root: Path) -> None:
    """This merge was away for weeks and asked for what it missed: the day is older than any wait for a collector."""
    clock = lambda: market.day_start_ms(DAY + 12) + 12 * 3_600_000  # noqa: E731

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root, clock) as (_, status):
            await a.send(ticks(range(1, 101)))
            await until(lambda: status.not_sealed == {DAY_NAME: "waits for a"}, "it was sealed")
            await a.send(ticks(range(101, 201)))
            await a.send_sums(ticks(range(1, 201)), sealed=True)
            await until(lambda: status.not_sealed == {})
            assert status.late == 0
        with MergedReader(path_of(root, DAY_NAME)) as reader:
            assert reader.is_sealed()

    play(run)


def test_a_day_that_was_begun_with_a_clock_years_ahead_is_sealed(servers: NatsServers, root: Path) -> None:
    """The host started before its clock was set: the wait for collectors does not begin in those years."""
    clock = [market.day_start_ms(DAY + 3650)]

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root, lambda: clock[0]) as (_, status):
            await a.send(ticks(range(1, 101)))
            await until(lambda: status.stored == 100)
        clock[0] = market.day_start_ms(DAY + 12) + 12 * 3_600_000
        async with merging(servers, root, lambda: clock[0]) as (_, status):
            await until(lambda: is_sealed(root, DAY_NAME), "it waits")
            assert status.late == 0

    play(run)


def remove(path: Path) -> None:
    """Removes a day file and what is beside it."""
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def refuse_writes(path: Path) -> None:
    """Puts a directory where the day file should be."""
    path.unlink()
    path.mkdir()


def allow_writes(path: Path) -> None:
    """Takes it away again."""
    path.rmdir()


def test_a_file_that_cannot_be_written_stops_nothing_for_good(servers: NatsServers, root: Path) -> None:
    """The merge waits with what it has, says so, and goes on; meanwhile the ticks are in the stream."""
    path = path_of(root, DAY_NAME)

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 11)))
            await until(lambda: status.stored == 10)
        refuse_writes(path)
        async with merging(servers, root) as (_, status):
            await until(lambda: status.trouble != "")
            assert status.trouble_since_ms is not None
            allow_writes(path)
            await until(lambda: status.stored == 10)
            assert status.trouble == ""
        assert stored(root) == ticks(range(1, 11))

    play(run)


def test_a_stream_made_anew_behind_a_connection_that_stays_is_noticed(servers: NatsServers, root: Path) -> None:
    """Somebody removes the stream, and others refill it beyond our place before we ask for our last message."""

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 11)))
            await a.send(ticks(range(11, 21)))
            await until(lambda: status.stored == 20)
            await engine.ask(a.connection, "STREAM.DELETE.HK_TICKS")
            b = await publisher(servers, "b")
            for start in range(21, 71, 10):
                await b.send(ticks(range(start, start + 10)))
            await until(lambda: status.stored == 70, "what was sent below our place is not merged")
            assert status.losses == 1
        assert stored(root) == ticks(range(1, 71))

    play(run)


def test_a_stream_that_is_deleted_is_waited_for(servers: NatsServers, root: Path) -> None:
    """Somebody removes it while no publisher runs: nobody refuses us, and it goes on when one makes it anew."""

    async def run() -> None:
        a = await publisher(servers, "a")
        async with merging(servers, root) as (_, status):
            await a.send(ticks(range(1, 11)))
            await until(lambda: status.stored == 10)
            await engine.ask(a.connection, "STREAM.DELETE.HK_TICKS")
            await until(lambda: "no stream" in status.fault)
            assert not status.refused
            b = await publisher(servers, "b")
            await b.send(ticks(range(11, 21)))
            await until(lambda: status.stored == 20)

    play(run)


def test_a_credentials_file_that_is_renewed_ends_nothing(servers: NatsServers, root: Path, tmp_path: Path) -> None:
    """For a moment it is not there; systemd would not start a service again that ends with a wrong setting."""
    creds = tmp_path / "merge.creds"

    async def run() -> None:
        a = await publisher(servers, "a")
        await a.send(ticks(range(1, 11)))
        async with merging(servers, root, creds=creds) as (_, status):
            await until(lambda: "cannot read STREAM_CREDS=" in status.fault)
            assert status.refused
            creds.write_text(Key("U").seed, "utf-8")
            creds.chmod(0o600)
            await until(lambda: status.stored == 10)

    play(run)
