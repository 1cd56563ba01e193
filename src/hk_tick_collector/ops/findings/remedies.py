"""What an operator types and should know, for each problem. Text only.

A remedy has two parts. `command` is the text after `->`: it can be pasted as it is. `advice` is for a person and is
added to the finding's text (`advised`).
"""

from __future__ import annotations

import re
import shlex
from typing import Final, NamedTuple

from hk_tick_collector.opend import refusals

from .words import Words, joined


class Remedy(NamedTuple):
    """`command` can be pasted, or is empty; `advice` may be empty, `advice_zh` is its Chinese."""

    command: str
    advice: str = ""
    advice_zh: str = ""

    @property
    def words(self) -> Words:
        """The advice in both languages."""
        return Words(self.advice, self.advice_zh or self.advice)


def advised(text: Words, remedy: Remedy) -> tuple[Words, str]:
    """Text and command, with the advice after the text."""
    return joined(text, remedy.words), remedy.command


JOURNAL: Final = "sudo journalctl -u hk-tick-collector --since '10 minutes ago' --no-pager"
START: Final = "sudo systemctl start hk-tick-collector"
RESTART: Final = "sudo systemctl restart hk-tick-collector"
TEST_ALERTS: Final = "sudo hk-tick-collector alerts --test"
DOCTOR: Final = "sudo hk-tick-collector doctor"
OPEND_STATUS: Final = "sudo systemctl status futu-opend --no-pager"
OPEND_LOG: Final = "sudo journalctl -u futu-opend -n 30 --no-pager"
SERVICE_STATUS: Final = "sudo systemctl status hk-tick-collector --no-pager"
LOGS: Final = "hk-tick-collector logs --since '10 minutes ago'"
RESTART_OPEND: Final = "sudo systemctl restart futu-opend"
# OpenD's maintenance port, with the number that docs/operations.md recommends. It answers within moments.
OPEND_CONSOLE: Final = "nc -C 127.0.0.1 22222"
TAKE_BACK: Final = "echo request_highest_quote_right | nc -C -q 3 127.0.0.1 22222"
RELOGIN: Final = "echo relogin | nc -C -q 3 127.0.0.1 22222"
GAPS: Final = "hk-tick-collector gaps --open"
SLOW_DISK: Final = "cat /proc/pressure/io; sudo dmesg | tail"
LAST_LINES: Final = "sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200"
CHECK_SETTINGS: Final = "sudo hk-tick-collector config --check"
ENDS: Final = (  # how the runs of the last hour ended, from our log and systemd's
    "sudo journalctl -u hk-tick-collector --since '1 hour ago' --no-pager"
    " | grep -E 'ERROR|Traceback|exited|result|started' | tail -n 50"
)
INSTALLED_SETTINGS: Final = "/opt/futu_tick_downloader/.env"
EDIT_SETTINGS: Final = f"sudo vim {INSTALLED_SETTINGS}; {RESTART}"
DISK_MESSAGES: Final = "sudo dmesg | tail"
EDIT_OPEND: Final = f"sudo vim /opt/FutuOpenD/FutuOpenD.xml; {RESTART_OPEND}"
ACCOUNT: Final = "hkcollector:hkcollector"  # in the form that chown takes, used if the real owner is unknown
HUNG: Final = f"{JOURNAL}; {RESTART}"

MOVED_AWAY: Final = (  # what a command that moves a day file away leads to, in both languages
    "the command moves that file aside and keeps it; a new one is begun, and the ticks that wait are stored in it",
    "命令會把該檔移到一旁並保留；其後建立新檔，等候的 tick 會存入",
)


def grep(event: str) -> str:
    """The last lines of one event."""
    return f"sudo journalctl -u hk-tick-collector --no-pager | grep {event} | tail"


STALL: Final = f"{grep('WATCHDOG')}; {RESTART}"


def for_rejected(cause: str, symbol: str, ticks: int) -> str:
    """The command that shows the rejected ticks of a symbol; at most a hundred of each cause are logged in full."""
    lines = f"grep 'tick_rejected cause={cause}' | grep {symbol} | tail -n {min(ticks, 100)}"
    return f"sudo journalctl -u hk-tick-collector --no-pager | {lines}"


def for_link(address: str) -> str:
    """The remedy while there is no connection to OpenD at `host:port`."""
    host, _, port = address.rpartition(":")
    return f"{OPEND_STATUS}; nc -vz {host} {port}; {RESTART_OPEND}"


def for_refusal(cause: str) -> Remedy:
    """The remedy for symbols that OpenD refused, by a cause from `refusals`."""
    return _REFUSAL[cause]


def for_frozen_disk(data_root: str) -> str:
    """The command for a file system that was frozen and not unfrozen."""
    return f"sudo fsfreeze --unfreeze $(findmnt -n -o TARGET -T {shlex.quote(data_root)})"


def for_lock(path: str) -> str:
    """The command that names the processes with this file, or the files beside it, open."""
    return f"sudo fuser -v {shlex.quote(path)}*"


def end_process(pid: int) -> str:
    """The command that ends a process named before."""
    return f"sudo kill -TERM {pid}"


def for_hint(hint: str, otherwise: str, hint_zh: str = "") -> Remedy:
    """The remedy from an error's hint, which is a command or advice."""
    return Remedy(hint) if is_command(hint) else Remedy(otherwise, hint, hint_zh)


def is_command(text: str) -> bool:
    """Whether a text can be pasted into a shell: each of its parts begins with a program that operators use."""
    parts = _SEPARATOR.split(_QUOTED.sub("_", text))
    return all(_COMMAND.match(part.strip()) for part in parts)


_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\$\([^)]*\)")
_SEPARATOR: Final = re.compile(r";|&&|\|\|?")
_COMMAND: Final = re.compile(
    r"(sudo )?(hk-tick-collector|systemctl|journalctl|timedatectl|usermod|newgrp|sqlite3|chown|chmod|mount -o|mkdir"
    r"|fuser|dmesg|lsof|echo|grep|tail|ping|cat|vim|df|ls|mv|nc|ip|ss|findmnt)( [^ ]|$)"
    r"|free -m|(sudo )?kill -[A-Z]+ [0-9]"
    r"|for f in |do \[ |done$|[a-z]=_?[^ ]*$"
)

RIGHT: Final = Remedy(
    TAKE_BACK,
    "another terminal of this account may have taken the quote right, this command takes it back; otherwise the account"
    " has no right to Hong Kong quotes (docs/operations.md)",
    "行情權限可能被同一帳戶的另一終端佔用，此命令取回；仍然不成，即帳戶沒有港股行情權限（docs/operations.md）",
)
LOGGED_OUT: Final = Remedy(  # OpenD runs and is not logged in to the quote server
    f"{OPEND_LOG}; {TAKE_BACK}",
    "another terminal of this account may have taken the quotes: the second command takes them back; if OpenD is still"
    " not logged in, use relogin (docs/operations.md)",
    "行情可能被同一帳戶的另一終端取得：第二個命令取回；若持續，重新登入（docs/operations.md）",
)
_REFUSAL: Final = {
    refusals.QUOTA: Remedy(
        f"{DOCTOR}; {EDIT_SETTINGS}",
        "doctor shows the quota: remove symbols from FUTU_SYMBOLS",
        "doctor 會列出額度：從 FUTU_SYMBOLS 移除部分股票",
    ),
    refusals.QUOTE_RIGHT: RIGHT,
    refusals.TEMPORARY: Remedy(
        DOCTOR,
        "OpenD cannot serve it now; the request is repeated every minute; if it lasts, see doctor",
        "OpenD 暫時未能處理；每分鐘重試；若持續，見 doctor",
    ),
    refusals.OTHER: Remedy(
        EDIT_SETTINGS,
        "correct FUTU_SYMBOLS; refused ones are tried again every minute",
        "改正 FUTU_SYMBOLS；被拒絕的股票每分鐘重試",
    ),
}
