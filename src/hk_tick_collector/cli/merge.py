"""The verb `merge`: keeps the union of all collectors that publish to the stream, until it is stopped."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from hk_tick_collector import log
from hk_tick_collector.config import load_settings, systemd_environment
from hk_tick_collector.errors import UsageError
from hk_tick_collector.frames.extras import need

from ._options import EnvFile  # noqa: TC001 - typer reads the annotations
from ._refused_settings import destinations
from ._service_loop import run_service
from ._stream_report import collectors_root

if TYPE_CHECKING:
    from hk_tick_collector.config import Loaded
    from hk_tick_collector.merging.serving import MergeOptions


def merge(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIRECTORY", help="directory of the merged day files; default: MERGE_ROOT"),
    ] = None,
    env_file: EnvFile = None,
) -> int:
    """Writes the union of all collectors on STREAM_URL as day files of its own, until SIGTERM or Ctrl-C.

    Each tick is stored once, whoever brought it; what one collector missed, another fills. Every reading verb works on
    the directory: DATA_ROOT=DIRECTORY hk-tick-collector gaps; with MERGE_ROOT and without FUTU_SYMBOLS they read it
    without that. Needs the extra `stream`.

    Example: STREAM_URL=nats://127.0.0.1:4222 hk-tick-collector merge --to ./merged
    """
    need("nats", "stream")
    need("cryptography", "stream")
    loaded = load_settings(env_file)
    options = _options(loaded, to)
    log.configure(loaded.settings.log_level)
    for warning in loaded.warnings:
        log.warning("setting", detail=warning)

    from hk_tick_collector.merging.serving import serve  # after the settings are read: a wrong one is told at once

    return run_service(serve(options))


def _options(loaded: Loaded, to: Path | None) -> MergeOptions:
    from hk_tick_collector.jetstream.connect import Servers
    from hk_tick_collector.merging.serving import MergeOptions
    from hk_tick_collector.store.dayfile import StoreOptions

    settings = loaded.settings
    root = _root(loaded, to)
    servers = Servers(settings.stream_url, f"merge {settings.instance_id}", settings.stream_creds, settings.stream_ca)
    servers.check()
    systemd = systemd_environment()
    return MergeOptions(
        servers=servers,
        root=root,
        store=StoreOptions(
            synchronous=settings.sqlite_synchronous,
            wal_autocheckpoint_pages=settings.sqlite_wal_autocheckpoint,
            busy_timeout_ms=settings.sqlite_busy_timeout_ms,
        ),
        instance=settings.instance_id,
        state_path=merge_state_path(root),
        notify_socket=systemd.notify_socket,
        destinations=destinations(loaded),
        lang=settings.operator_lang,
        metrics_addr=settings.metrics_addr,
        disk_min_free_mb=settings.disk_min_free_mb,
    )


def _root(loaded: Loaded, to: Path | None) -> Path:
    """The directory of the merged day files, which is made if its parent is there."""
    root, name = (to, "--to") if to is not None else (loaded.settings.merge_root, "MERGE_ROOT")
    if root is None:
        raise UsageError("no directory is named for the merged day files", hint="set MERGE_ROOT, or --to DIRECTORY")
    root = root.absolute()
    collected = collectors_root(loaded)
    if collected is not None and collected.exists() and root.exists() and root.samefile(collected):
        raise UsageError(f"{name} {root} is DATA_ROOT", hint="name another directory: a collector owns that one")
    try:
        root.mkdir(mode=0o750, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{name} {root} cannot be made ({error.strerror})", hint="name a directory") from None
    return root


def merge_state_path(root: Path) -> Path:
    """Where `merge` writes its live state: systemd's runtime directory if systemd started it, otherwise `root`."""
    from hk_tick_collector.ops.live.merge_state import MERGE_NAME

    return (systemd_environment().runtime_directory or root) / MERGE_NAME
