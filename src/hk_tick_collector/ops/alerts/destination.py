"""Where alerts go: one Apprise URL each. Enters: a URL, a message. Leaves: the message, or AlertError with the cause.

A URL holds secrets. Nothing here tells one: a destination is named by its place and scheme, `2:tgram://***`, and what
Apprise says of a failure is told without any part of the URL. Apprise is imported here and nowhere else, and only
when there is a URL: that takes half a second.
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

from .words import Kind, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apprise import NotifyBase

_LOGGER: Final = logging.getLogger("apprise")
_MUTE: Final = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")  # their lines may hold what is secret
_TYPES: Final = {Kind.CRITICAL: "failure", Kind.WARNING: "warning", Kind.RESOLVED: "success"}
_PIECES: Final = (re.compile(r"[^\W_]{3,}"), re.compile(r"[^/@:?&=#,]{3,}"))
SEND_S: Final = 60.0
_GRACE_S: Final = 1.0  # what is read ends by itself before
_TELLING: Final = 200  # characters of Apprise's words


class Destination:
    """One place that messages go to; `label` names it without its secrets."""

    def __init__(self, label: str, url: str, service: NotifyBase, seconds: float) -> None:
        self.label = label
        self._service = service
        self._seconds = seconds
        self._sending: threading.Thread | None = None
        scheme, _, rest = url.partition("://")
        pieces = {piece for text in (rest, unquote(rest)) for kind in _PIECES for piece in kind.findall(text)}
        self._secrets = sorted(pieces - {scheme}, key=len, reverse=True)

    def send(self, message: Message) -> None:
        """Sends, in `seconds` at most. Raises AlertError; call it in a thread of its own.

        Whatever the server does: what it answers is read within bounds (`collect.replies`), and what waits for
        something else, a name server or a pause that the server asks for, is waited for no longer.
        """
        if self._sending and self._sending.is_alive():
            raise AlertError("an earlier message is still on its way")
        failures: list[str] = []
        self._sending = threading.Thread(target=self._send, args=(message, failures), daemon=True)
        self._sending.start()
        self._sending.join(self._seconds + _GRACE_S)
        if self._sending.is_alive():
            raise AlertError(f"not sent within {self._seconds:g} s")
        if failures:
            raise AlertError(self._masked(failures[0]))

    def _send(self, message: Message, failures: list[str]) -> None:
        from .replies import bounded  # as Apprise: only where there is a URL

        words = _Words()
        _LOGGER.addHandler(words)
        body, markup = _as_text(message.body, self._service)
        try:
            kind = _TYPES.get(message.kind, "info")
            with bounded(self._seconds):
                sent = self._service.notify(body=body, title=plain(message.title), notify_type=kind, body_format=markup)
            if not sent:
                failures.append(words.last or "Apprise could not send it")
        except Exception as error:  # noqa: BLE001 - foreign code, one module a service: whatever it raises is a failure
            failures.append(f"{type(error).__name__}: {error}")
        finally:
            _LOGGER.removeHandler(words)

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:_TELLING]


class _Words(logging.Handler):
    """The last warning of the thread that made it: why a message was not sent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()


def _as_text(body: str, service: NotifyBase) -> tuple[str, str]:
    """The body, and its format in Apprise's words, so that the reader sees these characters and nothing acts on them.

    Text, wherever the service has it. HTML is made here: not every service of Apprise escapes text for it.
    """
    body = "\n".join(map(plain, body.split("\n")))
    resolve = getattr(service, "resolve_format", None)
    markup = resolve("text") if resolve else service.notify_format
    if getattr(markup, "value", markup) == "html":
        return html.escape(body, quote=False).replace("\n", "<br/>"), "html"
    return body, "text"


def open_destinations(urls: Sequence[str], seconds: float = SEND_S) -> tuple[Destination, ...]:
    """A destination for every URL of ALERT_URLS; UsageError for one that Apprise does not understand.

    A message has `seconds` to be sent.
    """
    if not urls:
        return ()
    from apprise import Apprise

    for name in _MUTE:  # what matters reaches our own log, without secrets
        logging.getLogger(name).propagate = False
        logging.getLogger(name).addHandler(logging.NullHandler())
    found = []
    for place, url in enumerate(urls, 1):
        label = f"{place}:{url.partition('://')[0]}://***"
        service = Apprise.instantiate(url)
        if service is None:
            raise UsageError(
                f"ALERT_URLS: URL {label} is not one that Apprise understands",
                hint="allowed are Apprise URLs such as tgram://BOT_TOKEN/CHAT_ID, slack://A/B/C or"
                " mailtos://USER:PASSWORD@HOST (docs/alerts.md)",
            )
        found.append(Destination(label, url, service, seconds))
    return tuple(found)


def send_test(urls: Sequence[str], instance: str) -> list[tuple[str, str]]:
    """Sends a test message everywhere, one after the other: each destination's label, and what went wrong, or "".

    Raises UsageError for a URL that Apprise does not understand.
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
