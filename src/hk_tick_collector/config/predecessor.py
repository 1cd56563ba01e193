"""The settings of the predecessor, another collector with the same `.env`, and what replaces each. Pure.

Enters: names and values of a settings file. Leaves: texts for the operator, and the ALERT_URLS line that replaces the
Telegram settings. The names are from the predecessor's documentation. Nothing here changes a setting.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_GAPS: Final = "not needed: missing ticks are detected by the sequence of each symbol and backfilled"
_WRITER: Final = "not needed: the writer waits for the disk and retries without limit"
_WATCHDOG: Final = "not needed: the watchdog only needs WATCHDOG_STALL_SEC and WATCHDOG_QUEUE_THRESHOLD_ROWS"
_ALERTING: Final = "not needed: how often an alert is sent depends on its kind (docs/alerts.md)"
_NO_EFFECT_SET: Final = "they do nothing; ALERT_URLS is set and says where alerts go"
_NO_EFFECT_EMPTY: Final = "they do nothing, and are empty: ALERT_URLS says where alerts go"
_TELEGRAM: Final = "replaced by a tgram:// URL in ALERT_URLS"

_BECAME: Final = {
    "FUTU_POLL_ENABLED": _GAPS,
    "FUTU_POLL_INTERVAL_SEC": _GAPS,
    "FUTU_POLL_NUM": _GAPS,
    "FUTU_POLL_STALE_SEC": _GAPS,
    "BACKFILL_N": _GAPS,
    "CHECK_INTERVAL_SEC": _GAPS,
    "SEED_RECENT_DB_DAYS": _GAPS,
    "BATCH_SIZE": "replaced by BATCH_ROWS",
    "MAX_QUEUE_SIZE": "replaced by MAX_QUEUE_ROWS, which counts rows and not batches",
    "PERSIST_HEARTBEAT_INTERVAL_SEC": "not needed: persist_loop_heartbeat comes with HEALTH_INTERVAL_SEC",
    "SQLITE_JOURNAL_MODE": "not needed: a day file that is written is always in WAL mode",
    "WATCHDOG_UPSTREAM_WINDOW_SEC": _WATCHDOG,
    "WATCHDOG_RECOVERY_JOIN_TIMEOUT_SEC": _WATCHDOG,
    "ALERT_COOLDOWN_SEC": _ALERTING,
    "ALERT_ESCALATION_STEPS": _ALERTING,
}
_TOKENS: Final = ("TG_BOT_TOKEN", "TG_TOKEN")
_CHAT: Final = "TG_CHAT_ID"
_THREAD: Final = "TG_MESSAGE_THREAD_ID"
_OUR_PREFIXES: Final = ("FUTU_", "SQLITE_", "WATCHDOG_", "PERSIST_RETRY_")
_TOKEN: Final = re.compile(r"(?:bot)?([0-9]+:[A-Za-z0-9_-]+)")
_CHAT_ID: Final = re.compile(r"-?[0-9]{1,32}|@?[A-Za-z][A-Za-z0-9_]+")

# Defaults of the predecessor whose setting has another meaning here, and other defaults of the predecessor.
_OTHER_MEANING: Final = {
    "HEALTH_INTERVAL_SEC": ("900", "the predecessor's time between two chat messages; here it is that of the log line"),
    "DRIFT_WARN_SEC": ("120", "the predecessor's lag of the data; here it is the difference of this clock to OpenD's"),
    "WATCHDOG_QUEUE_THRESHOLD_ROWS": ("100", "the predecessor's number of batches; here it is one of rows"),
}
_OTHER_DEFAULT: Final = {
    "RECONNECT_MIN_DELAY": "1",
    "RECONNECT_MAX_DELAY": "60",
    "MAX_WAIT_MS": "1000",
    "SQLITE_SYNCHRONOUS": "NORMAL",
    "SQLITE_WAL_AUTOCHECKPOINT": "1000",
}


# The Chinese of what replaces a setting.
_ZH: Final = {
    _GAPS: "不再需要：按每隻股票的序列找出缺失的 tick，並回補",
    _WRITER: "不再需要：寫入執行緒會等待磁碟，並不限次數重試",
    _WATCHDOG: "不再需要：watchdog 只用 WATCHDOG_STALL_SEC 與 WATCHDOG_QUEUE_THRESHOLD_ROWS",
    _ALERTING: "不再需要：告警的頻率按其種類而定（docs/alerts.md）",
    "replaced by BATCH_ROWS": "改用 BATCH_ROWS",
    "replaced by MAX_QUEUE_ROWS, which counts rows and not batches": "改用 MAX_QUEUE_ROWS，按筆數而非批次計算",
    "not needed: persist_loop_heartbeat comes with HEALTH_INTERVAL_SEC": (
        "不再需要：persist_loop_heartbeat 隨 HEALTH_INTERVAL_SEC 輸出"
    ),
    "not needed: a day file that is written is always in WAL mode": "不再需要：寫入中的日檔必為 WAL 模式",
    _NO_EFFECT_SET: "已不起作用；告警送往 ALERT_URLS 所設的地方",
    _NO_EFFECT_EMPTY: "已不起作用，且是空的；告警送往 ALERT_URLS 所設的地方",
}
_OTHER_MEANING_ZH: Final = {
    "HEALTH_INTERVAL_SEC": "原有程式中是兩則訊息的間隔，這裡是日誌行的間隔",
    "DRIFT_WARN_SEC": "原有程式中是資料的延遲，這裡是本機時鐘與 OpenD 的差",
    "WATCHDOG_QUEUE_THRESHOLD_ROWS": "原有程式中是批次數目，這裡是筆數",
}


class Former(NamedTuple):
    """Settings of the predecessor with the same replacement."""

    names: tuple[str, ...]
    where: str  # /path/.env:3, or environment: of the first
    became: str
    zh: str = ""

    @property
    def line(self) -> str:
        """The text for the operator."""
        return f"{', '.join(self.names)} ({self.where}): {self.became}"

    @property
    def line_zh(self) -> str:
        """The same in Chinese."""
        return f"{'、'.join(self.names)}（{self.where}）：{self.zh or _ZH.get(self.became, self.became)}"


class Alerts(NamedTuple):
    """The predecessor's Telegram settings."""

    names: tuple[str, ...]
    where: str
    said: str  # what replaces them, without a secret
    said_zh: str
    lines: tuple[str, ...] = ()  # each can be pasted into the settings file; contains the token
    done: bool = False  # they are no longer needed

    @property
    def line(self) -> str:
        """The text for the operator, without a secret."""
        return f"{', '.join(self.names)} ({self.where}): {self.said}"

    @property
    def line_zh(self) -> str:
        """The same in Chinese."""
        return f"{'、'.join(self.names)}（{self.where}）：{self.said_zh}"


class Predecessor(NamedTuple):
    """The settings of the predecessor in a settings file."""

    former: tuple[Former, ...] = ()  # names without effect here
    same_name: tuple[Former, ...] = ()  # names with an effect here, with the predecessor's default as value
    alerts: Alerts | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """All texts for the operator, one line each, without a secret."""
        alerts = (self.alerts.line,) if self.alerts else ()
        return (*alerts, *(former.line for former in (*self.former, *self.same_name)))

    def removal(self, env_file: object) -> str:
        """The command that removes these settings from the file and keeps a copy; empty if there are none."""
        names = [name for group in (*self.former, *self.same_name) for name in group.names]
        names += self.alerts.names if self.alerts and self.alerts.done else ()
        if not names:
            return ""
        return f"sudo sed -i.predecessor -E '/^({'|'.join(names)})=/d' {shlex.quote(str(env_file))}"


def became(name: str) -> str | None:
    """What replaces a setting of the predecessor; None for a name that it did not have."""
    if name.startswith("PERSIST_RETRY_"):
        return _WRITER
    if name in (*_TOKENS, _CHAT, _THREAD):
        return _TELEGRAM
    if name.startswith(("TG_", "TELEGRAM_")):
        return _ALERTING
    return _BECAME.get(name)


def is_distinctive(name: str) -> bool:
    """Whether a name in the environment of a shell can only be of the predecessor: others also use TG_TOKEN."""
    return name.startswith(_OUR_PREFIXES)


def predecessor(
    found: Mapping[str, tuple[str, str]], ours: Mapping[str, tuple[str, str]], *, alerts_in_force: bool
) -> Predecessor:
    """The texts about the settings `found` of the predecessor and about `ours`, both as name → value and origin."""
    telegram = [name for name in found if name in (*_TOKENS, _CHAT, _THREAD)]
    groups: dict[str, list[str]] = {}
    for name in found:
        if name not in telegram:
            groups.setdefault(became(name) or "", []).append(name)
    former = tuple(Former(tuple(names), found[names[0]][1], words) for words, names in groups.items())
    same_name = [
        Former(
            (name,),
            where,
            f"{value} is {_OTHER_MEANING[name][1]}: leave it out for the default",
            f"{value} {_OTHER_MEANING_ZH[name]}：刪除此行即用預設值",
        )
        for name, (value, where) in ours.items()
        if name in _OTHER_MEANING and _is(value, _OTHER_MEANING[name][0])
    ]
    # A value such as NORMAL may be the operator's choice, unless other settings of the predecessor are also there.
    if found or same_name:
        same_name += [
            Former(
                (name,),
                where,
                f"{value} was the predecessor's default: leave it out for the default here",
                f"{value} 是原有程式的預設值：刪除此行即用這裡的預設值",
            )
            for name, (value, where) in ours.items()
            if name in _OTHER_DEFAULT and _is(value, _OTHER_DEFAULT[name])
        ]
    alerts = _alerts({name: found[name] for name in telegram}, in_force=alerts_in_force) if telegram else None
    return Predecessor(former, tuple(same_name), alerts)


def _alerts(found: Mapping[str, tuple[str, str]], *, in_force: bool) -> Alerts:
    names, where = tuple(found), next(iter(found.values()))[1]
    if in_force:
        return Alerts(names, where, _NO_EFFECT_SET, _ZH[_NO_EFFECT_SET], done=True)
    texts = {name: value for name, (value, _) in found.items()}
    tokens = list(dict.fromkeys(texts[name] for name in _TOKENS if texts.get(name)))
    if not tokens and not texts.get(_CHAT):
        return Alerts(names, where, _NO_EFFECT_EMPTY, _ZH[_NO_EFFECT_EMPTY], done=True)
    no_alerts_zh = "不會發出任何告警：它們在此不起作用，而 ALERT_URLS 是空的"
    no_alerts = "no alert is sent: they do nothing here, and ALERT_URLS is empty"
    lines = _lines(tokens, texts.get(_CHAT, ""), texts.get(_THREAD, ""))
    if not lines:
        wrong = _missing(tokens, texts.get(_CHAT, ""))
        by_hand = "ALERT_URLS=tgram://TOKEN/CHAT_ID"
        return Alerts(
            names,
            where,
            f"{no_alerts}; {wrong}: {by_hand} has to be written by hand",
            f"{no_alerts_zh}；{_MISSING_ZH[wrong]}：須自行寫上 {by_hand}",
        )
    if len(lines) > 1:
        no_alerts += "; they hold two tokens: one of two lines is right"
        no_alerts_zh += "；它們有兩個 token：兩行中只有一行正確"
    return Alerts(names, where, no_alerts, no_alerts_zh, lines)


def _lines(tokens: Iterable[str], chat: str, thread: str) -> tuple[str, ...]:
    """ALERT_URLS lines in Apprise's format for Telegram; empty if token or chat are not valid."""
    found = [match[1] for token in tokens if (match := _TOKEN.fullmatch(token))]
    chats = [part for part in re.split(r"[\s,;]+", chat) if part]
    if not chats or not all(map(_CHAT_ID.fullmatch, chats)) or not re.fullmatch(r"[0-9]*", thread):
        return ()
    topic = f":{thread}" if thread else ""
    path = "/".join(f"{quote(chat, safe='@')}{topic}" for chat in chats)
    return tuple(f"ALERT_URLS=tgram://{token}/{path}" for token in found)


def _missing(tokens: list[str], chat: str) -> str:
    if not tokens:
        return "TG_TOKEN is missing"
    return "TG_CHAT_ID is missing" if not chat else "token, chat or thread are not as Telegram writes them"


_MISSING_ZH: Final = {
    "TG_TOKEN is missing": "沒有 TG_TOKEN",
    "TG_CHAT_ID is missing": "沒有 TG_CHAT_ID",
    "token, chat or thread are not as Telegram writes them": "token、chat 或 thread 不符合 Telegram 的寫法",
}


def _is(value: str, default: str) -> bool:
    return value in (default, f"{default}.0")
