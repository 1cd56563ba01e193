"""The text of an alert as a person reads it, whatever tags, markup or control characters OpenD's text contains."""

from __future__ import annotations

import email
import email.policy
import html
import json
import socket
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast
from unittest import mock

import pytest
from tests.receiver import PATIENT

from hk_tick_collector.errors import AlertError
from hk_tick_collector.ops.alerts.destination import Destination, open_destinations
from hk_tick_collector.ops.alerts.message import Kind, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from apprise import NotifyBase
    from tests.receiver import Receiver

WORDS: Final = "refused: <00002> & <b>more</b> <script>x</script> <a href='http://x'>y</a> *a* _b_ `c` [d](e) 訂閱"
BODY: Final = f"OpenD {WORDS}\nsince 2026-11-27 09:30:00 HKT\nnext: hk-tick-collector doctor"
MESSAGE: Final = Message(Kind.WARNING, "symbols_refused", "[host] WARNING symbols_refused", BODY)


class MailServer:
    """Accepts one mail by SMTP on loopback."""

    def __init__(self) -> None:
        self.mail = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        peer, _ = self._listening.accept()
        with closing(peer), peer.makefile("rwb") as talk:

            def say(line: bytes) -> None:
                talk.write(line + b"\r\n")
                talk.flush()

            say(b"220 ready")
            for line in talk:
                if line.upper().startswith(b"DATA"):
                    say(b"354 go on")
                    for part in talk:
                        if part == b".\r\n":
                            break
                        self.mail += part
                say(b"221 bye" if line.upper().startswith(b"QUIT") else b"250 ok")

    def close(self) -> None:
        self._listening.close()
        self._thread.join(60)


def test_a_mail_is_plain_text() -> None:
    """Line breaks are kept and tags are plain characters; there is no HTML part."""
    server = MailServer()
    url = f"mailto://127.0.0.1:{server.port}/?from=a@example.com&to=b@example.com&mode=insecure&cto=60&rto=60"
    open_destinations([url])[0].send(MESSAGE)
    server.close()
    mail = email.message_from_bytes(server.mail, policy=email.policy.default)
    (part,) = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    assert part.get_content_type() == "text/plain"
    assert part.get_content().replace("\r\n", "\n").strip() == BODY


def test_a_mail_that_is_wanted_as_html_shows_the_same() -> None:
    """The reader sees every character of the text and every line break."""
    server = MailServer()
    url = (
        f"mailto://127.0.0.1:{server.port}/?from=a@example.com&to=b@example.com&mode=insecure&format=html&cto=60&rto=60"
    )
    open_destinations([url])[0].send(MESSAGE)
    server.close()
    mail = email.message_from_bytes(server.mail, policy=email.policy.default)
    (part,) = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    assert html.escape(BODY, quote=False).replace("\n", "<br/>") in part.get_content()


def test_telegram_gets_tags_as_plain_text() -> None:
    """Telegram has no plain text: tags that are not ours are escaped, otherwise its server would refuse the message."""
    (there,) = open_destinations(["tgram://123456789:abcdefg_hijklmnop/987654321"])
    with mock.patch("requests.post") as post:  # the address of the service is fixed
        post.return_value.status_code, post.return_value.content = 200, b"{}"
        there.send(MESSAGE)
    text = json.loads(post.call_args.kwargs["data"])["text"].replace("\r\n", "\n")
    assert text == f"<b>{MESSAGE.title}</b>\n{html.escape(BODY, quote=False)}"


@pytest.mark.parametrize("options", ["", "?format=markdown"])
def test_discord_shows_no_live_markdown(options: str) -> None:
    """Links, headings and mentions of OpenD's words are characters in a code block; nobody is called by them."""
    (there,) = open_destinations([f"discord://123456789012345678/abcdefghijklmnopqrstuvwxyz{options}"])
    body = f"# x\n{BODY}\n@everyone <@123> <@&456> ```[a](http://x)"
    with mock.patch("requests.post") as post:  # the address of the service is fixed
        post.return_value.status_code, post.return_value.content = 200, b"{}"
        there.send(Message(Kind.WARNING, "x", MESSAGE.title, body))
    sent = json.loads(post.call_args.kwargs["data"])
    (embed,) = sent.get("embeds") or [{"description": sent["content"]}]
    shown = embed["description"].removeprefix(f"{MESSAGE.title}\r\n")
    assert shown.startswith("```\n")
    assert shown.endswith("\n```")
    assert shown.count("```") == 2
    assert shown[4:-4].replace("\u200b", "").replace("'''", "```") == body
    assert "fields" not in embed
    assert "allow_mentions" not in sent
    assert "@everyone" not in json.dumps(sent)
    assert "@123" not in json.dumps(sent)


@pytest.mark.parametrize("options", ["", "&format=markdown"])
def test_a_service_that_shows_markdown_gets_a_code_block(receiver: Callable[..., Receiver], options: str) -> None:
    """Mattermost interprets Markdown in every text: the whole body is a block, and a command in it can be copied."""
    there = receiver()
    open_destinations([f"mmost://127.0.0.1:{there.port}/abcdefghijklmnopqrstuvwxyz{PATIENT}{options}"])[0].send(MESSAGE)
    (sent,) = there.messages
    assert sent["text"].endswith(f"\n```\n{BODY}\n```")


def test_a_long_text_is_not_cut_out_of_its_code_block() -> None:
    """Discord takes 2,000 characters: the end of a longer text is left out, and the block is whole."""
    (there,) = open_destinations(["discord://123456789012345678/abcdefghijklmnopqrstuvwxyz"])
    with mock.patch("requests.post") as post:
        post.return_value.status_code, post.return_value.content = 200, b"{}"
        there.send(Message(Kind.WARNING, "x", MESSAGE.title, "[a](http://x) " * 400))
    (sent,) = [json.loads(call.kwargs["data"])["content"] for call in post.call_args_list]
    assert (sent.count("```"), sent[-3:]) == (2, "```")
    assert len(sent) < 2000


@pytest.mark.parametrize("options", ["", "&format=text"])
def test_a_service_that_takes_text_gets_it_as_it_is(receiver: Callable[..., Receiver], options: str) -> None:
    """Nothing is escaped twice, nothing is lost."""
    there = receiver()
    open_destinations([f"json://127.0.0.1:{there.port}/{PATIENT}{options}"])[0].send(MESSAGE)
    assert there.messages[0]["message"] == BODY


def test_no_control_character_is_sent(receiver: Callable[..., Receiver]) -> None:
    """Our line breaks stay, every other control character is spelled out, in the title too."""
    there = receiver()
    message = Message(Kind.WARNING, "x", "[a\nb\x1b[2J] WARNING x", "one\x1b[2J\u202e\r\ntwo\x07")
    open_destinations([f"json://127.0.0.1:{there.port}/{PATIENT}"])[0].send(message)
    assert there.messages[0]["message"] == "one\\x1b[2J\\u202e \ntwo\\x07"
    assert there.messages[0]["title"] == "[a b\\x1b[2J] WARNING x"


def test_a_destination_that_does_not_answer_has_a_time_limit() -> None:
    """A pause that a server asks for, a silent name server: the time for a message is limited in any case."""
    paused = threading.Event()
    service = SimpleNamespace(notify=lambda **_: paused.wait(600), notify_format="text")
    destination = Destination("1:slow://***", "slow://x", cast("NotifyBase", service), seconds=0.5)
    with pytest.raises(AlertError, match=r"not sent within 0\.5 s"):
        destination.send(MESSAGE)
    with pytest.raises(AlertError, match="an earlier message is still being sent"):
        destination.send(MESSAGE)
    paused.set()
