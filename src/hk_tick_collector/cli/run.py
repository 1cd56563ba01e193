"""The verb `run`: reads the settings, starts the service, returns its exit code."""

from __future__ import annotations

import resource
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hk_tick_collector import log
from hk_tick_collector.config import load_settings, systemd_environment
from hk_tick_collector.errors import CollectorError
from hk_tick_collector.ops.live.systemd_notify import Notifier

from ._options import EnvFile, limits
from ._refused_settings import check_data_root, check_made, destinations, rsa_key, symbols
from ._service_loop import run_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hk_tick_collector.collect.options import ServiceOptions
    from hk_tick_collector.config import Loaded, Settings

_DESCRIPTORS_LEAST: Final = 16


def run(env_file: EnvFile = None) -> int:
    """The service: collects every tick of FUTU_SYMBOLS until SIGTERM, SIGINT or SIGHUP, then flushes and exits 0.

    Example: FUTU_SYMBOLS=HK.00700,HK.00981 DATA_ROOT=./data hk-tick-collector run
    """
    try:
        return _run(env_file)
    except CollectorError as error:
        with closing(Notifier(systemd_environment().notify_socket)) as notifier:
            notifier.status(error.one_line())  # for `systemctl status`
        raise


def _run(env_file: Path | None) -> int:
    loaded = load_settings(env_file)
    options = replace(_options(loaded), bad_symbols=loaded.bad_symbols)
    log.configure(loaded.settings.log_level)
    for warning in (*loaded.told(), *loaded.predecessor.lines):
        log.warning("setting", detail=warning)
    if loaded.predecessor.lines:
        log.warning(
            "setting", detail="settings of the predecessor are listed above", hint="sudo hk-tick-collector config"
        )

    _check_descriptors()

    from hk_tick_collector.collect.service import serve  # after the settings are read: a wrong one is told at once

    return run_service(serve(options))


def _options(loaded: Loaded) -> ServiceOptions:
    from hk_tick_collector.collect.options import FeedOptions, ServiceOptions
    from hk_tick_collector.store.dayfile import StoreOptions

    settings = loaded.settings
    data_root = settings.data_root
    wanted = symbols(loaded)
    check_data_root(loaded)
    check_made("SPOOL_DIR", settings.spool_dir, loaded)
    return ServiceOptions(
        feed=FeedOptions(
            host=settings.futu_host,
            port=settings.futu_port,
            symbols=wanted,
            client_id=f"hk-tick-collector-{settings.instance_id}",
            reconnect_min_delay_s=settings.reconnect_min_delay,
            reconnect_max_delay_s=settings.reconnect_max_delay,
            max_wait_ms=settings.max_wait_ms,
            rsa=rsa_key(loaded),
        ),
        store=StoreOptions(
            synchronous=settings.sqlite_synchronous,
            wal_autocheckpoint_pages=settings.sqlite_wal_autocheckpoint,
            busy_timeout_ms=settings.sqlite_busy_timeout_ms,
        ),
        data_root=data_root,
        spool_dir=settings.spool_dir,
        status_path=status_path(data_root),
        notify_socket=systemd_environment().notify_socket,
        instance=settings.instance_id,
        batch_rows=settings.batch_rows,
        max_wait_ms=settings.max_wait_ms,
        max_queue_rows=settings.max_queue_rows,
        health_interval_s=settings.health_interval_sec,
        watchdog_stall_s=settings.watchdog_stall_sec,
        watchdog_queue_rows=settings.watchdog_queue_threshold_rows,
        watchdog_max_failures=settings.watchdog_recovery_max_failures,
        stop_flush_timeout_s=settings.stop_flush_timeout_sec,
        destinations=destinations(loaded),
        limits=limits(settings),
        metrics_addr=settings.metrics_addr,
        alert_heartbeat_min=settings.alert_heartbeat_min,
        streams=frozenset(_streams(settings)),
        deadman_url=settings.deadman_url.get_secret_value() if settings.deadman_url else "",
        lang=settings.operator_lang,
        snapshot_dir=settings.snapshot_dir,
    )


def _streams(settings: Settings) -> Iterator[str]:
    """The processes beside the service that the settings switch on."""
    from hk_tick_collector.ops.findings.streaming import MERGE, PUBLISH

    if settings.stream_url:
        yield PUBLISH
    if settings.merge_root is not None:
        yield MERGE


def status_path(data_root: Path) -> Path:
    """The directory of the live state: systemd's runtime directory if systemd started us, otherwise DATA_ROOT."""
    from hk_tick_collector.ops.live.status import STATUS_NAME

    return (systemd_environment().runtime_directory or data_root) / STATUS_NAME


def _check_descriptors() -> None:
    """Raises if fewer descriptors than the event loop needs are allowed: libuv would abort."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < _DESCRIPTORS_LEAST:
        raise CollectorError(
            f"only {limit} open files are allowed, at least {_DESCRIPTORS_LEAST} are needed",
            hint="ulimit -n 1024, or LimitNOFILE=1024 in the unit",
        )
