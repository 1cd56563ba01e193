"""The checks of `doctor` for the NATS servers of STREAM_URL: reachable, new enough, the stream, and whether they sync
each message to the disk before they acknowledge it. Nothing is changed, and no stream is created.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hk_tick_collector.errors import CollectorError, StreamError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.jetstream.disk_sync import MONITOR_PORT, jetstream_of, syncs_each_message
from hk_tick_collector.ops.doctor.result import Check, failure, not_checked, ok, warning
from hk_tick_collector.ops.findings.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.config import Settings
    from hk_tick_collector.jetstream.streams import StreamState
    from hk_tick_collector.ops.doctor.files import Account

_NAME: Final = "stream"
_SYNC: Final = "stream on disk"


def check_streams(
    settings: Settings, monitor_port: int = MONITOR_PORT, account: Account | None = None
) -> Iterator[Check]:
    """The checks, none if STREAM_URL is empty. `monitor_port` is where the servers show their settings.

    `account` is that of the services: root, who asks, may read files that they may not.
    """
    if not settings.stream_url:
        return
    if account is not None:
        yield from _check_files(settings, account)
    try:
        need("nats", "stream")
        need("cryptography", "stream")
    except CollectorError as error:
        yield failure(_NAME, str(error), error.hint)
        return
    state: StreamState | None = None
    for url in settings.stream_url:
        check, state_there = asyncio.run(_ask(settings, url))
        state = state or state_there
        yield check
    if state is not None:
        yield _of_stream(state)
    for host in dict.fromkeys(urlsplit(url).hostname or "" for url in settings.stream_url):
        yield _check_sync(host, monitor_port)


def _check_files(settings: Settings, account: Account) -> Iterator[Check]:
    """A failure for a file that `publish` and `merge` may not read; a missing one is told by the connection."""
    files = (("STREAM_CREDS", settings.stream_creds, "0640"), ("STREAM_CA", settings.stream_ca, "0644"))
    for name, path, mode in files:
        try:
            if path is None or account.may(path.stat(), 4):
                continue
        except OSError:
            continue
        text = Words("{account} may not read {name}={path}", "{account} 不能讀取 {name}={path}")
        shown = shlex.quote(str(path.absolute()))
        remedy = f"sudo chgrp {account.name} {shown}; sudo chmod {mode} {shown}"
        yield failure(name, text.filled(account=account.name, name=name, path=path), remedy)


async def _ask(settings: Settings, url: str) -> tuple[Check, StreamState | None]:
    """Connects to one server as `publish` and `merge` do."""
    from hk_tick_collector.jetstream.connect import Servers, connect
    from hk_tick_collector.jetstream.streams import stream_state

    servers = Servers((url,), f"doctor {settings.instance_id}", settings.stream_creds, settings.stream_ca)
    try:
        connection = await connect(servers)
    except CollectorError as error:
        return failure(_NAME, str(error), error.hint), None
    version = ".".join(map(str, connection.version))
    try:
        state = await stream_state(connection)
    except StreamError as error:
        return warning(_NAME, f"{url}: {error}", error.hint), None
    finally:
        await connection.close()
    text = Words(f"{url} is nats-server {version}", f"{url} 為 nats-server {version}")
    if state is None:
        there = Words(
            "; there is no stream HK_TICKS yet: publish creates it", "；尚未有 stream HK_TICKS：由 publish 建立"
        )
        return ok(_NAME, Words(text.en + there.en, text.zh + there.zh)), None
    return ok(_NAME, text), state


def _of_stream(state: StreamState) -> Check:
    text = Words(
        f"HK_TICKS is on {state.servers_current} of {state.replicas} servers, {state.messages:,} messages,"
        f" {state.bytes // 2**20:,} MB, keeps {state.max_age_s / 86_400:g} days",
        f"HK_TICKS 在 {state.replicas} 個伺服器中的 {state.servers_current} 個，{state.messages:,} 則訊息，"
        f"{state.bytes // 2**20:,} MB，保留 {state.max_age_s / 86_400:g} 天",
    )
    if state.servers_current < state.replicas:
        return warning(_NAME, text, Words("start hk-nats on the others", "在其餘伺服器啟動 hk-nats"))
    if state.differences:
        told = "; ".join(state.differences)
        return warning(_NAME, Words(f"{text.en}; {told}", f"{text.zh}；{told}"), "nats stream edit HK_TICKS")
    return ok(_NAME, text)


def _check_sync(host: str, port: int) -> Check:
    """Whether a server syncs each message. Only its monitoring says so."""
    try:
        jetstream = jetstream_of(host, port)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "reason", None) or error
        text = Words(
            f"{host} does not show its settings on port {port} ({reason})",
            f"{host} 沒有在連接埠 {port} 顯示設定（{reason}）",
        )
        remedy = Words(
            "on that server: grep sync_interval /etc/hk-nats/nats.conf must say always",
            "在該伺服器：grep sync_interval /etc/hk-nats/nats.conf 須為 always",
        )
        return not_checked(_SYNC, text, remedy)
    if syncs_each_message(jetstream):
        return ok(_SYNC, Words(f"{host} syncs each message (sync_interval: always)", f"{host} 每則訊息均同步至磁碟"))
    text = Words(
        f"{host} acknowledges messages that are not on its disk yet: a power cut of all servers loses them",
        f"{host} 在訊息寫入磁碟前已確認：所有伺服器同時斷電便會遺失",
    )
    remedy = Words(
        "set sync_interval: always in its section jetstream, and restart hk-nats",
        "在其 jetstream 一節設定 sync_interval: always，然後重啟 hk-nats",
    )
    return warning(_SYNC, text, remedy)
