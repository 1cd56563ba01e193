"""Findings `opend_STATE`: what OpenD reports about itself, in a Notify or as its program state. One spec a state.

The codes are the state names of `opend.messages`. `opend_program_STATE`, the name in a Notify, means `opend_STATE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hk_tick_collector import market

from .finding import Severity
from .remedies import (
    EDIT_OPEND,
    OPEND_CONSOLE,
    OPEND_LOG,
    OPEND_STATUS,
    RELOGIN,
    RESTART_OPEND,
    RIGHT,
    TAKE_BACK,
    Remedy,
)
from .spec import FindingSpec, Rule
from .words import NO_WORDS, Words, joined, same

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .finding import Finding
    from .spec import Seen

PREFIX: Final = "opend_"
# The findings caused by an OpenD that sends no ticks, and by a lost connection.
NO_QUOTES: Final = (
    *("opend_not_ready", "not_subscribed", "still_subscribing", "backfill_failing", "symbols_refused", "link_unstable"),
    *("no_tick_at_open", "no_ticks", "no_ticks_stored", "lag", "pushes_stopped", "gaps_lost", "gaps_healing"),
)
TOLD: Final = Rule(hold_s=5, critical_s=0, after_budget=True)


def _told(seen: Seen) -> Iterator[Finding]:
    """A state that OpenD reported and has not taken back, with its time, and OpenD's text if it adds something."""
    status = seen.status
    if not status.connected:
        return
    for kind, words in status.trouble.items():
        since_ms = status.trouble_since_ms.get(kind)
        spec, name = _STATES.get(kind.removeprefix("program_"), OPEND_OTHER), kind.replace("_", " ")
        moment = "" if since_ms is None else market.clock_text(since_ms)
        yield spec.found(
            Severity.CRITICAL,
            code=f"{PREFIX}{kind}",
            since_ms=since_ms,
            told=Words(name, spec.meaning.zh if spec is not OPEND_OTHER else name),
            since=Words(f" since {moment}", f"（由 {moment} 起）") if moment else NO_WORDS,
            words=Words(f", {words}", f"，{words}") if words and words.lower() not in name else NO_WORDS,
        )


def remedy_of(state: str) -> Remedy:
    """The remedy for a state, given by its name: `needs_sms_code` or `program_needs_sms_code`."""
    return _STATES.get(state.removeprefix("program_"), OPEND_OTHER).remedy


def meaning_of(state: str) -> Words:
    """The text for a state; OpenD's own word if the state is unknown."""
    spec = _STATES.get(state.removeprefix("program_"))
    return spec.meaning if spec else same(state.replace("_", " "))


def _state(name: str, meaning: Words, do: Words, remedy: Remedy, *, restart: bool = True) -> FindingSpec:
    """The spec of one state. With `restart` a restart of OpenD is added to `do`: most of these states need one."""
    if restart:
        do = Words(f"{do.en}, then {RESTART_OPEND}", f"{do.zh}，再 `{RESTART_OPEND}`")
    return FindingSpec(
        code=PREFIX + name,
        when=_told,
        text=_TEXT,
        remedy=remedy,
        meaning=meaning,
        do=do,
        alert=TOLD,
        causes=NO_QUOTES,
    )


_TEXT: Final = Words("OpenD reports: {told}{since}{words}", "OpenD 回報：{told}{since}{words}")
_WAIT: Final = Remedy(OPEND_LOG, "wait a minute; if it lasts, restart futu-opend", "等一分鐘；若持續，重啟 futu-opend")
_PASSWORD: Final = Remedy(EDIT_OPEND, "set OpenD's account and password", "設定 OpenD 的帳戶與密碼")
_DISCLAIMER: Final = Remedy(
    RESTART_OPEND,
    "agree to the API disclaimer in Futu's app before OpenD is restarted",
    "重啟 OpenD 前，先在富途 App 同意 API 免責聲明",
)
_REINSTALL: Final = Remedy(
    RESTART_OPEND, "install OpenD again, keeping its data, before it is restarted", "重啟前先重新安裝 OpenD，保留其資料"
)
_A_MINUTE: Final = Words("wait a minute", "等一分鐘")
_CONSOLE: Final = Words(
    "enter it at OpenD's maintenance port (docs/operations.md)", "在 OpenD 的維護埠輸入（docs/operations.md）"
)
_INSTALL: Final = Words("install OpenD again", "重新安裝 OpenD")
_TAKE_BACK: Final = Words(
    f"another terminal may have taken it, take it back: {TAKE_BACK}; else check the account's Hong Kong quote right",
    f"可能被另一終端佔用，先取回：`{TAKE_BACK}`；仍然不成，檢查帳戶的港股行情權限",
)

OPEND_LOADED: Final = _state("loaded", Words("OpenD has just started", "OpenD 剛啟動"), _A_MINUTE, _WAIT)
OPEND_LOGGING_IN: Final = _state("logging_in", Words("OpenD is logging in", "OpenD 正在登入"), _A_MINUTE, _WAIT)
OPEND_PREPARING: Final = _state("preparing", Words("OpenD is preparing", "OpenD 正在準備"), _A_MINUTE, _WAIT)
OPEND_NEEDS_CAPTCHA: Final = _state(
    "needs_captcha",
    Words("OpenD needs a captcha for Futu", "富途要求圖形驗證碼"),
    _CONSOLE,
    Remedy(
        OPEND_CONSOLE,
        "enter req_pic_verify_code, then the captcha (docs/operations.md)",
        "輸入 req_pic_verify_code，再輸入圖形驗證碼（docs/operations.md）",
    ),
    restart=False,
)
OPEND_NEEDS_SMS_CODE: Final = _state(
    "needs_sms_code",
    Words("OpenD needs an SMS code for Futu", "富途要求短訊驗證碼"),
    _CONSOLE,
    Remedy(
        OPEND_CONSOLE,
        "enter req_phone_verify_code, then the SMS code (docs/operations.md)",
        "輸入 req_phone_verify_code，再輸入短訊驗證碼（docs/operations.md）",
    ),
    restart=False,
)
OPEND_DEVICE_LOCK_ENABLED: Final = _state(
    "device_lock_enabled",
    Words("the account's device lock was switched on", "帳戶已開啟裝置鎖"),
    Words(
        "enter the device code at OpenD's maintenance port (docs/operations.md)",
        "在 OpenD 的維護埠輸入裝置驗證碼（docs/operations.md）",
    ),
    Remedy(
        OPEND_CONSOLE,
        "enter req_phone_verify_code, then the code (docs/operations.md)",
        "輸入 req_phone_verify_code，再輸入驗證碼（docs/operations.md）",
    ),
    restart=False,
)
OPEND_LOGIN_FAILED: Final = _state(
    "login_failed",
    Words("OpenD's login failed", "OpenD 登入失敗"),
    Words("check account and password", "檢查帳戶與密碼"),
    _PASSWORD,
)
OPEND_PASSWORD_CHANGED: Final = _state(
    "password_changed",
    Words("the account's password was changed", "帳戶密碼已更改"),
    Words("set the new password in OpenD", "在 OpenD 設定新密碼"),
    _PASSWORD,
)
OPEND_TRADE_PASSWORD_CHANGED: Final = _state(
    "trade_password_changed",
    Words("the trade password was changed; ticks do not need it", "交易密碼已更改；收取 tick 毋須交易密碼"),
    _A_MINUTE,
    Remedy(
        RESTART_OPEND,
        "ticks do not need the trade password: restart OpenD after the close",
        "收取 tick 毋須交易密碼：收市後重啟 OpenD 即可",
    ),
)
OPEND_LOGIN_BANNED: Final = _state(
    "login_banned",
    Words("the account may not log in", "帳戶被禁止登入"),
    Words("contact Futu's support", "聯絡富途客服"),
    Remedy(OPEND_LOG, "the account may not log in: contact Futu's support", "帳戶被禁止登入：聯絡富途客服"),
    restart=False,
)
OPEND_FORCED_LOGOUT: Final = _state(
    "forced_logout",
    Words("OpenD was logged out by another login or by Futu", "OpenD 被另一登入或富途登出"),
    Words(f"log it in again, without a restart: {RELOGIN}", f"重新登入，毋須重啟：`{RELOGIN}`"),
    Remedy(
        RELOGIN,
        "another login or Futu logged OpenD out; this command logs it in again, without a restart",
        "另一登入或富途把 OpenD 登出；此命令重新登入，毋須重啟",
    ),
    restart=False,
)
OPEND_KICKED_OUT: Final = _state(
    "kicked_out",
    Words(
        "another terminal of this account took the quotes: OpenD is still connected, but no ticks come",
        "同一帳戶的另一終端取得了行情：OpenD 仍然連線，但沒有 tick",
    ),
    Words(f"take the quotes back, without a restart of OpenD: {TAKE_BACK}", f"取回行情，毋須重啟 OpenD：`{TAKE_BACK}`"),
    Remedy(
        TAKE_BACK,
        "another terminal of this account took the quotes; this command takes them back, without a restart of OpenD",
        "此命令取回行情，毋須重啟 OpenD",
    ),
    restart=False,
)
OPEND_NEEDS_UPDATE: Final = _state(
    "needs_update",
    Words("Futu requires a newer OpenD", "富途要求更新 OpenD"),
    Words("install the current version of OpenD", "安裝最新版本的 OpenD"),
    Remedy(OPEND_LOG, "install the current version of OpenD", "安裝最新版本的 OpenD"),
)
OPEND_DISCLAIMER_NOT_AGREED: Final = _state(
    "disclaimer_not_agreed",
    Words("the API disclaimer was not accepted", "未同意 API 免責聲明"),
    Words("accept it in Futu's app", "在富途 App 同意"),
    _DISCLAIMER,
)
OPEND_DISCLAIMER_UNAVAILABLE: Final = _state(
    "disclaimer_unavailable",
    Words("OpenD could not load the API disclaimer", "OpenD 未能載入 API 免責聲明"),
    Words("check this host's network", "檢查本機網絡"),
    _DISCLAIMER,
)
OPEND_CONFIG_LOAD_FAILED: Final = _state(
    "config_load_failed",
    Words("OpenD cannot read its configuration", "OpenD 不能讀取其設定"),
    Words("check FutuOpenD.xml", "檢查 FutuOpenD.xml"),
    Remedy(EDIT_OPEND, "correct OpenD's configuration", "改正 OpenD 的設定"),
)
OPEND_NETWORK_CONFIG_MISSING: Final = _state(
    "network_config_missing",
    Words("OpenD has no network configuration", "OpenD 沒有網絡設定"),
    Words("check FutuOpenD.xml and its installation", "檢查 FutuOpenD.xml 與安裝"),
    Remedy(EDIT_OPEND, "check OpenD's configuration and installation", "檢查 OpenD 的設定與安裝"),
)
OPEND_API_SERVER_FAILED: Final = _state(
    "api_server_failed",
    Words("OpenD cannot open its port", "OpenD 不能開啟連接埠"),
    Words("find the program that holds it: sudo ss -ltnp", "找出誰佔用：`sudo ss -ltnp`"),
    Remedy(
        "sudo ss -ltnp",
        "another program holds OpenD's port: stop it; OpenD then recovers by itself",
        "另一程式佔用 OpenD 的連接埠：停止該程式，其後自行恢復",
    ),
)
OPEND_APP_DATA_MISSING: Final = _state(
    "app_data_missing",
    Words("OpenD's data files in its program directory are missing", "OpenD 程式目錄內的資料檔遺失"),
    _INSTALL,
    _REINSTALL,
)
OPEND_DATA_MISSING: Final = _state(
    "data_missing", Words("OpenD's data files are missing", "OpenD 的資料檔遺失"), _INSTALL, _REINSTALL
)
OPEND_QUOTE_LINK_LOST: Final = _state(
    "quote_link_lost",
    Words("OpenD lost the connection to Futu's servers", "OpenD 與富途伺服器失去連線"),
    Words("check this host's network; it recovers by itself", "檢查本機網絡；會自行恢復"),
    Remedy(
        "ip route; ping -c 3 www.futunn.com",
        "OpenD cannot reach Futu: check this host's network; it recovers by itself",
        "OpenD 連不到富途：檢查本機網絡，其後自行恢復",
    ),
    restart=False,
)
OPEND_QUOTE_RIGHT_BMP: Final = _state(
    "quote_right_bmp",
    Words("the quote right fell to BMP, which includes no ticks", "行情權限降為 BMP，沒有 tick"),
    _TAKE_BACK,
    RIGHT,
    restart=False,
)
OPEND_QUOTE_RIGHT_NONE: Final = _state(
    "quote_right_none",
    Words("the account has no Hong Kong quote right", "帳戶沒有港股行情權限"),
    _TAKE_BACK,
    RIGHT,
    restart=False,
)
# For a state that a later OpenD may report: it is detected and alerted, but documents do not list it.
OPEND_OTHER: Final = _state(
    "", joined(same("OpenD"), NO_WORDS), Words("read OpenD's log", "查看 OpenD 的日誌"), Remedy(OPEND_STATUS)
)

_STATES: Final = {
    spec.code.removeprefix(PREFIX): spec
    for spec in list(globals().values())
    if isinstance(spec, FindingSpec) and spec.code != PREFIX
}
