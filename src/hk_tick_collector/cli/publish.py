"""The verb `publish`: sends the ticks of the day files to the stream, until it is stopped."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hk_tick_collector import log
from hk_tick_collector.config import load_settings, systemd_environment
from hk_tick_collector.errors import UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.signals import give_back

from ._options import EnvFile, day_named

if TYPE_CHECKING:
    from pathlib import Path

    from hk_tick_collector.config import Settings
    from hk_tick_collector.publishing.options import PublishOptions

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
    options = _options(loaded.settings, since, once=once)
    log.configure(loaded.settings.log_level)
    for warning in loaded.warnings:
        log.warning("setting", detail=warning)

    import uvloop  # imported after the settings are read, as in `run`

    from hk_tick_collector.publishing.service import STOP_SIGNALS, serve

    try:
        return uvloop.run(serve(options))
    finally:
        give_back(STOP_SIGNALS, signal.SIG_IGN)  # a late signal must not change the exit code
        log.flush()


def _options(settings: Settings, since: str | None, *, once: bool) -> PublishOptions:
    from hk_tick_collector.jetstream.connect import Servers
    from hk_tick_collector.jetstream.subjects import source_of
    from hk_tick_collector.publishing.options import PublishOptions

    source = source_of(settings.instance_id)
    servers = Servers(settings.stream_url, f"publish {source}", settings.stream_creds, settings.stream_ca)
    servers.check()
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
    )


def publish_state_path(data_root: Path) -> Path:
    """Where `publish` writes its live state: systemd's runtime directory if systemd started it, otherwise DATA_ROOT."""
    from hk_tick_collector.ops.live.publish_state import PUBLISH_NAME

    return (systemd_environment().runtime_directory or data_root) / PUBLISH_NAME
