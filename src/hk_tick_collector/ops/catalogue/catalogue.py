"""The one place that knows every log event and every finding. Pure.

Enters: an event's name, a finding's code or a whole log line. Leaves: what it means and what to do, as `logs --explain`
prints it, and the reference part of docs/troubleshooting.md.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from hk_tick_collector.ops.findings.codes import FINDINGS

from .log_events import EVENTS, SIMULATOR_EVENTS

if TYPE_CHECKING:
    from hk_tick_collector.ops.findings.entry import Entry

_LINE: Final = re.compile(r"(?:^|\s)(?:DEBUG|INFO|WARNING|ERROR) (WATCHDOG \w+|\w+)(?=\s|$)(.*)")
_DETAIL: Final = re.compile(r'(?<=\s)(cause|kind)=(?:"([^"]*)"|(\S+))')
_FAMILY: Final = {"cause": "writer_", "kind": "opend_"}  # of which finding a field's value names a member
BEGIN: Final = (
    "<!-- 以下由 tools/write_troubleshooting.py 產生，請勿手改；"
    "文字在 ops/catalogue/log_events.py 與 ops/findings/codes.py -->"
)


class Explained(NamedTuple):
    """One entry under its name; `what` is `log line` or `finding`."""

    name: str
    what: str
    entry: Entry


def names() -> list[str]:
    """Every event and code, each once, by name."""
    return sorted({*EVENTS, *SIMULATOR_EVENTS, *FINDINGS}, key=str.lower)


def nearest(text: str) -> str:
    """The known name that is spelt most alike, or nothing."""
    within = [name for name in names() if text.lower() in name.lower()] if len(text) > 2 else []
    return next(iter([*within, *difflib.get_close_matches(text, names(), n=1)]), "")


def explain(text: str) -> list[Explained]:
    """What is known of an event, of a code or of the event of a log line; nothing for what is unknown.

    Of a line also what its `cause=` or `kind=` means, where that is a finding's.
    """
    match = _LINE.search(text)
    if match is None:
        return _named(" ".join(text.split()))
    found = _named(match[1])[:1]
    for field, quoted, plain in _DETAIL.findall(match[2]):
        found += _named(_FAMILY[field] + (quoted or plain))
    return found


def _named(name: str) -> list[Explained]:
    known = {**SIMULATOR_EVENTS, **EVENTS}
    event = next((full for full in (name, f"WATCHDOG {name}", f"{name} persistent_stall") if full in known), None)
    code = name.replace("opend_program_", "opend_")  # what Notify tells of the program is what GetGlobalState tells
    return [
        *([Explained(event, "log line", known[event])] if event else []),
        *([Explained(code, "finding", FINDINGS[code])] if code in FINDINGS else []),
    ]


def markdown() -> str:
    """The reference part of docs/troubleshooting.md, in Traditional Chinese."""
    return f"""{BEGIN}

## 每一種日誌

`hk-tick-collector logs --explain 事件` 在命令列給出同樣內容（英文）；整行日誌亦可貼上。

{_table("事件", EVENTS)}

## 每一個 finding

`status`、告警與指標以這些代號稱呼同一件事（`status --json` 的 `findings[].code`）。
`opend_program_…` 與 `opend_…` 同義。

{_table("代號", FINDINGS)}

## 模擬 OpenD 的日誌

{_table("事件", SIMULATOR_EVENTS)}
"""


def _table(head: str, entries: dict[str, Entry]) -> str:
    rows = "\n".join(f"| `{name}` | {entry.meaning.zh} | {entry.remedy.zh} |" for name, entry in entries.items())
    return f"| {head} | 意思 | 做法 |\n|---|---|---|\n{rows}"
