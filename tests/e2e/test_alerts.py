"""Alerts of the real `run`: the messages for events of a simulated OpenD."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.receiver import PATIENT

from hk_tick_collector.ops.live.status import read_status
from hk_tick_collector.simulator.control import tell

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.receiver import Receiver

    from .conftest import Start

CAP_S = 300.0  # a finding is over after a minute
SECRET = "hunter2secret"
TIMES = "?cto=2&rto=2"  # of a receiver that hangs


def wait_for(condition: Callable[[], object], what: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + CAP_S
    while not condition():
        assert time.monotonic() < deadline_s, what()
        time.sleep(0.05)


def test_being_kicked_out_is_alerted_with_its_remedy_and_its_end(
    start: Start, workdir: Path, receiver: Callable[..., Receiver]
) -> None:
    """Once each, to a working receiver, although another one hangs; every tick is stored; no secret in the log."""
    control = workdir / "control"
    opend = start.simulate("--rate", "200", "--wait", "--control", str(control))
    there, hanging = receiver(), receiver(hangs=True)
    each = ((hanging, TIMES), (there, PATIENT))
    urls = [f"json://me:{SECRET}@127.0.0.1:{one.port}/{SECRET}{times}" for one, times in each]
    collector = start.run(opend.port, {"ALERT_URLS": " ".join(urls), "INSTANCE_ID": "desk-1"})
    collector.wait_stored(200)
    tell(control, "kicked-out")
    title = "[desk-1] WARNING opend_kicked_out"
    wait_for(lambda: title in there.titles(), there.titles)
    body = next(message["message"] for message in there.messages if message["title"] == title)
    assert "next: echo request_highest_quote_right | nc -C -q 3 127.0.0.1 22222" in body
    wait_for(lambda: hanging.requests, lambda: "the other receiver was asked")
    tell(control, "end kicked-out")
    stored = collector.stored()
    collector.wait_stored(stored + 500)
    wait_for(lambda: "[desk-1] resolved opend_kicked_out" in there.titles(), there.titles)
    assert there.titles().count(title) == there.titles().count("[desk-1] resolved opend_kicked_out") == 1
    tell(control, "kicked-out")
    wait_for(lambda: there.titles().count(title) == 2, there.titles)
    body = [str(message["message"]) for message in there.messages if message["title"] == title][-1]
    assert "came back" in body
    wait_for(lambda: "[desk-1] CRITICAL opend_kicked_out" in there.titles(), there.titles)
    assert collector.events("health")[-1].fields["opend"] == "kicked_out"
    assert collector.stop() == 0
    assert collector.shutdown()["left_rows"] == "0"
    assert collector.events("alert_failed")[0].fields["to"] == "1:json://***"
    assert SECRET not in collector.output


def test_a_crash_loop_is_alerted_at_once(start: Start, receiver: Callable[..., Receiver], free_port: int) -> None:
    """Killed twice: the third run sends it in its first second, with the times; a planned restart resets the count."""
    there = receiver()
    settings = {"ALERT_URLS": f"json://127.0.0.1:{there.port}/{PATIENT}", "INSTANCE_ID": "desk-1"}
    title = "[desk-1] WARNING restarts"
    for _ in range(2):
        collector = start.run(free_port, settings)
        collector.wait_for("health")
        assert title not in there.titles()
        collector.kill()
    collector = start.run(free_port, settings)
    wait_for(lambda: title in there.titles(), there.titles)
    body = str(next(message["message"] for message in there.messages if message["title"] == title))
    assert "ended by itself 2 times in the last hour" in body
    assert collector.wait_for("unplanned_restart").fields["within_an_hour"] == "2"
    assert collector.stop() == 0
    again = start.run(free_port, settings)
    again.wait_for("health", count=3)
    assert not again.events("unplanned_restart")
    assert there.titles().count(title) == 1


def test_growing_losses_are_alerted_in_the_operators_language(
    start: Start, workdir: Path, receiver: Callable[..., Receiver]
) -> None:
    """Two outages longer than OpenD's 1,000 ticks: the second loss is sent too, with the total of both."""
    control = workdir / "control"
    opend = start.simulate("--rate", "3000", "--wait", "--control", str(control))
    there = receiver()
    urls = f"json://127.0.0.1:{there.port}/{PATIENT}"
    settings = {"ALERT_URLS": urls, "INSTANCE_ID": "desk-1", "OPERATOR_LANG": "zh-Hant"}
    collector = start.run(opend.port, settings)
    collector.wait_stored(200)
    title = "[desk-1] 警告 gaps_lost"

    def bodies() -> list[str]:
        return [str(message["message"]) for message in there.messages if message["title"] == title]

    tell(control, "kicked-out for 3s")
    wait_for(bodies, there.titles)
    assert bodies()[0].startswith("有 tick 已遺失")
    assert "下一步：hk-tick-collector gaps --open" in bodies()[0]
    tell(control, "kicked-out for 3s")
    wait_for(lambda: len(bodies()) > 1, there.titles)
    assert "數量增加" in bodies()[1]


def test_a_digest_after_the_close_and_only_one(start: Start, receiver: Callable[..., Receiver]) -> None:
    """A quarter of an hour after the close of a simulated day; a restart does not send it again."""
    opend = start.simulate("--day", "20251120", "--at", "15:59", "--speed", "120", "--rate", "200")
    there = receiver()
    settings = {"ALERT_URLS": f"json://127.0.0.1:{there.port}/{PATIENT}", "INSTANCE_ID": "desk-1"}
    collector = start.run(opend.port, settings)
    title = "[desk-1] digest 20251120"
    wait_for(lambda: title in there.titles(), there.titles)
    body = str(next(message["message"] for message in there.messages if message["title"] == title))
    stored = collector.stored()
    assert f"rows: {stored:,} of " in body
    for words in ("completeness: ", "open gaps: ", "reconciliation", "without OpenD", "stalls: 0", "disk free: "):
        assert words in body
    assert collector.stop() == 0
    again = start.run(opend.port, settings)
    again.wait_for("health", connected="True", count=3)
    assert again.stop() == 0
    assert there.titles().count(title) == 1


def test_open_findings_are_remembered_across_a_restart(
    start: Start, receiver: Callable[..., Receiver], free_port: int
) -> None:
    """Without OpenD, and after that was sent: it is not sent again after SIGKILL and a restart."""
    there = receiver()
    settings = {"ALERT_URLS": f"json://127.0.0.1:{there.port}/{PATIENT}", "INSTANCE_ID": "desk-1"}
    title = "[desk-1] WARNING opend_away"
    collector = start.run(free_port, settings)
    wait_for(lambda: title in there.titles(), there.titles)
    kept = collector.data_root / ".alerts.json"
    wait_for(lambda: kept.exists() and '"told": 0' not in kept.read_text(), lambda: "kept as sent")
    collector.kill()
    again = start.run(free_port, settings)
    again.wait_for("health", count=20)
    assert there.titles().count(title) == 1


def test_a_url_that_cannot_work_stops_the_start(start: Start, free_port: int) -> None:
    """Exit code 2 and one line: which URL, masked, and what is allowed."""
    collector = start.run(free_port, {"ALERT_URLS": f"json://127.0.0.1 nonsense://{SECRET}"})
    assert collector.finish() == 2
    (line,) = collector.output.splitlines()
    assert "ALERT_URLS (from environment): URL 2:nonsense://***" in line
    assert "allowed are Apprise URLs" in line
    assert SECRET not in line


def test_a_mute_reaches_the_running_service_and_ends(
    start: Start,
    receiver: Callable[..., Receiver],
    free_port: int,
    cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Without a restart: no message, `status` shows it and its end; a restart keeps it; --unmute sends it."""
    there = receiver()
    settings = {"ALERT_URLS": f"json://127.0.0.1:{there.port}/{PATIENT}", "INSTANCE_ID": "desk-1"}
    title = "[desk-1] WARNING opend_away"
    collector = start.run(free_port, settings)
    collector.wait_for("health")
    where = {"DATA_ROOT": str(collector.data_root), "OPERATOR_LANG": "en"}
    said: list[str] = []

    def is_read(*args: str) -> bool:
        done = cli("alerts", *args, **where)
        said.append(done.stdout)
        assert (done.returncode, done.stderr) == (0, "")
        return "the running service has read it" in done.stdout  # within five seconds: a full machine may need longer

    wait_for(lambda: is_read("--mute", "1h", "opend_away"), lambda: said)
    assert collector.wait_for("alerts_muted").fields["finding"] == "opend_away"
    collector.wait_for("health", count=20)
    assert title not in there.titles()
    shown = cli("status", **where)
    assert shown.returncode in {1, 2}, "it stays visible"  # critical after a minute
    assert "no connection to OpenD" in shown.stdout
    assert "opend_away until " in shown.stdout

    collector.kill()
    again = start.run(free_port, settings)
    again.wait_for("alerts_muted")
    again.wait_for("health", count=3)
    assert title not in there.titles()
    wait_for(lambda: is_read("--unmute"), lambda: said)
    again.wait_for("alerts_unmuted")
    wait_for(lambda: {title, title.replace("WARNING", "CRITICAL")} & set(there.titles()), there.titles)
    wait_for((collector.data_root / ".alerts.json").exists, lambda: "recorded")
    wait_for(lambda: '"told": 0' not in (collector.data_root / ".alerts.json").read_text(), lambda: "recorded as sent")
    listed = cli("alerts", "--list", **where).stdout
    assert "nothing is muted" in listed
    assert "open   opend_away since " in listed


def test_a_heartbeat_and_dead_man_pings(start: Start, receiver: Callable[..., Receiver]) -> None:
    """At the first second of trading one line with the rate; a ping; neither shows the secret part of its URL."""
    opend = start.simulate("--rate", "200", "--wait")
    there = receiver()
    settings = {
        "ALERT_URLS": f"json://127.0.0.1:{there.port}/{PATIENT}",
        "INSTANCE_ID": "desk-1",
        "ALERT_HEARTBEAT_MIN": "5",
        "DEADMAN_URL": f"http://127.0.0.1:{there.port}/{SECRET}",
    }
    collector = start.run(opend.port, settings)
    wait_for(lambda: "[desk-1] heartbeat" in there.titles(), there.titles)
    wait_for(lambda: there.pings, lambda: "a ping")
    assert there.pings == [f"/{SECRET}"]
    line = next(str(message["message"]) for message in there.messages if message["title"] == "[desk-1] heartbeat")
    assert " rows/min, lag " in line
    assert "gaps open" in line
    assert collector.wait_for("deadman_pinged").fields["to"] == f"http://127.0.0.1:{there.port}/***"
    assert collector.stop() == 0
    assert SECRET not in collector.output


def test_a_dead_man_that_hangs_costs_no_tick(start: Start, receiver: Callable[..., Receiver]) -> None:
    """Neither while collecting nor at the stop."""
    opend = start.simulate("--rate", "2000", "--total", "6000", "--wait")
    hanging = receiver(hangs=True)
    collector = start.run(opend.port, {"DEADMAN_URL": f"http://127.0.0.1:{hanging.port}/{SECRET}"})
    wait_for(lambda: hanging.requests, lambda: "the ping")
    collector.wait_stored(6000)
    assert collector.stop() == 0
    assert collector.shutdown()["left_rows"] == "0"
    live = read_status(collector.data_root / "status.json")
    assert live
    assert live.dropped == 0
