"""What an operator types or does next, by what is wrong. Words only."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hk_tick_collector.store.foreign import import_command, move_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

JOURNAL: Final = "sudo journalctl -u hk-tick-collector --since '10 minutes ago' --no-pager"
START: Final = "sudo systemctl start hk-tick-collector"
RESTART: Final = "sudo systemctl restart hk-tick-collector"
OPEND_STATUS: Final = "sudo systemctl status futu-opend --no-pager"
RESTART_OPEND: Final = "sudo systemctl restart futu-opend"
GAPS: Final = "hk-tick-collector gaps --open"
SLOW_DISK: Final = "rows wait in memory; what keeps the disk busy: cat /proc/pressure/io; sudo dmesg | tail"
SLOW_COPY: Final = "end it, then copy with: sudo hk-tick-collector snapshot"
LAST_LINES: Final = "sudo journalctl -u hk-tick-collector -b --no-pager | tail -n 200"
INSTALLED_SETTINGS: Final = "/opt/futu_tick_downloader/.env"
EDIT_SETTINGS: Final = f"sudo vim {INSTALLED_SETTINGS}; {RESTART}"
JOIN: Final = "sudo usermod -aG hkcollector $USER, then log in again"
NO_TICKS: Final = f"hk-tick-collector doctor; if it finds nothing: {RESTART_OPEND}"
NOT_STORED: Final = f"hk-tick-collector doctor; {RESTART_OPEND}; why: {JOURNAL}"
HUNG: Final = f"{RESTART}; why, with every thread's stack: {JOURNAL}"


def grep(event: str) -> str:
    """The last lines of one event."""
    return f"sudo journalctl -u hk-tick-collector --no-pager | grep {event} | tail"


def for_rejected(cause: str, symbol: str, ticks: int) -> str:
    """Shows the rejected ticks of a symbol; at most a hundred of a cause are logged whole."""
    lines = f"grep 'tick_rejected cause={cause}' | grep {symbol} | tail -n {min(ticks, 100)}"
    return f"sudo journalctl -u hk-tick-collector --no-pager | {lines}"


def for_opend(kind: str) -> str:
    """By OpenD's program state, or by what Notify told."""
    return _OPEND.get(kind.removeprefix("program_"), OPEND_STATUS)


STALL: Final = f"{RESTART}; why: {grep('WATCHDOG')}; docs/incident-watchdog-stall.md"


def for_link(address: str) -> str:
    """While there is no connection to OpenD, by the `host:port` where it should be."""
    host, _, port = address.rpartition(":")
    return f"{OPEND_STATUS}; nc -vz {host} {port}; {RESTART_OPEND}"


def for_login() -> str:
    """OpenD runs and is not logged in to the quote server."""
    return f"{OPEND_STATUS}; if it stays so: {RESTART_OPEND}"


def for_questions() -> str:
    """OpenD delivers, and does not answer questions beside that."""
    return f"wait, it is asked again; if it stays so: {grep('question_failed')}; {RESTART_OPEND}"


def for_refusal(reasons: Iterable[str]) -> str:
    """Symbols that OpenD did not subscribe, by its words for each."""
    said = " ".join(set(reasons)).lower()
    if any(word in said for word in _QUOTA_WORDS):
        return f"sudo hk-tick-collector doctor tells the quota; then take symbols out: {EDIT_SETTINGS}"
    return f"correct FUTU_SYMBOLS (refused ones are tried again every minute): {EDIT_SETTINGS}"


def for_writer(trouble: str, data_root: str, day: str) -> str:
    """By the cause for which the writer waits; `day` is that of the file it writes."""
    if trouble == "foreign_file":
        return for_held_day(trouble, data_root, day)
    return _WRITER.get(trouble, JOURNAL).format(root=data_root, db=f"{data_root}/{day or '*'}.db")


def for_held_day(cause: str, data_root: str, day: str) -> str:
    """By the cause for which only the file of `day` cannot be written."""
    if cause in ("foreign_file", "damaged"):
        return move_command(Path(data_root, f"{day}.db"))
    if cause == "predecessor_file":
        return import_command(Path(data_root, f"{day}.db"))
    db = shlex.quote(f"{data_root}/{day}.db")
    return _HELD.get(cause, "ls -l {db}*; sudo hk-tick-collector doctor").format(db=db)


def predecessor_days(days: Sequence[str]) -> str:
    """What is told of day files of the predecessor."""
    if len(days) == 1:
        return f"{days[0]} is the predecessor's day file: no verb reads it before it is imported"
    span = f"{len(days)} day files, {days[0]} to {days[-1]},"
    return f"{span} are the predecessor's: no verb reads them before they are imported"


def for_sealing(data_root: str, name: str) -> str:
    """For a file of a finished day that cannot be sealed."""
    return f"ls -ld {data_root}/{name}*; docs/sqlite-wal.md"


_PASSWORD: Final = f"check OpenD's account and password, then {RESTART_OPEND}"
_QUOTA_WORDS: Final = ("quota", "額度", "额度")
_RIGHT: Final = "hk-tick-collector doctor; check the account's Hong Kong quote right; another terminal may hold it"
_ASKS: Final = "sudo journalctl -u futu-opend -n 20 --no-pager shows what OpenD asks for; enter"
_DISCLAIMER: Final = f"agree to the API disclaimer in Futu's app, then {RESTART_OPEND}"

# By the words of opend.messages for program states and for what Notify tells.
_OPEND: Final = {
    "loaded": f"wait a minute; if it stays so, {RESTART_OPEND}",
    "logging_in": f"wait a minute; if it stays so, {RESTART_OPEND}",
    "preparing": f"wait a minute; if it stays so, {RESTART_OPEND}",
    "needs_captcha": f"{_ASKS} the captcha in its console (docs/operations.md)",
    "needs_sms_code": f"{_ASKS} the SMS code in its console (docs/operations.md)",
    "device_lock_enabled": f"{_ASKS} the device's code in its console (docs/operations.md)",
    "login_failed": _PASSWORD,
    "password_changed": _PASSWORD,
    "trade_password_changed": f"ticks need no trade password: {RESTART_OPEND}",
    "login_banned": "the account may not log in: ask Futu's support",
    "forced_logout": f"OpenD was logged out, by another login or by Futu: {RESTART_OPEND}",
    "kicked_out": f"{RESTART_OPEND}, once the other terminal of this account is logged out",
    "needs_update": "install the current version of OpenD",
    "disclaimer_not_agreed": _DISCLAIMER,
    "disclaimer_unavailable": _DISCLAIMER,
    "config_load_failed": f"check OpenD.xml, then {RESTART_OPEND}",
    "network_config_missing": f"check OpenD.xml and the installation of OpenD, then {RESTART_OPEND}",
    "app_data_missing": f"install OpenD anew beside its data, then {RESTART_OPEND}",
    "data_missing": f"install OpenD anew beside its data, then {RESTART_OPEND}",
    "api_server_failed": "sudo ss -ltnp shows who holds OpenD's port; end that one, it comes back by itself",
    "quote_link_lost": "ip route; ping -c 3 www.futunn.com: does this host reach Futu? It comes back by itself",
    "quote_right_bmp": _RIGHT,
    "quote_right_none": _RIGHT,
}
# {db} is the day file, {root} DATA_ROOT.
_WRITER: Final = {
    "busy": "sudo fuser -v {db} {db}-wal {db}-shm names who else writes it; end that one",
    "disk_full": "df -h {root}; free space, it resumes by itself",
    "read_only": "sudo mount -o remount,rw $(findmnt -n -o TARGET -T {root}), it resumes by itself; sudo dmesg | tail",
    "no_permission": "sudo chown -R hkcollector:hkcollector {root}, it resumes by itself",
    "no_directory": "ls -ld {root}; bring it back (is its disk mounted?), it resumes by itself",
    "no_file": "ls -l {db}; nobody may move it, it resumes by itself",
    "cannot_open": "ls -l {db}; sudo hk-tick-collector doctor",
    "damaged": "ls -l {root}; see docs/sqlite-wal.md",
    "io_error": "sudo dmesg | tail tells of a disk that fails; it resumes by itself",
    "no_descriptors": RESTART,
    "file_size_limit": "systemctl show -p LimitFSIZE hk-tick-collector, in a shell ulimit -f;"
    f" set it to infinity, then {RESTART}",
    "no_memory": "free -m; end what takes it, it resumes by itself",
    "schema_changed": "sudo sqlite3 {db} .schema shows it: undo the change that is named, it resumes by itself",
}
# For the file of one day, {db}.
_HELD: Final = {
    "schema_changed": _WRITER["schema_changed"],
    "no_permission": "sudo chown hkcollector:hkcollector {db}*; sudo chmod u+rw {db}*",
    "busy": _WRITER["busy"],
    "io_error": "sudo dmesg | tail",
}
