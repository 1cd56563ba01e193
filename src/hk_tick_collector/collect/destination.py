"""Where alerts go: one Apprise URL each. Enters: a URL, a message. Leaves: the message, or AlertError with the cause.

A URL holds secrets. Nothing here tells one: a destination is named by its place and scheme, `2:tgram://***`, and what
Apprise says of a failure is told without any part of the URL. Apprise is imported here and nowhere else, and only
when there is a URL: that takes half a second.
"""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from hk_tick_collector.errors import AlertError, UsageError
from hk_tick_collector.ops.alert_words import Kind, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apprise import NotifyBase

_LOGGER: Final = logging.getLogger("apprise")
_MUTE: Final = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")  # their lines may hold what is secret
_TYPES: Final = {Kind.CRITICAL: "failure", Kind.WARNING: "warning", Kind.RESOLVED: "success"}
_PIECES: Final = (re.compile(r"[^\W_]{3,}"), re.compile(r"[^/@:?&=#,]{3,}"))
_TELLING: Final = 200  # characters of Apprise's words


class Destination:
    """One place that messages go to; `label` names it without its secrets."""

    def __init__(self, label: str, url: str, service: NotifyBase) -> None:
        self.label = label
        self._service = service
        scheme, _, rest = url.partition("://")
        pieces = {piece for text in (rest, unquote(rest)) for kind in _PIECES for piece in kind.findall(text)}
        self._secrets = sorted(pieces - {scheme}, key=len, reverse=True)

    def send(self, message: Message) -> None:
        """Sends, within Apprise's time limits of some seconds. Raises AlertError; call it in a thread of its own."""
        words = _Words()
        _LOGGER.addHandler(words)
        try:
            kind = _TYPES.get(message.kind, "info")
            sent = self._service.notify(body=message.body, title=message.title, notify_type=kind)
        except Exception as error:  # noqa: BLE001 - foreign code, one module a service: whatever it raises is a failure
            raise AlertError(self._masked(f"{type(error).__name__}: {error}")) from None
        finally:
            _LOGGER.removeHandler(words)
        if not sent:
            raise AlertError(self._masked(words.last or "Apprise could not send it"))

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


def open_destinations(urls: Sequence[str]) -> tuple[Destination, ...]:
    """A destination for every URL of ALERT_URLS; UsageError for one that Apprise does not understand."""
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
        found.append(Destination(label, url, service))
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
