"""The sender of one destination, on real sockets: what arrives, what is tried again, dropped, logged."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.ops.alerts.conftest import CAP_S, wait_until
from tests.receiver import PATIENT

from hk_tick_collector.errors import UsageError
from hk_tick_collector.ops.alerts.destination import open_destinations, send_test
from hk_tick_collector.ops.alerts.message import Kind, Message
from hk_tick_collector.ops.alerts.sender import QUEUE_MESSAGES, Sender
from hk_tick_collector.stats import Stats

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from tests.receiver import Receiver

HANGS_S = 100  # how long a destination may hang: a test that waits for it fails
SECRET = "hunter2secret"


def message(title: str = "[one] WARNING lag") -> Message:
    return Message(Kind.WARNING, "lag", title, "late\nnext: look")


def url(port: int, times: str = PATIENT) -> str:
    return f"json://{SECRET}user:{SECRET}@127.0.0.1:{port}/{SECRET}path{times}"


def test_a_message_arrives_whole(receiver: Callable[..., Receiver], lines: io.StringIO) -> None:
    """Title, text and level, as Apprise has it; the log names the destination without its secrets."""
    there = receiver()
    (destination,) = open_destinations([url(there.port)])
    sender = Sender(destination, Stats())
    sender.start()
    sender.post(message())
    wait_until(lambda: "alert_sent" in lines.getvalue())
    sender.stop()
    sender.join(CAP_S)
    (arrived,) = there.messages
    assert (arrived["title"], arrived["message"], arrived["type"]) == (message().title, message().body, "warning")
    assert "to=1:json://***" in lines.getvalue()
    assert SECRET not in lines.getvalue()


def test_a_failure_is_tried_again(receiver: Callable[..., Receiver], lines: io.StringIO) -> None:
    """Two refusals, then success: it arrives once; the log has the failure once, with the server's answer."""
    there = receiver(503, 503)
    sender = Sender(open_destinations([url(there.port)])[0], Stats(), retries_s=(0.01, 0.01, 0.01))
    sender.start()
    sender.post(message())
    wait_until(lambda: there.messages)
    sender.stop()
    sender.join(CAP_S)
    assert (there.requests, len(there.messages), sender.dropped) == (3, 1, 0)
    assert lines.getvalue().count("alert_failed") == 1
    assert "503" in lines.getvalue()
    assert SECRET not in lines.getvalue()


def test_a_message_that_cannot_be_sent_is_dropped_and_counted(free_port: int, lines: io.StringIO) -> None:
    """The connection is refused: tried as often as allowed, then dropped; the next message is tried too."""
    sender = Sender(open_destinations([url(free_port)])[0], Stats(), retries_s=(0.01,))
    sender.start()
    sender.post(message())
    sender.post(message())
    wait_until(lambda: sender.dropped == 2)
    sender.stop()
    sender.join(CAP_S)
    assert lines.getvalue().count("alert_dropped") == 2
    assert lines.getvalue().count("alert_failed") == 1
    assert SECRET not in lines.getvalue()


def test_a_server_that_hangs_delays_neither_the_queue_nor_a_stop(
    receiver: Callable[..., Receiver], lines: io.StringIO
) -> None:
    """A flood is queued at once; the oldest are dropped; a stop takes no longer than allowed."""
    there = receiver(hangs=True)
    sender = Sender(open_destinations([url(there.port, f"?cto=60&rto={HANGS_S}")])[0], Stats())
    sender.start()
    begun_s = time.monotonic()
    for number in range(QUEUE_MESSAGES + 10):
        sender.post(message(f"[one] {number}"))
    assert time.monotonic() - begun_s < HANGS_S
    wait_until(lambda: there.requests)
    sender.stop()
    begun_s = time.monotonic()
    sender.join(0.2)
    assert time.monotonic() - begun_s < HANGS_S
    assert sender.dropped >= QUEUE_MESSAGES + 9
    assert "the queue is full" in lines.getvalue()
    assert "the collector was stopped" in lines.getvalue()


def test_a_stop_sends_what_is_queued(receiver: Callable[..., Receiver]) -> None:
    """A message waits for its next try: the stop does not wait for it, and tries the messages behind it."""
    there = receiver(503)
    sender = Sender(open_destinations([url(there.port)])[0], Stats(), retries_s=(3600.0,))
    sender.start()
    sender.post(message("[one] first"))
    wait_until(lambda: there.requests)
    sender.post(message("[one] second"))
    sender.stop()
    sender.join(CAP_S)
    assert there.titles() == ["[one] second"]
    assert sender.dropped == 1


@pytest.mark.parametrize("bad", ["nothing://x", "tgram://tooshort", "slack://a", "mailto://"])
def test_a_url_that_apprise_does_not_understand(bad: str) -> None:
    """One line says which URL and what is allowed, and shows no secret."""
    with pytest.raises(UsageError) as caught:
        open_destinations(["json://127.0.0.1/", f"{bad}"])
    line = caught.value.one_line()
    assert f"2:{bad.partition('://')[0]}://***" in line
    assert "allowed are Apprise URLs" in line
    assert "tooshort" not in line


def test_a_test_message(receiver: Callable[..., Receiver], free_port: int) -> None:
    """Each destination gets one; what came back is told for each, without the secrets of the URL."""
    there, refusing = receiver(), receiver(403)
    urls = [url(there.port), url(free_port), url(refusing.port)]
    accepted, lost, refused = send_test(open_destinations(urls), "one")
    assert (accepted.label, accepted.accepted, accepted.answer) == ("1:json://***", True, "HTTP 200 OK")
    assert (lost.label, lost.accepted) == ("2:json://***", False)
    assert lost.answer
    assert (refused.label, refused.accepted) == ("3:json://***", False)
    assert "HTTP 403" in refused.answer
    assert SECRET not in lost.answer + refused.answer
    assert there.titles() == ["[one] test"]


def test_a_destination_that_takes_nothing_is_a_figure(receiver: Callable[..., Receiver]) -> None:
    """Since when, and why, until a message arrives: `status` shows it."""
    there, stats = receiver(503), Stats()
    sender = Sender(open_destinations([url(there.port)])[0], stats, retries_s=(3600.0,))
    sender.start()
    sender.post(message())
    wait_until(lambda: stats.alerts_failing)
    assert list(stats.alerts_failing) == ["1:json://***"]
    assert "503" in stats.alerts_error
    assert SECRET not in stats.alerts_error
    sender.post(message())
    sender.stop()
    sender.join(CAP_S)
    assert stats.alerts_failing == {}


def test_a_moment_without_a_new_thread_is_a_failure_like_any_other(
    receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a limit of threads or memory: the message is tried again, and the destination is used for the next ones."""
    there, stats, start = receiver(), Stats(), threading.Thread.start
    refused: list[threading.Thread] = []

    def start_later(thread: threading.Thread) -> None:
        if "(_send)" in thread.name and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_later)
    sender = Sender(open_destinations([url(there.port)])[0], stats, retries_s=(0.01,))
    sender.start()
    sender.post(message("[one] first"))
    wait_until(there.titles)
    assert stats.alerts_error == "can't start new thread"
    sender.post(message("[one] second"))
    sender.stop()
    sender.join(CAP_S)
    assert there.titles() == ["[one] first", "[one] second"]
    assert (len(refused), stats.alerts_failing, sender.dropped) == (1, {}, 0)


@pytest.fixture
def free_port(receiver: Callable[..., Receiver]) -> int:
    """A port on which nobody listens any more."""
    there = receiver()
    there.close()
    return there.port
