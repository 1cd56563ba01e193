"""What an operator's phone gets: an alert, a mute, a heartbeat, a dead-man ping, notices that the service has ended.

The receiver is a program on the machine itself, which has no network.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from .cargo import edits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .host import Host
    from .reader import Reader
    from .watching import Watch

ENV: Final = "/opt/futu_tick_downloader/.env"
PORT: Final = 8099
MUTES: Final = "/run/hk-tick-collector/alert_mutes.json"
FAILURES: Final = "/run/hk-tick-collector/service_failures.json"
PLACE: Final = "/var/lib/receiver"
SETTINGS: Final = (
    f"ALERT_URLS=json://127.0.0.1:{PORT}/s3cret-path?cto=5&rto=5",
    "ALERT_HEARTBEAT_MIN=5",
    f"DEADMAN_URL=http://127.0.0.1:{PORT}/s3cret-ping",
    "INSTANCE_ID=ticks",
)
_PROGRAM: Final = f"""
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self): self.keep("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
    def do_GET(self): self.keep("GET", {{}})
    def keep(self, method, message):
        with open("{PLACE}/received", "a") as file:
            file.write(json.dumps({{"method": method, "path": self.path, **message}}) + "\\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", {PORT}), Handler).serve_forever()
"""


class Phone:
    """What has arrived at the receiver."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def received(self) -> list[dict[str, Any]]:
        """Every request, the oldest first."""
        return [json.loads(line) for line in self._host.quietly(f"cat {PLACE}/received").text.splitlines()]

    def titles(self) -> list[str]:
        """The titles of the messages."""
        return [one["title"] for one in self.received() if one["method"] == "POST"]

    def waits_for(self, title: str, cap_s: float = 120.0) -> str:
        """The text of the newest message with this title."""
        try:
            self._host.wait(f"a message {title!r}", lambda: title in self.titles(), cap_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {self.titles()}") from None
        return [str(one["message"]) for one in self.received() if one.get("title") == title][-1]

    def forget(self) -> None:
        """Forgets what has arrived."""
        self._host.run(f"truncate -s 0 {PLACE}/received")


@pytest.fixture(scope="module")
def phone(machine: Host, started: str) -> Iterator[Phone]:
    """A receiver, and a service that sends to it."""
    assert started
    machine.run(f"mkdir -p {PLACE} && touch {PLACE}/received")
    machine.path(f"{PLACE}/receiver.py").write_text(_PROGRAM, "utf-8")
    machine.run(f"systemd-run --unit=receiver --collect python3 {PLACE}/receiver.py")
    edits(machine, "".join(f"$ a {line}\n" for line in SETTINGS))
    # Stories before this one have made the service fail: a crash within ten minutes of that would not be told again.
    machine.run(f"rm -f {FAILURES}; vim {ENV} && systemctl restart hk-tick-collector")
    yield Phone(machine)
    names = "|".join(line.partition("=")[0] for line in SETTINGS)
    edits(machine, f"/^({names})=/d\n".replace("(", r"\(").replace(")", r"\)").replace("|", r"\|"))
    machine.run(f"vim {ENV} && systemctl restart hk-tick-collector; systemctl stop receiver")
    machine.run(f"rm -f {MUTES} {FAILURES}")


def test_a_test_message_a_heartbeat_and_a_ping(reader: Reader, watch: Watch, phone: Phone) -> None:
    """The verb says what came back; the heartbeat has the rate; the ping comes; the log shows no secret."""
    watch.collecting()
    assert "1:json://***  accepted in " in reader.paste("sudo hk-tick-collector alerts --test")
    phone.waits_for("[ticks] test")
    assert " rows/min, lag " in phone.waits_for("[ticks] heartbeat")
    watch.host.wait("a ping", lambda: any(one["path"] == "/s3cret-ping" for one in phone.received()))
    assert f"deadman_pinged to=http://127.0.0.1:{PORT}/***" in watch.journal()
    assert "s3cret" not in watch.journal()


def test_a_mute_and_then_the_alert(machine: Host, reader: Reader, watch: Watch, phone: Phone) -> None:
    """Muted by root, in force in the service of another account, shown by `status`; afterwards it is sent."""
    pid = watch.pid()
    said = reader.paste("sudo hk-tick-collector alerts --mute 1h opend_away")
    assert "the running service has read it" in said
    assert reader.paste(f"ls -l {MUTES}").split()[:4:2] == ["-rw-r-----", "hkcollector"]
    machine.run("systemctl stop futu-opend")
    watch.named(r"no connection to OpenD", 1)
    watch.named(r"no connection to OpenD", 2, 120)
    assert "opend_away until " in reader.paste("hk-tick-collector status", codes=(2,))
    assert not [title for title in phone.titles() if "opend_away" in title]
    refused = machine.ask("hk-tick-collector alerts --unmute", who="duty")
    assert refused.code == 1
    assert "sudo hk-tick-collector alerts --unmute" in refused.text
    reader.paste("sudo hk-tick-collector alerts --unmute")
    body = phone.waits_for("[ticks] CRITICAL opend_away")
    assert "next: sudo systemctl status futu-opend" in body
    assert "open   opend_away since " in reader.paste("hk-tick-collector alerts --list")
    assert watch.pid() == pid, "without a restart"
    machine.run("systemctl start futu-opend")
    phone.waits_for("[ticks] resolved opend_away", 180)


def test_a_crash_and_a_start_that_fails(machine: Host, reader: Reader, watch: Watch, phone: Phone) -> None:
    """The unit of the notice tells both, by signal and by setting, with the last lines; the service tells the end."""
    pid = watch.pid()
    machine.run(f"kill -KILL {pid}")
    body = phone.waits_for("[ticks] WARNING service_died")
    assert "ended by the signal KILL at " in body
    assert "next: sudo journalctl -u hk-tick-collector " in body
    assert "status=9/KILL" in body, "the last lines of the log"
    watch.collecting()
    edits(machine, "$ a FUTU_PORT=abc\n")
    reader.paste(f"sudo vim {ENV}")
    reader.paste("sudo systemctl restart hk-tick-collector", codes=(1,))
    body = phone.waits_for("[ticks] CRITICAL service_settings")
    assert "FUTU_PORT=abc" in body
    assert f"next: sudo vim {ENV}; sudo systemctl restart hk-tick-collector" in body
    edits(machine, "/^FUTU_PORT=abc$/d\n")
    reader.paste(f"sudo vim {ENV}")
    reader.paste("sudo systemctl restart hk-tick-collector")
    watch.collecting()
    assert "nothing to do" in phone.waits_for("[ticks] resolved service_settings", 180)
    assert machine.quietly("systemctl list-units --failed --plain --no-legend 'hk-tick-collector*'").text == ""


def test_a_restart_loop_and_a_stop(machine: Host, watch: Watch, phone: Phone) -> None:
    """Killed three times: one more notice at most; a stop and a start by a person tell nothing."""
    phone.forget()
    for _ in range(3):
        pid = watch.pid()
        machine.run(f"kill -KILL {pid}")
        machine.wait("another process", partial(_is_another, watch, pid))
    watch.collecting()
    machine.run("systemctl stop hk-tick-collector && systemctl start hk-tick-collector")
    watch.collecting()
    told = [title for title in phone.titles() if "service_" in title]
    assert told == [], "the first crash was told less than ten minutes ago"
    noted = machine.quietly("journalctl -u 'hk-tick-collector-failed@*' -o cat --no-pager").text
    assert noted.count("service_ended") >= 4
    assert "Traceback" not in noted
    assert "ends=3" in noted


def _is_another(watch: Watch, pid: int) -> bool:
    return watch.pid() not in (0, pid)


def test_the_unit_can_be_tried(reader: Reader, watch: Watch, phone: Phone) -> None:
    """While the service runs it sends a test message."""
    phone.forget()
    assert watch.pid()
    reader.paste("sudo systemctl start hk-tick-collector-failed@test")
    assert "this notice comes from it" in phone.waits_for("[ticks] test")
