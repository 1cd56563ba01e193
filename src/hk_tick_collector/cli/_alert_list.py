"""What `alerts --list` shows: destinations, mutes in force, open findings and what was sent. Reads files only."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hk_tick_collector import clock, market
from hk_tick_collector.errors import StoreError
from hk_tick_collector.ops.alerts.alerter import MEMORY_NAME
from hk_tick_collector.ops.alerts.message import clock_of
from hk_tick_collector.ops.alerts.mutes import EVERYTHING, MUTES_NAME, in_force, is_muted, read_mutes
from hk_tick_collector.ops.alerts.rules import Memory
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.not_reporting import is_silent
from hk_tick_collector.ops.findings.words import NO_WORDS, Words, same
from hk_tick_collector.ops.live.merge_state import MERGE_ALERTS_NAME
from hk_tick_collector.ops.live.status import RUNTIME_DIRECTORY, STATUS_NAME
from hk_tick_collector.store.rights import JOIN_GROUP
from hk_tick_collector.store.small_file import read_small

from ._service_report import live_status
from ._stream_report import merge_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hk_tick_collector.config import Settings
    from hk_tick_collector.ops.alerts.mutes import Mute
    from hk_tick_collector.ops.alerts.rules import Open
    from hk_tick_collector.ops.live.status import LiveStatus

    from ._patience import Disk

_MOST_BYTES: Final = 2**20
_ALL: Final = Words("all findings", "所有問題")
_NO_MUTES: Final = Words("nothing is muted", "沒有靜音")
_MUTED: Final = Words("muted  {what} until {until}, by {by}", "靜音  {what} 至 {until}，由 {by}")
_NOT_KEPT: Final = Words(
    "without a destination no list of open findings is kept -> hk-tick-collector status",
    "沒有目的地，不記錄未完結的 finding -> hk-tick-collector status",
)
_NO_OPEN: Final = Words("no finding is open", "沒有未完結的 finding")
_OPEN: Final = Words("open   {code} since {since}, {told}{muted}", "未完結  {code} 由 {since} 起，{told}{muted}")
_TOLD: Final = Words("last sent as {severity} at {at}", "最近一次在 {at} 以 {severity} 發出")
_NOT_TOLD: Final = Words("not sent yet", "仍未發出")
_IS_MUTED: Final = Words(", muted", "，已靜音")
_NOWHERE: Final = Words(
    "to     nobody: ALERT_URLS is empty, no alerts are sent", "送往  沒有：ALERT_URLS 是空的，不發告警"
)
_TO: Final = Words("to     {label}{failing}", "送往  {label}{failing}")
_FAILING: Final = Words(", accepts no messages since {since}", "，由 {since} 起收不到訊息")


class Listed(NamedTuple):
    """What is muted and what is open; the open ones as the service last saved them, at most 10 s ago."""

    destinations: list[str]
    failing: dict[str, int]  # destination → since when it accepts no messages, as the service last reported
    mutes: list[Mute]
    open: dict[str, Open]
    now_ms: int


def mutes_path(data_root: Path, live: LiveStatus | None) -> Path:
    """The file of mutes of the service that writes to this DATA_ROOT: beside its `status.json`."""
    directory = RUNTIME_DIRECTORY if live and _is_of(RUNTIME_DIRECTORY, live) else data_root
    return directory / MUTES_NAME


def _is_of(directory: Path, live: LiveStatus) -> bool:
    """Whether the live state is the one in this directory: of two with one DATA_ROOT the newer one counts."""
    from hk_tick_collector.ops.live.status import read_status

    try:
        found = read_status(directory / STATUS_NAME)
    except StoreError:
        return False
    return found is not None and found.started_ms == live.started_ms and found.pid == live.pid


def listed(settings: Settings, disk: Disk) -> Listed:
    """Reads both files. Raises StoreError if one cannot be read or understood."""
    root, now_ms = settings.data_root, clock.now_ms()
    live = live_status(root, disk)
    path = mutes_path(root, live)
    mutes = disk.read(partial(read_mutes, path), path.parent)
    is_merge = live is None and merge_of(root, disk) is not None
    memory = disk.read(partial(_memory, root / (MERGE_ALERTS_NAME if is_merge else MEMORY_NAME)), root)
    opened = {code: item for code, item in sorted(memory.open.items()) if not item.closed}
    urls = [url.get_secret_value() for url in settings.alert_urls]
    destinations = [f"{place}:{url.partition('://')[0]}://***" for place, url in enumerate(urls, 1)]
    failing = {} if live is None or is_silent(live, now_ms) else live.alerts_failing
    return Listed(destinations, failing, in_force(mutes, now_ms), opened, now_ms)


def _memory(path: Path) -> Memory:
    try:
        return Memory.from_json(read_small(path, _MOST_BYTES).decode())
    except (FileNotFoundError, NotADirectoryError):
        return Memory({}, [])
    except OSError as error:
        hint = JOIN_GROUP if isinstance(error, PermissionError) else ""
        raise StoreError(f"cannot read {path} ({error.strerror})", hint=hint) from None
    except ValueError as error:
        raise StoreError(
            f"{path} cannot be understood: {error}", hint="the service replaces it at its next start"
        ) from None


def lines(found: Listed, lang: str) -> list[str]:
    """The list for a person."""
    told = [_destination_line(label, found) for label in found.destinations] or [_NOWHERE]
    opened = [_open_line(code, item, found) for code, item in found.open.items()]
    opened = opened or [_NO_OPEN if found.destinations else _NOT_KEPT]
    return [line.of(lang) for line in (*told, *mute_lines(found.mutes, found.now_ms), *opened)]


def mute_lines(mutes: Sequence[Mute], now_ms: int) -> list[Words]:
    """A line for each mute: what, until when, by whom."""
    return [
        _MUTED.filled(
            what=_ALL if mute.code == EVERYTHING else same(mute.code),
            until=clock_of(mute.until_ms, now_ms),
            by=mute.by,
        )
        for mute in mutes
    ] or [_NO_MUTES]


def _destination_line(label: str, found: Listed) -> Words:
    since_ms = found.failing.get(label)
    failing = _FAILING.filled(since=clock_of(since_ms, found.now_ms)) if since_ms else NO_WORDS
    return _TO.filled(label=label, failing=failing)


def _open_line(code: str, item: Open, found: Listed) -> Words:
    told = _NOT_TOLD
    if item.told:
        told = _TOLD.filled(severity=Severity(item.told).name, at=market.moment_text(item.told_ms))
    since = market.moment_text(item.since_ms)
    muted = _IS_MUTED if is_muted(found.mutes, code) else NO_WORDS
    return _OPEN.filled(code=code, since=since, told=told, muted=muted)


def document(found: Listed) -> dict[str, Any]:
    """The list for a script. Times are UTC epoch ms."""
    return {
        "destinations": found.destinations,
        "failing": found.failing,
        "mutes": mutes_document(found.mutes),
        "open": [
            {
                "code": code,
                "since_ms": item.since_ms,
                "until_ms": item.until_ms,
                "severity": Severity(item.told).name if item.told else None,
                "sent_ms": item.told_ms if item.told else None,
                "muted": is_muted(found.mutes, code),
            }
            for code, item in found.open.items()
        ],
    }


def mutes_document(mutes: Sequence[Mute]) -> list[dict[str, Any]]:
    """Mutes for a script."""
    return [{"finding": mute.code, "from_ms": mute.from_ms, "until_ms": mute.until_ms, "by": mute.by} for mute in mutes]
