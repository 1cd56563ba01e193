"""The checks of `doctor` for the NATS servers of STREAM_URL: reachable, new enough, the stream, whether they sync each
message to the disk before they acknowledge it, and whether `publish` may use the name INSTANCE_ID. Nothing is changed,
and no stream is created.
"""

from __future__ import annotations

import asyncio
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hk_tick_collector.errors import CollectorError, StoreError, StreamAwayError, StreamError, UsageError
from hk_tick_collector.frames.extras import need
from hk_tick_collector.jetstream.disk_sync import MONITOR_PORT, jetstream_of, syncs_each_message
from hk_tick_collector.jetstream.subjects import source_of
from hk_tick_collector.ops.doctor.result import Check, failure, not_checked, ok, warning
from hk_tick_collector.ops.findings.words import Words
from hk_tick_collector.ops.live.publish_state import PUBLISH_DIRECTORY, PUBLISH_NAME, read_publish_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hk_tick_collector.config import Settings
    from hk_tick_collector.jetstream.streams import StreamState
    from hk_tick_collector.ops.doctor.files import Account
    from hk_tick_collector.publishing.presence import Publisher

_NAME: Final = "stream"
_SYNC: Final = "stream on disk"
_NAMED: Final = "INSTANCE_ID"


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
    publishes = bool(settings.symbols)  # the INSTANCE_ID of a host that only merges names no source
    if publishes and (wrong_name := _wrong_name(settings)):
        yield wrong_name
        publishes = False
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
    if publishes:
        yield asyncio.run(_check_name(settings))
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


def _wrong_name(settings: Settings) -> Check | None:
    """A failure for an INSTANCE_ID with which `publish` would not start."""
    try:
        source_of(settings.instance_id)
    except UsageError:
        text = Words("INSTANCE_ID={name} cannot name a source of ticks", "INSTANCE_ID={name} 不能作為 tick 來源的名稱")
        remedy = Words(
            "set it to letters, digits, '_' and '-', without '.'", "改為英文字母、數字、「_」與「-」，不可有「.」"
        )
        return failure(_NAMED, text.filled(name=settings.instance_id), remedy)
    return None


async def _check_name(settings: Settings) -> Check:
    """Whether a `publish` of another host has the name of this one: the two would count as one source."""
    from hk_tick_collector.jetstream.connect import Servers, connect
    from hk_tick_collector.publishing.presence import publisher_of

    source = settings.instance_id
    servers = Servers(settings.stream_url, f"doctor {source}", settings.stream_creds, settings.stream_ca)
    try:
        connection = await connect(servers)
        try:
            found = await publisher_of(connection, source)
        finally:
            await connection.close()
    except StreamAwayError as error:
        return not_checked(
            _NAMED, Words(f"whether another host publishes as {source}: {error}", f"能否獨用名稱 {source}：{error}")
        )
    except CollectorError as error:  # the key may not use this name
        return warning(_NAMED, str(error), error.hint)
    if found is None:
        return ok(_NAMED, Words(f"nobody publishes as {source} now", f"現時沒有程式以 {source} 發布"))
    if _is_ours(settings, found):
        return ok(_NAMED, Words(f"publish of this host sends as {source}", f"本機的 publish 以 {source} 發布"))
    text = Words(
        f"{found.words()} publishes as {source} too: two hosts would count as one source",
        f"{found.words()} 亦以 {source} 發布：兩台主機會視為同一來源",
    )
    return failure(
        _NAMED, text, Words("set another INSTANCE_ID on one of the hosts", "在其中一台主機改用另一個 INSTANCE_ID")
    )


def _is_ours(settings: Settings, found: Publisher) -> bool:
    """Whether this host's `publish` answered. A copied machine may have the same host name, so its start counts."""
    for path in (PUBLISH_DIRECTORY / PUBLISH_NAME, settings.data_root / PUBLISH_NAME):
        with suppress(StoreError):
            state = read_publish_state(path)
            if state is not None and (state.pid, state.started_ms) == (found.pid, found.started_ms):
                return True
    return False


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
