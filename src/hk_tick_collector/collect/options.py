"""The options of each part: plain values, from the settings of the same names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.opend.protocol import REQUEST_TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.opend.crypto import RsaCipher
    from hk_tick_collector.ops.alerts.destination import Destination
    from hk_tick_collector.ops.findings.health import Limits
    from hk_tick_collector.store.dayfile import StoreOptions
    from hk_tick_collector.tcp_connect import Resolve

# The part of MAX_WAIT_MS for which received bytes may wait for further bytes. The rest is for the writer.
GATHER_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a session waits, in seconds."""

    answer_s: float = REQUEST_TIMEOUT_S  # for an answer
    first_state_s: float = 3.0  # for OpenD's first state; after that, symbols are subscribed without it
    state_every_s: float = 3.0  # between state requests: TCP may be up while OpenD cannot serve
    subscribe_again_s: float = 3.0  # after a subscribe request without an answer, doubled each time
    # Between comparisons of our subscriptions with OpenD's list, when refused symbols are also requested again. OpenD
    # frees the quota of a closed connection only after about a minute.
    compare_every_s: float = 60.0
    # From subscribing to the first question what the symbols are, and between these questions: OpenD allows 60
    # snapshots in 30 s, and reconciliation and other clients may use most of them.
    instruments_after_s: float = 5.0
    instruments_spacing_s: float = 2.0
    compare_least_s: float = 5.0  # the minimum between two comparisons, when a backfill request is refused


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Where OpenD is and what to subscribe; see the settings of the same names."""

    host: str
    port: int
    symbols: tuple[str, ...]
    client_id: str
    reconnect_min_delay_s: float
    reconnect_max_delay_s: float
    max_wait_ms: int
    rsa: RsaCipher | None = None
    resolve: Resolve | None = None  # looks up the host's addresses; None for the operating system's resolver
    waits: Waits = field(default_factory=Waits)


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Where and how to write; see the settings of the same names."""

    data_root: Path
    run_id: str
    version: str
    batch_rows: int
    max_wait_ms: int
    store: StoreOptions
    snapshot_dir: Path | None = None  # another directory where copies of day files may be in progress


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The options of the service; see the settings of the same names."""

    feed: FeedOptions
    store: StoreOptions
    data_root: Path
    spool_dir: Path
    status_path: Path
    notify_socket: str | None  # of systemd, None without systemd
    instance: str
    batch_rows: int
    max_wait_ms: int
    max_queue_rows: int
    health_interval_s: float
    watchdog_stall_s: float
    watchdog_queue_rows: int
    watchdog_max_failures: int
    stop_flush_timeout_s: float
    destinations: tuple[Destination, ...]  # of alerts
    limits: Limits
    metrics_addr: tuple[str, int] | None  # host and port, None to serve none
    alert_heartbeat_min: int = 0  # between two heartbeat messages, 0 for none
    streams: frozenset[str] = frozenset()  # `publish`, `merge`: those that the settings switch on
    deadman_url: str = ""
    lang: str = "en"  # of alerts
    snapshot_dir: Path | None = None  # where copies of day files may be in progress, besides DATA_ROOT
    bad_symbols: tuple[str, ...] = ()  # invalid entries of FUTU_SYMBOLS, which are left out, each as an error text
