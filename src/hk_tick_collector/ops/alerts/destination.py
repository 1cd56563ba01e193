"""Destinations of alerts, one Apprise URL each. Input: a URL, a message. Output: the sent message, or AlertError.

A URL contains secrets, so it is never shown: a destination is named by number and scheme, `2:tgram://***`, and every
part of the URL is removed from Apprise's error texts. Apprise is imported only here, and only if there is a URL: the
import takes half a second.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from hk_tick_collector.errors import AlertError, UsageError
from hk_tick_collector.ops.findings.words import Words
from hk_tick_collector.text import plain

from .markup import as_shown
from .masking import Secrets
from .message import ENGLISH, Kind, Message, title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apprise import NotifyBase

_LOGGER: Final = logging.getLogger("apprise")
_MUTE: Final = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")  # their log lines may contain secrets
_TYPES: Final = {Kind.CRITICAL: "failure", Kind.WARNING: "warning", Kind.RESOLVED: "success"}
_TEST: Final = Words(
    "This is a test of hk-tick-collector's alerts. Nothing is wrong.", "這是 hk-tick-collector 的告警測試，沒有問題。"
)
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
        self._secrets = Secrets(rest, {scheme})

    def send(self, message: Message) -> str:
        """Sends within `seconds` and returns what the server answered, masked; empty if the protocol has no answer.

        Raises AlertError; call it in a thread of its own.

        Whatever the server does: reading its answer is bounded (`ops.alerts.replies`), and every other wait, for a name
        server or a pause that the server asks for, ends at the same time.
        """
        if self._sending and self._sending.is_alive():
            raise AlertError("an earlier message is still being sent")
        failures: list[str] = []
        answers: list[str] = []
        self._sending = threading.Thread(target=self._send, args=(message, failures, answers), daemon=True)
        try:
            self._sending.start()
        except RuntimeError as error:  # no thread can be started now
            raise AlertError(str(error)) from None
        self._sending.join(self._seconds + _GRACE_S)
        if self._sending.is_alive():
            raise AlertError(f"not sent within {self._seconds:g} s")
        if failures:
            raise AlertError(self._masked(failures[0]))
        return self._masked(answers[0]) if answers else ""

    def _send(self, message: Message, failures: list[str], answers: list[str]) -> None:
        from .replies import bounded  # imported like Apprise: only if there is a URL

        words = _Words()
        _LOGGER.addHandler(words)
        body, markup = as_shown(message.body, self._service)
        try:
            kind = _TYPES.get(message.kind, "info")
            with bounded(self._seconds) as budget:
                sent = self._service.notify(body=body, title=plain(message.title), notify_type=kind, body_format=markup)
            if not sent:
                reasons = [words.last, budget.answer]
                failures.append("; ".join(filter(None, reasons)) or "Apprise could not send it")
            elif budget.answer:
                answers.append(budget.answer)
        except Exception as error:  # noqa: BLE001 - foreign code, one module for each service: any exception is a failure
            failures.append(f"{type(error).__name__}: {error}")
        finally:
            _LOGGER.removeHandler(words)

    def _masked(self, text: str) -> str:
        return plain(self._secrets.masked(text))[:_TELLING]


class _Words(logging.Handler):
    """The last warning of the current thread: the reason why a message was not sent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()


def open_destinations(
    urls: Sequence[str], seconds: float = SEND_S, *, name: str = "ALERT_URLS"
) -> tuple[Destination, ...]:
    """A destination for every URL of the setting `name`; UsageError for one that Apprise does not support.

    A message has `seconds` to be sent.
    """
    return tuple(_open(name, place, url, seconds) for place, url in enumerate(urls, 1))


def open_supported(urls: Sequence[str], seconds: float = SEND_S) -> tuple[list[Destination], list[UsageError]]:
    """The destinations that Apprise supports, and an error for each of the others."""
    found: list[Destination] = []
    errors: list[UsageError] = []
    for place, url in enumerate(urls, 1):
        try:
            found.append(_open("ALERT_URLS", place, url, seconds))
        except UsageError as error:
            errors.append(error)
    return found, errors


def _open(name: str, place: int, url: str, seconds: float) -> Destination:
    from apprise import Apprise

    for muted in _MUTE:  # what matters is in our own log, without secrets
        logger = logging.getLogger(muted)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    label = f"{place}:{url.partition('://')[0]}://***"
    service = Apprise.instantiate(url)
    if service is None:
        raise UsageError(
            f"{name}: URL {label} is not supported by Apprise",
            hint="allowed are Apprise URLs such as tgram://BOT_TOKEN/CHAT_ID, slack://A/B/C,"
            " mailtos://USER:PASSWORD@HOST, or jsons://HOST/PATH for a server of your own (docs/alerts.md)",
            zh=f"網址 {label} 不受 Apprise 支援",
            hint_zh="可用 Apprise 網址，例如 tgram://BOT_TOKEN/CHAT_ID，自己的伺服器用 jsons://HOST/PATH（docs/alerts.md）",
        )
    return Destination(label, url, service, seconds)


@dataclass(frozen=True, slots=True)
class Tested:
    """The result of a test message: `answer` is what came back, or why the message was not accepted."""

    label: str
    accepted: bool
    answer: str
    took_s: float


def send_test(destinations: Sequence[Destination], instance: str, lang: str = ENGLISH) -> list[Tested]:
    """Sends a test message to all destinations at the same time, and waits for every answer."""
    message = Message(Kind.TEST, "", title_of(instance, Kind.TEST, "", lang), _TEST.of(lang))
    with ThreadPoolExecutor(max(1, len(destinations)), "alerts test") as threads:
        return list(threads.map(partial(_test, message), destinations))


def _test(message: Message, destination: Destination) -> Tested:
    began_s = time.monotonic()
    try:
        accepted, answer = True, destination.send(message)
    except AlertError as error:
        accepted, answer = False, str(error)
    return Tested(destination.label, accepted, answer, time.monotonic() - began_s)
