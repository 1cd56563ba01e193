"""Whether a nats-server writes each message to its disk before it acknowledges it. Only its monitoring port says so.

The port is that of `http` in deploy/nats/nats.conf, which only the server's own host reaches. So `publish` and `merge`
watch the server of their host, and `doctor` asks that of each host of STREAM_URL.
"""

from __future__ import annotations

import json
import time
import urllib.request
from http.client import HTTPException
from typing import Any, Final

from hk_tick_collector.background import Background

from .subjects import STREAM

MONITOR_PORT: Final = 8222
_ASK_S: Final = 2.0
_EVERY_S: Final = 60.0
_MOST_BYTES: Final = 1 << 20


def jetstream_of(host: str, port: int = MONITOR_PORT, query: str = "") -> dict[str, Any]:
    """What the monitoring of a server says of its JetStream, for example `{"config": {"sync_always": true}}`.

    Waits two seconds at most for each part of it. OSError, ValueError or TypeError if there is no such answer.
    """
    shown = f"[{host}]" if ":" in host else host
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows another loopback
    try:
        with opener.open(f"http://{shown}:{port}/jsz?config=true{query}", timeout=_ASK_S) as answer:
            found = json.loads(answer.read(_MOST_BYTES))
    except (HTTPException, RecursionError):  # another program has the port
        raise ValueError("not an answer of a nats-server") from None
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def syncs_each_message(jetstream: dict[str, Any]) -> bool:
    """Whether this answer of `jetstream_of` has `sync_interval: always`."""
    config = jetstream.get("config")
    return isinstance(config, dict) and config.get("sync_always") is True


def acknowledges_early(host: str, port: int) -> bool:
    """Whether a server holds the stream and does not sync each message. False if there is none, or no answer."""
    try:
        found = jetstream_of(host, port, "&accounts=true&streams=true")
    except (OSError, ValueError, TypeError):
        return False
    return _holds_stream(found) and not syncs_each_message(found)


class DiskSync:
    """Watches the server of this host. A thread of its own asks, once a minute: no caller waits."""

    def __init__(self, host: str = "127.0.0.1", port: int = MONITOR_PORT) -> None:
        self._address = host, port
        self._background = Background("disk sync")
        self._due_s = 0.0
        self._is_unsynced = False

    def is_unsynced(self) -> bool:
        """What `acknowledges_early` last said; without a server that answers, others tell what is wrong."""
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + _EVERY_S
            self._background.post(self._ask)
        return self._is_unsynced

    def _ask(self) -> None:
        self._is_unsynced = acknowledges_early(*self._address)


def _holds_stream(jetstream: dict[str, Any]) -> bool:
    """Whether the stream of ticks is on this server: another one concerns nobody here."""
    accounts = jetstream.get("account_details")
    details = [each for each in accounts if isinstance(each, dict)] if isinstance(accounts, list) else []
    lists = [each.get("stream_detail") for each in details]
    streams = [stream for each in lists if isinstance(each, list) for stream in each if isinstance(stream, dict)]
    return any(stream.get("name") == STREAM for stream in streams)
