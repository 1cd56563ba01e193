"""What `status` knows of `publish` and `merge`: their live states, findings, and lines. Nothing is printed.

Both are optional. A host without them has no file of theirs, and nothing is said.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from hk_tick_collector import clock, market
from hk_tick_collector.config import DEFAULT
from hk_tick_collector.errors import DiskHangsError, StoreError
from hk_tick_collector.ops.findings.finding import Severity
from hk_tick_collector.ops.findings.merge import check_merge
from hk_tick_collector.ops.findings.publish import check_publish
from hk_tick_collector.ops.findings.streaming import MERGE, PUBLISH, STREAM_NOT_REPORTING
from hk_tick_collector.ops.findings.words import NO_WORDS, Words
from hk_tick_collector.ops.live.merge_state import MERGE_DIRECTORY, MERGE_NAME, read_merge_state
from hk_tick_collector.ops.live.publish_state import PUBLISH_DIRECTORY, PUBLISH_NAME, read_publish_state
from hk_tick_collector.ops.live.record import newest_of
from hk_tick_collector.ops.live.systemd_unit import show_unit, systemd_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from hk_tick_collector.config import Loaded, Settings
    from hk_tick_collector.ops.findings.finding import Finding
    from hk_tick_collector.ops.live.merge_state import MergeState
    from hk_tick_collector.ops.live.publish_state import PublishState

    from ._patience import Disk

_UNIT_PROPERTIES: Final = "LoadState,ActiveState,UnitFileState"
_SYSTEMD_S: Final = 2.0
_PUBLISH: Final = Words("publish", "發布")
_MERGE: Final = Words("merge", "合併")
_SOURCES: Final = Words("collectors", "收集器")

_State = TypeVar("_State", "PublishState", "MergeState")


class Streams(NamedTuple):
    """The live states of this DATA_ROOT's publish and of this host's merge, and what is wrong with them."""

    publish: PublishState | None = None
    merge: MergeState | None = None
    findings: tuple[Finding, ...] = ()


def streams_of(settings: Settings, now_ms: int, disk: Disk) -> Streams:
    """Reads both live states. One that cannot be read is a finding."""
    findings: list[Finding] = []
    roots = [settings.data_root, *([settings.merge_root] if settings.merge_root else [])]
    publish = _newest(
        [PUBLISH_DIRECTORY / PUBLISH_NAME, settings.data_root / PUBLISH_NAME],
        read_publish_state,
        roots[:1],
        disk,
        now_ms,
    )
    merge = _newest(
        [MERGE_DIRECTORY / MERGE_NAME, *(root / MERGE_NAME for root in roots)], read_merge_state, roots, disk, now_ms
    )
    if publish is not None and publish.state == "stopped" and not settings.stream_url:
        publish = None  # it was switched off; systemd keeps the directory of its last state
        findings += _of_unit(PUBLISH)
    elif publish is not None:
        findings += check_publish(publish, now_ms)
    elif settings.stream_url:
        findings += _of_unit(PUBLISH)
    if merge is not None:
        findings += check_merge(merge, now_ms, settings.disk_min_free_mb)
    elif settings.merge_root:
        findings += _of_unit(MERGE) or _never_started(settings)
    return Streams(publish, merge, tuple(findings))


def collects_nothing(settings: Settings) -> bool:
    """Whether this host is only there for `merge`: it has a MERGE_ROOT and no symbols."""
    return settings.merge_root is not None and not settings.symbols


def collectors_root(loaded: Loaded) -> Path | None:
    """The directory of a collector's day files; None if DATA_ROOT was not set and is therefore MERGE_ROOT."""
    settings = loaded.settings
    is_default = loaded.origins["DATA_ROOT"] == DEFAULT
    return None if is_default and settings.data_root == settings.merge_root else settings.data_root


def merge_of(root: Path, disk: Disk) -> MergeState | None:
    """The live state of the merge that writes into a directory; None if none has."""
    paths = [MERGE_DIRECTORY / MERGE_NAME, root / MERGE_NAME]
    return _newest(paths, read_merge_state, [root], disk, clock.now_ms())


def is_merge_host(merge: MergeState | None, settings: Settings) -> bool:
    """Whether this host only merges, or DATA_ROOT is the directory of the merge: then no collector is expected."""
    if merge is None:
        return collects_nothing(settings)
    return not settings.symbols or _is_same(merge.data_root, settings.data_root)


def merging_words(streams: Streams) -> Words:
    """What a host that does not collect does."""
    names = sorted(streams.merge.sources) if streams.merge else []
    if not names:
        return Words("merging", "正在合併")
    return Words("merging the ticks of " + ", ".join(names), "正在合併 " + "、".join(names) + " 的 tick")


def stream_lines(streams: Streams, now_ms: int, lang: str) -> list[tuple[str, str]]:
    """Name and text of a line for each process, in the operator's language."""
    found: list[tuple[Words, Words]] = []
    if streams.publish is not None:
        found.append((_PUBLISH, _publish_words(streams.publish)))
    if streams.merge is not None:
        found += [(_MERGE, _merge_words(streams.merge)), (_SOURCES, _source_words(streams.merge, now_ms))]
    return [(name.of(lang), text.of(lang)) for name, text in found if text]


def _newest(
    paths: Iterable[Path], read: Callable[[Path], _State | None], roots: list[Path], disk: Disk, now_ms: int
) -> _State | None:
    """The live state in these files that belongs to one of the directories: of what runs, else the newest."""
    found: list[_State] = []
    for path in paths:
        with suppress(StoreError, DiskHangsError):  # `disk` remembers a hang; another version's file is told by doctor
            state = disk.read(partial(read, path), path.parent)
            if state is not None and any(_is_same(state.data_root, root) for root in roots):
                found.append(state)
    return newest_of(found, now_ms)


def _is_same(data_root: str, root: Path) -> bool:
    return data_root == str(root) or os.path.realpath(data_root) == os.path.realpath(root)


def _of_unit(process: str) -> list[Finding]:
    """The finding for a unit that is enabled and does not run: systemd removes the live state of one that ends."""
    unit = show_unit(f"hk-tick-{process}", _UNIT_PROPERTIES, _SYSTEMD_S) if systemd_runs() else None
    if unit is None or unit["LoadState"] != "loaded" or unit["UnitFileState"] != "enabled":
        return []
    if unit["ActiveState"] in ("active", "activating", "reloading"):
        return []
    return [STREAM_NOT_REPORTING.found(Severity.CRITICAL, "unit", process=process, state=unit["ActiveState"])]


def _never_started(settings: Settings) -> list[Finding]:
    """The finding for a host that is there for `merge` alone and has none."""
    if not collects_nothing(settings):
        return []
    return [STREAM_NOT_REPORTING.found(Severity.CRITICAL, "never", process=MERGE, root=settings.merge_root)]


def _publish_words(state: PublishState) -> Words:
    if not state.server:
        return Words("no NATS server: {fault}", "沒有 NATS 伺服器：{fault}").filled(fault=state.fault or state.state)
    text = Words(
        "as {source} to {server}, {behind:,} of {stored:,} ticks behind, {published:,} sent since the start",
        "以 {source} 發布到 {server}，{stored:,} 筆中落後 {behind:,} 筆，啟動以來已發布 {published:,} 筆",
    )
    return text.filled(
        source=state.source,
        server=state.server,
        behind=state.behind_rows,
        stored=state.stored_rows,
        published=state.published_rows,
    )


def _merge_words(state: MergeState) -> Words:
    if not state.server:
        return Words("no NATS server: {fault}", "沒有 NATS 伺服器：{fault}").filled(fault=state.fault or state.state)
    text = Words(
        "from {server} into {root}, {behind:,} messages behind, {rows:,} rows/min, delay p50 {p50} ms p99 {p99} ms",
        "由 {server} 合併至 {root}，落後 {behind:,} 則訊息，每分鐘 {rows:,} 筆，延遲 p50 {p50} ms p99 {p99} ms",
    )
    return text.filled(
        server=state.server,
        root=state.data_root,
        behind=state.behind,
        rows=state.persisted_rows_per_min,
        p50="-" if state.delay_ms_p50 is None else round(state.delay_ms_p50),
        p99="-" if state.delay_ms_p99 is None else round(state.delay_ms_p99),
    )


def _source_words(state: MergeState, now_ms: int) -> Words:
    """When the last message of each collector was merged."""
    if not state.sources:
        return NO_WORDS
    told = [
        f"{source} {market.clock_text(last_ms) if now_ms - last_ms < market.DAY_MS else market.moment_text(last_ms)}"
        for source, last_ms in sorted(state.sources.items())
    ]
    return Words("last message: " + ", ".join(told), "最後訊息：" + "、".join(told))
