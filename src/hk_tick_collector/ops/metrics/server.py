"""Serves the metrics on METRICS_ADDR in a thread of its own, or logs why it cannot; collection never waits for it.

Input: the latest live state, and Stats. Output: the answers to Prometheus. It changes nothing.
"""

from __future__ import annotations

import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.clock import now_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hk_tick_collector.ops.findings.health import Limits
    from hk_tick_collector.ops.live.status import LiveStatus
    from hk_tick_collector.stats import Stats

    from .http import ScrapeServer
    from .streams import Streams

_RETRY_S: Final = 30.0
_LOG_EVERY_S: Final = 3600.0
_JOIN_S: Final = 0.1  # how long a stop waits for the thread; a thread that still runs then does no harm


@asynccontextmanager
async def metrics_served(
    address: tuple[str, int] | None, latest: Callable[[], LiveStatus | None], stats: Stats, limits: Limits
) -> AsyncIterator[None]:
    """Serves metrics while the block runs; `address` is host and port, or None for no server. It awaits nothing."""
    if address is None:
        yield
        return

    def renderer() -> Callable[[], bytes]:
        from .exposition import Metrics  # the library is imported only if it is needed

        return Metrics(latest, stats, limits, now_ms).render

    exporter = MetricsServer(address, renderer)
    exporter.start()
    try:
        yield
    finally:
        exporter.stop()


def process_metrics(
    address: tuple[str, int] | None, read: Callable[[], Streams], min_free_mb: int
) -> MetricsServer | None:
    """Serves the metrics of a process that is no collector, until `stop` of the returned server; None without one.

    Where the service of this host has the port, it shows these figures too.
    """
    if address is None:
        return None

    def renderer() -> Callable[[], bytes]:
        from .exposition import ProcessMetrics

        return ProcessMetrics(read, min_free_mb, now_ms).render

    server = MetricsServer(address, renderer)
    server.start()
    return server


class MetricsServer:
    """The thread. All that may block runs in it: the import, the lookup of a host, the wait for a port in use."""

    def __init__(self, address: tuple[str, int], renderer: Callable[[], Callable[[], bytes]]) -> None:
        self._address = address
        self._renderer = renderer  # makes what renders a scrape
        self._server: ScrapeServer | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Starts the thread and returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        if self._server:
            self._server.stop()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        told = log.Repeated(_LOG_EVERY_S)
        while not self._stopping.is_set():
            try:
                self._serve()
            except OSError as error:
                held_back = told.allow(time.monotonic())
                if held_back is not None:
                    self._log_why_not(error, held_back)
            except Exception:  # noqa: BLE001 - the thread's boundary: collection continues, and the server starts again
                log.bug("metrics_failed")
            self._stopping.wait(_RETRY_S)

    def _serve(self) -> None:
        from .exposition import CONTENT_TYPE
        from .http import ScrapeServer

        host, port = self._address
        self._server = server = ScrapeServer(host, port, self._renderer(), CONTENT_TYPE)
        log.info("metrics_listening", address=_joined(host, server.port), path="/metrics")
        if self._stopping.is_set():  # `stop` may have been called before there was a server
            server.stop()
        server.serve()

    def _log_why_not(self, error: OSError, repeats: int) -> None:
        log.warning(
            "metrics_unavailable",
            address=_joined(*self._address),
            detail=error.strerror or error,
            retry_s=_RETRY_S,
            repeats=repeats,
            hint="collection is not affected; who holds the port: sudo ss -ltnp; or change METRICS_ADDR",
        )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
