"""Destinations of alerts, one Apprise URL each. Input: a URL, a message. Output: the sent message, or AlertError.

A URL contains secrets, so it is never shown: a destination is named by number and scheme, `2:tgram://***`, and every
part of the URL is removed from Apprise's error texts. Apprise is imported only here, and only if there is a URL: the
import takes half a second.
"""

from __future__ import annotations

import html
import logging
import re
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from hk_tick_collector.errors import AlertError, UsageError
from hk_tick_collector.text import plain

from .message import Kind, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apprise import NotifyBase

_LOGGER: Final = logging.getLogger("apprise")
_MUTE: Final = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")  # their log lines may contain secrets
_TYPES: Final = {Kind.CRITICAL: "failure", Kind.WARNING: "warning", Kind.RESOLVED: "success"}
_PIECES: Final = (re.compile(r"[^\W_]{3,}"), re.compile(r"[^/@:?&=#,]{3,}"))
SEND_S: Final = 60.0
_GRACE_S: Final = 1.0  # reading ends before this time
_TELLING: Final = 200  # the longest text from Apprise, characters


class Destination:
    """One destination; `label` is its name without secrets."""

    def __init__(self, label: str, url: str, service: NotifyBase, seconds: float) -> None:
        self.label = label
        self._service = service
        self._seconds = seconds
        self._sending: threading.Thread | None = None
        scheme, _, rest = url.partition("://")
        pieces = {piece for text in (rest, unquote(rest)) for kind in _PIECES for piece in kind.findall(text)}
        self._secrets = sorted(pieces - {scheme}, key=len, reverse=True)

    def send(self, message: Message) -> None:
        """Sends within `seconds`. Raises AlertError; call it in a thread of its own.

        Whatever the server does: reading its answer is bounded (`ops.alerts.replies`), and every other wait, for a name
        server or a pause that the server asks for, ends at the same time.
        """
        if self._sending and self._sending.is_alive():
            raise AlertError("an earlier message is still being sent")
        failures: list[str] = []
        self._sending = threading.Thread(target=self._send, args=(message, failures), daemon=True)
        self._sending.start()
        self._sending.join(self._seconds + _GRACE_S)
        if self._sending.is_alive():
            raise AlertError(f"not sent within {self._seconds:g} s")
        if failures:
            raise AlertError(self._masked(failures[0]))

    def _send(self, message: Message, failures: list[str]) -> None:
        from .replies import bounded  # imported like Apprise: only if there is a URL

        words = _Words()
        _LOGGER.addHandler(words)
        body, markup = _as_text(message.body, self._service)
        try:
            kind = _TYPES.get(message.kind, "info")
            with bounded(self._seconds):
                sent = self._service.notify(body=body, title=plain(message.title), notify_type=kind, body_format=markup)
            if not sent:
                failures.append(words.last or "Apprise could not send it")
        except Exception as error:  # noqa: BLE001 - foreign code, one module for each service: any exception is a failure
            failures.append(f"{type(error).__name__}: {error}")
        finally:
            _LOGGER.removeHandler(words)

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:_TELLING]


class _Words(logging.Handler):
    """The last warning of the current thread: the reason why a message was not sent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()


def _as_text(body: str, service: NotifyBase) -> tuple[str, str]:
    """The body and its format for Apprise, such that the reader sees exactly these characters.

    Plain text, if the service accepts it. HTML is escaped here: not every service of Apprise does so.
    """
    body = "\n".join(map(plain, body.split("\n")))
    resolve = getattr(service, "resolve_format", None)
    markup = resolve("text") if resolve else service.notify_format
    if getattr(markup, "value", markup) == "html":
        return html.escape(body, quote=False).replace("\n", "<br/>"), "html"
    return body, "text"


def open_destinations(urls: Sequence[str], seconds: float = SEND_S) -> tuple[Destination, ...]:
    """A destination for every URL of ALERT_URLS; UsageError for one that Apprise does not support.

    A message has `seconds` to be sent.
    """
    if not urls:
        return ()
    from apprise import Apprise

    for name in _MUTE:  # what matters is in our own log, without secrets
        logging.getLogger(name).propagate = False
        logging.getLogger(name).addHandler(logging.NullHandler())
    found = []
    for place, url in enumerate(urls, 1):
        label = f"{place}:{url.partition('://')[0]}://***"
        service = Apprise.instantiate(url)
        if service is None:
            raise UsageError(
                f"ALERT_URLS: URL {label} is not supported by Apprise",
                hint="allowed are Apprise URLs such as tgram://BOT_TOKEN/CHAT_ID, slack://A/B/C or"
                " mailtos://USER:PASSWORD@HOST (docs/alerts.md)",
            )
        found.append(Destination(label, url, service, seconds))
    return tuple(found)


def send_test(urls: Sequence[str], instance: str) -> list[tuple[str, str]]:
    """Sends a test message to every destination in turn: each label with its error, or "".

    Raises UsageError for a URL that Apprise does not support.
    """
    message = Message(Kind.TEST, "", f"[{instance}] test", "A test of hk-tick-collector's alerts: nothing is wrong.")
    results = []
    for destination in open_destinations(urls):
        try:
            destination.send(message)
        except AlertError as error:
            results.append((destination.label, str(error)))
        else:
            results.append((destination.label, ""))
    return results
