"""The verb `publish`: sends the ticks of the day files to the stream, until it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector import log
from hk_tick_collector.clock import now_ms
from hk_tick_collector.config import load_settings, systemd_environment
from hk_tick_collector.errors import UsageError
from hk_tick_collector.frames.extras import need

from ._options import EnvFile, day_named
from ._refused_settings import destinations
from ._service_loop import run_service

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.config import Loaded
    from hk_tick_collector.ops.alerts.process_alerts import ProcessAlerts
    from hk_tick_collector.publishing.options import PublishOptions

ALERTS_NAME: Final = ".alerts-publish.json"
CURSORS_NAME: Final = ".publish.db"


def publish(
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="YYYYMMDD",
            help="the first day to send; default: the day being written at the first start, later where it left off",
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="end when all that is stored is acknowledged")] = False,
    env_file: EnvFile = None,
) -> int:
    """Sends every stored tick to the stream on STREAM_URL, within a moment of its commit, until SIGTERM or Ctrl-C.

    It reads the day files and changes nothing in them. What the servers lose is noticed and sent again. The name of
    this source is INSTANCE_ID: each host needs its own. Needs the extra `stream`.

    Example: STREAM_URL=nats://127.0.0.1:4222 hk-tick-collector publish
    """
    need("nats", "stream")
    need("cryptography", "stream")
    loaded = load_settings(env_file)
    options = _options(loaded, since, once=once)
    log.configure(loaded.settings.log_level)
    for warning in loaded.warnings:
        log.warning("setting", detail=warning)

    from hk_tick_collector.publishing.service import serve  # after the settings are read: a wrong one is told at once

    return run_service(serve(options))


def _options(loaded: Loaded, since: str | None, *, once: bool) -> PublishOptions:
    from hk_tick_collector.jetstream.connect import Servers
    from hk_tick_collector.jetstream.subjects import source_of
    from hk_tick_collector.publishing.options import PublishOptions

    settings = loaded.settings
    source = source_of(settings.instance_id)
    servers = Servers(settings.stream_url, f"publish {source}", settings.stream_creds, settings.stream_ca)
    servers.check()
    if settings.data_root == settings.merge_root:
        raise UsageError(
            f"DATA_ROOT={settings.data_root} is MERGE_ROOT: the union is not published",
            hint="this host collects nothing without FUTU_SYMBOLS; set DATA_ROOT to send the days of a collector",
        )
    if not settings.data_root.is_dir():
        raise UsageError(f"there is no DATA_ROOT={settings.data_root}", hint="start the collector first")
    systemd = systemd_environment()
    return PublishOptions(
        servers=servers,
        source=source,
        data_root=settings.data_root,
        cursor_path=(systemd.state_directory or settings.data_root) / CURSORS_NAME,
        state_path=publish_state_path(settings.data_root),
        poll_s=settings.publish_poll_ms / 1000,
        since=day_named(since) if since else "",
        until_sent=once,
        notify_socket=systemd.notify_socket,
        alerts=None if once else _alerts(loaded),
    )


def _alerts(loaded: Loaded) -> ProcessAlerts | None:
    """What sends the alerts of publish; None without ALERT_URLS. The mutes are those of the collector."""
    from hk_tick_collector.ops.alerts.process_alerts import ProcessAlerts
    from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY

    settings, systemd = loaded.settings, systemd_environment()
    if not settings.alert_urls:
        return None
    memory = (systemd.state_directory or settings.data_root) / ALERTS_NAME
    mutes_in = RUNTIME_DIRECTORY if systemd.runtime_directory else settings.data_root
    return ProcessAlerts(destinations(loaded), memory, mutes_in, settings.operator_lang, now_ms)


def publish_state_path(data_root: Path) -> Path:
    """Where `publish` writes its live state: systemd's runtime directory if systemd started it, otherwise DATA_ROOT."""
    from hk_tick_collector.ops.live.publish_state import PUBLISH_NAME

    return (systemd_environment().runtime_directory or data_root) / PUBLISH_NAME
