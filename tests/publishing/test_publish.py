"""`publish` as a process, against a real nats-server: what is stored is in the stream, whatever is killed or lost."""

from __future__ import annotations

import signal
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import apsw
from tests.bigday import make_big_day
from tests.descriptors import descriptors, resident_kib
from tests.nats_servers import NatsServers
from tests.publishing.conftest import SOURCE, Publishing, day_of, ticks

from hk_tick_collector import market
from hk_tick_collector.jetstream.engine import ask, store
from hk_tick_collector.jetstream.message import AgainMessage, SumsMessage, decode_sums, encode_again
from hk_tick_collector.jetstream.subjects import again_subject
from hk_tick_collector.model import Reconciled
from hk_tick_collector.publishing.totals import sums_payload
from hk_tick_collector.store.dayfile import Batch, DayFile, StoreOptions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.nursery import Nursery

    from hk_tick_collector.jetstream.connect import Connection

TODAY = day_of()
LATE_MS = 10**6


def sums_of(rows: list[Any]) -> dict[str, tuple[int, int]]:
    """Rows and the sum of sequences of each symbol; each tick once."""
    seqs: dict[str, set[int]] = {}
    for row in rows:
        seqs.setdefault(row[0], set()).add(row[1])
    return {symbol: (len(each), sum(each) % 2**64) for symbol, each in sorted(seqs.items())}


def test_every_stored_tick_is_sent_once_and_a_restart_goes_on(publishing: Publishing) -> None:
    """From the day being written on; late ticks and new ones are sent alone; a clean stop exits 0 and says so."""
    first = ticks("HK.00700", range(100, 1300)) + ticks("HK.00981", range(5))
    publishing.collector.add(TODAY, first)
    running = publishing.start()
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 1205)
    publishing.collector.add(TODAY, ticks("HK.00700", [50, 51], LATE_MS) + ticks("HK.09988", [1]))
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 1208)
    running.wait_for(lambda: running.state().get("behind_rows") == 0 and running.state()["late_rows"] == 2)
    assert running.stop() == 0
    assert (running.state()["state"], running.state()["published_rows"]) == ("stopped", 1208)
    publishing.collector.add(TODAY, ticks("HK.00981", [7]))
    again = publishing.once()
    assert again.process.poll() == 0
    found = publishing.streamed()
    assert len(found.rows(TODAY)) == len(set(found.rows(TODAY))) == 1209
    assert set(found.rows(TODAY)) >= set(first)
    assert max(len(rows) for _, rows in found.by_message) == 1000


def test_killed_at_any_moment_it_loses_nothing(publishing: Publishing) -> None:
    """SIGKILL while it sends: some ticks are sent twice, none is missing, and the sums are exact."""
    rows = ticks("HK.00700", range(9000)) + ticks("HK.00981", range(9000)) + ticks("HK.09988", range(9000))
    publishing.collector.add(TODAY, rows)
    for least in (1, 10, 20):
        running = publishing.start()
        running.wait_for(lambda: publishing.streamed().messages >= least)  # noqa: B023 - called before the next turn
        running.process.kill()
        running.process.wait(60)
    assert publishing.once().process.poll() == 0
    found = publishing.streamed()
    assert set(found.rows(TODAY)) == set(rows)


def test_what_the_engine_lost_is_sent_again(publishing: Publishing) -> None:
    """All stores are rolled back, then deleted, while it runs: it notices, says so, and sends the day again."""
    publishing.collector.add(TODAY, ticks("HK.00700", range(10)))
    running = publishing.start()
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 10)
    saved = publishing.servers.save_stores()
    publishing.collector.add(TODAY, ticks("HK.00700", range(10, 20)))
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 20)
    running.wait_for(lambda: running.state()["published_rows"] == 20)
    publishing.servers.kill_all()
    publishing.servers.roll_back(saved)
    publishing.servers.start_all()
    running.wait_for_event("publish_lost_data")
    publishing.wait_streamed(running, lambda found: len(set(found.rows(TODAY))) == 20)
    publishing.servers.kill_all()
    publishing.servers.delete_store(0)
    publishing.servers.start_all()
    running.wait_for_event("publish_lost_data", 2)
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 20)
    publishing.wait_streamed(running, lambda found: found.sums and found.sums[-1].sums == sums_of(found.rows(TODAY)))
    running.wait_for(lambda: running.state().get("losses") == 2)
    assert {event.level for event in running.events("publish_lost_data")} == {"ERROR"}


def test_an_engine_that_is_away_is_waited_for(publishing: Publishing) -> None:
    """It says since when, uses no more memory, and catches up; the collector goes on meanwhile."""
    publishing.collector.add(TODAY, ticks("HK.00700", range(10)))
    running = publishing.start()
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 10)
    publishing.servers.kill(0)
    running.wait_for(lambda: "no NATS server at" in running.state().get("fault", ""))
    assert running.state()["server"] == ""
    assert running.state()["away_since_ms"]
    running.wait_for(lambda: not any(f"{TODAY}.db" in name for name in descriptors(running.process.pid).values()))
    publishing.collector.add(TODAY, ticks("HK.00981", range(3000)))
    publishing.servers.start(0)
    found = publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) >= 3010)
    assert len(set(found.rows(TODAY))) == 3010
    assert running.events("publish_lost_data") == []
    assert running.stop(signal.SIGINT) == 0


def test_nodes_of_a_cluster_may_be_killed(workdir: Path, nursery: Nursery) -> None:
    """One of three after the other, while ticks are sent: nothing that was acknowledged is lost, and all arrives."""
    with NatsServers(workdir / "nats", 3) as servers:
        trial = Publishing(workdir, nursery, servers)
        stored = make_big_day(trial.root / f"{TODAY}.db", 60_000)
        running = trial.start()
        for node in range(3):
            running.wait_for(lambda least=20_000 * node: running.state().get("published_rows", 0) > least)  # type: ignore[misc]
            servers.kill(node)
            servers.start(node)
        running.wait_for(lambda: running.state()["behind_rows"] == 0 and running.state()["published_rows"] >= stored)
        assert len({row[:2] for row in trial.streamed().rows(TODAY)}) == stored
        assert running.events("publish_lost_data") == []
        assert running.state()["stream_replicas"] == 3
        trial.kill_all()


def test_a_slow_engine_slows_the_reading_and_nothing_else(publishing: Publishing) -> None:
    """The server stops in the middle of a day: the process holds one chunk, not the day, and goes on afterwards."""
    path = publishing.root / f"{TODAY}.db"
    stored = make_big_day(path, 150_000)
    running = publishing.start()
    running.wait_for(lambda: running.state().get("published_rows", 0) > 0)
    before_kib = resident_kib(running.process.pid)
    publishing.servers.pause(0)
    running.wait_for(lambda: running.state()["away_since_ms"])
    assert resident_kib(running.process.pid) - before_kib < 40_000
    publishing.servers.resume(0)
    running.wait_for(lambda: running.state()["behind_rows"] == 0 and running.state()["published_rows"] >= stored)
    assert len({row[:2] for row in publishing.streamed().rows(TODAY)}) == stored
    assert resident_kib(running.process.pid) - before_kib < 40_000


def test_another_name_begins_with_all_days_that_a_stream_keeps(publishing: Publishing) -> None:
    """INSTANCE_ID was changed: readers see a new source, which sends everything again, and the log says so."""
    day = day_of(1)
    publishing.collector.add(day, ticks("HK.00700", range(2)))
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    assert publishing.once("--since", day).process.poll() == 0
    again = publishing.once(INSTANCE_ID="host-2")
    assert again.process.poll() == 0
    assert f"not {SOURCE}" in again.events("publish_source_renamed")[0].fields["detail"]
    found = publishing.streamed()
    assert (len(found.rows(day)), len(found.rows(TODAY))) == (4, 10)


def test_it_waits_for_the_engine_from_the_start(publishing: Publishing) -> None:
    """And a stop does not wait for it."""
    publishing.servers.kill(0)
    running = publishing.start()
    running.wait_for_event("publish_engine_away")
    assert running.stop() == 0


def test_a_request_of_a_reader_is_answered(publishing: Publishing) -> None:
    """One symbol of a day or all of it is sent again, then the sums; a day without a file and nonsense are told."""
    publishing.collector.add(TODAY, ticks("HK.00700", range(3)) + ticks("HK.00981", range(4)))
    assert publishing.once().process.poll() == 0
    before = day_of(3)

    async def ask(connection: Connection) -> None:
        requests = [
            *(encode_again(AgainMessage(SOURCE, f"200001{day:02}", ())) for day in range(3, 22)),
            encode_again(AgainMessage(SOURCE, before, ())),
            b"nonsense",
            encode_again(AgainMessage(SOURCE, TODAY, ("HK.00700",))),
        ]
        for number, request in enumerate(requests):
            await store(connection, again_subject(SOURCE), request, f"reader.{number}")

    publishing.ask(ask)
    running = publishing.start()
    days = [before, TODAY]
    found = publishing.wait_streamed(
        running, lambda found: len(found.rows(TODAY)) == 10 and [sums.day for sums in found.sums[-2:]] == days
    )
    # From 12:05 on those of the lunch break are there as well, before these.
    assert [(sums.day, sums.sealed, sums.sums) for sums in found.sums[-2:]] == [
        (before, True, {}),  # a merge need not wait for that day
        (TODAY, False, sums_of(found.rows(TODAY))),
    ]
    assert [row[0] for row in found.rows(TODAY)[7:]] == ["HK.00700"] * 3
    assert {event.fields["reason"] for event in running.events("publish_again_refused")} == {
        "no file of that day",
        "not a request",
    }
    running.wait_for(lambda: running.state()["requests"] == 21)
    assert [event.fields["count"] for event in running.events("publish_again_refused")] == ["20", "1"]


def test_a_request_for_a_day_whose_file_is_gone_is_answered_with_what_was_sent(publishing: Publishing) -> None:
    """A reader sees whether it has all of it; that there was nothing would be wrong. A later day shows that it is over,
    but not one of the future: a single tick with a wrong date makes such a file.
    """
    gone, newest, later = day_of(3), day_of(1), day_of(-2)
    for day in (gone, newest, later):
        publishing.collector.add(day, ticks("HK.00700", range(3)))
    assert publishing.once("--since", gone).process.poll() == 0
    for day in (gone, newest):
        (publishing.root / f"{day}.db").unlink()

    async def ask(connection: Connection) -> None:
        await store(connection, again_subject(SOURCE), encode_again(AgainMessage(SOURCE, newest, ())), "reader.1")

    publishing.ask(ask)
    running = publishing.start()
    running.wait_for(lambda: running.state()["requests"] == 1)
    assert not any(sums.sealed for sums in publishing.streamed().sums)
    publishing.collector.add(TODAY, ticks("HK.00700", range(3)))

    async def ask_more(connection: Connection) -> None:
        await store(connection, again_subject(SOURCE), encode_again(AgainMessage(SOURCE, gone, ())), "reader.2")

    publishing.ask(ask_more)
    found = publishing.wait_streamed(running, lambda found: any(sums.sealed for sums in found.sums))
    assert [(sums.day, sums.sums) for sums in found.sums if sums.sealed] == [(gone, sums_of(found.rows(gone)))]


def test_sums_of_a_finished_day_follow_a_loss(publishing: Publishing) -> None:
    """The store is deleted after the day was finished: its sums are published again, so readers ask for what they lack.

    A day that they ask for is sent again although it was finished, also when the publisher is killed meanwhile.
    """
    day = day_of(2)
    publishing.collector.add(day, ticks("HK.00700", range(2500)))
    publishing.collector.seal(day)
    running = publishing.start("--since", day)
    running.wait_for_event("publish_day_done")
    publishing.servers.kill_all()
    publishing.servers.delete_store(0)
    publishing.servers.start_all()
    found = publishing.wait_streamed(running, lambda found: found.sums)
    assert (found.sums[-1].day, found.sums[-1].sealed, found.sums[-1].sums["HK.00700"][0]) == (day, True, 2500)
    assert found.rows(day) == []

    async def request(connection: Connection) -> None:
        await store(connection, again_subject(SOURCE), encode_again(AgainMessage(SOURCE, day, ())), "reader.1")

    publishing.ask(request)
    running.wait_for_event("publish_again")
    running.process.kill()
    running.process.wait(60)
    again = publishing.start("--since", day_of())
    found = publishing.wait_streamed(again, lambda found: len(found.sums) == 2)
    assert len(set(found.rows(day))) == 2500


def test_sums_of_a_finished_day_follow_a_stream_that_is_deleted_under_its_feet(publishing: Publishing) -> None:
    """The connection stays, but there is no stream to publish them to: it is made anew first, and none is forgotten."""
    days = [day_of(3), day_of(2)]
    for day in days:
        publishing.collector.add(day, ticks("HK.00700", range(5)))
        publishing.collector.seal(day)
    running = publishing.start("--since", days[0])
    running.wait_for_event("publish_day_done", 2)

    async def delete(connection: Connection) -> None:
        await ask(connection, "STREAM.DELETE.HK_TICKS")

    publishing.ask(delete)
    running.wait_for_event("publish_lost_data")
    found = publishing.wait_streamed(running, lambda found: len(found.sums) == 2)
    assert sorted((each.day, each.sealed) for each in found.sums) == [(day, True) for day in days]


def test_a_replaced_file_is_sent_anew(publishing: Publishing) -> None:
    """Its inode is another one: nothing of it counts as sent."""
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    running = publishing.start()
    publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 5)
    publishing.collector.replace(TODAY)
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    found = publishing.wait_streamed(running, lambda found: len(found.rows(TODAY)) == 10)
    assert len(set(found.rows(TODAY))) == 5
    assert running.wait_for_event("publish_day_anew").fields["reason"] == "replaced"


def test_sums_have_the_comparison_with_opend_after_the_close(publishing: Publishing) -> None:
    """A merge has no OpenD. A comparison at lunch, or one of another day, proves nothing of the end of the day."""
    day = day_of(1)
    at_ms = market.close_ms(market.parse_day(day))
    rows = [
        Reconciled(
            session, symbol, at_ms + ms, 500, 1.5, 7, 2.0, 9, 3.0, official, None if official is None else 4.5, "gap"
        )
        for session, symbol, official, ms in (
            ("lunch", "HK.00700", 400, 0),
            ("close", "HK.00001", None, 1),
            ("close", "HK.00005", 600, market.DAY_MS),
            ("close", "HK.00700", 600, 2),
        )
    ]
    publishing.collector.add(day, ticks("HK.00700", range(1, 11)))
    publishing.collector.reconcile(day, rows)
    publishing.collector.seal(day)
    running = publishing.once("--since", day)
    (sums,) = publishing.streamed().sums
    assert (sums.sealed, sums.totals) == (True, (rows[1], rows[3]))
    assert running.events("publish_sums")[0].fields["compared"] == "2"


def test_sums_that_do_not_fit_with_the_comparison_are_sent_without_it(tmp_path: Path) -> None:
    """More symbols than any account may have: nothing else is lost by it. 2,000 symbols fit."""
    day = market.day_name(market.parse_day("20261120"))
    at_ms = market.close_ms(market.parse_day(day))
    names = [f"HK.{number:05}" for number in range(6000)]
    sums = SumsMessage("a", day, at_ms, True, dict.fromkeys(names, (40000, 2**63)))
    for count, compared in ((2000, 2000), (6000, 0)):
        path = tmp_path / str(count) / f"{day}.db"
        path.parent.mkdir()
        file = DayFile(path, day, "run", at_ms, "test", StoreOptions(synchronous="OFF"))
        amounts = (2**40, 1e12, 2**30, 1e9, 2**30, 1e9, 2**40, 1e12)
        file.write(Batch(reconciled=[Reconciled("close", name, at_ms, *amounts, "match") for name in names[:count]]), 1)
        file.close()
        payload, found = sums_payload(path, replace(sums, sums={name: sums.sums[name] for name in names[:count]}))
        assert (found, len(payload) < 250_000, len(decode_sums(payload).sums)) == (compared, True, count)
    assert sums_payload(tmp_path / f"{day}.db", sums)[1] == 0


def test_a_sealed_day_ends_with_its_sums(publishing: Publishing) -> None:
    """They count every tick. The day is finished then: the next start reads it no more."""
    day = day_of(2)
    publishing.collector.add(day, ticks("HK.00700", range(5)))
    running = publishing.start("--since", day)
    publishing.wait_streamed(running, lambda found: len(found.rows(day)) == 5)
    publishing.collector.add(day, ticks("HK.00700", range(5, 8)))
    publishing.collector.seal(day)
    running.wait_for_event("publish_day_done")
    found = publishing.streamed()
    assert found.sums[-1].sealed
    assert found.sums[-1].sums == sums_of(found.rows(day)) == {"HK.00700": (8, 28)}
    assert running.stop() == 0
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    assert [event for event in publishing.once().events("publish_sums") if event.fields["day"] == day] == []


def test_a_second_publisher_of_the_same_name_gives_up(publishing: Publishing) -> None:
    """It says who has the name, exits 1, and sends nothing; the first one goes on."""
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    first = publishing.start()
    publishing.wait_streamed(first, lambda found: len(found.rows(TODAY)) == 5)
    other_root = publishing.directory / "other"
    other_root.mkdir()
    second = publishing.once(DATA_ROOT=str(other_root))
    assert second.process.poll() == 1
    last = second.text().splitlines()[-1]
    assert f"another publisher has the name {SOURCE}" in last
    assert f"pid {first.process.pid}" in last
    publishing.collector.add(TODAY, ticks("HK.00700", range(5, 9)))
    publishing.wait_streamed(first, lambda found: len(found.rows(TODAY)) == 9)


def test_two_publishers_of_one_day_file_directory_exclude_each_other(publishing: Publishing) -> None:
    """The second exits 1 with one line, before it connects."""
    first = publishing.start()
    first.wait_for_event("publish_connected")
    second = publishing.once()
    assert second.process.poll() == 1
    assert "another process publishes with" in second.text()
    assert second.events("publish_connected") == []


def test_a_counter_that_is_too_high_does_not_keep_once_from_ending(publishing: Publishing) -> None:
    """Another program changed `symbols.rows`: all that is stored is sent, and nothing is behind."""
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    with closing(apsw.Connection(str(publishing.root / f"{TODAY}.db"))) as db:
        db.execute("UPDATE symbols SET rows = rows + 3")
    done = publishing.once()
    assert done.process.poll() == 0
    assert (done.state()["published_rows"], done.state()["behind_rows"]) == (5, 0)


def test_a_day_that_cannot_be_read_makes_once_fail(publishing: Publishing) -> None:
    """The other days are sent; the line names the day and why, exit 1."""
    day = day_of(1)
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    (publishing.root / f"{day}.db").write_bytes(b"nonsense" * 500)
    done = publishing.once("--since", day)
    assert done.process.poll() == 1
    assert f"{day} was not sent: " in done.text().splitlines()[-1]
    assert len(publishing.streamed().rows(TODAY)) == 5


def test_a_damaged_cursor_file_costs_no_tick(publishing: Publishing) -> None:
    """It is set aside, which is told, and all of the last days is sent again: those before the newest one too."""
    day = day_of(1)
    publishing.collector.add(day, ticks("HK.00700", range(2)))
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    assert publishing.once("--since", day).process.poll() == 0
    cursors = publishing.root / ".publish.db"
    cursors.write_bytes(b"nonsense" * 1000)
    again = publishing.once()
    assert again.process.poll() == 0
    assert again.events("publish_cursors_damaged")[0].fields["renamed_to"] == ".publish.db.damaged"
    found = publishing.streamed()
    assert (len(found.rows(day)), len(set(found.rows(day)))) == (4, 2)
    assert (len(found.rows(TODAY)), len(set(found.rows(TODAY)))) == (10, 5)


def test_a_day_of_before_the_first_start_is_sent_on_request_only(publishing: Publishing) -> None:
    """A first start sends the day being written; started before any day exists, it sends each one that comes."""
    day = day_of(1)
    running = publishing.start()
    running.wait_for_event("publish_connected")
    publishing.collector.add(day, ticks("HK.00700", range(2)))
    publishing.wait_streamed(running, lambda found: len(found.rows(day)) == 2)
    assert running.stop() == 0
    publishing.collector.add(TODAY, ticks("HK.00700", range(5)))
    publishing.collector.add(day, ticks("HK.00700", range(2, 4)))
    assert publishing.once().process.poll() == 0
    assert len(publishing.streamed().rows(day)) == 4
    (publishing.root / ".publish.db").unlink()
    assert publishing.once(INSTANCE_ID="host-2").process.poll() == 0
    found = publishing.streamed()
    assert (len(found.rows(day)), len(found.rows(TODAY))) == (4, 10)
