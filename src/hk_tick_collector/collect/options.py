"""What each part is told at its start: plain values, from the settings of the same names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hk_tick_collector.opend.protocol import REQUEST_TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.connecting import Resolve
    from hk_tick_collector.opend.crypto import RsaCipher
    from hk_tick_collector.ops.alerts.destination import Destination
    from hk_tick_collector.ops.findings.health import Limits
    from hk_tick_collector.store.dayfile import StoreOptions

# Of MAX_WAIT_MS: so long received bytes may wait for others, before the writer's share begins.
GATHER_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a session waits, in seconds."""

    answer_s: float = REQUEST_TIMEOUT_S  # for the answer to a question
    first_state_s: float = 3.0  # for OpenD's first word of its state; then symbols are subscribed without it
    state_every_s: float = 3.0  # TCP may be up while OpenD's data is not
    subscribe_again_s: float = 3.0  # while a request to subscribe has no answer, twice as long each time
    # How often subscriptions are compared with OpenD's own list, and refused ones asked for again: quota stays used
    # for about a minute after a connection closes.
    compare_every_s: float = 60.0
    compare_least_s: float = 5.0  # between two comparisons, where a question for a symbol is refused


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """Whom to ask for what; see the settings of the same names."""

    host: str
    port: int
    symbols: tuple[str, ...]
    client_id: str
    reconnect_min_delay_s: float
    reconnect_max_delay_s: float
    max_wait_ms: int
    rsa: RsaCipher | None = None
    resolve: Resolve | None = None  # looks up the host's addresses; the operating system where it is None
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
    snapshot_dir: Path | None = None  # copies of days are looked for there too


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What the service needs to know; see the settings of the same names."""

    feed: FeedOptions
    store: StoreOptions
    data_root: Path
    spool_dir: Path
    status_path: Path
    notify_socket: str | None  # systemd's, None without it
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
    lang: str = "en"  # of alerts
    snapshot_dir: Path | None = None  # where copies of days are looked for, beside DATA_ROOT
    bad_symbols: tuple[str, ...] = ()  # entries of FUTU_SYMBOLS that are no symbols and are left out, in words
